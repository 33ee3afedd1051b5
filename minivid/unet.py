"""The U-Net: a denoiser for pixels that sees coarse and fine at once.

Pictures are halved step by step while channels widen, then doubled back, each level handed across
(Ronneberger et al. 2015, arXiv 1505.04597); residual blocks are told the noise level and the class by
a scale and a shift of their normalised activations (Dhariwal and Nichol 2021, arXiv 2105.05233). The
stem folds 2×2 pixels into channels first, which quarters the work.
"""

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from minivid.layers import Attention, TimeEmbedding, zeroed


class UNet(nn.Module):
    """A denoiser of images told what to draw.

    channels: of the picture; classes: how many labels there are (a label equal to `classes` asks
    for nothing in particular); width: channels of the finest level; multiples: of the width, one a
    level; blocks: residual blocks a level; fold: pixels folded by the stem along each side.
    """

    def __init__(
        self,
        channels: int = 3,
        classes: int = 10,
        width: int = 64,
        multiples: tuple[int, ...] = (1, 2),
        blocks: int = 2,
        fold: int = 2,
    ):
        super().__init__()
        self.classes, self.fold, depth = classes, fold, 4 * width
        widths = [width * multiple for multiple in multiples]
        self.time = TimeEmbedding(depth)
        self.label = nn.Embedding(classes + 1, depth)
        self.stem = nn.Conv2d(channels * fold**2, width, 3, padding=1)

        self.down, self.up, across = nn.ModuleList(), nn.ModuleList(), [width]
        now = width
        for level, wide in enumerate(widths):
            if level:
                self.down.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                across.append(now)
            for _ in range(blocks):
                self.down.append(Block(now, wide, depth))
                across.append(now := wide)
        self.middle = nn.ModuleList([Block(now, now, depth), Look(now), Block(now, now, depth)])
        for level, wide in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(Block(now + across.pop(), wide, depth))
                now = wide
            if level:
                self.up.append(Upsample(now))
        self.norm = nn.GroupNorm(8, now)
        self.out = zeroed(nn.Conv2d(now, channels * fold**2, 3, padding=1))

    def forward(self, x_t: Tensor, t: Tensor, label: Tensor) -> Tensor:
        """x_t: (b, c, h, w), t: (b,), label: (b,) in 0 … classes -> (b, c, h, w).

        Raises ValueError where h and w are not multiples of fold · 2^(levels - 1).
        """
        return self.walk(x_t, silu(self.time(t) + self.label(label)))

    def walk(self, x_t: Tensor, told: Tensor, then: Callable = lambda x: x) -> Tensor:
        """Down, through the middle and up again: x_t (b, c, h, w), told (b, d) -> (b, c, h, w).

        then: what is done to the activations after each residual block.
        """
        self._check(x_t)
        x = self.stem(_fold(x_t, self.fold))
        across = [x]
        for layer in self.down:
            x = then(layer(x, told)) if isinstance(layer, Block) else layer(x)
            across.append(x)
        for layer in self.middle:
            x = then(layer(x, told)) if isinstance(layer, Block) else layer(x, told)
        for layer in self.up:
            if isinstance(layer, Block):
                x = then(layer(torch.cat([x, across.pop()], 1), told))
            else:
                x = layer(x)
        return _unfold(self.out(silu(self.norm(x))), self.fold)

    def _check(self, x_t: Tensor) -> None:
        halvings = sum(isinstance(layer, nn.Conv2d) for layer in self.down)
        unit = self.fold * 2**halvings
        if x_t.shape[-2] % unit or x_t.shape[-1] % unit:
            raise ValueError(
                f"pictures of {x_t.shape[-1]}×{x_t.shape[-2]}: this U-Net halves them down to a grid, "
                f"so both sides must be multiples of {unit}."
            )


