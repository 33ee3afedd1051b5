"""Variants of one network for sound and picture: what may attend to what, and which noise levels it learns.

All are `TextToAudioVideo` but for what their names say.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from minivid import diffusion, pipeline
from minivid.formats import FRAMES_PER_LATENT, FRAMES_PER_SECOND
from minivid.models.patches import same_clip_mask
from minivid.models.text_to_video import TextToAudioVideo, TextToAudioVideoConfig
from minivid.recipes import joint, video
from minivid.recipes.joint_data import AVNoiseLevels


class Apart(TextToAudioVideo):
    """Picture and sound that never attend to one another."""

    def attention_mask(self, n: int, m: int) -> Tensor:
        kind = torch.arange(n + m)[None] < n
        return same_clip_mask(kind, kind)


class After(TextToAudioVideo):
    """Sound that attends to the picture, and a picture that does not attend to sound."""

    def attention_mask(self, n: int, m: int) -> Tensor:
        kind = torch.arange(n + m)[None] >= n
        return kind[..., :, None] >= kind[..., None, :]


class Counting(TextToAudioVideo):
    """Sound whose positions in time are the numbers of its tokens, as if each were a latent frame."""

    def audio_positions(self, n: int) -> Tensor:
        positions = super().audio_positions(n)
        positions[:, 0] = torch.arange(len(positions)) * FRAMES_PER_LATENT / FRAMES_PER_SECOND
        return positions


@dataclass(frozen=True)
class Alone:
    """Noise levels of pictures and of their sounds, for those that never attend to one another."""

    each: diffusion.NoiseLevels = video.NOISE_LEVELS

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Of n clips' video and audio: (n,) each."""
        t = self.each.draw(n, rng)
        return t, diffusion.time_shift(t, pipeline.AUDIO_SHIFT)


@dataclass(frozen=True)
class OneByOne:
    """Half learn pictures, whose sound is all noise; half learn sounds of pictures that are given."""

    each: diffusion.NoiseLevels = video.NOISE_LEVELS

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Of n clips' video and audio: (n,) each."""
        t, first = self.each.draw(n, rng), torch.rand(n, generator=rng) < 0.5
        return torch.where(first, t, 0.0), torch.where(first, 1.0, t)


@dataclass(frozen=True)
class Variant:
    """A network, and the noise levels that it is trained on."""

    network: type[TextToAudioVideo] = TextToAudioVideo
    noise_levels: AVNoiseLevels | Alone | OneByOne = joint.NOISE_LEVELS
    shared_feed_forward: bool = False

    def build(self, config: TextToAudioVideoConfig) -> TextToAudioVideo:
        """The network, of a size."""
        return self.network(replace(config, shared_feed_forward=self.shared_feed_forward))


VARIANTS = {
    "apart": Variant(Apart, Alone()),
    "one after the other": Variant(After, OneByOne()),
    "together": Variant(),
    "together, no shared time": Variant(Counting),
    "together, shared feed-forward": Variant(shared_feed_forward=True),
}
