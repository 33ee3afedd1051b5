"""Representation alignment: the same transformer with it and without it.

"Representation alignment for generation: training diffusion transformers is easier than you think" (Yu et al.
2024, arXiv 2410.06940) reports that with it SiT-XL reaches in less than 400 thousand steps what it needs 7
million for alone, over 17.5 times as many. The target here is the clip encoder that learned from captions:
halfway through the blocks, each token also predicts what that would see in the clean clip.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from minivid.experiments import small_task
from minivid.experiments.records import Bar
from minivid.models.alignment import ALIGNMENT_DIM
from minivid.recipes import formats, latents, video_score
from minivid.training import TrainConfig

WHAT = "a transformer with representation alignment, and one without: clips as asked, step for step"
SEEDS = (0, 1, 2)
STEPS = (150, 300, 600)  # each a training of its own, with a learning rate that falls to nothing
WAYS = {"alone": 0, "aligned": ALIGNMENT_DIM}  # numbers in which a token predicts what it will show


def draw_batch(config: TrainConfig, rng: torch.Generator, n: int | None = None) -> tuple[Tensor, ...]:
    """Latents (b, 8, 2, 8, 8), alignment targets (b, ALIGNMENT_DIM, 2, 4, 4), and tokens (b, m).

    n: how many clips are trained on, as in `small_task.draw_batch`.
    """
    n = n or small_task.DATASET_SIZE
    encoded, scenes = small_task.training_set(n)
    kinds = encoded, small_task.alignment_targets(n)
    return latents.pick(kinds, scenes, config.batch_size, rng, formats.tokenize)


def run(seed: int, bar: Bar, n: int = 200) -> dict:
    """{"alone" | "aligned": {steps: {"digit", "colour", "heading", "all" as asked, "loss"}}}."""
    return {name: {str(steps): _train_and_ask(name, steps, seed, bar, n) for steps in STEPS} for name in WAYS}


def _train_and_ask(name: str, steps: int, seed: int, bar: Bar, n: int) -> dict:
    """Prompt adherence and test loss after a training of so many steps."""
    network = small_task.network(seed, alignment_dim=WAYS[name])
    config = replace(small_task.CONFIG, steps=steps)
    draw = functools.partial(draw_batch if WAYS[name] else small_task.draw_batch, config)
    trained, record = small_task.train_on_task(network, seed, bar, f"{name}, {steps}", config, draw=draw)
    ready = replace(video_score.ready(trained), **small_task.SAMPLING)

    def generate(prompts: Sequence[str]) -> Tensor:
        return ready.generate(prompts, seed, shape=small_task.SHAPE).video

    return small_task.adherence(generate, n, seed)[0] | {"loss": record["loss"]}
