"""Diffusion: noise is mixed into data, a network learns to look through it, a sampler walks back.

Everything rests on one line, x_t = alpha(t) clean + sigma(t) noise, with t = 0 clean and t = 1 noise.
A *path* chooses alpha and sigma: DDPM (Ho et al. 2020, arXiv 2006.11239), cosine (Nichol and Dhariwal
2021, arXiv 2102.09672) or rectified flow (Liu et al. 2022, arXiv 2209.03003). A network may predict
the clean data, the noise or the velocity d x_t / dt: given x_t, each tells the other two. A *field*
is any callable (x_t, t) -> velocity, and is all that samplers know of networks. The papers write
x_0 for clean, epsilon for noise (Ho) and v for velocity.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

Field = Callable[[Tensor, Tensor], Tensor]
Predicts = Literal["clean", "noise", "velocity"]


class Prediction(NamedTuple):
    """Three views of one belief about what hides in x_t."""

    clean: Tensor
    noise: Tensor
    velocity: Tensor


class Step(NamedTuple):
    """A state of the sampler: the noise level reached, the state, and the clean data it points to.

    t: a float, or a tensor where numbers of the state go at their own pace.
    """

    t: float | Tensor
    x_t: Tensor
    clean: Tensor


# Paths -------------------------------------------------------------------------------------------


class Path(Protocol):
    """alpha(t), sigma(t) and their slopes, for t of any shape in [0, 1]."""

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]: ...

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class RectifiedFlow:
    """alpha = 1 - t, sigma = t: a straight line from data to noise (arXiv 2209.03003, eq. 1)."""

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return -torch.ones_like(t), torch.ones_like(t)


@dataclass(frozen=True)
class Cosine:
    """alpha = cos(πt/2), sigma = sin(πt/2): an arc (arXiv 2102.09672, without its small offset)."""

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        angle = t * math.pi / 2
        return angle.cos(), angle.sin()

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = self.levels(t)
        return -sigma * math.pi / 2, alpha * math.pi / 2


@dataclass(frozen=True)
class DDPM:
    """Ho et al.'s chain of `steps` betas, linear from 1e-4 to 0.02, read as a path.

    At t = k / steps, alpha² is the product of (1 - beta) over the first k betas, exactly; between
    them log alpha is straight. alpha(1) is small but not 0: a trace of the data always remains.
    """

    steps: int = 1000
    first: float = 1e-4
    last: float = 0.02

    def levels(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_alpha, _ = self._log_alpha(t)
        return log_alpha.exp(), (-torch.expm1(2 * log_alpha)).clamp(min=0).sqrt()

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_alpha, slope = self._log_alpha(t)
        alpha, sigma = self.levels(t)
        return slope * alpha, -slope * (2 * log_alpha).exp() / sigma.clamp(min=FLOOR)

    def _log_alpha(self, t: Tensor) -> tuple[Tensor, Tensor]:
        betas = torch.linspace(self.first, self.last, self.steps, dtype=torch.float64)
        pieces = torch.log1p(-betas) / 2
        table = torch.cat([torch.zeros(1, dtype=torch.float64), pieces.cumsum(0)]).to(t.device)
        k = (t.double() * self.steps).clamp(0, self.steps)
        piece = k.floor().clamp(max=self.steps - 1).long()
        slope = pieces.to(t.device)[piece]
        return (table[piece] + (k - piece) * slope).to(t), (slope * self.steps).to(t)


FLOOR = 1e-4  # divisions by alpha or sigma stop here: at the very ends a view is not defined


def mix(path: Path, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t = alpha(t) clean + sigma(t) noise; clean, noise: (b, ...), t: (b,)."""
    alpha, sigma = path.levels(_like(t, clean))
    return alpha * clean + sigma * noise


def views(path: Path, predicts: Predicts, output: Tensor, x_t: Tensor, t: Tensor) -> Prediction:
    """All three views of a prediction, from any one: two linear equations in two unknowns.

    x_t = alpha clean + sigma noise and velocity = alpha' clean + sigma' noise.
    output, x_t: (b, ...); t: (b,). At t = 1 noise says nothing about clean where alpha is 0, at t = 0
    clean says nothing about noise: divisions are floored at 1e-4 there.
    """
    t = _like(t, x_t)
    alpha, sigma = path.levels(t)
    alpha_slope, sigma_slope = path.slopes(t)
    if predicts == "velocity":
        turn = alpha * sigma_slope - alpha_slope * sigma  # never 0: noise grows against data
        clean = (sigma_slope * x_t - sigma * output) / turn
        noise = (alpha * output - alpha_slope * x_t) / turn
        return Prediction(clean, noise, output)
    if predicts == "clean":
        clean, noise = output, (x_t - alpha * output) / sigma.clamp(min=FLOOR)
    elif predicts == "noise":
        clean, noise = (x_t - sigma * output) / alpha.clamp(min=FLOOR), output
    else:
        raise ValueError(f"predicts={predicts!r}: allowed are 'clean', 'noise' and 'velocity'.")
    return Prediction(clean, noise, alpha_slope * clean + sigma_slope * noise)


