"""What a recipe is, one row of a score, and a bar while it is measured."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from minivid import metrics, train

T = TypeVar("T")


@dataclass(frozen=True)
class Recipe:
    """How one model is made and measured.

    build: the network before training; draw: (plan, generator) -> a batch; score: (network, n, seed) -> a
    table of metrics; finish: what is measured of a trained network and travels with its weights; in_bytes:
    how they are kept (`weights`).
    """

    what: str
    build: Callable[[], nn.Module]
    draw: Callable[[train.Plan, torch.Generator], tuple[Tensor, ...]]
    loss: train.Loss
    plans: dict[str, train.Plan]
    score: Callable[[nn.Module, int, int], dict]
    finish: Callable[[nn.Module], None] = lambda network: None
    in_bytes: bool = False


def of_size(recipe: Recipe, size: int, what: str, **changes) -> Recipe:
    """The recipe for clips of another size, which its build, draw and score take as `size`."""
    build, draw, score = (
        functools.partial(part, size=size) for part in (recipe.build, recipe.draw, recipe.score)
    )
    return replace(recipe, what=what, build=build, draw=draw, score=score, **changes)


def gpu_only(recipe: Recipe) -> Recipe:
    """The recipe without plans for a laptop."""
    return replace(recipe, plans={"gpu": recipe.plans["gpu"]})


def with_bar(parts: Sequence[T], what: str, each: int) -> Iterable[T]:
    """The parts, `each` clips or the like in one, under a bar in a terminal that is cleared at the end.

    Not `tqdm.auto`, which would leave a widget in a notebook. One part needs no bar.
    """
    off = None if len(parts) > 1 else True
    return tqdm(parts, what, leave=False, disable=off, unit_scale=each)


def entry(right, floor=None, ceiling: float | None = None) -> dict:
    """One row of a score: floor, ours, ceiling and the 95 % interval of ours."""
    ours = metrics.share(torch.as_tensor(right))
    low = None if floor is None else metrics.share(torch.as_tensor(floor)).value
    return {"floor": low, "ours": ours.value, "ceiling": ceiling, "interval": [ours.low, ours.high]}


def measured(
    ours: metrics.Measured, floor: float | None = None, ceiling: float | None = None
) -> dict:
    """One row of a score that is no share: what it measures, between what chance and the truth give."""
    return {
        "floor": floor,
        "ours": ours.value,
        "ceiling": ceiling,
        "interval": [ours.low, ours.high],
    }
