"""What should a transformer predict whose tokens hold more numbers than it is wide?

"Back to basics: let denoising generative models denoise" (Li and He 2025, arXiv 2511.13720) reports that on
large pixel patches predicting the clean picture works where predicting noise or velocity fails: a clean
patch is one of few, noise fills all its numbers, and a narrow network cannot carry them through. Here a
token is 2 frames of 8×8 pixels, 384 numbers, in a transformer 128 wide; no codec.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from minivid import diffusion, dit, generator, patches, text, train
from minivid.experiments import task
from minivid.experiments.keeping import Follow, followed, keep
from minivid.recipes import clips, held_out, video
from minivid.recipes.judging import referee
from minivid.recipes.words import write_captions
from minivid.world import captions, render

WHAT = "pixel patches of 384 numbers: the clean clip, the noise or the velocity predicted"
SEEDS = (0, 1, 2)
PATCH, FRAMES, SIDE = (2, 8, 8), 8, 32
PREDICTS: tuple[diffusion.Predicts, ...] = ("clean", "velocity", "noise")


class Pixels(nn.Module):
    """The library's transformer on patches of pixels: (b, 3, 8, 32, 32) -> the same."""

    def __init__(self, width: int = task.WIDTH, depth: int = task.DEPTH):
        super().__init__()
        self.text = text.TextEncoder(len(video.TOKENISER.words))
        numbers = 3 * PATCH[0] * PATCH[1] * PATCH[2]
        self.dit = dit.DiT(numbers, width, depth, self.text.width)

    def forward(self, x_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        words, whole = self.text(tokens)
        heard = tokens != text.PADDING
        heard = heard | (torch.arange(heard.shape[1]) == 0)
        cut = patches.patchify(x_t, PATCH)
        y = self.dit(cut, _places(), t[:, None], words, whole[:, None], heard=heard[:, None])
        return patches.unpatchify(y, x_t.shape[2:], PATCH)


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


def loss(
    network: nn.Module,
    batch: tuple[Tensor, ...],
    draws: torch.Generator,
    predicts: diffusion.Predicts,
) -> Tensor:
    """The error of what is predicted."""
    clean, said = batch
    return diffusion.loss(
        lambda x_t, t: network(x_t, t, said),
        clean,
        draws,
        clips.PATH,
        predicts,
        draw_t=clips.draw_t,
    )


@torch.no_grad()
def draw(
    network: nn.Module, sentences: Sequence[str], seed: int, predicts: diffusion.Predicts
) -> Tensor:
    """Clips of what the sentences ask for: (b, 3, 9, 32, 32), the first frame shown twice."""
    draws = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(sentences), 3, FRAMES, SIDE, SIDE, generator=draws)

    def towards(said: Sequence[str]) -> diffusion.Field:
        heard = video.tokens(said)
        return diffusion.field(lambda x, t: network(x, t, heard), clips.PATH, predicts)

    field = diffusion.guided(towards(sentences), towards([""] * len(sentences)), generator.GUIDANCE)
    times = diffusion.schedule(generator.STEPS, clips.SHIFT)
    *_, last = diffusion.sample(field, noise, times, clips.PATH, diffusion.heun)
    return torch.cat([last.x_t[:, :, :1], last.x_t], 2).clamp(-1, 1)


def run(seed: int, follow: Follow, n: int = 150) -> dict:
    """{predicted: {"digit", "colour", "heading", "all"} as asked: [share, low, high]}."""
    found, asked = {}, task.asked(n, seed)
    sentences = [captions.write(one) for one in asked]
    for predicts in PREDICTS:
        torch.manual_seed(seed)
        plan = replace(task.PLAN, seed=seed)
        network = followed(
            Pixels(),
            functools.partial(loss, predicts=predicts),
            functools.partial(batch, plan),
            plan,
            follow,
            f"{predicts}, seed {seed}",
        )
        drawn = draw(network, sentences, seed, predicts)
        seen = clips.look(referee(), drawn)
        rows = clips.asked_rows(asked, seen, seen)
        found[predicts] = {key: [row["ours"], *row["interval"]] for key, row in rows.items()}
        if seed == SEEDS[0]:
            keep("prediction", predicts, drawn[:4])
    return found
