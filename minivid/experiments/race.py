"""A race: the same U-Net on pixels and on latents, to the same agreement with what was asked.

The networks take their steps in turn, so that whatever else the machine does slows all alike. The clock
of each counts its own CPU-seconds: drawing clips and training on them, and, for latents, encoding its
training set beforehand. Looking at what they draw is not counted, nor is the training of the codec,
which is done once for all that is made with it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

import torch
from torch import Tensor, nn

from minivid import train
from minivid.experiments.keeping import Follow
from minivid.recipes import cache, clips, held_out, latents
from minivid.recipes.judging import referee
from minivid.unet import VideoUNet
from minivid.world import captions, render

WHAT = "the same U-Net on pixels and on latents, CPU-seconds to the same agreement"
SEEDS = (0,)
WIDTH = 32
KEPT = 2000  # clips whose latents are trained on
TARGET = 0.8  # share of clips with digit, colour and heading as asked
EVERY = 100.0  # CPU-seconds between two looks
LONGEST = 900.0  # CPU-seconds, for each
ASKED = 80  # clips in a look
PLAN = train.Plan(100_000, 32, 1e-3, decay=1e-3, ema=0.99, muon=0.02, precision="bf16")


@dataclass
class Runner:
    """One side of the race."""

    name: str
    network: nn.Module
    loss: train.Loss
    batch: Callable[[torch.Generator], tuple[Tensor, ...]]
    draw: Callable[..., Tensor]
    pause: float = 1.0  # from look to look, in EVERY: more for who draws slowly
    seconds: float = 0.0
    curve: list[dict] = field(default_factory=list)

    def run(self, plan: train.Plan, seed: int, target: float) -> Iterator[float]:
        """Train until a share of clips is as asked, or for too long; yields the seconds on its clock."""
        steps = train.train(self.network, self.loss, self.batch, plan)
        while self.seconds < LONGEST and arrival(self.curve, target) is None:
            began = time.process_time()
            progress = next(steps)
            self.seconds += time.process_time() - began
            if self.seconds >= EVERY * self.pause * (len(self.curve) + 1):
                self.curve.append(self.look(progress, seed))
            yield self.seconds

    def look(self, progress: train.Progress, seed: int) -> dict:
        """The share of clips that are as asked."""
        scenes = held_out.draw_scenes(ASKED, seed)
        asked = [one.describe() for one in scenes]
        drawn = self.draw(progress.network, [captions.write(one) for one in asked], seed)
        seen = clips.look(referee(), drawn)
        rows = clips.asked_rows(asked, seen, seen)
        right = {name: row["ours"] for name, row in rows.items()}
        return {"seconds": round(self.seconds, 1), "step": progress.step, **right}


def on_pixels(name: str, seed: int, fold: int, moment: int, pause: float = 1.0) -> Runner:
    """Clips drawn anew at every step; the stem folds `moment` frames of fold × fold pixels."""
    plan = replace(PLAN, seed=seed)
    torch.manual_seed(seed)
    network = VideoUNet(fold=fold, moment=moment, width=WIDTH, blocks=1)
    draw_batch = partial(clips.batch, plan)
    return Runner(name, network, clips.loss, draw_batch, clips.draw, pause)


def on_latents(seed: int) -> Runner:
    """Latents encoded beforehand, which the clock counts."""
    began = time.process_time()
    scenes = held_out.draw_scenes(KEPT, train.step_seed(seed, 0))
    kept = cache.encode("the race", latents.video_codec(), scenes, render.video)
    seconds = time.process_time() - began
    torch.manual_seed(seed)
    network = VideoUNet(8, fold=1, moment=1, width=WIDTH, blocks=1)
    batch = partial(latents.pick, kept, scenes, PLAN.batch)
    return Runner("latents", network, latents.loss, batch, latents.draw, seconds=seconds)


def arrival(curve: list[dict], target: float) -> float | None:
    """CPU-seconds until a share of clips was as asked, between two looks in proportion; None for never."""
    before = {"seconds": 0.0, "all": 0.0}
    for point in curve:
        if point["all"] >= target:
            share = (target - before["all"]) / (point["all"] - before["all"])
            return before["seconds"] + share * (point["seconds"] - before["seconds"])
        before = point
    return None


def run(seed: int, follow: Follow, target: float = TARGET) -> dict:
    """Race until all have arrived, or run too long: {name: {"parameters", "curve", "arrival"}}."""
    runners = [
        on_latents(seed),
        on_pixels("pixels, folded", seed, fold=4, moment=2),  # as notebook 03's
        on_pixels("pixels", seed, fold=2, moment=1, pause=3.0),  # as notebook 02's
    ]
    going = {runner.name: runner.run(replace(PLAN, seed=seed), seed, target) for runner in runners}
    for _ in follow(count(), 0, f"race to {target:.0%}, seed {seed}"):
        going = {name: steps for name, steps in going.items() if next(steps, None) is not None}
        if not going:
            break
    return {
        runner.name: {
            "parameters": sum(p.numel() for p in runner.network.parameters()),
            "curve": runner.curve,
            "arrival": arrival(runner.curve, target),
        }
        for runner in runners
    }
