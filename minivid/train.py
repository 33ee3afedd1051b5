"""One training loop, a generator: whoever runs it watches every step and may stop at any.

Every step draws its batch and its noise from a seed made of the plan's seed and the step's number,
so a run that was killed and resumed sees what an uninterrupted one sees. The weights that are kept
are an exponential moving average (EMA), short at first and longer as training goes on.

A batch may be learned from in parts, each with noise of its own: by one process in turn, or by several at
once (`torchrun`, data parallel), whose gradients are added up. Which process had which part changes nothing.
"""

import contextlib
import copy
import datetime
import functools
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn

from minivid import checkpoints


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    The learning rate climbs for `warmup` steps, holds, and falls to zero over the last `decay` share
    of the steps. ema: the longest memory of the average, reached as (1 + step) / (10 + step) grows.
    precision: "fp32" or "bf16" (autocast, where the hardware has it; weights stay fp32). muon: where it is
    not 0, the matrices of linear layers and the kernels of convolutions learn by Muon, at this rate, and only
    the rest by AdamW. compiled: each layer of a list of layers, by torch.compile where that works; a
    transformer then trains faster, a U-Net hardly. parts: in how many parts a batch is learned from;
    processes share them.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup: int = 50
    decay: float = 0.4
    ema: float = 0.999
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0
    precision: str = "fp32"
    muon: float = 0.0
    compiled: bool = False
    parts: int = 1

    def rate(self, step: int) -> float:
        """The learning rate at a step."""
        return self.learning_rate * self.share(step)

    def share(self, step: int) -> float:
        """What is left of every learning rate at a step."""
        falling = (self.steps - step) / max(1.0, self.decay * self.steps)
        return min(1.0, (step + 1) / self.warmup, falling)


class Progress(NamedTuple):
    """What one step did: how many are done, its loss, the averaged network, and the seconds so far.

    The seconds are those of training, over all the runs that led here, without what is done between two
    steps by whoever asks for the next.
    """

    step: int
    loss: float
    network: nn.Module
    seconds: float


Draw = Callable[[torch.Generator], tuple[Tensor, ...]]
Loss = Callable[[nn.Module, tuple[Tensor, ...], torch.Generator], Tensor]


def train(
    network: nn.Module,
    loss: Loss,
    draw: Draw,
    plan: Plan,
    checkpoint: Path | None = None,
    every: int = 250,
) -> Iterator[Progress]:
    """Train the network in place, yielding after every step.

    draw(generator) gives a batch of CPU tensors; loss(network, batch, generator) a scalar. With a
    `checkpoint` path the state is saved there each `every` steps and at the end, and a file that is
    already there is resumed from: the losses that follow are, to the bit, those of a run that was
    never interrupted. A longer plan may go on from there as long as the rate has not begun to fall; a
    finished training is yielded once more, as it ended. Where several processes run this (see `together`),
    each learns from its share of a batch's parts, and the first alone saves; all yield the same.
    Raises ValueError for a torn checkpoint or one of another plan, for one that another training is writing,
    and for more processes than parts, or parts that cannot be shared evenly; OSError where it cannot be
    written; and FloatingPointError, naming the seed of the batch, where its loss or gradient is not finite.
    """
    kept_by_us = checkpoint is not None and place()[0] == 0
    with checkpoints.alone(checkpoint) if kept_by_us else contextlib.nullcontext():
        yield from _train(network, loss, draw, plan, checkpoint, every)


