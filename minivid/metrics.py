"""Numbers with their intervals: what a score may claim.

A share of n trials gets Wilson's interval (Wilson 1927): it stays honest near 0 and 1, where the
textbook's ± shrinks to nothing.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

BEND = 0.008  # room sides, root mean square: a little more than the judge's eye trembles
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


def psnr(copies: Tensor, originals: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of clips or sounds in [-1, 1], in decibels: (b, ...) each -> (b,).

    20 dB: an error of a tenth of the range, root mean square; 40 dB: a hundredth. Capped at 100 dB,
    where copy and original are the same.
    """
    error = (copies - originals).square().flatten(1).mean(1) / 4
    return -10 * error.clamp(min=1e-10).log10()


def bootstrap(values: Tensor, seed: int = 0, draws: int = 2000) -> Measured:
    """The mean of n values and its interval by resampling (Efron 1979): values (n,).

    Draws n of the n values with replacement, again and again; the middle 95 % of their means.
    """
    return _resampled(values, lambda drawn: drawn.mean(1), seed, draws)


def median(values: Tensor, seed: int = 0, draws: int = 2000) -> Measured:
    """The median of n values and its interval by resampling, as `bootstrap` does for the mean."""
    return _resampled(values, lambda drawn: drawn.median(1).values, seed, draws)


def _resampled(values: Tensor, statistic: Callable[[Tensor], Tensor], seed: int, draws: int):
    if values.numel() < 2:
        raise ValueError(f"{values.numel()} values: a bootstrap needs at least two.")
    values, n = values.double().cpu(), len(values)
    picks = torch.randint(n, (draws, n), generator=torch.Generator().manual_seed(seed))
    low, high = statistic(values[picks]).quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    value = statistic(values[None]).item()
    return Measured(value, min(low, value), max(high, value))


def jackknife(statistic: Callable[..., float], *samples: Tensor, groups: int = 20) -> Measured:
    """A statistic of whole samples and its interval, by leaving out a part at a time (Tukey 1958).

    For what is no mean, as a Fréchet distance: resampling with replacement would repeat clips, and
    repeated clips look further from everything. samples: (n, ...) each, n at least `groups`.
    """
    if min(map(len, samples)) < groups:
        raise ValueError(
            f"{min(map(len, samples))} samples in {groups} groups: give at least that many."
        )
    value = statistic(*samples)
    left = []
    for group in range(groups):
        keep = [torch.arange(len(x)) % groups != group for x in samples]
        left.append(statistic(*(x[k] for x, k in zip(samples, keep, strict=True))))
    spread = torch.tensor(left, dtype=torch.float64)
    error = ((groups - 1) / groups * (spread - spread.mean()).square().sum()).sqrt().item()
    return Measured(value, value - Z95 * error, value + Z95 * error)


def identity(names: Tensor) -> Tensor:
    """The share of frames that show what most of the clip's frames show: (b,).

    names: (b, f), what is read in each frame, -1 where nothing can be. 1 where a clip shows one thing
    throughout; 0 where nothing can be read in any frame.
    """
    same = (names[:, :, None] == names[:, None]) & (names >= 0)[:, None]
    return same.sum(-1).amax(1) / (names >= 0).sum(1).clamp(min=1)


def flicker(video: Tensor, ink: Tensor | None = None) -> Tensor:
    """The mean absolute change of a pixel from one frame to the next: (b,).

    video: (b, 3, f, h, w) in [-1, 1] (VBench's temporal flickering, Huang et al. 2023, arXiv
    2311.17982, which is for still scenes). A digit in flight changes pixels too: read it beside the
    value of real clips, or give ink: (b, f, h, w), true on and around digits, and only pixels without
    ink in both frames count: 0 for a background that stands.
    """
    change = (video[:, :, 1:] - video[:, :, :-1]).abs().mean(1)
    if ink is None:
        return change.mean((1, 2, 3))
    calm = ~(ink[:, 1:] | ink[:, :-1])
    return (change * calm).sum((1, 2, 3)) / calm.sum((1, 2, 3)).clamp(min=1)


def jerkiness(places: Tensor) -> Tensor:
    """How far a digit strays from straight flight between bounces: places (n, f, 2) -> (n,).

    The median over frames of the second difference's length, in room heights: a bounce bends one or
    two of them, and a median does not see those. 0 for straight, even flight.
    """
    bend = places[:, 2:] - 2 * places[:, 1:-1] + places[:, :-2]
    return bend.norm(dim=-1).median(1).values


