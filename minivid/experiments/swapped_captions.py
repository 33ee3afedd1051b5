"""Swapped captions as hard negatives: a text encoder learns that the order of words matters.

"a red 3 moves left, the camera pans up" and "a red 3 moves up, the camera pans left" are the same words. In a
batch of clips under a panning camera, each clip's own caption with the two directions exchanged is one more
wrong answer ("composition-aware hard negatives", Yuksekgonul et al. 2022, arXiv 2210.01936).
"""

import functools
from dataclasses import replace

import torch
from torch import Tensor

from minivid import recipes
from minivid.experiments.records import Bar, train_network
from minivid.models.text import ContrastiveEncoders
from minivid.pipeline import TOKENIZER
from minivid.recipes import words
from minivid.recipes.captioning import attribute_codes
from minivid.training import TrainConfig
from minivid.world import captions, random_scenes, render, scene

PANNED = random_scenes.World((1,), scene.CAMERAS[1:5], ("steady",), ("filled",), hums=0.0)
FRAMES = 9
CONFIG = TrainConfig(steps=250, batch_size=32, learning_rate=1e-3)


def train(seed: int, bar: Bar) -> ContrastiveEncoders:
    """The shipped pair, trained further on swapped captions, and frozen."""
    config, pair = replace(CONFIG, seed=seed), recipes.load("words").requires_grad_(True)
    draw = functools.partial(draw_batch, config)
    trained = train_network(pair, words.loss, draw, config, bar, "swapped captions")
    return trained.requires_grad_(False)


def draw_batch(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Tokens of captions, then of swapped ones; clips for the first b; attribute codes of both: see `words`.

    A third of the clips is of the easy world, so that nothing is forgotten.
    """
    panned = random_scenes.draw_scenes(config.batch_size * 2 // 3, rng, PANNED)
    scenes = panned + random_scenes.draw_scenes(config.batch_size - len(panned), rng)
    shown = [one.describe() for one in scenes]
    captioned = shown + [swap_directions(one) for one in shown[: len(panned)]]
    tokens = TOKENIZER([captions.write(one) for one in captioned])
    codes = attribute_codes(captioned), attribute_codes(shown)
    return tokens, render.video(scenes, FRAMES), *codes


def swap_directions(one: scene.Description) -> scene.Description:
    """The digit goes where the camera went, and the camera where the digit went."""
    (subject,) = one.subjects
    direction = one.camera.removeprefix("pan ")
    swapped = replace(subject, heading=direction)
    return replace(one, subjects=(swapped,), camera=f"pan {subject.heading}")