class VideoUNet(UNet):
    """A denoiser of clips: the image U-Net on every frame, and after each block a look along time.

    Space, then time ("factorised", Ho et al. 2022, arXiv 2204.03458): a 3-D convolution would mix both
    at once and cost three times as much. At the start the looks along time add nothing, so it begins
    as an image U-Net that treats every frame alone. asked: width of the vector that says what to draw.
    """

    def __init__(self, asked: int = 128, fold: int = 4, along_time: bool = True, **sizes):
        super().__init__(classes=0, fold=fold, **sizes)
        self.label = nn.Linear(asked, self.time.width)
        self.frame = TimeEmbedding(self.time.width)
        sides = ((self.down, False), (self.middle, True), (self.up, False))
        self.along = nn.ModuleList(
            AlongTime(layer.width, far)
            for layers, far in sides
            for layer in layers
            if along_time and isinstance(layer, Block)
        )

    def forward(self, x_t: Tensor, t: Tensor, asked: Tensor) -> Tensor:
        """x_t: (b, c, f, h, w), t: (b,), asked: (b, d) -> (b, c, f, h, w)."""
        b, _, f, _, _ = x_t.shape
        frame = self.frame(torch.arange(f, device=x_t.device) / 64)
        told = silu((self.time(t) + self.label(asked))[:, None] + frame)
        along = iter(self.along)

        def then(x: Tensor) -> Tensor:
            layer = next(along, None)
            return x if layer is None else layer(x, f)

        frames = rearrange(x_t, "b c f h w -> (b f) c h w")
        return rearrange(
            self.walk(frames, told.flatten(0, 1), then), "(b f) c h w -> b c f h w", b=b
        )


class AlongTime(nn.Module):
    """Each place looks along time: at its neighbours by a convolution, and, where it is to look far,
    at all frames by attention (on the coarsest grid, where that is cheap)."""

    def __init__(self, width: int, far: bool):
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.near = zeroed(nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0)))
        self.far = Far(width) if far else None

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x: (b f, c, h, w) -> the same."""
        x = rearrange(x, "(b f) c h w -> b c f h w", f=frames)
        x = x + self.near(silu(self.norm(x)))
        if self.far is not None:
            h, w = x.shape[-2:]
            tokens = self.far(rearrange(x, "b c f h w -> (b h w) f c"))
            x = rearrange(tokens, "(b h w) f c -> b c f h w", h=h, w=w)
        return rearrange(x, "b c f h w -> (b f) c h w")


class Far(nn.Module):
    """Attention over all frames, as a residual: (n, f, c) -> (n, f, c)."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.when = nn.LayerNorm(width), TimeEmbedding(width)
        self.attention = Attention(width, heads=max(1, width // 32))

    def forward(self, tokens: Tensor) -> Tensor:
        when = self.when(torch.arange(tokens.shape[1], device=tokens.device) / 64)
        return tokens + self.attention(self.norm(tokens) + when)


class Block(nn.Module):
    """A residual block that is told something: (b, c, h, w), (b, d) -> (b, c', h, w)."""

    def __init__(self, inputs: int, outputs: int, depth: int):
        super().__init__()
        self.width = outputs
        self.norm1 = nn.GroupNorm(8, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.told = nn.Linear(depth, 2 * outputs)
        self.norm2 = nn.GroupNorm(8, outputs, affine=False)
        self.conv2 = zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.told(told)[..., None, None].chunk(2, 1)
        y = self.conv1(silu(self.norm1(x)))
        y = self.conv2(silu(self.norm2(y) * (1 + scale) + shift))
        return self.skip(x) + y


class Look(nn.Module):
    """Attention over a picture's positions, as a residual."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.attention = Attention(width, heads=max(1, width // 32))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        tokens = rearrange(self.norm(x), "b c h w -> b (h w) c")
        return x + rearrange(self.attention(tokens), "b (h w) c -> b c h w", h=x.shape[2])


class Upsample(nn.Module):
    """Twice the size, by repeating pixels and smoothing: (b, c, h, w) -> (b, c, 2h, 2w)."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(interpolate(x, scale_factor=2, mode="nearest"))


def _fold(x: Tensor, size: int) -> Tensor:
    return rearrange(x, "b c (h p) (w q) -> b (c p q) h w", p=size, q=size)


def _unfold(x: Tensor, size: int) -> Tensor:
    return rearrange(x, "b (c p q) h w -> b c (h p) (w q)", p=size, q=size)
