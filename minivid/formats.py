"""How long, how large, how fast: the numbers on which picture, sound and every network agree.

A clip has 1 + 4k frames: a causal video codec makes one latent frame of the first, and one of every four
that follow (MAGVIT-v2, Yu et al. 2023, arXiv 2310.05737).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

FRAMES_PER_SECOND = 8
SAMPLE_RATE = 8192
SAMPLES_PER_FRAME = SAMPLE_RATE // FRAMES_PER_SECOND
FRAMES_PER_LATENT = 4  # but for the first latent frame, which is one frame
SAMPLES_PER_LATENT = 256
AUDIO_LATENTS_PER_FRAME = SAMPLES_PER_FRAME // SAMPLES_PER_LATENT


@dataclass(frozen=True)
class Format:
    """How long and how large a clip is: frames, 8 a second, and pixels."""

    frames: int = 17
    height: int = 32
    width: int = 32

    def __str__(self) -> str:
        return f"{self.frames} frame{'s' * (self.frames != 1)} of {self.width}×{self.height}"

    @property
    def name(self) -> str:
        """As in file names and in the keys of a score: 17x32x32."""
        return f"{self.frames}x{self.height}x{self.width}"

    def scaled(self, size: int) -> "Format":
        """The same, where what is 32 pixels here is `size`."""
        scale, rest = divmod(size, DEFAULT_FORMAT.width)
        if rest or scale < 1:
            raise ValueError(f"a size of {size}: allowed are multiples of {DEFAULT_FORMAT.width}.")
        return Format(self.frames, scale * self.height, scale * self.width)


DEFAULT_FORMAT = Format()


def require_values(values: Tensor, what: str) -> Tensor:
    """The values of clips or sounds in [-1, 1], float32. Raises ValueError for all but finite floats."""
    if not values.is_floating_point():
        raise ValueError(
            f"{what} of {values.dtype}: give floats in [-1, 1]; bytes from 0 to 255 become x / 127.5 - 1."
        )
    if not values.isfinite().all():
        raise ValueError(f"{what} with values that are NaN or infinite: nothing can be read in it.")
    return values.float()


def frame_times(frames: int) -> Tensor:
    """When each frame is shown: (frames,) seconds, the middle of the eighth of a second it stays on.

    Raises ValueError where `frames` is not 1 + 4k, the counts that fit a causal video codec.
    """
    if frames < 1 or frames % FRAMES_PER_LATENT != 1:
        below = max(1, (frames - 1) // 4 * 4 + 1)
        raise ValueError(
            f"{frames} frames: a clip has 1 + 4k of them (1, 5, 9, 13, 17, …). Try {below} or {below + 4}."
        )
    return (torch.arange(frames, dtype=torch.float64) + 0.5) / FRAMES_PER_SECOND
