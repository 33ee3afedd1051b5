"""Numbers with their intervals: what a score may claim.

A share of n trials gets Wilson's interval (Wilson 1927): it stays honest near 0 and 1, where the
textbook's ± shrinks to nothing.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

Z95 = 1.959964  # standard normal quantile of a two-sided 95 % interval


class Measured(NamedTuple):
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


def share(right: Tensor) -> Measured:
    """The share of trues and its Wilson interval: right (n,) of booleans. ValueError where n is 0."""
    n = right.numel()
    if n == 0:
        raise ValueError("a share of no trials: give at least one.")
    p = right.double().mean().item()
    middle = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    return Measured(p, min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half)))  # rounding


def balance(labels: Tensor, classes: int) -> Measured:
    """How evenly labels fall: the probability of counts this uneven by chance alone (chi-square).

    labels: (n,) in 0 … classes - 1. Small values say uneven; evenly drawn labels give any value in
    [0, 1] equally often, so there is no interval: low and high are the value.
    """
    counts = torch.bincount(labels, minlength=classes).double()
    if counts.sum() < 5 * classes:
        raise ValueError(
            f"{int(counts.sum())} labels for {classes} classes: at least {5 * classes}."
        )
    expected = counts.sum() / classes
    chance = chance_above((counts - expected).square().sum().item() / expected.item(), classes - 1)
    return Measured(chance, chance, chance)


def chance_above(statistic: float, freedom: int) -> float:
    """The probability that a chi-square variable of that many degrees of freedom is larger."""
    shape = torch.tensor(freedom / 2, dtype=torch.float64)
    return torch.special.gammaincc(shape, torch.tensor(statistic / 2, dtype=torch.float64)).item()