class Flight(NamedTuple):
    """Lawful flights: places (n, f, 2), and the velocity before the first hit (n, 2), room sides a second.

    bounced: (n, f - 1, 2), whether a wall is hit along each axis between a frame and the next.
    hits: for each flight, in order, when walls are hit between the first frame and the last: (k,) seconds;
    those only that show, without which a straight flight would be further off by BEND.
    """

    places: Tensor
    velocity: Tensor
    bounced: Tensor
    hits: list[Tensor]


def nearest_flight(places: Tensor, seconds: Tensor, fastest: float = 1.2) -> Flight:
    """The straight, even flights, mirrored at walls, that are nearest to what was seen.

    places: (n, f, 2), where ink was seen in a room of side 1; seconds: (f,). Along each axis a flight is
    a zigzag of some reach (the room less the digit's size), speed and phase; a place is the centre of
    ink, which need not be that of the digit's box, so a constant offset is free. A grid of zigzags first,
    then ever finer grids around the best.
    """
    if places.ndim != 3 or places.shape[1] != len(seconds) or len(seconds) < 4:
        raise ValueError(
            f"places {tuple(places.shape)} at {len(seconds)} times: give (n, f, 2) and (f,), f at least 4."
        )
    n, frames, _ = places.shape
    seen, when = places.double().transpose(1, 2).reshape(2 * n, frames), seconds.double()
    grid = torch.cartesian_prod(
        torch.linspace(0.5, 0.9, 9), torch.linspace(0, fastest, 61), torch.arange(32) / 32
    ).double()  # reach, speed, phase in periods
    paths = _zigzag(grid, when)
    paths = paths - paths.mean(1, keepdim=True)
    gap = paths.square().sum(1) - 2 * (seen - seen.mean(1, keepdim=True)) @ paths.T
    best = grid[gap.argmin(1)]
    step = torch.tensor([0.05, fastest / 60, 1 / 32], dtype=torch.float64)
    around = torch.cartesian_prod(*[torch.linspace(-1, 1, 5)] * 3).double()
    for _ in range(8):
        tries = best[:, None] + around * (step := step * 0.6)
        tries[..., 0].clamp_(0.45, 0.95)
        tries[..., 1].clamp_(0, fastest)
        paths = _zigzag(tries, when)
        apart = seen[:, None] - paths
        gap = (apart - apart.mean(-1, keepdim=True)).square().sum(-1)
        best = tries[torch.arange(2 * n), gap.argmin(1)]
    reach, speed, phase = best.T
    path = _zigzag(best, when)
    path = path + (seen - path).mean(1, keepdim=True)
    leg = (2 * (phase[:, None] + speed[:, None] * when / (2 * reach[:, None]))).floor()  # which way
    velocity = torch.where(leg[:, 0].remainder(2) == 0, speed, -speed)
    bounced = (leg[:, 1:] != leg[:, :-1]).view(n, 2, -1).transpose(1, 2)
    straight = torch.stack([torch.ones_like(when), when], 1)
    astray = seen - seen @ torch.linalg.pinv(straight).T @ straight.T
    shows = astray.square().mean(1) - (seen - path).square().mean(1) > BEND**2
    turns = [_turns(*way, when) if plain else when[:0] for way, plain in zip(best, shows)]
    hits = [torch.cat(both).sort().values for both in zip(turns[::2], turns[1::2], strict=True)]
    return Flight(path.view(n, 2, -1).transpose(1, 2), velocity.view(n, 2), bounced, hits)


def _zigzag(ways: Tensor, seconds: Tensor) -> Tensor:
    """ways: (..., 3) of reach, speed and phase -> where a point is that runs to and fro (..., f)."""
    reach, speed, phase = ways[..., None].unbind(-2)
    along = (2 * reach * phase + speed * seconds).remainder(2 * reach)
    return reach - (along - reach).abs()


def _turns(reach: Tensor, speed: Tensor, phase: Tensor, seconds: Tensor) -> Tensor:
    """When a zigzag turns, between the first and the last second: (k,)."""
    first, last = (2 * phase + speed * seconds[[0, -1]] / reach).tolist()
    wall = torch.arange(math.floor(first) + 1, math.ceil(last), dtype=torch.float64)
    return (wall - 2 * phase) * reach / speed


