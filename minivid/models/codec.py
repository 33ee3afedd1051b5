"""Autoencoders: clips and sound, made small enough to generate and made large again.

A variational autoencoder (Kingma and Welling 2013, arXiv 1312.6114): the encoder gives each latent a mean
and a variance, the decoder is trained on draws from them, and a little pressure towards the standard
normal (KL) keeps what it draws close together. A diffusion model works on the means, each channel
shifted and scaled to mean 0 and standard deviation 1 ("latent diffusion", Rombach et al. 2021, arXiv
2112.10752); those numbers are measured after training and travel with the weights.

No layer normalises over places or times, so a latent depends on its own neighbourhood alone: any format
can be encoded, and, in the video codec, nothing that comes later.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from einops.layers.torch import Rearrange
from torch import Tensor, nn
from torch.nn.functional import silu

from minivid.formats import FRAMES_PER_LATENT, SAMPLES_PER_LATENT
from minivid.models.attention import zero_init

AUDIO_GAIN = 8.0  # the world's sound is about this much below 1, near which networks work best
MAX_LOG_VARIANCE = 2.0  # of a latent: beyond, it says nothing


@dataclass(frozen=True)
class VideoCodecConfig:
    """channels: numbers in a latent; patch: pixels along it; fine, coarse: widths on the two grids."""

    channels: int = 8
    patch: int = 4
    fine: int = 64
    coarse: int = 128


@dataclass(frozen=True)
class AudioCodecConfig:
    """channels: numbers in a latent; width and blocks: of encoder and decoder alike."""

    channels: int = 16
    width: int = 192
    blocks: int = 4


# By how many pixels wide a clip usually is. Both make 8×8 latents of it.
VIDEO_CODECS = {32: VideoCodecConfig(8, 4), 64: VideoCodecConfig(12, 8)}


class Codec(nn.Module):
    """What both have in common: an encoder to means and log variances, a decoder, a scale for each channel.

    Subclasses give `encoder`, `decoder`, and `to_grid` and `from_grid`, which make a clip a grid of channels
    (space-to-depth) and a grid a clip again, exactly. grid_dims: how many axes that grid has.
    """

    grid_dims: int
    encoder: nn.Module
    decoder: nn.Module

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def posterior(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances of the latents, before they are scaled: (b, channels, …) each."""
        mean, log_variance = self.encoder(self.to_grid(clip)).chunk(2, 1)
        return mean, log_variance.clamp(-20, MAX_LOG_VARIANCE)

    def encode(self, clip: Tensor) -> Tensor:
        """Latents, each channel with mean 0 and standard deviation 1 over many clips."""
        mean, std = self._per_channel(self.mean), self._per_channel(self.std)
        return (self.posterior(clip)[0] - mean) / std

    def decode(self, latents: Tensor) -> Tensor:
        """The clip that latents stand for. Not clamped to [-1, 1]."""
        mean, std = self._per_channel(self.mean), self._per_channel(self.std)
        return self.reconstruct(latents * std + mean)

    def reconstruct(self, unscaled: Tensor) -> Tensor:
        """The clip that latents stand for, before they are scaled."""
        return self.from_grid(self.decoder(unscaled))

    @torch.no_grad()
    def fit_normalization(self, clips: Tensor) -> None:
        """Set each channel's mean and standard deviation to those of these clips' latents."""
        parts = clips.to(self.mean.device).split(32)
        means = torch.cat([self.posterior(part)[0] for part in parts])
        std, mean = torch.std_mean(means.transpose(0, 1).flatten(1), 1)
        self.mean.copy_(mean)
        self.std.copy_(std.clamp(min=1e-4))

    def _per_channel(self, numbers: Tensor) -> Tensor:
        """(channels,) -> (channels, 1, …), to go with latents."""
        return numbers.view(-1, *[1] * self.grid_dims)


