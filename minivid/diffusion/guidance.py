"""Wrap a network as a velocity field; classifier-free guidance.

Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598): the network is evaluated with the prompt
and with the empty one, and the difference is exaggerated.
"""

from collections.abc import Callable

from torch import Tensor

from minivid.diffusion.paths import Path
from minivid.diffusion.predictions import Predicts, convert_prediction
from minivid.diffusion.states import Field, State, map_state


def velocity_field(network: Callable[[State, State], State], path: Path, predicts: Predicts) -> Field:
    """The velocity field of a network (x_t, t) -> its prediction, whatever it predicts."""

    def velocity(x_t: State, t: State) -> State:
        return map_state(
            lambda output, x, level: convert_prediction(path, predicts, output, x, level).velocity,
            network(x_t, t),
            x_t,
            t,
        )

    return velocity


def classifier_free_guidance(cond: Field, uncond: Field, scale: float | tuple[float, float]) -> Field:
    """uncond + scale (cond - uncond): 0 ignores the prompt, 1 follows it, more exaggerates it.

    Ho and Salimans' w is scale - 1.

    scale: one, or, for a (video, audio) pair, one for each.
    """

    def velocity(x_t: State, t: State) -> State:
        without, with_prompt = uncond(x_t, t), cond(x_t, t)
        single = isinstance(x_t, tuple) and not isinstance(scale, tuple)
        scales = (scale, scale) if single else scale
        return map_state(lambda u, c, s: u + s * (c - u), without, with_prompt, scales)

    return velocity


def guided_field(
    network: Callable[[State, State, Tensor], State],
    cond: Tensor,
    uncond: Tensor,
    scale: float | tuple[float, float],
    path: Path,
    predicts: Predicts,
) -> Field:
    """The guided field of a conditional network: (x_t, t, conditioning) -> its prediction.

    cond: the conditioning of what is asked for, (b, ...); uncond: that of the empty prompt. One evaluation of
    the guided field is two of the network; at scale 1 the second is left out.
    """

    def field(conditioning: Tensor) -> Field:
        return velocity_field(lambda x_t, t: network(x_t, t, conditioning), path, predicts)

    if scale in (1, (1, 1)):
        return field(cond)
    return classifier_free_guidance(field(cond), field(uncond), scale)
