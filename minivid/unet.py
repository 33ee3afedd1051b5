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

from minivid.layers import Attention, Layer, TimeEmbedding, zeroed


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
    """A denoiser of clips: the image U-Net on every moment, and after each block a look along time.

    A moment is the first frame by itself, or two frames more, folded into channels as the stem folds
    pixels: a clip of 17 frames is nine moments. Space, then time ("factorised", Ho et al. 2022, arXiv
    2204.03458): a 3-D convolution would mix both at once and cost more than twice as much. In the middle,
    where the grid is coarse, `layers` transformer layers let every place of every moment look at every
    other (Hoogeboom et al. 2023, arXiv 2301.11093). At the start all of this adds nothing, so it begins
    as an image U-Net that treats every moment alone.
    asked: width of the vector that says what to draw; moment: frames folded into one.
    """

    def __init__(
        self,
        channels: int = 3,
        asked: int = 128,
        fold: int = 4,
        moment: int = 2,
        layers: int = 4,
        **sizes,
    ):
        super().__init__(channels * moment, classes=0, fold=fold, **sizes)
        self.moment = moment
        self.label = nn.Linear(asked, self.time.width)
        self.frame = TimeEmbedding(self.time.width)
        blocks = [layer for layer in self.down if isinstance(layer, Block)]
        middle = [layer for layer in self.middle if isinstance(layer, Block)]
        after = [layer for layer in self.up if isinstance(layer, Block)]
        self.along = nn.ModuleList(
            AlongTime(layer.width, layers if layer is middle[0] else 0)
            for layer in (*blocks, *middle, *after)
        )

    def forward(self, x_t: Tensor, t: Tensor, asked: Tensor) -> Tensor:
        """x_t: (b, c, f, h, w), t: (b,) or one for each moment, asked: (b, d) -> (b, c, f, h, w).

        Raises ValueError where f is not 1 + moment · k.
        """
        k = self.moment
        if x_t.shape[2] % k != 1 % k:
            raise ValueError(
                f"{x_t.shape[2]} frames: this network takes the first alone and then {k} at a time, "
                f"so 1, {1 + k}, {1 + 2 * k}, … frames."
            )
        again = x_t[:, :, :1].expand(-1, -1, k - 1, -1, -1)  # the first frame fills a moment alone
        moments = rearrange(torch.cat([again, x_t], 2), "b c (f k) h w -> b f (c k) h w", k=k)
        b, f = moments.shape[:2]
        frame = self.frame(torch.arange(f, device=x_t.device) / 64)
        level = self.time(t if t.ndim == 2 else t[:, None].expand(b, f))
        told = silu(level + self.label(asked)[:, None] + frame)
        along = iter(self.along)
        seen = self.walk(moments.flatten(0, 1), told.flatten(0, 1), lambda x: next(along)(x, f))
        return rearrange(seen, "(b f) (c k) h w -> b c (f k) h w", b=b, k=k)[:, :, k - 1 :]


class AlongTime(nn.Module):
    """Each place looks at itself one frame before and after; with `layers`, everything at everything."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.near = zeroed(nn.Conv3d(width, width, (3, 1, 1), padding=(1, 0, 0)))
        self.far = Everywhere(width, layers) if layers else None

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x: (b f, c, h, w) -> the same."""
        x = rearrange(x, "(b f) c h w -> b c f h w", f=frames)
        x = x + self.near(silu(self.norm(x)))
        if self.far is not None:
            x = self.far(x)
        return rearrange(x, "b c f h w -> (b f) c h w")


class Everywhere(nn.Module):
    """A transformer over all places of all frames: (b, c, f, h, w) -> the same."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.places = nn.ModuleList(TimeEmbedding(width) for _ in range(3))  # frame, row, column
        for place in self.places:
            zeroed(place.outer)
        self.layers = nn.ModuleList(Layer(width, max(1, width // 32)) for _ in range(layers))
        for layer in self.layers:
            zeroed(layer.narrow)

    def forward(self, x: Tensor) -> Tensor:
        f, h, w = x.shape[2:]
        at = [
            place(torch.arange(n, device=x.device) / 64)
            for place, n in zip(self.places, (f, h, w), strict=True)
        ]
        where = at[0][:, None, None] + at[1][:, None] + at[2]
        tokens = rearrange(x, "b c f h w -> b (f h w) c") + where.flatten(0, 2)
        for layer in self.layers:
            tokens = layer(tokens)
        return rearrange(tokens, "b (f h w) c -> b c f h w", f=f, h=h)


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
