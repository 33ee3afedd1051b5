"""At which noise levels to train, and at which to sample.

The more pixels say the same thing, the more noise it takes to hide it, so large pictures want higher noise
levels in training and in sampling alike: the time shift of Esser et al. 2024 (arXiv 2403.03206, eq. 23).
"""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T", float, Tensor)


@dataclass(frozen=True)
class NoiseLevels:
    """A distribution of noise levels to train on. By default they are spread evenly over [0, 1).

    shift: moves the evenly spread levels towards 1, see `time_shift`; logit_normal: share of them drawn
    around 1/2 instead (arXiv 2403.03206, section 3.1), which here is not shifted, rounded to a whole number
    of every draw; low, high: levels beyond are moved to these.
    """

    shift: float = 1.0
    logit_normal: float = 0.0
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self):
        if not (self.shift > 0 and 0 <= self.logit_normal <= 1 and 0 <= self.low <= self.high <= 1):
            raise ValueError(f"{self}: shift is above 0, the others lie in [0, 1], low not above high.")

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """n noise levels: (n,), on the CPU. The evenly spread ones are stratified, one in each n-th."""
        middle = round(self.logit_normal * n)
        spread = n - middle
        even = torch.randperm(spread, generator=rng) + torch.rand(spread, generator=rng)
        t = time_shift(even / spread, self.shift) if spread else even
        if middle:
            around_half = torch.randn(middle, generator=rng).sigmoid().clamp(1e-3, 1 - 1e-3)
            t = torch.cat([around_half, t])
        return t.clamp(self.low, self.high)


def schedule(steps: int, shift: float = 1.0) -> Tensor:
    """Noise levels to sample at, from 1 to 0, evenly spaced unless shifted: (steps + 1,), float64."""
    if steps < 1:
        raise ValueError(f"{steps} steps: a sampler takes at least one.")
    if not shift > 0:
        raise ValueError(f"a shift of {shift}: it is above 0, and 1 changes nothing.")
    return time_shift(torch.linspace(1, 0, steps + 1, dtype=torch.float64), shift)


def time_shift(t: T, shift: float | Tensor) -> T:
    """Move noise levels towards 1, or towards 0 where shift < 1, and keep both ends.

    arXiv 2403.03206, eq. 23; shift = 1 moves none.
    """
    return shift * t / (1 + (shift - 1) * t)