class VideoCodec(Codec):
    """Clips to latents and back: (b, 3, 1 + 4k, h, w) <-> (b, channels, 1 + k, h/patch, w/patch).

    The first frame is a latent frame by itself, then every four are one. Causal: a latent frame depends
    on no later frame, and a decoded one on no later latent, so a picture is a clip of one frame, and a
    clip that grows needs no new encoding (Yu et al. 2023, "MAGVIT-v2", arXiv 2310.05737). Four frames
    are folded into channels at once (space-to-depth), with squares half as wide as a patch; some blocks work
    on that finer grid, some on the latents' own.
    """

    grid_dims = 3

    def __init__(self, config: VideoCodecConfig = VideoCodecConfig()):  # noqa: B008 (frozen)
        super().__init__(config.channels)
        self.config, self.patch = config, config.patch
        channels, fine, coarse = config.channels, config.fine, config.coarse
        folded = 3 * FRAMES_PER_LATENT * (self.patch // 2) ** 2
        self.encoder = nn.Sequential(
            _frame_conv(folded, fine),
            *(ResBlock3d(fine) for _ in range(2)),
            Rearrange("b c f (h p) (w q) -> b (c p q) f h w", p=2, q=2),
            nn.Conv3d(4 * fine, coarse, 1),
            *(ResBlock3d(coarse) for _ in range(2)),
            _frame_conv(coarse, 2 * channels),
        )
        self.decoder = nn.Sequential(
            _frame_conv(channels, coarse),
            *(ResBlock3d(coarse) for _ in range(2)),
            nn.Conv3d(coarse, 4 * fine, 1),
            Rearrange("b (c p q) f h w -> b c f (h p) (w q)", p=2, q=2),
            *(ResBlock3d(fine) for _ in range(4)),
            _frame_conv(fine, folded),
        )

    def to_grid(self, clip: Tensor) -> Tensor:
        """Raises ValueError for sizes that do not fit."""
        if clip.ndim != 5 or clip.shape[1] != 3:
            raise ValueError(f"clips of shape {tuple(clip.shape)}: this codec takes (b, 3, f, h, w).")
        frames, height, width = clip.shape[2:]
        if frames % FRAMES_PER_LATENT != 1 or height % self.patch or width % self.patch:
            raise ValueError(
                f"a clip of {frames} frames of {width}×{height}: this codec takes 1 + {FRAMES_PER_LATENT}k "
                f"frames (1, 5, 9, 13, 17, …) whose sides are multiples of {self.patch}."
            )
        repeated = clip[:, :, :1].expand(
            -1, -1, FRAMES_PER_LATENT - 1, -1, -1
        )  # the first fills a latent alone
        squares = "b c (f k) (h p) (w q) -> b (c k p q) f h w"
        return rearrange(torch.cat([repeated, clip], 2), squares, k=FRAMES_PER_LATENT, **self._square)

    def from_grid(self, grid: Tensor) -> Tensor:
        squares = "b (c k p q) f h w -> b c (f k) (h p) (w q)"
        return rearrange(grid, squares, k=FRAMES_PER_LATENT, **self._square)[:, :, FRAMES_PER_LATENT - 1 :]

    @property
    def _square(self) -> dict[str, int]:
        return {"p": self.patch // 2, "q": self.patch // 2}


class ResBlock3d(nn.Module):
    """A residual block over (b, c, f, h, w): each frame's neighbourhood, then the two frames before."""

    def __init__(self, width: int):
        super().__init__()
        self.space = _frame_conv(width, width)
        self.time = zero_init(nn.Conv3d(width, width, (3, 1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        y = silu(self.space(silu(x)))
        first = y[:, :, :1]  # before the clip began, all was as in its first frame
        return x + self.time(torch.cat([first, first, y], 2))


def _frame_conv(inputs: int, outputs: int) -> nn.Module:
    """A 3×3 convolution in each frame."""
    return nn.Conv3d(inputs, outputs, (1, 3, 3), padding=(0, 1, 1))


class AudioCodec(Codec):
    """Sound to latents and back: (b, n) <-> (b, channels, n / 256), 31 ms a latent.

    A frame of picture is four latents, so both grids cover the same seconds: a video latent frame goes
    with sixteen of these, the first with four. Built as the video codec: 256 samples are folded into
    channels at once, all convolutions run on the coarse grid. It sees a little ahead.
    """

    grid_dims = 1

    def __init__(self, config: AudioCodecConfig = AudioCodecConfig()):  # noqa: B008 (frozen)
        super().__init__(config.channels)
        self.config = config
        channels, width, blocks = config.channels, config.width, config.blocks
        self.encoder = nn.Sequential(
            _time_conv(SAMPLES_PER_LATENT, width),
            *(ResBlock1d(width) for _ in range(blocks)),
            _time_conv(width, 2 * channels),
        )
        self.decoder = nn.Sequential(
            _time_conv(channels, width),
            *(ResBlock1d(width) for _ in range(blocks)),
            _time_conv(width, SAMPLES_PER_LATENT),
        )

    def to_grid(self, clip: Tensor) -> Tensor:
        """Raises ValueError for a length that does not fit."""
        if clip.ndim != 2 or clip.shape[1] % SAMPLES_PER_LATENT:
            raise ValueError(
                f"sound of shape {tuple(clip.shape)}: this codec takes (b, n) with n a multiple of "
                f"{SAMPLES_PER_LATENT}, as a whole number of frames has (1024 samples each)."
            )
        return AUDIO_GAIN * rearrange(clip, "b (n k) -> b k n", k=SAMPLES_PER_LATENT)

    def from_grid(self, grid: Tensor) -> Tensor:
        return rearrange(grid, "b k n -> b (n k)") / AUDIO_GAIN


class ResBlock1d(nn.Module):
    """A residual block over (b, c, n): each latent's neighbours, then each for itself."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = _time_conv(width, width)
        self.pointwise = zero_init(nn.Conv1d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pointwise(silu(self.conv(silu(x))))


def _time_conv(inputs: int, outputs: int) -> nn.Module:
    """A convolution over three neighbours in time."""
    return nn.Conv1d(inputs, outputs, 3, padding=1)


def kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Divergence from the standard normal, in nats for each number of a latent: a scalar."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2


def sample(mean: Tensor, log_variance: Tensor, rng: torch.Generator) -> Tensor:
    """A draw from the posterior; the noise is drawn on the CPU."""
    noise = torch.randn(mean.shape, generator=rng).to(mean)
    return mean + (log_variance / 2).exp() * noise
