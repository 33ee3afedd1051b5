"""How things move and what they keep: identity, flicker, and the nearest lawful flight.

A digit flies straight and is mirrored at the walls, so what was seen can be held against the nearest flight
that the law allows; how far it is off measures physics without knowing the scene.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

MIN_CLEAR = 6  # frames that must be clear for the others not to count
TOUCH = 0.15  # room sides from a wall, in one of the two frames nearest to a hit
MIN_BEND = 0.008  # room sides, root mean square: needed where it is not known where the walls are


def frame_agreement(names: Tensor) -> Tensor:
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
    background = ~(ink[:, 1:] | ink[:, :-1])
    return (change * background).sum((1, 2, 3)) / background.sum((1, 2, 3)).clamp(min=1)


def jerkiness(positions: Tensor) -> Tensor:
    """How far a digit strays from straight flight between bounces: positions (n, f, 2) -> (n,).

    The median over frames of the second difference's length, in room heights: a bounce bends one or
    two of them, and a median does not see those. 0 for straight, even flight.
    """
    bend = positions[:, 2:] - 2 * positions[:, 1:-1] + positions[:, :-2]
    return bend.norm(dim=-1).median(1).values


class Flight(NamedTuple):
    """Lawful flights: positions (n, f, 2), and the velocity before the first hit (n, 2), room sides a second.

    bounced: (n, f - 1, 2), whether a wall is hit along each axis between a frame and the next.
    hits: for each flight, in order, when walls are hit between the first frame and the last: (k,) seconds.
    A hit counts where a straight flight would miss what was seen by `min_bend` more.
    """

    positions: Tensor
    velocity: Tensor
    bounced: Tensor
    hits: list[Tensor]


def nearest_flight(
    positions: Tensor,
    seconds: Tensor,
    clear: Tensor | None = None,
    reach: Tensor | None = None,
    min_bend: float | None = None,
    touch: float = TOUCH,
) -> Flight:
    """The straight, even flights, mirrored at walls, that are nearest to what was seen.

    positions: (n, f, 2), where a digit was seen in a room around (0, 0); seconds: (f,); clear: (n, f), in
    which frames all of it could be seen, the only ones that count, where there are MIN_CLEAR of them; reach:
    (n, 2), how far its middle can go along x and y. Along each axis a flight is a zigzag of that reach, of
    some speed and phase. Where no reach is given it is found as well, in a room of side 1, and as positions
    may then be of ink, whose middle need not be its box's, a constant offset is free. A grid of zigzags
    first, then ever finer grids around the best; the fastest is 1.8 reaches a second where the reach is
    known, faster ones are misread. min_bend: see `Flight.hits`; 0 where the reach is known, as nothing else
    that the experiment `hit_threshold` tried is better, else MIN_BEND. touch: how near to a wall a digit must
    have been seen when it hit it, from the same experiment.
    """
    if positions.ndim != 3 or positions.shape[1] != len(seconds) or len(seconds) < 4:
        raise ValueError(
            f"positions {tuple(positions.shape)} at {len(seconds)} times: give (n, f, 2) and (f,), f at "
            "least 4."
        )
    if not positions.isfinite().all():
        raise ValueError("positions that are NaN or infinite: no flight is near them.")
    n, frames, _ = positions.shape
    observed, when = positions.double().transpose(1, 2).reshape(2 * n, frames), seconds.double()
    # In a unit in which the reach is 1, where it is known.
    unit = torch.ones(2 * n).double() if reach is None else reach.double().reshape(-1).clamp(min=0.05)
    observed = observed / unit[:, None]
    counts = torch.ones(n, frames) if clear is None else clear
    counts = torch.where(counts.sum(1, keepdim=True) < MIN_CLEAR, 1.0, counts.double())
    weight = (counts / counts.sum(1, keepdim=True)).double().repeat_interleave(2, 0)
    best = _best_zigzags(observed, weight, when, reach is not None)
    phase, speed = best[:, 2], best[:, 1]
    path = _zigzag(best, when)
    left, offset = (part[:, 0] for part in _gaps(observed, weight, path[:, None], reach is not None))
    path = path + offset
    leg = (2 * (phase[:, None] + speed[:, None] * when / (2 * best[:, :1]))).floor()  # which way
    velocity = torch.where(leg[:, 0].remainder(2) == 0, speed, -speed) * unit
    bounced = (leg[:, 1:] != leg[:, :-1]).view(n, 2, -1).transpose(1, 2)
    bend, left = (unit.square() * part for part in (_bend(observed, when, weight), left))
    if min_bend is None:
        min_bend = MIN_BEND if reach is None else 0.0
    is_bent = (bend - left > min_bend**2) & (speed > 0)
    times = [_wall_times(*way, when) if bent else when[:0] for way, bent in zip(best, is_bent)]
    if reach is not None:
        rows = zip(times, observed * unit[:, None], unit / 2, counts.repeat_interleave(2, 0) > 0)
        times = [_touching(*row, when, touch) for row in rows]
    hits = [torch.cat(axes).sort().values for axes in zip(times[::2], times[1::2], strict=True)]
    path = (path * unit[:, None]).view(n, 2, -1).transpose(1, 2)
    return Flight(path, velocity.view(n, 2), bounced, hits)


def _best_zigzags(observed: Tensor, weight: Tensor, seconds: Tensor, known: bool) -> Tensor:
    """The zigzags nearest to what was seen: (n, f), (n, f), (f,) -> (n, 3); known: whether the reach is."""
    grid, step = _grid(known)
    gaps = _grid_gaps(observed, weight, grid, seconds, not known)
    best = grid[torch.cat([gap.topk(3, largest=False).indices for gap in gaps])]  # (n, 3, 3)
    around = torch.cartesian_prod(*[torch.linspace(-1, 1, 5)] * 3).double()
    around = around[(around * (step == 0)).abs().sum(1) == 0]
    for _ in range(8):
        tries = best[:, :, None] + around * (step := step * 0.6)
        tries[..., 0].clamp_(0.45, 1.0 if known else 0.95)
        tries[..., 1].clamp_(0, grid[-1, 1])
        far = _gaps(observed, weight, _zigzag(tries.flatten(1, 2), seconds), known)[0]
        nearest = far.unflatten(1, tries.shape[1:3]).argmin(2)[..., None, None].expand(-1, -1, 1, 3)
        best = tries.gather(2, nearest)[:, :, 0]
    return best[torch.arange(len(best)), _gaps(observed, weight, _zigzag(best, seconds), known)[0].argmin(1)]


def _gaps(observed: Tensor, weight: Tensor, paths: Tensor, known: bool) -> tuple[Tensor, Tensor]:
    """How far paths (n, k, f) are from what was seen, on average (n, k), and the offset allowed for."""
    gaps = observed[:, None] - paths
    offset = (weight[:, None] * gaps).sum(-1, keepdim=True) * (not known)
    return (weight[:, None] * (gaps - offset).square()).sum(-1), offset


def _touching(
    hits: Tensor, along: Tensor, wall: Tensor, clear: Tensor, seconds: Tensor, touch: float
) -> Tensor:
    """Those of the hits (k,) at which a digit was seen near a wall, or not seen: along, clear (f,)."""
    frames = (hits[:, None] - seconds).abs().topk(2, largest=False).indices
    return hits[((wall - along[frames].abs() < touch) | ~clear[frames]).any(1)]


def _grid(known: bool) -> tuple[Tensor, Tensor]:
    """Zigzags to begin with, (k, 3) of reach, speed, phase in periods, and the steps between them."""
    reach = torch.ones(1) if known else torch.linspace(0.5, 0.9, 9)
    fastest, speeds, phases = (1.8, 91, 64) if known else (1.2, 61, 32)
    grid = torch.cartesian_prod(reach, torch.linspace(0, fastest, speeds), torch.arange(phases) / phases)
    step = torch.tensor([0.0 if known else 0.05, fastest / (speeds - 1), 1 / phases], dtype=torch.float64)
    return grid.double(), step


def _grid_gaps(
    observed: Tensor, weight: Tensor, grid: Tensor, seconds: Tensor, offset: bool
) -> Iterator[Tensor]:
    """How far zigzags of a grid are from what was seen, up to a constant: (256 at most, k) at a time."""
    paths = _zigzag(grid, seconds)
    squares = paths.square()
    for seen, counts in zip(observed.split(256), weight.split(256), strict=True):
        gap = counts @ squares.T - 2 * (counts * seen) @ paths.T
        if offset:
            gap = gap - (counts @ paths.T).square()
            gap = gap + 2 * (counts * seen).sum(1, keepdim=True) * (counts @ paths.T)
        yield gap


def _bend(observed: Tensor, seconds: Tensor, weight: Tensor) -> Tensor:
    """The mean squared distance from the best straight, even flight: (n, f), (f,), (n, f) -> (n,)."""
    along, when = (x - (weight * x).sum(1, keepdim=True) for x in (observed, seconds.expand_as(observed)))
    slope = (weight * along * when).sum(1) / (weight * when.square()).sum(1).clamp(min=1e-12)
    return (weight * (along - slope[:, None] * when).square()).sum(1)


def _zigzag(zigzags: Tensor, seconds: Tensor) -> Tensor:
    """zigzags: (..., 3) of reach, speed, phase -> where a point is that runs to and fro around 0 (..., f)."""
    reach, speed, phase = zigzags[..., None].unbind(-2)
    along = (2 * reach * phase + speed * seconds).remainder(2 * reach)
    return reach / 2 - (along - reach).abs()


def _wall_times(reach: Tensor, speed: Tensor, phase: Tensor, seconds: Tensor) -> Tensor:
    """When a zigzag times, between the first and the last second: (k,)."""
    first, last = (2 * phase + speed * seconds[[0, -1]] / reach).tolist()
    wall = torch.arange(math.floor(first) + 1, math.ceil(last), dtype=torch.float64)
    return (wall - 2 * phase) * reach / speed


class Physics(NamedTuple):
    """How far clips are from lawful flight, (n,) each: see `physics`."""

    trajectory_error: Tensor
    velocity_error: Tensor
    reflection_error: Tensor


def physics(
    positions: Tensor, seconds: Tensor, clear: Tensor | None = None, reach: Tensor | None = None
) -> Physics:
    """How far the flight seen in clips is from a lawful one; arguments as those of `nearest_flight`.

    trajectory_error: root mean square distance from the nearest lawful flight, bounces and all, in room
    sides. velocity_error: mean error of the velocity from frame to frame where no wall is hit, in room
    sides a second (after PhyWorld, Kang et al. 2024, arXiv 2411.02385; here against the nearest lawful
    flight, so that a speed that is steady but not the one asked for is no error). reflection_error: at a
    wall the velocity towards it should turn round; the mean of |after + before| over the hits that leave
    a whole step before and after them. NaN where a digit is clear in too few frames to tell. None is
    quite 0 for real clips: the judge measures ink, to a fraction of a pixel.
    """
    flight = nearest_flight(positions, seconds, clear, reach)
    observed = positions.double()
    counts = torch.ones_like(observed[..., 0]) if clear is None else clear.double()
    off = (observed - flight.positions).square().sum(-1)
    trajectory_error = ((counts * off).sum(1) / counts.sum(1)).sqrt()
    moved, lawful = (x.diff(dim=1) / seconds.double().diff()[:, None] for x in (observed, flight.positions))
    free = ~flight.bounced.any(-1) & (counts[:, 1:] * counts[:, :-1] > 0)
    error = ((moved - lawful).norm(dim=-1) * free).sum(1) / free.sum(1)
    hit = flight.bounced[:, 1:-1] & ~flight.bounced[:, :-2] & ~flight.bounced[:, 2:]
    hit &= (counts > 0).unfold(1, 4, 1).all(-1)[..., None]
    turned = (moved[:, 2:] + moved[:, :-2]).abs() * hit
    return Physics(trajectory_error, error, turned.sum((1, 2)) / hit.sum((1, 2)))
