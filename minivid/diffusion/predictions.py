"""What a network predicts: the clean data, the noise or the velocity d x_t / dt. Each gives the other two.

Two equations with two unknowns: x_t = alpha clean + sigma noise, and velocity = alpha' clean + sigma' noise.
This velocity is that of flow matching (Lipman et al. 2022, arXiv 2210.02747, whose t runs the other way, so
that theirs has the other sign): on the straight path it is noise - clean. The "v" of Salimans and Ho (2022,
arXiv 2202.00512), alpha noise - sigma clean, is proportional to it wherever alpha² + sigma² = 1 (DDPM,
cosine), by a factor that is the same for every t on the cosine path alone; on the straight path it is not.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from minivid.diffusion.noise_levels import NoiseLevels
from minivid.diffusion.paths import MIN_SCALE, Path, add_noise, expand_like

Predicts = Literal["clean", "noise", "velocity"]
# How far noise levels keep from where a prediction's error in another form has no bound.
MARGIN = 0.05


class Prediction(NamedTuple):
    """One prediction in three forms."""

    clean: Tensor
    noise: Tensor
    velocity: Tensor


def convert_prediction(path: Path, predicts: Predicts, output: Tensor, x_t: Tensor, t: Tensor) -> Prediction:
    """All three forms of a prediction, from any one.

    output, x_t: (b, ...); t: (b,), or with all axes of x_t. At t = 1 noise says nothing about clean where
    alpha is 0, at t = 0 clean says nothing about noise: divisions are floored at MIN_SCALE there, which keeps
    numbers finite, not right. Sample a noise prediction from below t = 1 where alpha(1) is 0. Raises
    ValueError for another `predicts`.
    """
    t = expand_like(t, x_t)
    alpha, sigma = path.alpha_sigma(t)
    d_alpha, d_sigma = path.derivatives(t)
    if predicts == "velocity":
        determinant = alpha * d_sigma - d_alpha * sigma  # never 0: noise grows against data
        clean = (d_sigma * x_t - sigma * output) / determinant
        noise = (alpha * output - d_alpha * x_t) / determinant
        return Prediction(clean, noise, output)
    if predicts == "clean":
        clean, noise = output, (x_t - alpha * output) / sigma.clamp(min=MIN_SCALE)
    elif predicts == "noise":
        clean, noise = (x_t - sigma * output) / alpha.clamp(min=MIN_SCALE), output
    else:
        raise ValueError(f"predicts={predicts!r}: allowed are 'clean', 'noise' and 'velocity'.")
    return Prediction(clean, noise, d_alpha * clean + d_sigma * noise)


def loss(
    network: Callable[[Tensor, Tensor], Tensor],
    clean: Tensor,
    rng: torch.Generator,
    path: Path,
    predicts: Predicts,
    loss_space: Predicts | None = None,
    noise_levels: NoiseLevels | None = None,
) -> Tensor:
    """Mean squared error of the network's prediction at random noise levels: a scalar.

    network: (x_t, t) -> its prediction; clean: (b, ...). loss_space: the form in which the error is taken,
    by default the one the network predicts; another one only re-weights the noise levels (Salimans and Ho
    2022, arXiv 2202.00512). noise_levels: uniform where none are given. Draws t, then noise, on the CPU.

    On the straight path an error of clean data counts 1 / sigma² as much in velocity and alpha² / sigma² in
    noise; one of noise 1 / alpha² in velocity and sigma² / alpha² in clean data. Where the two forms differ,
    levels nearer than MARGIN to the end at which that grows without bound are moved to it.
    """
    loss_space = loss_space or predicts
    for name, form in (("predicts", predicts), ("loss_space", loss_space)):
        if form not in Prediction._fields:
            raise ValueError(f"{name}={form!r}: allowed are 'clean', 'noise' and 'velocity'.")
    t = (noise_levels or NoiseLevels()).draw(len(clean), rng).to(clean.device)
    if loss_space != predicts:
        t = t.clamp(MARGIN * (predicts == "clean"), 1 - MARGIN * (predicts == "noise"))
    noise = torch.randn(clean.shape, generator=rng).to(clean.device)
    x_t = add_noise(path, clean, noise, t)
    output = network(x_t, t).float()
    if loss_space != predicts:
        output = getattr(convert_prediction(path, predicts, output, x_t, t), loss_space)
    d_alpha, d_sigma = path.derivatives(expand_like(t, clean))
    target = Prediction(clean, noise, d_alpha * clean + d_sigma * noise)
    return (output - getattr(target, loss_space)).square().mean()
