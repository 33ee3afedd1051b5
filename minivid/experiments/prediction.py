"""What should a transformer predict whose tokens hold more numbers than it is wide?

"Back to basics: let denoising generative models denoise" (Li and He 2025, arXiv 2511.13720) reports that on
large pixel patches predicting the clean picture works where predicting noise or velocity fails: a clean
patch is one of few, noise fills all its numbers, and a narrow network cannot carry them through. Here a
token is 2 frames of 8×8 pixels, 384 numbers, in a transformer 128 wide; no codec.

All three learn by one loss, the velocity's error, and are walked by the velocity that follows from what
they say. Who knows the noise knows nothing of the clip where there is only noise, and who knows the clip
nothing of the noise where there is none; so noise levels keep a little away from both ends.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from minivid import diffusion, generator, train
from minivid.experiments import task
from minivid.experiments.keeping import Follow, followed, keep
from minivid.recipes import clips, held_out, video
from minivid.recipes.words import write_captions
from minivid.world import render

WHAT = "pixel patches of 384 numbers: the clean clip, the noise or the velocity predicted"
SEEDS = (0, 1, 2)
PATCH, FRAMES, SIDE = (2, 8, 8), 8, 32
ENDS = 0.05  # how far noise levels keep from 0 and 1
PREDICTS: tuple[diffusion.Predicts, ...] = ("clean", "velocity", "noise")


class Pixels(generator.TextToVideo):
    """The library's network on patches of pixels: (b, 3, 8, 32, 32) -> the same."""

    def __init__(self, width: int = task.WIDTH, depth: int = task.DEPTH):
        super().__init__(len(video.TOKENISER.words), 3, 1, PATCH, width, depth)

    def places(self, grid: Sequence[int]) -> Tensor:
        """As of latents, but that no frame stands alone: (n, 5)."""
        return _places()


@functools.cache
def _places() -> Tensor:
    """Where and when each patch of pixels is: (n, 5), as `patches.places` says of latents."""
    seconds = (torch.arange(FRAMES // PATCH[0]) * PATCH[0] + PATCH[0] / 2 + 1) / 8
    across = (torch.arange(SIDE // PATCH[1]) + 0.5) * PATCH[1] - SIDE / 2
    at = torch.stack(torch.meshgrid(seconds, across, across, indexing="ij"), -1).flatten(0, 2)
    return torch.cat([at, torch.full((len(at), 2), float(SIDE))], 1)


def batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Clips (b, 3, 8, 32, 32), the first of nine frames left out, and tokens (b, n)."""
    scenes = held_out.draw_scenes(plan.batch, generator)
    sentences = clips.some_unsaid(write_captions(scenes, generator), generator)
    return render.video(scenes, FRAMES + 1)[:, :, 1:], video.tokens(sentences)


def levels(n: int, draws: torch.Generator) -> Tensor:
    """Noise levels to train on, (n,), away from the ends."""
    return clips.draw_t(n, draws).clamp(ENDS, 1 - ENDS)


def loss(
    network: nn.Module,
    made: tuple[Tensor, ...],
    draws: torch.Generator,
    predicts: diffusion.Predicts,
) -> Tensor:
    """The error of the velocity that follows from what is predicted."""
    clean, asked = made
    look = functools.partial(network, tokens=asked)
    return diffusion.loss(look, clean, draws, clips.PATH, predicts, "velocity", levels)


@torch.no_grad()
def draw(
    network: nn.Module, sentences: Sequence[str], seed: int, predicts: diffusion.Predicts
) -> Tensor:
    """Clips of what the sentences ask for: (b, 3, 9, 32, 32), the first frame shown twice."""
    draws = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(sentences), 3, FRAMES, SIDE, SIDE, generator=draws)
    asked, unasked = video.tokens(sentences), video.tokens([""] * len(sentences))
    field = diffusion.conditional(network, asked, unasked, generator.GUIDANCE, clips.PATH, predicts)
    times = diffusion.schedule(task.WALK["steps"], clips.SHIFT).clamp(max=1 - ENDS)
    *_, last = diffusion.sample(field, noise, times, clips.PATH, task.WALK["move"])
    return torch.cat([last.x_t[:, :, :1], last.x_t], 2).clamp(-1, 1)


def run(seed: int, follow: Follow, n: int = 150) -> dict:
    """{predicted: {"digit", "colour", "heading", "all"} as asked: [share, low, high]}."""
    found = {}
    for predicts in PREDICTS:
        torch.manual_seed(seed)
        plan = replace(task.PLAN, seed=seed)
        network = followed(
            video.with_reader(Pixels()),
            functools.partial(loss, predicts=predicts),
            functools.partial(batch, plan),
            plan,
            follow,
            f"{predicts}, seed {seed}",
        )
        ask = functools.partial(draw, network, seed=seed, predicts=predicts)
        found[predicts], drawn = task.as_asked(ask, n, seed)
        if seed == SEEDS[0]:
            keep("prediction", predicts, drawn[:4])
    return found