def _train(
    network: nn.Module, loss: Loss, draw: Draw, plan: Plan, checkpoint: Path | None, every: int
) -> Iterator[Progress]:
    rank, processes = place()
    if not 1 <= plan.parts <= plan.batch:
        raise ValueError(
            f"{plan.parts} parts of a batch of {plan.batch}: allowed are 1 to {plan.batch}."
        )
    if plan.parts % processes:
        raise ValueError(
            f"{processes} processes cannot share the {plan.parts} parts of a batch evenly. Allowed are "
            f"{', '.join(str(n) for n in range(1, plan.parts + 1) if plan.parts % n == 0)} processes."
        )
    where = next(network.parameters()).device
    average = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = Optimizer(network, plan)
    done, began = 0, time.monotonic()
    if checkpoint is not None and checkpoint.exists():
        done, seconds, last = _resume(checkpoint, plan, network, average, optimizer)
        began -= seconds
        if done == plan.steps:
            yield Progress(done, last, average, seconds)
    network.train()
    if plan.compiled and compiles(where):
        # Equal layers are compiled once, and anew for each shape of a batch, of which there may be many.
        torch._dynamo.config.recompile_limit = max(32, torch._dynamo.config.recompile_limit)
        for part in network.modules():
            for layer in part if isinstance(part, nn.ModuleList) else ():
                layer.compile(dynamic=False)
    for step in range(done, plan.steps):
        generator = torch.Generator().manual_seed(seed := step_seed(plan.seed, step))
        network.zero_grad()
        value = torch.zeros((), device=where)
        for part, share, noise in _parts(draw(generator), plan.parts, generator)[rank::processes]:
            with _autocast(plan, where):
                missed = share * loss(network, tuple(tensor.to(where) for tensor in part), noise)
            missed.backward()
            value += missed.detach()
        if processes > 1:
            _add_up(network, value)
        norm = nn.utils.clip_grad_norm_(network.parameters(), plan.clip)
        if not (value.isfinite() and norm.isfinite()):
            raise FloatingPointError(
                f"the loss is {value.item()}, its gradient {norm.item()} long, at step {step} (batch seed "
                f"{seed}); the averaged weights are from before it. Lower the learning rate, or resume from "
                "the last checkpoint."
            )
        optimizer.step(plan.share(step))
        _follow(average, network, min(plan.ema, (1 + step) / (10 + step)))
        if (
            checkpoint is not None
            and rank == 0
            and ((step + 1) % every == 0 or step + 1 == plan.steps)
        ):
            seconds = time.monotonic() - began
            last = value.item()
            _save(checkpoint, plan, step + 1, seconds, last, network, average, optimizer)
        paused = time.monotonic()
        yield Progress(step + 1, value.item(), average, paused - began)
        began += time.monotonic() - paused


class Optimizer:
    """AdamW, and Muon beside it for matrices where the plan says so.

    Muon turns each matrix's momentum into the nearest orthogonal one, so that all directions learn at
    one pace (Jordan et al. 2024, kellerjordan.github.io/posts/muon). A kernel counts as the matrix from
    all it sees to what it says. Embeddings are tables, not matrices, and stay with AdamW.
    """

    def __init__(self, network: nn.Module, plan: Plan):
        layers = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d) if plan.muon else ()
        self.kernels = [layer.weight for layer in network.modules() if isinstance(layer, layers)]
        # Each matrix shares its kernel's memory: what Muon does to the one is done to the other.
        self.matrices = [nn.Parameter(kernel.detach().flatten(1)) for kernel in self.kernels]
        matrices = {id(kernel) for kernel in self.kernels}
        rest = [p for p in network.parameters() if id(p) not in matrices]
        decay = {"weight_decay": plan.weight_decay}
        self.parts = [torch.optim.AdamW(rest, plan.learning_rate, (0.9, 0.99), **decay)]
        if self.matrices:
            self.parts.append(torch.optim.Muon(self.matrices, plan.muon, **decay))
        self.rates = [part.param_groups[0]["lr"] for part in self.parts]

    def step(self, share: float) -> None:
        """One step, at this share of the learning rates."""
        for matrix, kernel in zip(self.matrices, self.kernels, strict=True):
            matrix.grad = None if kernel.grad is None else kernel.grad.flatten(1)
        for part, rate in zip(self.parts, self.rates, strict=True):
            part.param_groups[0]["lr"] = rate * share
            part.step()

    def state_dict(self) -> dict:
        return {str(k): part.state_dict() for k, part in enumerate(self.parts)}

    def load_state_dict(self, state: dict) -> None:
        for k, part in enumerate(self.parts):
            part.load_state_dict(state[str(k)])


@functools.cache
def compiles(where: torch.device) -> bool:
    """Whether torch.compile works there: on a CPU it wants a C++ compiler, on a GPU Triton."""
    try:
        torch.compile(torch.sin)(torch.zeros(8, device=where))
    except Exception as error:
        warnings.warn(
            f"torch.compile does not work here, training goes on without: {error}", stacklevel=2
        )
        return False
    return True


def step_seed(seed: int, step: int) -> int:
    """The seed of one step's draws, in [2³¹, 2³²): evaluation takes its seeds from below 2³¹.

    (PyTorch's CPU generator looks at the lowest 32 bits of a seed.)
    """
    return 2**31 + (seed * 1_000_003 + step) % 2**31


