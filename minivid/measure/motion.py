"""How things move and what they keep: identity, flicker, and the nearest lawful flight.

A digit flies straight and is mirrored at the walls, so what was seen can be held against the nearest flight
that the law allows; how far it is off measures physics without knowing the scene.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

MIN_BEND = 0.008  # room sides, root mean square: a little more than the judge's eye trembles


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
    hits: for each flight, in order, when walls are hit between the first frame and the last: (k,) seconds;
    those only that show, without which a straight flight would be further off by MIN_BEND.
    """

    positions: Tensor
    velocity: Tensor
    bounced: Tensor
    hits: list[Tensor]


def nearest_flight(positions: Tensor, seconds: Tensor, fastest: float = 1.2) -> Flight:
    """The straight, even flights, mirrored at walls, that are nearest to what was seen.

    positions: (n, f, 2), where ink was seen in a room of side 1; seconds: (f,). Along each axis a flight is
    a zigzag of some reach (the room less the digit's size), speed and phase; a place is the centre of
    ink, which need not be that of the digit's box, so a constant offset is free. A grid of zigzags first,
    then ever finer grids around the best.
    """
    if positions.ndim != 3 or positions.shape[1] != len(seconds) or len(seconds) < 4:
        raise ValueError(
            f"positions {tuple(positions.shape)} at {len(seconds)} times: give (n, f, 2) and (f,), f at "
            "least 4."
        )
    n, frames, _ = positions.shape
    observed, when = positions.double().transpose(1, 2).reshape(2 * n, frames), seconds.double()
    grid = torch.cartesian_prod(
        torch.linspace(0.5, 0.9, 9), torch.linspace(0, fastest, 61), torch.arange(32) / 32
    ).double()  # reach, speed, phase in periods
    paths = _zigzag(grid, when)
    paths = paths - paths.mean(1, keepdim=True)
    gap = paths.square().sum(1) - 2 * (observed - observed.mean(1, keepdim=True)) @ paths.T
    best = grid[gap.argmin(1)]
    step = torch.tensor([0.05, fastest / 60, 1 / 32], dtype=torch.float64)
    around = torch.cartesian_prod(*[torch.linspace(-1, 1, 5)] * 3).double()
    for _ in range(8):
        tries = best[:, None] + around * (step := step * 0.6)
        tries[..., 0].clamp_(0.45, 0.95)
        tries[..., 1].clamp_(0, fastest)
        paths = _zigzag(tries, when)
        gaps = observed[:, None] - paths
        gap = (gaps - gaps.mean(-1, keepdim=True)).square().sum(-1)
        best = tries[torch.arange(2 * n), gap.argmin(1)]
    reach, speed, phase = best.T
    path = _zigzag(best, when)
    path = path + (observed - path).mean(1, keepdim=True)
    leg = (2 * (phase[:, None] + speed[:, None] * when / (2 * reach[:, None]))).floor()  # which way
    velocity = torch.where(leg[:, 0].remainder(2) == 0, speed, -speed)
    bounced = (leg[:, 1:] != leg[:, :-1]).view(n, 2, -1).transpose(1, 2)
    straight = torch.stack([torch.ones_like(when), when], 1)
    bend = observed - observed @ torch.linalg.pinv(straight).T @ straight.T
    is_bent = bend.square().mean(1) - (observed - path).square().mean(1) > MIN_BEND**2
    times = [_wall_times(*way, when) if bent else when[:0] for way, bent in zip(best, is_bent)]
    hits = [torch.cat(axes).sort().values for axes in zip(times[::2], times[1::2], strict=True)]
    return Flight(path.view(n, 2, -1).transpose(1, 2), velocity.view(n, 2), bounced, hits)


def _zigzag(zigzags: Tensor, seconds: Tensor) -> Tensor:
    """zigzags: (..., 3) of reach, speed and phase -> where a point is that runs to and fro (..., f)."""
    reach, speed, phase = zigzags[..., None].unbind(-2)
    along = (2 * reach * phase + speed * seconds).remainder(2 * reach)
    return reach - (along - reach).abs()


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


def physics(positions: Tensor, seconds: Tensor) -> Physics:
    """How far the flight seen in clips is from a lawful one: positions (n, f, 2), seconds (f,).

    trajectory_error: root mean square distance from the nearest lawful flight, bounces and all, in room
    sides. velocity_error: mean error of the velocity from frame to frame where no wall is hit, in room
    sides a second (after PhyWorld, Kang et al. 2024, arXiv 2411.02385; here against the nearest lawful
    flight, so that a speed that is steady but not the one asked for is no error). reflection_error: at a wall
    the velocity towards it should turn round; the mean of |after + before| over the hits that leave a whole
    step before and after them, NaN for clips without. None is quite 0 for real clips: the judge measures ink,
    to a fraction of a pixel.
    """
    flight = nearest_flight(positions, seconds)
    observed = positions.double()
    trajectory_error = (observed - flight.positions).square().sum(-1).mean(1).sqrt()
    moved, lawful = (
        x.diff(dim=1) / seconds.double().diff()[:, None] for x in (observed, flight.positions)
    )
    free = ~flight.bounced.any(-1)
    error = ((moved - lawful).norm(dim=-1) * free).sum(1) / free.sum(1).clamp(min=1)
    hit = flight.bounced[:, 1:-1] & ~flight.bounced[:, :-2] & ~flight.bounced[:, 2:]
    turned = (moved[:, 2:] + moved[:, :-2]).abs() * hit
    return Physics(trajectory_error, error, turned.sum((1, 2)) / hit.sum((1, 2)))
