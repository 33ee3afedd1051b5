"""Solvers: from noise to data along a velocity field, one loop for all of them.

Euler and Heun integrate the field (Karras et al. 2022, arXiv 2206.00364), DDIM (Song et al. 2020, arXiv
2010.02502) mixes what is predicted anew, and DDPM's ancestral sampler (Ho et al. 2020, arXiv 2006.11239)
puts fresh noise in the place of some of the old.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from minivid.diffusion.paths import Path
from minivid.diffusion.predictions import Prediction, convert_prediction
from minivid.diffusion.states import Field, State, map_state

TINY = 1e-8

# What feeds the solvers that add noise: one generator for all samples, or one for each, so that what is
# generated does not depend on what is generated beside it.
Rng = torch.Generator | Sequence[torch.Generator]


class Step(NamedTuple):
    """A point of the sampling trajectory: the noise level reached, the state, and the clean data predicted.

    t: a float, or a tensor where parts of the state have levels of their own; of a pair, a pair.
    """

    t: float | Tensor | tuple
    x_t: State
    clean: State


class Solver(Protocol):
    """One step: from x_t at noise level t to the state at t_next; gives that and the predicted clean data."""

    def __call__(
        self, field: Field, path: Path, x_t: State, t, t_next, rng: Rng | None = None
    ) -> tuple[State, State]: ...


class Constraint(Protocol):
    """What holds parts of a state fixed; see `minivid.condition.Condition`."""

    def hold(self, x_t: State, path: Path, noise: State) -> State: ...

    def fill(self, state: State) -> State: ...

    def field(self, field: Field) -> Field: ...


@torch.no_grad()
def sample(
    field: Field,
    noise: State,
    timesteps: Tensor | tuple[Tensor, Tensor],
    path: Path,
    solver: Solver | None = None,
    rng: Rng | None = None,
    condition: Constraint | None = None,
) -> Iterator[Step]:
    """Walk from noise to clean, yielding every step; the last one holds the sample.

    noise: (b, ...); for a (video, audio) pair, pass pairs. timesteps: (steps + 1,) falling from 1 to 0, see
    `schedule`; or, where parts have levels of their own, (steps + 1, ...) with every axis of a sample:
    (steps + 1, 1, f, 1, 1) for (b, c, f, h, w). solver: `euler` (the default), `heun`, `ddim` or `ancestral`.
    rng: feeds the solvers that add noise, one for all samples or one for each. condition: what is given, and
    held fixed, whatever the solver.
    Raises ValueError for timesteps of another shape, and another number of generators.
    """
    solver, x_t = solver or euler, noise
    if condition is not None:
        x_t, field = condition.hold(noise, path, noise), condition.field(field)
    levels = map_state(_levels, noise, timesteps)
    levels = zip(*levels, strict=True) if isinstance(noise, tuple) else levels
    for t, t_next in itertools.pairwise(levels):
        x_t, clean = solver(field, path, x_t, t, t_next, rng)
        if condition is not None:
            clean = condition.fill(clean)
            x_t = condition.fill(x_t) if _is_clean(t_next) else condition.hold(x_t, path, noise)
        yield Step(t_next, x_t, clean)


def last_step(trajectory: Iterator[Step]) -> Step:
    """Run a sampling trajectory to its end."""
    *_, last = trajectory
    return last


def euler(field, path, x_t, t, t_next, rng=None):
    """Follow the velocity in a straight line: first order."""
    prediction = _predict(field, path, x_t, t)
    return map_state(_advance, x_t, prediction.velocity, t, t_next), prediction.clean


def heun(field, path, x_t, t, t_next, rng=None):
    """Step, evaluate again, step with the mean of both velocities: second order, two evaluations a step.

    Karras et al. 2022 (arXiv 2206.00364), algorithm 1. The last step, to t = 0, is Euler's: one evaluation.
    """
    here = _predict(field, path, x_t, t)
    ahead = map_state(_advance, x_t, here.velocity, t, t_next)
    if _is_clean(t_next):
        return ahead, here.clean
    there = _predict(field, path, ahead, t_next)
    mean = map_state(_mean_but_at_0, here.velocity, there.velocity, t_next)
    return map_state(_advance, x_t, mean, t, t_next), here.clean


def ddim(field, path, x_t, t, t_next, rng=None, eta=0.0):
    """Predict clean and noise, and mix them anew at t_next (Song et al. 2020, arXiv 2010.02502, eq. 12).

    Exact on any path where predicted clean and noise stay the same during the step; on the straight path it
    is Euler's step. eta puts fresh noise in the place of some of the old: 1 for as much as DDPM does.
    """
    prediction = _predict(field, path, x_t, t)

    def renoise(x: Tensor, clean: Tensor, noise: Tensor, t, t_next) -> Tensor:
        levels = (torch.as_tensor(level, dtype=torch.float64, device="cpu") for level in (t, t_next))
        (alpha, sigma), (alpha_next, sigma_next) = map(path.alpha_sigma, levels)
        # A part may already be at t = 0, or wait at t = 1: there 0 / 0 is to be 0.
        remaining = alpha / alpha_next.clamp(min=TINY) * (sigma_next / sigma.clamp(min=TINY))
        fresh = eta * sigma_next * (1 - remaining**2).clamp(min=0).sqrt()
        old = (sigma_next**2 - fresh**2).clamp(min=0).sqrt()
        x_next = alpha_next.to(x) * clean + old.to(x) * noise
        if fresh.any():
            x_next = x_next + fresh.to(x) * _randn(x, rng)
        return x_next

    x_next = map_state(renoise, x_t, prediction.clean, prediction.noise, t, t_next)
    return x_next, prediction.clean


def ancestral(field, path, x_t, t, t_next, rng=None):
    """DDPM's sampler with the smaller of its two variances: draw from q(x_next | x_t, clean) (eq. 7)."""
    return ddim(field, path, x_t, t, t_next, rng, eta=1.0)


