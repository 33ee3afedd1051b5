"""The U-Net: a denoiser for pixels, coarse and fine at once.

Pictures are halved step by step while channels widen, then doubled back, each level handed across
by skip connections (Ronneberger et al. 2015, arXiv 1505.04597); residual blocks take the noise level and the
class by a scale and a shift of their normalised activations (Dhariwal and Nichol 2021, arXiv 2105.05233). The
stem folds 2×2 pixels into channels first (space-to-depth), which quarters the work.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from minivid.models.attention import Attention, TimeEmbedding, TransformerLayer, zero_init


@dataclass(frozen=True)
class UNetConfig:
    """channels: of the picture; classes: how many labels there are; width: channels of the finest level;
    multiples: of the width, one a level; blocks: residual blocks a level; patch: pixels along each side that
    the stem folds into channels.
    """

    channels: int = 3
    classes: int = 10
    width: int = 64
    multiples: tuple[int, ...] = (1, 2)
    blocks: int = 2
    patch: int = 2


class UNet(nn.Module):
    """A class-conditional denoiser of images. The label after the last class asks for none of them."""

    def __init__(self, config: UNetConfig = UNetConfig()):  # noqa: B008 (frozen)
        super().__init__()
        self.config, self.patch, depth = config, config.patch, 4 * config.width
        widths = [config.width * multiple for multiple in config.multiples]
        channels = self.stem_channels * self.patch**2
        self.time = TimeEmbedding(depth)
        self.build_conditioning(depth)
        self.stem = nn.Conv2d(channels, config.width, 3, padding=1)

        self.down, self.up, skips = nn.ModuleList(), nn.ModuleList(), [config.width]
        width = config.width
        for level, out in enumerate(widths):
            if level:
                self.down.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
            for _ in range(config.blocks):
                self.down.append(ResBlock(width, out, depth))
                skips.append(width := out)
        self.middle = nn.ModuleList(
            [ResBlock(width, width, depth), AttentionBlock(width), ResBlock(width, width, depth)]
        )
        for level, out in reversed(list(enumerate(widths))):
            for _ in range(config.blocks + 1):
                self.up.append(ResBlock(width + skips.pop(), out, depth))
                width = out
            if level:
                self.up.append(Upsample(width))
        self.norm = nn.GroupNorm(8, width)
        self.out = zero_init(nn.Conv2d(width, channels, 3, padding=1))

    @property
    def stem_channels(self) -> int:
        return self.config.channels

    @property
    def unit(self) -> tuple[int, int]:
        """Of what the height and the width of a picture must be multiples."""
        unit = self.patch * 2 ** (len(self.config.multiples) - 1)
        return unit, unit

    def build_conditioning(self, depth: int) -> None:
        """What makes a vector of the condition."""
        self.label = nn.Embedding(self.config.classes + 1, depth)

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """x_t: (b, c, h, w), t: (b,), label: (b,) in 0 … classes -> (b, c, h, w).

        Raises ValueError where h and w are not multiples of patch · 2^(levels - 1).
        """
        return self.denoise(x_t, silu(self.time(t) + self.label(label)))

    def denoise(self, x_t: Tensor, emb: Tensor, after_block: Callable = lambda x: x) -> Tensor:
        """Down, through the middle and up again: x_t (b, c, h, w), emb (b, d) -> (b, c, h, w).

        emb: noise level and condition; after_block: what is done to the activations after each ResBlock.
        """
        self._check(x_t)
        x = self.stem(_space_to_depth(x_t, self.patch))
        skips = [x]
        for layer in self.down:
            x = after_block(layer(x, emb)) if isinstance(layer, ResBlock) else layer(x)
            skips.append(x)
        for layer in self.middle:
            x = after_block(layer(x, emb)) if isinstance(layer, ResBlock) else layer(x)
        for layer in self.up:
            if isinstance(layer, ResBlock):
                x = after_block(layer(torch.cat([x, skips.pop()], 1), emb))
            else:
                x = layer(x)
        return _depth_to_space(self.out(silu(self.norm(x))), self.patch)

    def _check(self, x_t: Tensor) -> None:
        unit, _ = self.unit
        if x_t.shape[-2] % unit or x_t.shape[-1] % unit:
            raise ValueError(
                f"pictures of {x_t.shape[-1]}×{x_t.shape[-2]}: this U-Net halves them down to a grid, "
                f"so both sides must be multiples of {unit}."
            )


@dataclass(frozen=True)
class VideoUNetConfig(UNetConfig):
    """temporal_patch: frames folded into channels; text_dim: width of the pooled text; layers: of the
    transformer in the middle; classes: none, the text takes their place.
    """

    classes: int = 0
    patch: int = 4
    temporal_patch: int = 2
    text_dim: int = 128
    layers: int = 4


class VideoUNet(UNet):
    """A denoiser of clips: the image U-Net on every temporal patch, and after each block one along time.

    A temporal patch is the first frame by itself, or two frames more, folded into channels as the stem folds
    pixels: a clip of 17 frames is nine of them. Space, then time ("factorised", Ho et al. 2022, arXiv
    2204.03458): a 3-D convolution would mix both at once and cost more than twice as much. In the middle,
    where the grid is coarse, `layers` transformer layers let everything attend to everything (Hoogeboom et
    al. 2023, arXiv 2301.11093). At the start all of this adds nothing, so it begins as an image U-Net that
    treats every temporal patch alone.
    """

    def __init__(self, config: VideoUNetConfig = VideoUNetConfig()):  # noqa: B008 (frozen)
        super().__init__(config)
        self.frame = TimeEmbedding(self.time.width)
        layers = (*self.down, *self.middle, *self.up)
        blocks = [layer for layer in layers if isinstance(layer, ResBlock)]
        deepest = next(layer for layer in self.middle if isinstance(layer, ResBlock))
        self.temporal = nn.ModuleList(
            TemporalBlock(block.width, config.layers if block is deepest else 0) for block in blocks
        )

    @property
    def stem_channels(self) -> int:
        return self.config.channels * self.config.temporal_patch

    def build_conditioning(self, depth: int) -> None:
        self.pooled_text = nn.Linear(self.config.text_dim, depth)

    def forward(self, x_t: Tensor, t: Tensor, pooled_text: Tensor) -> Tensor:
        """x_t: (b, c, f, h, w), pooled_text: (b, d) -> (b, c, f, h, w).

        t: (b,), or one for each frame (b, 1, f, 1, 1), of which a temporal patch takes the mean. Raises
        ValueError for other levels, and where f is not 1 + temporal_patch · k.
        """
        k = self.config.temporal_patch
        if x_t.shape[2] % k != 1 % k:
            raise ValueError(
                f"{x_t.shape[2]} frames: this network takes the first alone and then {k} at a time, "
                f"so 1, {1 + k}, {1 + 2 * k}, … frames."
            )
        folded = rearrange(_repeat_first(x_t, k), "b c (f k) h w -> b f (c k) h w", k=k)
        b, f = folded.shape[:2]
        frame = self.frame(torch.arange(f, device=x_t.device) / 64)
        emb = silu(self._levels(t, f) + self.pooled_text(pooled_text)[:, None] + frame)
        temporal = iter(self.temporal)
        y = self.denoise(folded.flatten(0, 1), emb.flatten(0, 1), lambda x: next(temporal)(x, f))
        return rearrange(y, "(b f) (c k) h w -> b c (f k) h w", b=b, k=k)[:, :, k - 1 :]

    def _levels(self, t: Tensor, f: int) -> Tensor:
        """The embedded noise level of each of f temporal patches: (b, f, d)."""
        if t[0].numel() == 1:
            return self.time(t.reshape(-1, 1).expand(-1, f))
        k = self.config.temporal_patch
        if t[0].numel() != k * (f - 1) + 1 or t.ndim != 5:
            raise ValueError(
                f"noise levels of {tuple(t.shape)}: a U-Net takes (b,), or one a frame, (b, 1, f, 1, 1). "
                "Give whole frames, or use a transformer."
            )
        return self.time(_repeat_first(t, k).flatten(1).unflatten(1, (f, k)).mean(-1))


class TemporalBlock(nn.Module):
    """A convolution over one frame before and after; with `layers`, a transformer over everything."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.conv = zero_init(nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0)))
        self.transformer = SpacetimeTransformer(width, layers) if layers else None

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x: (b f, c, h, w) -> the same."""
        x = rearrange(x, "(b f) c h w -> b c f h w", f=frames)
        x = x + self.conv(silu(self.norm(x)))
        if self.transformer is not None:
            x = self.transformer(x)
        return rearrange(x, "b c f h w -> (b f) c h w")


class SpacetimeTransformer(nn.Module):
    """A transformer over all positions of all frames: (b, c, f, h, w) -> the same."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.axes = nn.ModuleList(TimeEmbedding(width) for _ in range(3))  # frame, row, column
        for axis in self.axes:
            zero_init(axis.outer)
        heads = max(1, width // 32)
        self.layers = nn.ModuleList(TransformerLayer(width, heads) for _ in range(layers))
        for layer in self.layers:
            zero_init(layer.down)

    def forward(self, x: Tensor) -> Tensor:
        f, h, w = x.shape[2:]
        frame, row, column = (
            axis(torch.arange(n, device=x.device) / 64) for axis, n in zip(self.axes, (f, h, w), strict=True)
        )
        position = frame[:, None, None] + row[:, None] + column
        tokens = rearrange(x, "b c f h w -> b (f h w) c") + position.flatten(0, 2)
        for layer in self.layers:
            tokens = layer(tokens)
        return rearrange(tokens, "b (f h w) c -> b c f h w", f=f, h=h)


class ResBlock(nn.Module):
    """A residual block, scaled and shifted by an embedding: (b, c, h, w), (b, d) -> (b, c', h, w)."""

    def __init__(self, inputs: int, outputs: int, depth: int):
        super().__init__()
        self.width = outputs
        self.norm1 = nn.GroupNorm(8, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(depth, 2 * outputs)
        self.norm2 = nn.GroupNorm(8, outputs, affine=False)
        self.conv2 = zero_init(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        scale, shift = self.modulation(emb)[..., None, None].chunk(2, 1)
        y = self.conv1(silu(self.norm1(x)))
        y = self.conv2(silu(self.norm2(y) * (1 + scale) + shift))
        return self.skip(x) + y


class AttentionBlock(nn.Module):
    """Self-attention over a picture's positions, as a residual."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.attention = Attention(width, heads=max(1, width // 32))

    def forward(self, x: Tensor) -> Tensor:
        tokens = rearrange(self.norm(x), "b c h w -> b (h w) c")
        return x + rearrange(self.attention(tokens), "b (h w) c -> b c h w", h=x.shape[2])


class Upsample(nn.Module):
    """Twice the size, by repeating pixels and smoothing: (b, c, h, w) -> (b, c, 2h, 2w)."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(interpolate(x, scale_factor=2, mode="nearest"))


def _repeat_first(x: Tensor, k: int) -> Tensor:
    """The first of (b, c, f, …) frames k times, so that it fills a temporal patch alone."""
    return torch.cat([x[:, :, :1].expand(-1, -1, k - 1, *x.shape[3:]), x], 2)


def _space_to_depth(x: Tensor, size: int) -> Tensor:
    return rearrange(x, "b c (h p) (w q) -> b (c p q) h w", p=size, q=size)


def _depth_to_space(x: Tensor, size: int) -> Tensor:
    return rearrange(x, "b (c p q) h w -> b c (h p) (w q)", p=size, q=size)
