"""How long and how fast to train, and the seed of every step.

Every step draws its batch and its noise from a seed made of the training's seed and the step's number, so
evaluation, which takes its seeds from below 2³¹, never meets a training clip.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch

Precision = Literal["fp32", "bf16"]
RANGES = {
    "steps": (1, 10**9),
    "batch_size": (1, 10**9),
    "learning_rate": (0, 10),
    "warmup": (0, 10**9),
    "cooldown": (0, 1),
    "ema": (0, 1),
    "weight_decay": (0, 10),
    "max_grad_norm": (1e-9, math.inf),
    "seed": (0, 2**31 - 1),
    "muon_lr": (0, 10),
}


@dataclass(frozen=True)
class TrainConfig:
    """The learning rate climbs for `warmup` steps, holds, and falls to zero over the last `cooldown` of them.

    cooldown: a share of the steps. ema: the longest memory of the averaged weights, reached as (1 + step) /
    (10 + step) grows: 0.999 after 9,000 steps, so that shorter trainings never reach it. precision: "fp32" or
    "bf16" (autocast, where the hardware has it; weights stay fp32). muon_lr: where it is not 0, hidden
    matrices and kernels learn by Muon, at this rate, and the rest by AdamW. compile: each block of a list of
    blocks, by torch.compile where that works; a transformer then trains faster, a U-Net hardly.
    micro_batches: in how many parts a batch is learned from, gradients added up; processes share them.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup: int = 50
    cooldown: float = 0.4
    ema: float = 0.999
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    seed: int = 0
    precision: Precision = "fp32"
    muon_lr: float = 0.0
    compile: bool = False
    micro_batches: int = 1

    def lr_scale(self, step: int) -> float:
        """What is left of every learning rate at a step."""
        falling = (self.steps - step) / max(1.0, self.cooldown * self.steps)
        return min(1.0, (step + 1) / max(1, self.warmup), falling)

    def check(self, world_size: int) -> None:
        """Raise ValueError for what cannot be, or where micro-batches do not divide among processes."""
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision={self.precision!r}: allowed are {get_args(Precision)}.")
        for name, (low, high) in RANGES.items():
            if not low <= (value := getattr(self, name)) <= high:
                raise ValueError(f"{name}={value}: allowed are {low:g} to {high:g}.")
        n = self.micro_batches
        if not 1 <= n <= self.batch_size:
            raise ValueError(
                f"{n} micro-batches of a batch of {self.batch_size}: allowed are 1 to {self.batch_size}."
            )
        if n % world_size:
            allowed = ", ".join(str(k) for k in range(1, n + 1) if n % k == 0)
            raise ValueError(
                f"{world_size} processes cannot share {n} micro-batches evenly. Allowed are {allowed} "
                "processes."
            )


def step_seed(seed: int, step: int) -> int:
    """The seed of one step's draws, in [2³¹, 2³²): evaluation takes its seeds from below 2³¹.

    (PyTorch's CPU generator looks at the lowest 32 bits of a seed.)
    """
    return 2**31 + (seed * 1_000_003 + step) % 2**31


def step_of_rng(rng: torch.Generator, seed: int) -> int:
    """The step whose draws a generator is for, in a training of that seed: `step_seed` read backwards."""
    return (rng.initial_seed() - seed * 1_000_003) % 2**31