def step_of(generator: torch.Generator, seed: int) -> int:
    """The step whose draws a generator is for, in a plan of that seed: `step_seed` read backwards."""
    return (generator.initial_seed() - seed * 1_000_003) % 2**31


@contextlib.contextmanager
def together() -> Iterator[int]:
    """Join the processes that `torchrun` started, if it did: gives this one's rank, 0 alone or first."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield 0
        return
    # The others wait for the first while it scores a model.
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=datetime.timedelta(hours=3))
    try:
        yield distributed.get_rank()
    finally:
        distributed.destroy_process_group()


def wait() -> None:
    """Until all processes that train together have come here."""
    if place()[1] > 1:
        distributed.barrier()


def place() -> tuple[int, int]:
    """This process's rank, and how many train together."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def _parts(
    batch: tuple[Tensor, ...], n: int, generator: torch.Generator
) -> list[tuple[tuple[Tensor, ...], float, torch.Generator]]:
    """A batch in n parts: tensors, their share of the batch, and what their noise is drawn from.

    One part goes on with the batch's generator; of several each has a seed of its own.
    """
    if n == 1:
        return [(batch, 1.0, generator)]
    seeds = 2**31 + torch.randint(2**31, (n,), generator=generator)
    draws = [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]
    cut = zip(*(tensor.tensor_split(n) for tensor in batch), strict=True)
    return [(part, len(part[0]) / len(batch[0]), one) for part, one in zip(cut, draws, strict=True)]


def _add_up(network: nn.Module, value: Tensor) -> None:
    """Add up what all processes found: gradients, and the loss."""
    learning = [p for p in network.parameters() if p.grad is not None]
    flat = torch.cat([value.view(1), *(p.grad.flatten() for p in learning)])
    distributed.all_reduce(flat)
    value.copy_(flat[0])
    for parameter, found in zip(
        learning, flat[1:].split([p.numel() for p in learning]), strict=True
    ):
        parameter.grad.copy_(found.view_as(parameter))


def device() -> torch.device:
    """CUDA where there is one, of several this process's own, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average <- decay · average + (1 - decay) · network; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    for kept, now in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(now)


def _autocast(plan: Plan, where: torch.device):
    if plan.precision == "fp32" or not has_bf16(where):
        return contextlib.nullcontext()
    return torch.autocast(where.type, torch.bfloat16)


@functools.cache
def has_bf16(where: torch.device) -> bool:
    """Whether numbers are multiplied in bf16 there: what has to imitate it is faster in fp32."""
    if where.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if where.type != "cpu":
        return True
    told = getattr(torch.cpu, "get_capabilities", dict)()
    return any(has for name, has in told.items() if "bf16" in name)


def _save(
    path: Path, plan: Plan, step: int, seconds: float, last: float, network, average, optimizer
) -> None:
    state = {
        "plan": asdict(plan),
        "step": step,
        "seconds": seconds,
        "loss": last,
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    checkpoints.write(path, state)


def parts_of(path: Path) -> int | None:
    """In how many parts a batch was learned from in the training that is kept there; None if none is."""
    if not path.exists():
        return None
    return Plan(**checkpoints.read(path)["plan"]).parts


def _resume(path: Path, plan: Plan, network, average, optimizer) -> tuple[int, float, float]:
    """Go on from a checkpoint: the steps done, the seconds they took, the last one's loss."""
    advice = checkpoints.anew(path)
    state = checkpoints.read(path)
    step, seconds, before = state["step"], state["seconds"], asdict(Plan(**state["plan"]))
    if before != asdict(plan) and not _same_so_far(before, plan, step):
        changed = {k: (before.get(k), v) for k, v in asdict(plan).items() if before.get(k) != v}
        raise ValueError(f"{path} was made by another plan, (then, now): {changed}. {advice}")
    try:
        network.load_state_dict(state["network"])
    except RuntimeError as error:
        raise ValueError(f"{path} holds another network: {error}. {advice}") from error
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return step, seconds, state["loss"]


def _same_so_far(before: dict, plan: Plan, steps: int) -> bool:
    """Whether a plan of another length would have taken the same steps up to here."""
    if before.keys() != asdict(plan).keys() or before | {"steps": plan.steps} != asdict(plan):
        return False
    earlier = Plan(**before)
    return all(earlier.rate(s) == plan.rate(s) for s in range(steps))
