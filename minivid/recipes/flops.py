"""How many FLOPs a training costs, a multiply-add being two."""

from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from minivid.recipes.recipe import Recipe
from minivid.training import step_seed

BATCHES = 4  # over a training, on which its FLOPs are counted


def training_flops(recipe: Recipe, at: str) -> int:
    """FLOPs of a whole training, forward and backward, from a few batches of it.

    Optimizer, drawing of clips and encoding of latents are not counted.
    """
    config, counted = recipe.configs[at], 0
    torch.manual_seed(config.seed)
    network = recipe.build()
    for k in range(BATCHES):
        step = int(config.steps * (k + 0.5) / BATCHES)
        rng = torch.Generator().manual_seed(step_seed(config.seed, step))
        batch = recipe.draw_batch(config, rng)
        counted += count_flops(lambda: recipe.loss(network, batch, rng).backward())  # noqa: B023
    return counted * config.steps // BATCHES


def count_flops(work: Callable[[], object]) -> int:
    """FLOPs of a piece of work, which is done, attention by the kernel whose FLOPs are counted."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        work()
    return counter.get_total_flops()
