"""Text to video: a diffusion transformer on latents, of the full world, in many formats."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from minivid import diffusion, text, train
from minivid.generator import PATH, SHIFT, Format
from minivid.recipes import cache, clips, held_out, latents
from minivid.recipes.words import TOKENISER, write_captions
from minivid.world import render, scene

# What is trained on: how many clips of each format are kept, and the share of steps that take them.
FORMATS = {
    Format(17, 32, 32): (40_000, 0.5),
    Format(17, 32, 48): (10_000, 0.12),
    Format(17, 48, 32): (10_000, 0.12),
    Format(33, 32, 32): (8_000, 0.1),
    Format(9, 32, 32): (10_000, 0.08),
    Format(1, 32, 32): (10_000, 0.08),
}
NEVER = (Format(17, 32, 40), Format(17, 40, 32), Format(25, 32, 32))  # held out of training
MOST = 2  # a batch of stills would be huge: at most so many times as many as of clips


@functools.cache
def training_set(n: int, at: Format) -> tuple[Tensor, list[scene.Scene]]:
    """Latents to train on and their scenes, a third of the easy world; none held out."""
    seed, room = (
        train.step_seed(0, 2 * list(FORMATS).index(at)),
        render.room_for(at.height, at.width),
    )
    easy = held_out.draw_scenes(n // 3, seed, room=room)
    scenes = easy + held_out.draw_scenes(n - n // 3, seed + 1, world=scene.FULL, room=room)

    def make(some: list[scene.Scene]) -> Tensor:
        return render.video(some, at.frames, at.height, at.width)

    name = f"video-{at.frames}x{at.height}x{at.width}"
    return cache.latents(name, latents.video_codec(), scenes, make), scenes


def batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Latents (b, 8, f, h, w) of one format, and their captions' tokens (b, n), some empty.

    Every batch has about as many latents as `plan.batch` clips of 17 square frames.
    """
    shares = torch.tensor([share for _, share in FORMATS.values()])
    at = list(FORMATS)[int(torch.multinomial(shares, 1, generator=generator))]
    kept, scenes = training_set(FORMATS[at][0], at)
    usual = plan.batch * 8 * 5 * 8 * 8
    n = min(MOST * plan.batch, usual // kept[0].numel())
    which = torch.randint(len(kept), (n,), generator=generator)
    sentences = write_captions([scenes[k] for k in which], generator)
    return kept[which].float(), tokens(clips.some_unsaid(sentences, generator))


def tokens(sentences: Sequence[str]) -> Tensor:
    """Sentences as tokens (b, n), n a multiple of 8 into which the longest fits."""
    numbers = TOKENISER(sentences)
    longest = int((numbers != text.PADDING).sum(1).max())
    return numbers[:, : max(8, -(-longest // 8) * 8)]


def loss(network: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """The velocity is predicted, more often at high noise."""
    clean, said = batch
    return diffusion.loss(
        lambda x_t, t: network(x_t, t, said),
        clean,
        generator,
        PATH,
        "velocity",
        draw_t=functools.partial(clips.draw_t, by=SHIFT),
    )