def _advance(x_t: Tensor, velocity: Tensor, t, t_next) -> Tensor:
    return x_t + (t_next - t) * velocity


def _mean_but_at_0(velocity: Tensor, ahead: Tensor, t_next) -> Tensor:
    """The mean of two velocities; where the second is at t = 0, nothing is known of it: the first."""
    moving = torch.as_tensor(t_next, device=velocity.device) > 0
    return torch.where(moving, (velocity + ahead) / 2, velocity)


def _predict(field: Field, path: Path, x_t: State, t) -> Prediction:
    """What the field says of a state, in three forms; of a pair, each form is a pair."""
    t = map_state(_batched, x_t, t)
    velocity = field(x_t, t)
    forms = map_state(lambda v, x, level: convert_prediction(path, "velocity", v, x, level), velocity, x_t, t)
    return Prediction(*zip(*forms, strict=True)) if isinstance(x_t, tuple) else forms


def _batched(x_t: Tensor, t: float | Tensor) -> Tensor:
    """The noise level of each sample: (b,), or (b, ...) where parts have levels of their own."""
    t = torch.as_tensor(t, dtype=x_t.dtype, device=x_t.device)
    return t.expand(len(x_t), *t.shape)


def _levels(noise: Tensor, timesteps: Tensor) -> list[float] | Tensor:
    if timesteps.ndim not in (1, noise.ndim) or len(timesteps) < 2:
        raise ValueError(
            f"timesteps of {tuple(timesteps.shape)} for noise of {tuple(noise.shape)}: give (steps + 1,), or "
            "(steps + 1, ...) with every axis of a sample, of size 1 where it shares a level."
        )
    return timesteps.tolist() if timesteps.ndim == 1 else timesteps.to(noise)


def _is_clean(t) -> bool:
    """Whether all of a state at noise level t is."""
    return not any(torch.as_tensor(part).any() for part in (t if isinstance(t, tuple) else (t,)))


def _randn(like: Tensor, rng: Rng | None) -> Tensor:
    """Noise in the form of like, (b, ...), drawn on the CPU."""
    if not isinstance(rng, Sequence):
        return torch.randn(like.shape, generator=rng, dtype=like.dtype).to(like.device)
    if len(rng) != len(like):
        raise ValueError(f"{len(rng)} generators for {len(like)} samples: give one for all, or one for each.")
    each = [torch.randn(like.shape[1:], generator=one, dtype=like.dtype) for one in rng]
    return torch.stack(each).to(like.device)
