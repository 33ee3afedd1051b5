"""Training sets in many formats: latents of each, their alignment targets, and which a step takes."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from minivid import pipeline
from minivid.formats import DEFAULT_FORMAT, Format
from minivid.models import text
from minivid.recipes import cache
from minivid.training import TrainConfig, step_seed
from minivid.world import held_out, random_scenes, render, scene

# In this order each format has a seed of its own.
ORDER = (
    Format(17, 32, 32),
    Format(17, 32, 48),
    Format(17, 48, 32),
    Format(33, 32, 32),
    Format(9, 32, 32),
    Format(1, 32, 32),
)
NEVER = (Format(17, 32, 40), Format(17, 40, 32), Format(25, 32, 32))  # held out of training
MAX_STILLS = 2  # a batch of stills would be huge: at most so many times as many as of clips

Formats = dict[Format, tuple[int, float]]  # clips that are kept of each, and the share of steps


@functools.cache
def scenes_of(n: int, shape: Format) -> list[scene.Scene]:
    """Scenes to train on, in a room of that format, a third of the easy world; none held out."""
    seed = step_seed(0, 2 * ORDER.index(shape))
    room = render.room_for(shape.height, shape.width)
    easy = held_out.draw_scenes(n // 3, seed, room=room)
    full = held_out.draw_scenes(n - n // 3, seed + 1, world=random_scenes.FULL, room=room)
    return easy + full


@functools.cache
def training_set(n: int, shape: Format, size: int = DEFAULT_FORMAT.width) -> tuple[Tensor, list[scene.Scene]]:
    """Latents to train on and their scenes; size: what is 32 pixels in the format."""
    scenes, scaled = scenes_of(n, shape), shape.scaled(size)
    make = functools.partial(render.in_format, shape=scaled)
    latents = cache.latents(f"video-{scaled.name}-{n}", cache.video_codec(size), scenes, make)
    return latents, scenes


@functools.cache
def alignment_targets(n: int, shape: Format) -> Tensor:
    """Alignment targets of these latents' tokens: (n, ALIGNMENT_DIM, f, h / 2, w / 2).

    Of clips of 32×32; larger ones have as many tokens, and show the same.
    """
    make = functools.partial(render.in_format, shape=shape)
    target = cache.alignment_target()
    return cache.latents(f"alignment-{shape.name}-{n}", target, scenes_of(n, shape), make)


def draw_format(formats: Formats, rng: torch.Generator) -> Format:
    """One of the formats, each as often as its share says."""
    shares = torch.tensor([part for _, part in formats.values()])
    return list(formats)[int(torch.multinomial(shares, 1, generator=rng))]


def batch_size(config: TrainConfig, latents: Tensor) -> int:
    """How many of these clips cost as much as `config.batch_size` of 17 square frames; of stills, fewer."""
    usual = config.batch_size * 5 * pipeline.SIDE * pipeline.SIDE
    return min(MAX_STILLS * config.batch_size, usual // latents[0, 0].numel())


def tokenize(sentences: Sequence[str]) -> Tensor:
    """Sentences as tokens (b, n), n a multiple of 16 into which the longest fits: few shapes to compile."""
    return text.trim_padding(pipeline.TOKENIZER(sentences), 16)
