"""AdamW, and Muon beside it for the hidden matrices of a network.

Muon turns each matrix's momentum into about the nearest orthogonal one, so that all directions learn at about
one pace (Jordan et al. 2024, kellerjordan.github.io/posts/muon). As published it is for hidden layers:
embeddings, the first and the last layer, gains and biases stay with AdamW.
"""

import torch
from torch import nn

from minivid.training.config import TrainConfig

MATRICES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Optimizer:
    """AdamW (0.9, 0.99), with weight decay on matrices alone; and Muon where the configuration says so."""

    def __init__(self, network: nn.Module, config: TrainConfig):
        self.kernels = hidden_matrices(network) if config.muon_lr else []
        # Each matrix shares its kernel's memory: what Muon does to the one is done to the other.
        self.matrices = [nn.Parameter(kernel.detach().flatten(1)) for kernel in self.kernels]
        taken = {id(kernel) for kernel in self.kernels}
        rest = [p for p in network.parameters() if id(p) not in taken]
        groups = [
            {"params": [p for p in rest if is_matrix(p)], "weight_decay": config.weight_decay},
            {"params": [p for p in rest if not is_matrix(p)], "weight_decay": 0.0},
        ]
        self.optimizers = [torch.optim.AdamW(groups, config.learning_rate, (0.9, 0.99))]
        if self.matrices:
            decay = config.weight_decay
            self.optimizers.append(torch.optim.Muon(self.matrices, config.muon_lr, decay))
        self.learning_rates = [one.param_groups[0]["lr"] for one in self.optimizers]

    def step(self, lr_scale: float) -> None:
        """One step, at this share of the learning rates."""
        for matrix, kernel in zip(self.matrices, self.kernels, strict=True):
            matrix.grad = None if kernel.grad is None else kernel.grad.flatten(1)
        for optimizer, learning_rate in zip(self.optimizers, self.learning_rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * lr_scale
            optimizer.step()

    def state_dict(self) -> dict:
        return {str(k): one.state_dict() for k, one in enumerate(self.optimizers)}

    def load_state_dict(self, state: dict) -> None:
        for k, one in enumerate(self.optimizers):
            one.load_state_dict(state[str(k)])


def hidden_matrices(network: nn.Module) -> list[nn.Parameter]:
    """The weights of linear layers and convolutions inside blocks.

    A block is a child of a ModuleList or Sequential that has children; a Sequential (an output head) is not
    one. A convolution's kernel is taken as a matrix (out channels, all that one output sees).
    """
    lists = [one for one in network.modules() if isinstance(one, nn.ModuleList | nn.Sequential)]
    blocks = [block for one in lists for block in one if not isinstance(block, nn.Sequential)]
    blocks = [block for block in blocks if next(block.children(), None) is not None]
    layers = {id(layer): layer for block in blocks for layer in block.modules()}
    return [layer.weight for layer in layers.values() if isinstance(layer, MATRICES)]


def is_matrix(parameter: nn.Parameter) -> bool:
    """Whether it maps many numbers: not a bias, a gate, or a gain, of a head or a channel."""
    return parameter.ndim > 1 and parameter[0].numel() > 1
