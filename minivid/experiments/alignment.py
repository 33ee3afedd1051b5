"""Told what will be seen: a transformer whose tokens guess, halfway, what a trained clip encoder would see.

"Representation alignment for generation: training diffusion transformers is easier than you think" (Yu et al.
2024, arXiv 2410.06940) reports that SiT-XL/2 so taught reaches after 400 thousand steps what it needs 7
million for alone, 17.5 times as many. Here the teacher is the clip encoder that learned from captions.
"""

import functools
from dataclasses import replace

import torch
from torch import Tensor

from minivid import generator, train
from minivid.experiments import task
from minivid.experiments.keeping import Follow
from minivid.recipes import latents, video

WHAT = "a transformer taught what its tokens will show, and one that is not: clips as asked, step for step"
SEEDS = (0, 1, 2)
STEPS = (150, 300, 600)  # each a training of its own, with a learning rate that falls to nothing
WAYS = {"alone": 0, "taught": generator.TAUGHT}


def batch(plan: train.Plan, draws: torch.Generator, kept: int | None = None) -> tuple[Tensor, ...]:
    """Latents (b, 8, 2, 8, 8), what they show (b, TAUGHT, 2, 4, 4), and tokens (b, n).

    kept: how many clips are trained on, as in `task.batch`.
    """
    kept = kept or task.KEPT
    made, scenes = task.training_set(kept)
    return latents.pick_all((made, task.shown(kept)), scenes, plan.batch, draws, video.tokens)


def run(seed: int, follow: Follow, n: int = 200) -> dict:
    """{"alone" | "taught": {steps: {"digit", "colour", "heading", "all" as asked, "loss"}}}."""
    found = {}
    for name, taught in WAYS.items():
        found[name] = {}
        for steps in STEPS:
            network = task.network(seed, taught=taught)
            plan = replace(task.PLAN, steps=steps)
            draw = functools.partial(batch if taught else task.batch, plan)
            learned, record = task.trained(
                network, seed, follow, f"{name}, {steps}", plan, draw=draw
            )
            ready = video.generator_of(learned)
            ask = functools.partial(ready.draw, seed=seed, shape=task.SHAPE, **task.WALK)
            found[name][str(steps)] = task.as_asked(ask, n, seed)[0] | {"loss": record["loss"]}
    return found
