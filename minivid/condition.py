"""Conditioning on known latents: one mask covers image-to-video, extension, inpainting, and sound.

Every latent has a noise level of its own ("Diffusion Forcing", Chen et al. 2024, arXiv 2407.01392). A given
latent has level 0, or a little more, stays as it is, and is seen by all others. Only which latents are given
tells the tasks apart: the first frame (image-to-video), all but a region (inpainting), all of one modality.
Of the shipped models, `joint` was trained for all-video and all-audio, none for frames or regions.

    sample(field, noise, timesteps, path, condition=first_frames(latents, 1))
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from minivid.diffusion import Field, Path, State, add_noise
from minivid.diffusion.paths import expand_like


class Given(NamedTuple):
    """Latents of one modality, (b, c, ...), and a mask that broadcasts to them, true where they are given."""

    latents: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Condition:
    """What is given of the video and of the audio, if anything, and its noise level.

    noise_level: 0 for clean; a little noise keeps a model from copying what it is given. Raises ValueError
    for one outside [0, 1).
    """

    video: Given | None = None
    audio: Given | None = None
    noise_level: float = 0.0

    def __post_init__(self):
        if not 0 <= self.noise_level < 1:
            raise ValueError(f"noise level {self.noise_level} of what is given: allowed is 0 ≤ it < 1.")

    def hold(self, x_t: State, path: Path, noise: State) -> State:
        """The state with what is given in its place, at its noise level, made of the sample's own noise.

        Raises ValueError where what is given has another shape than the state, or is sound of a silent one.
        """
        clean = self.fill(x_t)
        if not self.noise_level:
            return clean

        def put_noised(x: Tensor, clean: Tensor, noise: Tensor, given: Given) -> Tensor:
            noised = add_noise(path, clean, noise, x.new_full((len(x),), self.noise_level))
            return torch.where(given.mask.to(x.device), noised, x)

        return self._where_given(put_noised, x_t, clean, noise)

    def fill(self, state: State) -> State:
        """The state with what is given in its place, clean. Errors as in `hold`."""

        def put(x: Tensor, given: Given) -> Tensor:
            if given.latents.shape != x.shape:
                raise ValueError(
                    f"latents of {tuple(given.latents.shape)} are given, and {tuple(x.shape)} are sampled: "
                    "ask for as many clips as are given, in their format."
                )
            return torch.where(given.mask.to(x.device), given.latents.to(x), x)

        return self._where_given(put, state)

    def levels(self, x_t: State, t: State) -> State:
        """The noise level of each latent, (b, 1, ...): t, (b,) or broadcasting, but for what is given."""

        def level(t: Tensor, x: Tensor, given: Given) -> Tensor:
            return torch.where(given.mask.to(x.device), self.noise_level, expand_like(t, x))

        return self._where_given(level, t, x_t)

    def field(self, field: Field) -> Field:
        """The field, told the noise level of each latent; what is given stands still."""

        def still(velocity: Tensor, given: Given) -> Tensor:
            return velocity.masked_fill(given.mask.to(velocity.device), 0)

        def velocity(x_t: State, t: State) -> State:
            return self._where_given(still, field(x_t, self.levels(x_t, t)))

        return velocity

    def _where_given(self, function: Callable[..., Tensor], *states: State) -> State:
        """The function of the states and what is given of them; the first as it is where nothing is."""

        def part(given: Given | None, *parts: Tensor) -> Tensor:
            return parts[0] if given is None else function(*parts, given)

        if isinstance(states[0], tuple):
            return tuple(map(part, (self.video, self.audio), *states))
        if self.audio is not None:
            raise ValueError('sound is given to a silent model: take one with sound, as load("joint").')
        return part(self.video, *states)


def text_only() -> Condition:
    """Nothing is given but the prompt."""
    return Condition()


def first_frames(latents: Tensor, k: int = 1, noise_level: float = 0.0) -> Condition:
    """The first k latent frames of (b, c, f, h, w) are given: with k = 1, image-to-video.

    Raises ValueError where there are not so many.
    """
    if latents.ndim != 5:
        raise ValueError(f"latents of {tuple(latents.shape)}: give (b, c, f, h, w).")
    frames = latents.shape[2]
    if not 1 <= k <= frames:
        raise ValueError(f"the first {k} of {frames} latent frames: allowed are 1 to {frames}.")
    mask = torch.arange(frames).view(1, 1, -1, 1, 1) < k
    return Condition(Given(latents, mask), noise_level=noise_level)


def region(latents: Tensor, mask: Tensor, noise_level: float = 0.0) -> Condition:
    """A region of video latents (b, c, f, h, w) is given, the rest is painted anew.

    mask: booleans, true where given: (h, w), (f, h, w) or (b, 1, f, h, w), or of size 1 along any of these. A
    transformer reads one noise level for each token: where the mask cuts through a token's patch, that is
    their mean. Raises ValueError for another shape.
    """
    allowed, given = (latents.shape[0], 1, *latents.shape[2:]), tuple(mask.shape)
    mask = mask.reshape(*(1,) * (5 - mask.ndim), *given).bool()
    if mask.ndim > 5 or any(n not in (1, side) for n, side in zip(mask.shape, allowed, strict=True)):
        raise ValueError(
            f"a mask of {given} for latents of {tuple(latents.shape)}: give booleans (h, w), (f, h, w), or "
            f"of a shape that broadcasts to {allowed}."
        )
    return Condition(Given(latents, mask), noise_level=noise_level)


def all_video(latents: Tensor, noise_level: float = 0.0) -> Condition:
    """All of the picture is given, (b, c, f, h, w): video-to-audio."""
    return Condition(video=_all(latents), noise_level=noise_level)


def all_audio(latents: Tensor, noise_level: float = 0.0) -> Condition:
    """All of the sound is given, (b, c, n): audio-to-video."""
    return Condition(audio=_all(latents), noise_level=noise_level)


def _all(latents: Tensor) -> Given:
    return Given(latents, torch.ones((1,) * latents.ndim, dtype=torch.bool))
