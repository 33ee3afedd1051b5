"""Several processes that train one network, each on its share of a batch (data parallel, by `torchrun`)."""

import contextlib
import datetime
import os
from collections.abc import Iterator

import torch
from torch import Tensor, distributed, nn


@contextlib.contextmanager
def init_distributed() -> Iterator[int]:
    """Join the processes that `torchrun` started, if it did; yields this process's rank (0 when alone)."""
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


def rank_and_world_size() -> tuple[int, int]:
    """This process's number, and how many train together: (0, 1) alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def barrier() -> None:
    """Wait until all processes that train together have come here."""
    if rank_and_world_size()[1] > 1:
        distributed.barrier()


def all_reduce(network: nn.Module, loss: Tensor) -> None:
    """Add up, in place, what all processes found: gradients, and the loss."""
    if rank_and_world_size()[1] == 1:
        return
    learning = [p for p in network.parameters() if p.grad is not None]
    flat = torch.cat([loss.view(1), *(p.grad.flatten() for p in learning)])
    distributed.all_reduce(flat)
    loss.copy_(flat[0])
    sizes = [p.numel() for p in learning]
    for parameter, gradient in zip(learning, flat[1:].split(sizes), strict=True):
        parameter.grad.copy_(gradient.view_as(parameter))
