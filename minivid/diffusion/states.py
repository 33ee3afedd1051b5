"""What is denoised: a tensor (b, ...), or the pair (video, audio) of a clip with sound.

A field takes a state and its noise level t, and gives the velocity d x_t / dt, a state like it. t has one
level for each sample, (b,), or as many axes as the state: (b, 1, f, 1, 1) is a level for every latent frame.
For a pair, t is a pair.
"""

from collections.abc import Callable

from torch import Tensor

State = Tensor | tuple[Tensor, Tensor]
Field = Callable[[State, State], State]


def map_state(function: Callable, *states):
    """Apply a function of tensors to states, (video, audio) pairs part by part."""
    if not isinstance(states[0], tuple):
        return function(*states)
    return tuple(function(*parts) for parts in zip(*states, strict=True))