# Training ----------------------------------------------------------------------------------------


def loss(
    network: Callable[[Tensor, Tensor], Tensor],
    clean: Tensor,
    generator: torch.Generator,
    path: Path,
    predicts: Predicts,
    compare: Predicts | None = None,
    draw_t: Callable[[int, torch.Generator], Tensor] | None = None,
) -> Tensor:
    """Mean squared error of the network's view of x_t, at random noise levels.

    network: (x_t, t) -> its prediction; clean: (b, ...). compare: the view in which the error is
    taken, by default the one the network predicts; another one only re-weights the noise levels
    (Salimans and Ho 2022, arXiv 2202.00512). Draws t, then noise, on the CPU.
    """
    b = len(clean)
    t = (draw_t or uniform)(b, generator).to(clean.device)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    x_t = mix(path, clean, noise, t)
    output = network(x_t, t).float()
    compare = compare or predicts
    if compare == predicts:
        seen = output
    else:
        seen = getattr(views(path, predicts, output, x_t, t), compare)
    alpha_slope, sigma_slope = path.slopes(_like(t, clean))
    truth = Prediction(clean, noise, alpha_slope * clean + sigma_slope * noise)
    return (seen - getattr(truth, compare)).square().mean()


def uniform(n: int, generator: torch.Generator) -> Tensor:
    """Noise levels spread evenly over [0, 1), one in each n-th of it: (n,)."""
    return (torch.randperm(n, generator=generator) + torch.rand(n, generator=generator)) / n


def logit_normal(n: int, generator: torch.Generator) -> Tensor:
    """Noise levels that crowd around 1/2 (Esser et al. 2024, arXiv 2403.03206): (n,) in (0, 1)."""
    return torch.randn(n, generator=generator).sigmoid().clamp(1e-3, 1 - 1e-3)


# Fields ------------------------------------------------------------------------------------------


def field(network: Callable[[Tensor, Tensor], Tensor], path: Path, predicts: Predicts) -> Field:
    """The velocity field of a network, whatever it predicts."""

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        return views(path, predicts, network(x_t, t), x_t, t).velocity

    return velocity


