"""Does a video model know the law, or the cases it saw? Clips continued at speeds never shown.

After PhyWorld (Kang et al. 2024, arXiv 2411.02385). The shipped video model learned from digits that
fly at 0.3 to 0.6 room sides a second. It is handed the first half second of a real clip and
completes the rest; how fast does its digit fly on?
"""

from dataclasses import replace

import torch
from torch import Tensor

from minivid import diffusion, metrics, recipes
from minivid.experiments.keeping import Follow, keep
from minivid.recipes import clips
from minivid.recipes.judging import referee
from minivid.world import captions, render, scene

WHAT = "the first half second of a clip continued, at speeds seen in training and not"
SEEDS = (0, 1, 2)
SPEEDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9)
SEEN = (0.3, 0.6)  # the speeds of training lie between these
GIVEN = 4  # frames that are handed over: half a second


def draw_scenes(n: int, seed: int, speed: float) -> list[scene.Scene]:
    """Digits that set out from a wall, straight across the room, at one speed."""
    scenes = []
    for one in scene.draw_scenes(n, seed):
        body = replace(one.bodies[0], speed=speed, angle=0.0)
        free = ((1 - body.width) / 2, (1 - body.height) / 2)
        start = [at if v == 0 else -f if v > 0 else f
                 for at, v, f in zip(body.start, map(_round, body.velocity), free, strict=True)]  # fmt: skip
        scenes.append(replace(one, bodies=(replace(body, start=tuple(start)),)))
    return scenes


def _round(velocity: float) -> float:
    return 0.0 if abs(velocity) < 1e-9 else velocity


def given(field: diffusion.Field, clean: Tensor, noise: Tensor) -> diffusion.Field:
    """A field that completes clips: the frames of `clean` (b, c, k, h, w) walk to what they are.

    Their noise is `noise` (b, c, k, h, w), where sampling starts; on the straight path from there their
    velocity is known. "Replacement", as in RePaint (Lugmayr et al. 2022, arXiv 2201.09865).
    """

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        moves = field(x_t, t).clone()
        moves[:, :, : clean.shape[2]] = noise - clean
        return moves

    return velocity


def complete(network, scenes: list[scene.Scene], seed: int, steps: int = 8) -> Tensor:
    """Clips that begin as the scenes do and go on as the network sees fit: (b, 3, 17, 32, 32)."""
    real = render.video(scenes)
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(seed))
    asked = clips.understand([captions.write(one.describe()) for one in scenes])
    towards = given(clips.field(network, asked), real[:, :, :GIVEN], noise[:, :, :GIVEN])
    times = diffusion.schedule(steps, clips.SHIFT)
    *_, last = diffusion.sample(towards, noise, times, clips.PATH, diffusion.heun)
    return last.x_t.clamp(-1, 1)


def speed_after(video: Tensor, viewer) -> Tensor:
    """How fast the digit flies once the given frames are over: (b, 3, f, h, w) -> (b,)."""
    places, seconds = clips.flights(viewer.read(video))
    return metrics.nearest_flight(places[:, GIVEN:], seconds[GIVEN:]).velocity.norm(dim=-1)


def run(seed: int, follow: Follow, n: int = 32) -> dict:
    """{speed: {"ours", "real", "error", "floor"}}: the speed after the given frames, and its error."""
    network, viewer, table = recipes.load("clips"), referee(), {}
    for speed in follow(SPEEDS, len(SPEEDS), f"speeds, seed {seed}"):
        scenes = draw_scenes(n, seed, speed)
        video = complete(network, scenes, seed)
        ours, real = (speed_after(v, viewer) for v in (video, render.video(scenes)))
        rows = {
            "ours": ours,
            "real": real,
            "error": (ours - speed).abs(),
            "floor": (real - speed).abs(),
        }
        table[f"{speed}"] = {
            key: [round(x, 4) for x in metrics.bootstrap(r)] for key, r in rows.items()
        }
        if seed == SEEDS[0]:
            keep("speeds", f"{speed}", video[:2])
    return table
