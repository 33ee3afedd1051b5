"""What the networks share: a sense of the noise level, and attention."""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

SHORT = 256  # tokens: up to here who looks at whom fits into a processor's memory at hand


class TimeEmbedding(nn.Module):
    """A noise level as a vector: sines of many frequencies, then a small MLP.

    Sinusoids as in "Attention is all you need" (arXiv 1706.03762), t scaled by 1000 as in DDPM.
    t: (...) in [0, 1] -> (..., width).
    """

    def __init__(self, width: int, frequencies: int = 64):
        super().__init__()
        self.width = width
        rates = 1000 * torch.exp(-math.log(10_000) * torch.arange(frequencies) / frequencies)
        self.register_buffer("rates", rates, persistent=False)
        self.inner = nn.Linear(2 * frequencies, width)
        self.outer = nn.Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        angles = t[..., None] * self.rates
        return self.outer(silu(self.inner(torch.cat([angles.cos(), angles.sin()], -1))))


class Attention(nn.Module):
    """Every token looks at every other: (b, n, d) -> (b, n, d). The output starts at zero.

    seen: booleans that broadcast to (b, heads, n, n), true where one may look; by default everywhere.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = zeroed(nn.Linear(width, width))

    def forward(self, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
        q, k, v = rearrange(
            self.qkv(tokens), "b n (three heads d) -> three b heads n d", three=3, heads=self.heads
        )
        with torch.autocast(q.device.type, enabled=False):
            mixed = attend(q, k, v, seen, q.shape[-1] ** -0.5)
        return self.out(rearrange(mixed, "b heads n d -> b n (heads d)"))


def attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None, scale: float) -> Tensor:
    """softmax(scale q kᵀ) v ("Attention is all you need", eq. 1).

    q: (b, heads, n, d), k and v: (b, heads, m, d) -> (b, heads, n, d).
    seen: booleans that broadcast to (b, heads, n, m), true where one may look. PyTorch's own kernel; but on a
    CPU that is slower in bf16 than in full precision: there short lists are looked at as the formula is
    written, in two products of matrices, and long ones in full precision.
    """
    if v.device.type == "cpu" and v.dtype == torch.bfloat16:
        if q.shape[-2] * k.shape[-2] <= SHORT**2:
            alike = scale * (q.to(v) @ k.to(v).mT).float()
            alike = alike if seen is None else alike.masked_fill(~seen, -math.inf)
            return alike.softmax(-1).to(v) @ v
        q = q.float()
    return scaled_dot_product_attention(q, k.to(q), v.to(q), attn_mask=seen, scale=scale)


class Layer(nn.Module):
    """A transformer layer: every token looks at every other, then thinks for itself; (b, n, d)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), seen)
        return x + self.narrow(silu(self.wide(self.norm2(x))))


def zeroed(layer: nn.Module) -> nn.Module:
    """The layer with weights and bias at zero, so that what it adds to a residual begins as nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
