"""Paths from data to noise: x_t = alpha(t) clean + sigma(t) noise.

A path chooses alpha and sigma: DDPM (Ho et al. 2020, arXiv 2006.11239), cosine (Nichol and Dhariwal 2021,
arXiv 2102.09672) or rectified flow (Liu et al. 2022, arXiv 2209.03003). DDPM's papers write x_0 for clean and
epsilon for noise; flow papers often let t run the other way, with X_1 for the data.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

MIN_SCALE = 1e-4  # divisions by alpha or sigma stop here: at the very ends they are not defined


class Path(Protocol):
    """alpha(t), sigma(t) and their derivatives, for t of any shape in [0, 1]."""

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]: ...

    def derivatives(self, t: Tensor) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class RectifiedFlow:
    """alpha = 1 - t, sigma = t: a straight line from data to noise (arXiv 2209.03003, eq. 1)."""

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t

    def derivatives(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return -torch.ones_like(t), torch.ones_like(t)


@dataclass(frozen=True)
class Cosine:
    """alpha = cos(πt/2), sigma = sin(πt/2): an arc (arXiv 2102.09672, without its small offset)."""

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        angle = t * math.pi / 2
        return angle.cos(), angle.sin()

    def derivatives(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = self.alpha_sigma(t)
        return -sigma * math.pi / 2, alpha * math.pi / 2


@dataclass(frozen=True)
class DDPM:
    """Ho et al.'s chain of `steps` betas, linear from 1e-4 to 0.02, read as a path.

    At t = k / steps, alpha² is the product of (1 - beta) over the first k betas, exactly; between
    them log alpha is straight. alpha(1) is small but not 0: a trace of the data always remains.
    """

    steps: int = 1000
    first_beta: float = 1e-4
    last_beta: float = 0.02

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_alpha, _ = self._log_alpha(t)
        return log_alpha.exp(), (-torch.expm1(2 * log_alpha)).clamp(min=0).sqrt()

    def derivatives(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_alpha, slope = self._log_alpha(t)
        alpha, sigma = self.alpha_sigma(t)
        return slope * alpha, -slope * (2 * log_alpha).exp() / sigma.clamp(min=MIN_SCALE)

    def _log_alpha(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """log alpha(t) and its slope, both in the form of t."""
        betas = torch.linspace(self.first_beta, self.last_beta, self.steps, dtype=torch.float64)
        pieces = torch.log1p(-betas) / 2
        table = torch.cat([torch.zeros(1, dtype=torch.float64), pieces.cumsum(0)])
        k = (t.to("cpu", torch.float64) * self.steps).clamp(0, self.steps)  # MPS has no float64
        piece = k.floor().clamp(max=self.steps - 1).long()
        slope = pieces[piece]
        return (table[piece] + (k - piece) * slope).to(t), (slope * self.steps).to(t)


def add_noise(path: Path, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t = alpha(t) clean + sigma(t) noise; clean, noise: (b, ...); t: (b,), or with all axes of clean."""
    alpha, sigma = path.alpha_sigma(expand_like(t, clean))
    return alpha * clean + sigma * noise


def expand_like(t: Tensor, x: Tensor) -> Tensor:
    """t with as many dimensions as x, so that it broadcasts: (b,) -> (b, 1, …)."""
    return t.reshape(*t.shape, *(1,) * (x.ndim - t.ndim))
