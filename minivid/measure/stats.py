"""Numbers with their intervals: what a score may claim.

A proportion of n trials gets Wilson's interval (Wilson 1927): it stays honest near 0 and 1, where the
textbook's ± shrinks to nothing.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

Z95 = 1.959964  # standard normal quantile of a two-sided 95 % interval
GROUPS = 20  # parts of a jackknife
T95 = 2.093024  # Student's quantile of a two-sided 95 % interval, of GROUPS - 1 degrees of freedom

T = TypeVar("T")


class Interval(NamedTuple):
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


def proportion(right: Tensor) -> Interval:
    """The proportion of trues and its Wilson interval: right (n,) of booleans. ValueError where n is 0."""
    n = right.numel()
    if n == 0:
        raise ValueError("a proportion of no trials: give at least one.")
    p = right.double().mean().item()
    middle = (p + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(p * (1 - p) / n + Z95**2 / (4 * n**2))
    return Interval(p, min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half)))  # rounding


def balance(labels: Tensor, classes: int) -> Interval:
    """How evenly labels fall: the probability of counts this uneven by chance alone (chi-square).

    labels: (n,) in 0 … classes - 1. Small values say uneven; evenly drawn labels give any value in
    [0, 1] equally often, so there is no interval: low and high are the value.
    """
    counts = torch.bincount(labels, minlength=classes).double()
    if counts.sum() < 5 * classes:
        raise ValueError(f"{int(counts.sum())} labels for {classes} classes: at least {5 * classes}.")
    expected = counts.sum() / classes
    chance = chance_above((counts - expected).square().sum().item() / expected.item(), classes - 1)
    return Interval(chance, chance, chance)


def chance_above(statistic: float, freedom: int) -> float:
    """The probability that a chi-square variable of that many degrees of freedom is larger."""
    shape = torch.tensor(freedom / 2, dtype=torch.float64)
    return torch.special.gammaincc(shape, torch.tensor(statistic / 2, dtype=torch.float64)).item()


def bootstrap(values: Tensor, seed: int = 0, resamples: int = 2000) -> Interval:
    """The mean of n values and its interval by resampling (Efron 1979): values (n,).

    Draws n of the n values with replacement, again and again; the middle 95 % of their means.
    """
    return _resampled(values, lambda values: values.mean(1), seed, resamples)


def median(values: Tensor, seed: int = 0, resamples: int = 2000) -> Interval:
    """The median of values, of an even number the lower one, and its interval, as `bootstrap`'s.

    values: (n,), or (n, most), of n clips some values each and NaN for the rest: clips are resampled.
    """
    return _resampled(values, lambda x: x.flatten(1).nanmedian(1).values, seed, resamples)


def ratio(part: Tensor, total: Tensor) -> Interval:
    """The sum of parts by the sum of totals, (n,) of each clip; its interval by resampling clips.

    So a proportion of things of which some share a clip, and are not independent.
    """
    counts = torch.stack([part, total], -1)
    return _resampled(counts, lambda counts: _ratio(counts.sum(1)), seed=0, resamples=2000)


def _resampled(values: Tensor, statistic: Callable[[Tensor], Tensor], seed: int, resamples: int):
    if len(values) < 2:
        raise ValueError(f"{len(values)} values: a bootstrap needs at least two.")
    values, n = values.double().cpu(), len(values)
    picks = torch.randint(n, (resamples, n), generator=torch.Generator().manual_seed(seed))
    low, high = statistic(values[picks]).nanquantile(torch.tensor([0.025, 0.975]).double()).tolist()
    value = statistic(values[None]).item()
    return Interval(value, min(low, value), max(high, value))


def jackknife(statistic: Callable[..., float], *samples: Tensor) -> Interval:
    """A statistic of whole samples and its interval, by leaving out a part at a time (Tukey 1958).

    For what is no mean, as a Fréchet distance: resampling with replacement would repeat clips, and
    repeated clips look further from everything. samples: (n, ...) each, n at least GROUPS.
    """
    groups = GROUPS
    if min(map(len, samples)) < groups:
        raise ValueError(f"{min(map(len, samples))} samples in {groups} groups: give at least that many.")
    value = statistic(*samples)
    left = []
    for group in range(groups):
        keep = [torch.arange(len(x)) % groups != group for x in samples]
        left.append(statistic(*(x[k] for x, k in zip(samples, keep, strict=True))))
    spread = torch.tensor(left, dtype=torch.float64)
    error = ((groups - 1) / groups * (spread - spread.mean()).square().sum()).sqrt().item()
    return Interval(value, value - T95 * error, value + T95 * error)


def f1(matched: Tensor, hits: Tensor, notes: Tensor) -> Interval:
    """How well events of two kinds answer one another, over all clips: counts of each clip, (n,) each.

    matched: pairs of the two. The harmonic mean of recall (hits that have a note) and precision (notes that
    have a hit); its interval by resampling clips.
    """
    if not (hits + notes).sum():
        raise ValueError("no events in any clip: there is nothing to compare.")
    if (matched > torch.minimum(hits, notes)).any():
        raise ValueError("more pairs than events in a clip: no event may be in two pairs.")
    return ratio(2 * matched, hits + notes)


def _ratio(sums: Tensor) -> Tensor:
    """The first of two numbers by the second: (..., 2) -> (...); 0 where there is nothing."""
    return (sums[..., 0] / sums[..., 1]).nan_to_num(0)


def frechet(features: Tensor, others: Tensor) -> float:
    """Fréchet distance, squared as in FID, of two clouds of features taken as Gaussians: (n, d), (m, d).

    |mean - mean'|² + tr(C + C' - 2 (C C')^½) (Heusel et al. 2017, arXiv 1706.08500, eq. 6). Even two
    samples of one cloud are some distance apart, the more the fewer they are: compare at equal n.
    """
    if min(len(features), len(others)) <= features.shape[1]:
        raise ValueError(
            f"{len(features)} and {len(others)} samples of {features.shape[1]} features: "
            "give more samples than features, or project the features."
        )
    (mean, cov), (other_mean, other_cov) = (
        (x.double().mean(0), x.double().T.cov()) for x in (features, others)
    )
    values, vectors = torch.linalg.eigh(cov)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ other_cov @ root).clamp(min=0).sqrt().sum()
    gap = (mean - other_mean).square().sum()
    return (gap + cov.trace() + other_cov.trace() - 2 * cross).clamp(min=0).item()


def kernel_distance(features: Tensor, others: Tensor) -> float:
    """Kernel distance, squared, in thousandths, of two clouds of features: (n, d), (m, d). It may be below 0.

    The maximum mean discrepancy under the kernel (x·y / d + 1)³ (KID, Bińkowski et al. 2018, arXiv
    1801.01401, sections 3 and 4), without bias: between two samples of one cloud it is 0 on average, however
    few.
    """
    if min(len(features), len(others)) < 2 or features.shape[1] != others.shape[1]:
        raise ValueError(f"features of {tuple(features.shape)} and {tuple(others.shape)}.")
    x, y = features.double(), others.double()

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        k = kernel(a, a)
        return (k.sum() - k.trace()) / (len(a) * (len(a) - 1))

    return 1000 * (within(x) + within(y) - 2 * kernel(x, y).mean()).item()


def proportion_row(right, floor=None, ceiling: float | None = None) -> dict:
    """Floor, ours, ceiling and the 95 % interval of ours; right, floor: booleans (n,)."""
    low = None if floor is None else proportion(torch.as_tensor(floor)).value
    return row(proportion(torch.as_tensor(right)), low, ceiling)


def row(ours: Interval, floor: float | None = None, ceiling: float | None = None) -> dict:
    """A row of a score: floor, ours, ceiling, and the interval of ours."""
    interval = [ours.low, ours.high]
    return {"floor": floor, "ours": ours.value, "ceiling": ceiling, "interval": interval}


def with_bar(parts: Sequence[T], what: str, each: int) -> Iterable[T]:
    """The parts, `each` clips or the like in one, under a bar in a terminal that is cleared at the end.

    Not `tqdm.auto`, which would leave a widget in a notebook. One part needs no bar.
    """
    off = None if len(parts) > 1 else True
    return tqdm(parts, what, leave=False, disable=off, unit_scale=each)
