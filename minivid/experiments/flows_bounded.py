"""Predicted noise once more, with bounds: how much of DDPM's loss in `flows` was a division by 0.0064?

Sampling begins at t = 1, where clean latents computed from predicted noise carry 157 times its error. Here
the same trained network is sampled twice: as in `flows`, and with the predicted clean latents kept within
what latents of real clips can be. A second network predicts noise on the cosine path, so that the path and
the prediction are told apart.
"""

from dataclasses import replace

import torch
from torch import Tensor

from minivid import diffusion
from minivid.experiments import flows, small_task
from minivid.experiments.records import Bar

WHAT = "predicted noise on DDPM's and the cosine path, sampled with bounds on clean latents and without"
SEEDS = (0, 1, 2)
NUM_STEPS = (8, 32)
BOUND = 7.5  # standard deviations; latents of real clips reach 7.3


def bounded_ddim(
    field: diffusion.Field,
    path: diffusion.Path,
    x_t: Tensor,
    t: Tensor,
    t_next: Tensor,
    rng: torch.Generator | None = None,
) -> Tensor:
    """DDIM whose predicted clean latents stay within BOUND; the predicted noise follows from them."""

    def bounded(x_t: Tensor, t: Tensor) -> Tensor:
        velocity = field(x_t, t)
        clean = diffusion.convert_prediction(path, "velocity", velocity, x_t, t).clean
        return diffusion.convert_prediction(path, "clean", clean.clamp(-BOUND, BOUND), x_t, t).velocity

    return diffusion.ddim(bounded, path, x_t, t, t_next, rng)


PATHS = {"DDPM": diffusion.DDPM(), "cosine": diffusion.Cosine()}
SOLVERS = {"as it comes": diffusion.ddim, "bounded": bounded_ddim}


def run(seed: int, bar: Bar, n: int = 150) -> dict:
    """{path: {solver: {sampling steps: {"digit", "colour", "heading", "all"}}}}."""
    found: dict = {}
    for name, path in PATHS.items():
        formulation = flows.Formulation(path, "noise", diffusion.ddim)
        network = small_task.network(seed)
        trained, _ = small_task.train_on_task(network, seed, bar, name, loss=formulation.loss)
        for way, solver in SOLVERS.items():
            sampled = replace(formulation, solver=solver)
            found.setdefault(name, {})[way] = {
                str(k): flows.measure(sampled, trained, seed, k, n) for k in NUM_STEPS
            }
    return found
