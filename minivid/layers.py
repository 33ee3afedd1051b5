"""What the networks share: a sense of the noise level, and attention."""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu


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
            if q.device.type == "cpu":  # eight times as fast as PyTorch's bf16 attention on a CPU
                q, k, v = q.float(), k.float(), v.float()
            mixed = scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return self.out(rearrange(mixed, "b heads n d -> b n (heads d)"))


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
