"""What a recipe is: how one model is made and measured."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from minivid.training import Loss, TrainConfig


@dataclass(frozen=True)
class Recipe:
    """A network, a stream of batches, a loss, a configuration for each scale, and a score.

    build: the network before training; draw_batch: (config, rng) -> a batch; score: (network, n, seed) -> a
    table of rows; finish: what is measured of a trained network and travels with its weights; int8: how they
    are stored, see `weights`; needs: the models that it begins from, learns from or is scored by; world: in
    which it is trained and scored, of `random_scenes.WORLDS`.
    """

    what: str
    build: Callable[[], nn.Module]
    draw_batch: Callable[[TrainConfig, torch.Generator], tuple[Tensor, ...]]
    loss: Loss
    configs: dict[str, TrainConfig]
    score: Callable[[nn.Module, int, int], dict]
    finish: Callable[[nn.Module], None] = lambda network: None
    int8: bool = False
    needs: tuple[str, ...] = ()
    world: str = "full"


def resized(recipe: Recipe, size: int, what: str, **changes) -> Recipe:
    """The recipe for clips of another size, which its build, draw_batch and score take as `size`."""
    build, draw_batch, score = (
        functools.partial(part, size=size) for part in (recipe.build, recipe.draw_batch, recipe.score)
    )
    return replace(recipe, what=what, build=build, draw_batch=draw_batch, score=score, **changes)


def gpu_only(recipe: Recipe) -> dict[str, TrainConfig]:
    """The recipe's configurations without those for a laptop."""
    return {"gpu": recipe.configs["gpu"]}