def guided(asked: Field, unasked: Field, scale: float | Tensor) -> Field:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598), scale as the field counts.

    0 ignores what was asked, 1 follows it, more exaggerates it; a tensor has a scale for each number.
    """

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        without = unasked(x_t, t)
        return without + scale * (asked(x_t, t) - without)

    return velocity


def conditional(
    network: Callable[[Tensor, Tensor, Tensor], Tensor],
    asked: Tensor,
    unasked: Tensor,
    scale: float | Tensor,
    path: Path,
    predicts: Predicts,
) -> Field:
    """The guided field of a network that is told something: (x_t, t, told) -> its prediction.

    asked: what is asked for, (b, ...); unasked: what it is told where nothing is. At scale 1 only the
    first is looked at.
    """

    def towards(told: Tensor) -> Field:
        return field(lambda x_t, t: network(x_t, t, told), path, predicts)

    if not isinstance(scale, Tensor) and scale == 1:
        return towards(asked)
    return guided(towards(asked), towards(unasked), scale)


# Samplers ----------------------------------------------------------------------------------------

# A move is one step of a sampler: (field, path, x_t, now, later, generator) -> (x_later, clean). now, later:
# noise levels, floats, or tensors of one for each number of x_t.
Move = Callable[..., tuple[Tensor, Tensor]]

# What feeds the moves that add noise: one generator for all samples, or for each its own, so that what
# is drawn does not depend on what is drawn beside it.
Draws = torch.Generator | Sequence[torch.Generator]


@torch.no_grad()
def sample(
    field: Field,
    noise: Tensor,
    times: Tensor,
    path: Path,
    move: Move | None = None,
    generator: Draws | None = None,
) -> Iterator[Step]:
    """Walk from noise to clean, yielding every state; the last one is the sample.

    noise: (b, ...); times: (steps + 1,) falling from 1 to 0, see `schedule`, or (steps + 1, ...), where each
    number goes at its own pace; the field then takes t: (b, ...). move: `euler` (the default), `heun`,
    `ddim` or `ancestral`. `generator` feeds the moves that add noise: one for all samples,
    or one for each; ValueError for another number.
    """
    move, x_t = move or euler, noise
    levels = times.tolist() if times.ndim == 1 else times.to(noise)
    for now, later in itertools.pairwise(levels):
        x_t, clean = move(field, path, x_t, now, later, generator)
        yield Step(later, x_t, clean)


def schedule(steps: int, by: float = 1.0) -> Tensor:
    """Noise levels from 1 to 0, evenly spaced unless they are shifted: (steps + 1,)."""
    if steps < 1:
        raise ValueError(f"{steps} steps: a sampler takes at least one.")
    return shift(torch.linspace(1, 0, steps + 1, dtype=torch.float64), by)


def shift(t: Tensor, by: float) -> Tensor:
    """Move noise levels towards 1 and keep both ends (Esser et al. 2024, arXiv 2403.03206, eq. 23).

    The more pixels say the same thing, the more noise it takes to hide it; by = 1 changes nothing.
    """
    return by * t / (1 + (by - 1) * t)


def euler(field, path, x_t, now, later, generator=None):
    """Follow the velocity in a straight line: first order."""
    seen = _see(field, path, x_t, now)
    return x_t + (later - now) * seen.velocity, seen.clean


def heun(field, path, x_t, now, later, generator=None):
    """Step, look again, step with the mean of both velocities: second order, two looks a step.

    Karras et al. 2022 (arXiv 2206.00364), algorithm 1. The last step, to t = 0, is Euler's.
    """
    seen = _see(field, path, x_t, now)
    ahead = x_t + (later - now) * seen.velocity
    if not torch.as_tensor(later).any():
        return ahead, seen.clean
    mean = (seen.velocity + _see(field, path, ahead, later).velocity) / 2
    return x_t + (later - now) * mean, seen.clean


def ddim(field, path, x_t, now, later, generator=None, eta=0.0):
    """Mix the clean data and the noise seen in x_t anew, at the lower level: deterministic.

    Song et al. 2021 (arXiv 2010.02502), eq. 12, written for any path. eta puts fresh noise in the
    place of some of the old: 1 for as much as DDPM does.
    """
    seen = _see(field, path, x_t, now)
    (alpha, sigma), (alpha_later, sigma_later) = (
        path.levels(torch.as_tensor(t, dtype=torch.float64)) for t in (now, later)
    )
    kept = (alpha / alpha_later) * (sigma_later / sigma)
    fresh = eta * sigma_later * (1 - kept**2).clamp(min=0).sqrt()
    old = (sigma_later**2 - fresh**2).clamp(min=0).sqrt()
    x_later = alpha_later.to(x_t) * seen.clean + old.to(x_t) * seen.noise
    if fresh.any():
        x_later = x_later + fresh.to(x_t) * _randn(x_t, generator)
    return x_later, seen.clean


def ancestral(field, path, x_t, now, later, generator=None):
    """DDPM's own sampler: draw from the posterior q(x_later | x_t, clean) (Ho et al., eq. 7)."""
    return ddim(field, path, x_t, now, later, generator, eta=1.0)


def _randn(like: Tensor, generator: Draws | None) -> Tensor:
    """Noise in the form of like, (b, ...), drawn on the CPU."""
    if not isinstance(generator, Sequence):
        return torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)
    if len(generator) != len(like):
        raise ValueError(
            f"{len(generator)} generators for {len(like)} samples: give one for all, or one for each."
        )
    each = [torch.randn(like.shape[1:], generator=one, dtype=like.dtype) for one in generator]
    return torch.stack(each).to(like.device)


def _see(field: Field, path: Path, x_t: Tensor, now: float | Tensor) -> Prediction:
    t = torch.as_tensor(now, dtype=x_t.dtype, device=x_t.device)
    t = t.expand(len(x_t), *t.shape)
    return views(path, "velocity", field(x_t, t), x_t, t)


def _like(t: Tensor, x: Tensor) -> Tensor:
    """t with as many dimensions as x, so that it broadcasts: (b,) -> (b, 1, …)."""
    return t.reshape(*t.shape, *(1,) * (x.ndim - t.ndim))