class Physics(NamedTuple):
    """How far clips are from lawful flight, (n,) each: see `physics`."""

    off_course: Tensor
    velocity_error: Tensor
    reflection_error: Tensor


def physics(places: Tensor, seconds: Tensor) -> Physics:
    """How far the flight seen in clips is from a lawful one: places (n, f, 2), seconds (f,).

    off_course: root mean square distance from the nearest lawful flight, bounces and all, in room sides.
    velocity_error: mean error of the velocity from frame to frame where no wall is hit (PhyWorld's
    measure, Kang et al. 2024, arXiv 2411.02385), in room sides a second. reflection_error: at a wall the
    velocity towards it should turn round; the mean of |after + before| over the hits that leave a whole
    step before and after them, NaN for clips without. None is quite 0 for real clips: the judge
    measures ink, to a fraction of a pixel.
    """
    flight = nearest_flight(places, seconds)
    seen = places.double()
    off_course = (seen - flight.places).square().sum(-1).mean(1).sqrt()
    moved, lawful = (
        x.diff(dim=1) / seconds.double().diff()[:, None] for x in (seen, flight.places)
    )
    free = ~flight.bounced.any(-1)
    error = ((moved - lawful).norm(dim=-1) * free).sum(1) / free.sum(1).clamp(min=1)
    hit = flight.bounced[:, 1:-1] & ~flight.bounced[:, :-2] & ~flight.bounced[:, 2:]
    turned = (moved[:, 2:] + moved[:, :-2]).abs() * hit
    return Physics(off_course, error, turned.sum((1, 2)) / hit.sum((1, 2)))


def pairs(seen: Tensor, heard: Tensor, within: float) -> Tensor:
    """Events that belong together: times (k,) and (m,), both in order -> numbers of pairs (p, 2).

    As many pairs as can be, none further apart than `within`, no event in two of them.
    """
    found, k, m = [], 0, 0
    while k < len(seen) and m < len(heard):
        late = (heard[m] - seen[k]).item()
        if abs(late) <= within:
            found.append((k, m))
        k, m = k + (late >= -within), m + (late <= within)
    return torch.tensor(found, dtype=torch.long).view(-1, 2)


def f1(together: Tensor, seen: Tensor, heard: Tensor) -> Measured:
    """How well events of two kinds answer one another, over all clips: counts of each clip, (n,) each.

    together: pairs. The harmonic mean of the share of events seen that were heard, and of those heard that
    were seen; its interval by resampling clips.
    """
    counts = torch.stack([2 * together, seen + heard], -1)
    if not counts[:, 1].sum():
        raise ValueError("no events in any clip: there is nothing to compare.")
    return _resampled(counts, lambda drawn: _share(drawn.sum(1)), seed=0, draws=2000)


def _share(sums: Tensor) -> Tensor:
    """The first of two numbers by the second: (..., 2) -> (...); 0 where there is nothing."""
    return sums[..., 0] / sums[..., 1].clamp(min=1)


class Swell(NamedTuple):
    """correlation: of brightness and loudness at the same time; lag: seconds that loudness comes after."""

    correlation: float
    lag: float


def swell(brightness: Tensor, seconds: Tensor, loudness: Tensor, rate: float) -> Swell:
    """How a digit's brightness, (f,) at certain seconds, goes with the loudness of its hum, (m,).

    rate: loudnesses a second, the first at second 0. The lag is the one, of up to half a second either way,
    at which they correlate best.
    """
    lags = torch.arange(-round(rate / 2), round(rate / 2) + 1) / rate
    at = (seconds[None] + lags[:, None]) * rate
    inside = (at >= 0) & (at <= len(loudness) - 1)
    found = torch.full((len(lags),), -1.0)
    for k, (where, known) in enumerate(zip(at, inside, strict=True)):
        if known.sum() > 3:
            left = where[known].floor().long().clamp(max=len(loudness) - 2)
            part = (where[known] - left).to(loudness)
            heard = torch.lerp(loudness[left], loudness[left + 1], part)
            both = torch.stack([brightness[known].to(heard), heard])
            found[k] = both.corrcoef()[0, 1].nan_to_num(0)
    best = found.argmax()
    return Swell(found[len(lags) // 2].item(), lags[best].item())


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
