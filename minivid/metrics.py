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


# Of clips ----------------------------------------------------------------------------------------


def bootstrap(values: Tensor, seed: int = 0, draws: int = 2000) -> Measured:
    """The mean of n values and its interval by resampling (Efron 1979): values (n,).

    Draws n of the n values with replacement, again and again; the middle 95 % of their means.
    """
    if values.numel() < 2:
        raise ValueError(f"{values.numel()} values: a bootstrap needs at least two.")
    values, n = values.double().cpu(), len(values)
    picks = torch.randint(n, (draws, n), generator=torch.Generator().manual_seed(seed))
    means = values[picks].mean(1)
    low, high = means.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    value = values.mean().item()
    return Measured(value, min(low, value), max(high, value))


def flicker(video: Tensor, ink: Tensor) -> Tensor:
    """How much the background changes from frame to frame where the camera is still: (b,).

    video: (b, 3, f, h, w) in [-1, 1]; ink: (b, f, h, w), true on and around digits. The mean absolute
    change of pixels without ink in both frames; 0 for a background that stands.
    """
    change = (video[:, :, 1:] - video[:, :, :-1]).abs().mean(1)
    calm = ~(ink[:, 1:] | ink[:, :-1])
    return (change * calm).sum((1, 2, 3)) / calm.sum((1, 2, 3)).clamp(min=1)


def jerkiness(places: Tensor) -> Tensor:
    """How far a digit strays from straight flight between bounces: places (n, f, 2) -> (n,).

    The median over frames of the second difference's length, in room heights: a bounce bends one or
    two of them, and a median does not see those. 0 for straight, even flight.
    """
    bend = places[:, 2:] - 2 * places[:, 1:-1] + places[:, :-2]
    return bend.norm(dim=-1).median(1).values


def frechet(features: Tensor, others: Tensor) -> float:
    """Fréchet distance of two clouds of features, taken as Gaussians: (n, d), (m, d).

    |mean - mean'|² + tr(C + C' - 2 (C C')^½) (Heusel et al. 2017, arXiv 1706.08500, eq. 6). Even two
    samples of one cloud are some distance apart, the more the fewer they are: compare at equal n.
    """
    if min(len(features), len(others)) <= features.shape[1]:
        raise ValueError(
            f"{len(features)} and {len(others)} samples of {features.shape[1]} features: "
            "give more samples than features, or project the features."
        )
    (mean, cov), (mean_too, cov_too) = (
        (x.double().mean(0), x.double().T.cov()) for x in (features, others)
    )
    values, vectors = torch.linalg.eigh(cov)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_too @ root).clamp(min=0).sqrt().sum()
    gap = (mean - mean_too).square().sum()
    return (gap + cov.trace() + cov_too.trace() - 2 * cross).clamp(min=0).item()
