"""A race: the same U-Net on pixels and on latents, to the same prompt adherence.

The networks take their steps in turn, so that whatever else the machine does slows all alike. The clock of
each counts its own CPU-seconds: making batches, training on them, and, for latents, encoding them beforehand.
Not counted are evaluations, and the training of the codec, which is done once for all that is made with it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

import torch
from torch import Tensor, nn

from minivid import training
from minivid.experiments.records import Bar
from minivid.experiments.small_task import adherence
from minivid.models.unet import VideoUNet, VideoUNetConfig
from minivid.recipes import cache, clips, latents
from minivid.recipes.words import encode_prompts
from minivid.training import TrainConfig
from minivid.world import held_out, render

WHAT = "the same U-Net on pixels and on latents, CPU-seconds to the same agreement"
SEEDS = (0,)
SIZE = {"width": 32, "blocks": 1}  # of all networks
DATASET_SIZE = 2000  # clips whose latents are trained on
TARGET = 0.8  # proportion of clips with digit, colour and heading as asked
EVERY = 100.0  # CPU-seconds between two evaluations
LONGEST = 900.0  # CPU-seconds, for each
TEST_SIZE = 80  # clips in an evaluation
CONFIG = TrainConfig(100_000, 32, 1e-3, cooldown=1e-3, ema=0.99, muon_lr=0.02, precision="bf16")


@dataclass
class Runner:
    """One side of the race."""

    name: str
    network: nn.Module
    loss: training.Loss
    draw_batch: training.DrawBatch
    generate: Callable[..., Tensor]
    pause: float = 1.0  # between evaluations, in EVERY: more for what generates slowly
    seconds: float = 0.0
    curve: list[dict] = field(default_factory=list)

    def run(self, config: TrainConfig, seed: int, target: float) -> Iterator[float]:
        """Train until so many clips are as asked, or for too long; yields the seconds on its clock."""
        steps = training.train(self.network, self.loss, self.draw_batch, config)
        while self.seconds < LONGEST and arrival(self.curve, target) is None:
            began = time.process_time()
            progress = next(steps)
            self.seconds += time.process_time() - began
            if self.seconds >= EVERY * self.pause * (len(self.curve) + 1):
                self.curve.append(self.evaluate(progress, seed))
            yield self.seconds

    def evaluate(self, progress: training.Progress, seed: int) -> dict:
        """The proportion of clips that are as asked."""
        generate = partial(self.generate, progress.network, seed=seed)
        right = {key: row[0] for key, row in adherence(generate, TEST_SIZE, seed)[0].items()}
        return {"seconds": round(self.seconds, 1), "step": progress.step, **right}


def on_pixels(name: str, seed: int, patch: int, temporal_patch: int, pause: float = 1.0) -> Runner:
    """Clips made anew at every step; the stem folds temporal_patch frames of patch × patch pixels."""
    torch.manual_seed(seed)
    config = VideoUNetConfig(patch=patch, temporal_patch=temporal_patch, **SIZE)
    draw_batch = partial(clips.draw_batch, replace(CONFIG, seed=seed))
    return Runner(name, VideoUNet(config), clips.loss, draw_batch, clips.generate, pause)


def on_latents(seed: int) -> Runner:
    """Latents encoded beforehand, which the clock counts."""
    began = time.process_time()
    scenes = held_out.draw_scenes(DATASET_SIZE, training.step_seed(seed, 0))
    cached = cache.encode("the race", cache.video_codec(), scenes, render.video)
    seconds = time.process_time() - began
    torch.manual_seed(seed)
    network = VideoUNet(VideoUNetConfig(8, patch=1, temporal_patch=1, **SIZE))
    draw_batch = partial(latents.pick, [cached], scenes, CONFIG.batch_size, encode_text=encode_prompts)
    return Runner("latents", network, latents.loss, draw_batch, latents.generate, seconds=seconds)


def arrival(curve: list[dict], target: float) -> float | None:
    """CPU-seconds until so many clips were as asked, interpolated between evaluations; None for never."""
    before = {"seconds": 0.0, "all": 0.0}
    for point in curve:
        if point["all"] >= target:
            way = (target - before["all"]) / (point["all"] - before["all"])
            return before["seconds"] + way * (point["seconds"] - before["seconds"])
        before = point
    return None


def run(seed: int, bar: Bar, target: float = TARGET) -> dict:
    """Race until all have arrived, or run too long: {name: {"parameters", "curve", "arrival"}}."""
    runners = [
        on_latents(seed),
        on_pixels("pixels, folded", seed, 4, 2),  # as notebook 03's
        on_pixels("pixels", seed, 2, 1, pause=3.0),  # as notebook 02's
    ]
    going = {one.name: one.run(replace(CONFIG, seed=seed), seed, target) for one in runners}
    for _ in bar(count(), 0, f"race to {target:.0%}, seed {seed}"):
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
