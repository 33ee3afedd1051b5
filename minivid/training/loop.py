"""One training loop, a generator: whoever runs it watches every step and may stop at any.

Every step has a seed of its own, so a run that was killed and resumed sees what an uninterrupted one sees.
The weights that are kept are an exponential moving average (EMA), short at first and longer as training goes
on. Gradients may be accumulated over micro-batches, each with noise of its own, on one process or several;
the assignment does not affect the result.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from minivid.training import checkpoint as checkpoints
from minivid.training.config import TrainConfig, step_seed
from minivid.training.distributed import all_reduce, rank_and_world_size
from minivid.training.optimizer import Optimizer
from minivid.training.precision import autocast, compile_blocks

DrawBatch = Callable[[torch.Generator], tuple[Tensor, ...]]
Loss = Callable[[nn.Module, tuple[Tensor, ...], torch.Generator], Tensor]


class Progress(NamedTuple):
    """What one step did: how many are done, its loss, the averaged network, and the seconds so far.

    The seconds are those of training, over all the runs that led here, without what is done between two
    steps by whoever asks for the next.
    """

    step: int
    loss: float
    network: nn.Module
    seconds: float


def train(
    network: nn.Module,
    loss: Loss,
    draw_batch: DrawBatch,
    config: TrainConfig,
    checkpoint: Path | None = None,
    every: int = 250,
) -> Iterator[Progress]:
    """Train the network in place, yielding after every step.

    draw_batch(rng) gives a batch of CPU tensors; loss(network, batch, rng) a scalar. With a `checkpoint` path
    the state is saved there each `every` steps and at the end, and a file that is already there is resumed
    from: the losses that follow are, to the bit, those of a run that was never interrupted. A longer
    training may go on from there as long as the learning rate has not begun to fall; a finished one is
    yielded once more, as it ended. Where several processes run this (see `init_distributed`), each learns
    from its micro-batches, and the first alone saves; all yield the same.
    Raises ValueError for a torn checkpoint or one of another configuration, for one that another training is
    writing, and for micro-batches that cannot be shared evenly; OSError where it cannot be written; and
    FloatingPointError, naming the seed of the batch, where its loss or gradient is not finite.
    """
    rank, world_size = rank_and_world_size()
    config.check(world_size)
    saves = checkpoint is not None and rank == 0
    with checkpoints.exclusive(checkpoint) if saves else contextlib.nullcontext():
        run = Run(network, config)
        if checkpoint is not None and checkpoint.exists():
            run.resume(checkpoint)
        if run.step == config.steps:
            yield run.progress()
            return
        if config.compile:
            compile_blocks(network, run.device)
        while run.step < config.steps:
            rng = torch.Generator().manual_seed(step_seed(config.seed, run.step))
            batches = micro_batches(draw_batch(rng), config.micro_batches, rng)[rank::world_size]
            network.train().zero_grad()  # who sampled from it in between had it evaluate
            total = torch.zeros((), device=run.device)
            for batch, fraction, batch_rng in batches:
                batch = tuple(tensor.to(run.device) for tensor in batch)
                with autocast(config.precision, run.device):
                    value = fraction * loss(network, batch, batch_rng)
                value.backward()
                total += value.detach()
            all_reduce(network, total)
            run.update(total)
            if saves and (run.step % every == 0 or run.step == config.steps):
                checkpoints.write(checkpoint, run.state())
            paused = time.monotonic()
            yield run.progress()
            run.began += time.monotonic() - paused


class Run:
    """What a training has come to: the network and its average, the optimizer, the step, the clock."""

    def __init__(self, network: nn.Module, config: TrainConfig):
        self.network, self.config = network.train(), config
        self.device = next(network.parameters()).device
        self.ema = averaged(network, config.ema)
        self.optimizer = Optimizer(network, config)
        self.step, self.loss, self.began = 0, float("nan"), time.monotonic()

    def update(self, loss: Tensor) -> None:
        """One step along the gradients that the network holds."""
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.max_grad_norm)
        if not (loss.isfinite() and norm.isfinite()):
            seed = step_seed(self.config.seed, self.step)
            raise FloatingPointError(
                f"the loss is {loss.item()}, its gradient {norm.item()} long, at step {self.step} (batch "
                f"seed {seed}). The same training stops there again: begin anew, without its checkpoint, at "
                "a lower learning rate or from another seed."
            )
        self.optimizer.step(self.config.lr_scale(self.step))
        self.ema.update_parameters(self.network)
        self.step, self.loss = self.step + 1, loss.item()

    def progress(self) -> Progress:
        seconds = time.monotonic() - self.began
        return Progress(self.step, self.loss, self.ema.module, seconds)

    def state(self) -> dict:
        return {
            "config": asdict(self.config),
            "step": self.step,
            "seconds": time.monotonic() - self.began,
            "loss": self.loss,
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint. Raises ValueError for one of another configuration or network."""
        state, advice = checkpoints.read(path), checkpoints.start_anew(path)
        before, ours = state["config"], asdict(self.config)
        if before != ours and not same_so_far(before, self.config, state["step"]):
            keys = before.keys() | ours.keys()
            changed = {k: (before.get(k), ours.get(k)) for k in sorted(keys)}
            changed = {k: pair for k, pair in changed.items() if pair[0] != pair[1]}
            raise ValueError(f"{path} was made by another configuration, (then, now): {changed}. {advice}")
        try:
            self.network.load_state_dict(state["network"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(f"{path} holds another network or optimizer: {error}. {advice}") from error
        self.step, self.loss = state["step"], state["loss"]
        self.began -= state["seconds"]


def averaged(network: nn.Module, longest: float) -> AveragedModel:
    """The average of the network's weights, whose memory is (1 + step) / (10 + step), at most `longest`."""

    @torch.no_grad()
    def update(ema: list[Tensor], weights: list[Tensor], n: Tensor | int) -> None:
        memory = min(longest, float(n / (n + 9)))
        torch._foreach_lerp_(ema, weights, 1 - memory)

    ema = AveragedModel(network, multi_avg_fn=update).eval().requires_grad_(False)
    # Its weights at the start count as a first sample, and are not copied over.
    ema.n_averaged.fill_(1)
    return ema


def same_so_far(before: dict, config: TrainConfig, steps: int) -> bool:
    """Whether a training of another length would have taken the same steps up to here."""
    if "steps" not in before or before | {"steps": config.steps} != asdict(config):
        return False
    earlier = TrainConfig(**before)
    return all(earlier.lr_scale(step) == config.lr_scale(step) for step in range(steps))


def micro_batches(
    batch: tuple[Tensor, ...], n: int, rng: torch.Generator
) -> list[tuple[tuple[Tensor, ...], float, torch.Generator]]:
    """A batch in n parts: tensors, their share of the batch, and what their noise is drawn from.

    A single part goes on with the batch's generator; of several each has a seed of its own.
    """
    if n == 1:
        return [(batch, 1.0, rng)]
    if n > len(batch[0]):
        raise ValueError(f"{n} micro-batches of a batch of {len(batch[0])}: ask for fewer.")
    seeds = 2**31 + torch.randint(2**31, (n,), generator=rng)
    rngs = [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]
    cut = zip(*(tensor.tensor_split(n) for tensor in batch), strict=True)
    return [(part, len(part[0]) / len(batch[0]), one) for part, one in zip(cut, rngs, strict=True)]
