"""What a recipe is, and one row of a score."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minivid import metrics, train


@dataclass(frozen=True)
class Recipe:
    """How one model is made and measured.

    draw: (plan, generator) -> a batch; score: (network, n, seed) -> a table of metrics.
    """

    what: str
    build: Callable[[str], nn.Module]
    draw: Callable[[train.Plan, torch.Generator], tuple[Tensor, ...]]
    loss: train.Loss
    plans: dict[str, train.Plan]
    score: Callable[[nn.Module, int, int], dict]


def entry(right, floor=None, ceiling: float | None = None) -> dict:
    """One row of a score: floor, ours, ceiling and the 95 % interval of ours."""
    ours = metrics.share(torch.as_tensor(right))
    low = None if floor is None else metrics.share(torch.as_tensor(floor)).value
    return {"floor": low, "ours": ours.value, "ceiling": ceiling, "interval": [ours.low, ours.high]}


def chance(measured: metrics.Measured) -> dict:
    """One row of a score that is a probability, with neither floor nor ceiling."""
    return {
        "floor": None,
        "ours": measured.value,
        "ceiling": None,
        "interval": [measured.low, measured.high],
    }
