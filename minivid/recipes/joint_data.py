"""What `joint` is trained on: latents of both kinds, event rolls for alignment, noise levels of both."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from minivid.diffusion import NoiseLevels, time_shift
from minivid.formats import DEFAULT_FORMAT, Format
from minivid.recipes import cache, formats
from minivid.recipes.video import alignment_stopped
from minivid.training import TrainConfig
from minivid.world import scene, sound

LOUDNESS = 0.6, 0.65  # of latents of audio: the mean, and how much it varies


@functools.cache
def training_set(
    n: int, shape: Format, size: int = DEFAULT_FORMAT.width
) -> tuple[Tensor, Tensor, Tensor, list[scene.Scene]]:
    """Latents of video and of audio, event rolls (n, s, 20), and the scenes, those of `video`."""
    latents, scenes = formats.training_set(n, shape, size)
    make = functools.partial(sound.audio, frames=shape.frames)
    audio = cache.latents(f"audio-{shape.name}-{n}", cache.audio_codec(), scenes, make)
    return latents, audio, _event_roll(n, shape), scenes


@functools.cache
def _event_roll(n: int, shape: Format) -> Tensor:
    return sound.event_roll(formats.scenes_of(n, shape), shape.frames)


def with_events(batch: tuple[Tensor, ...], step: int, config: TrainConfig) -> tuple[Tensor, ...]:
    """A batch of latents of both, event rolls and tokens, with loudness added to the rolls.

    Where alignment has stopped, without them.
    """
    latents, audio, roll, tokens = batch
    if alignment_stopped(step, config):
        return latents, audio, tokens
    return latents, audio, torch.cat([loudness(audio)[..., None], roll], -1), tokens


def loudness(audio: Tensor) -> Tensor:
    """How loud each latent of audio is, in units of its spread: (b, c, s) -> (b, s)."""
    mean, spread = LOUDNESS
    return (audio.float().square().mean(1).sqrt() - mean) / spread


@dataclass(frozen=True)
class AVNoiseLevels:
    """Noise levels of video and of audio. Of some clips one is given, so that it has level 0.

    each: of either by itself; both_generated, video_given, audio_given: shares of clips in which both are
    generated, audio behind video by a shift of up to max_audio_shift; audio alone; video alone. In the rest
    the two levels have nothing to do with one another.
    """

    each: NoiseLevels
    both_generated: float = 0.4
    video_given: float = 0.3
    audio_given: float = 0.15
    max_audio_shift: float = 16.0

    def draw(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Of n clips' video and audio: (n,) each, on the CPU."""
        video, other = (self.each.draw(n, rng) for _ in range(2))
        kind = torch.rand(n, generator=rng)
        shift = self.max_audio_shift ** torch.rand(n, generator=rng)
        other = other[torch.randperm(n, generator=rng)]
        audio = torch.where(kind < self.both_generated, time_shift(video, shift), other)
        first = self.both_generated + self.video_given
        last = first + self.audio_given
        video_given = (kind >= self.both_generated) & (kind < first)
        audio_given = (kind >= first) & (kind < last)
        return video.masked_fill(video_given, 0), audio.masked_fill(audio_given, 0)
