"""What the transformers are made of: attention, rotary positions, feed-forwards, time embedding."""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import normalize, rms_norm, scaled_dot_product_attention, silu

HEAD_DIM = 32  # 16 rotating pairs, shared out among seconds, down and right
AXES_PAIRS = (6, 5, 5)
# In how many seconds and pixels the fastest and the slowest of those pairs turn once. Neighbours of our
# formats are half a second and 8 pixels apart: what turns once on that way could not tell them apart.
AXES_PERIODS = ((0.6, 20.0), (18.0, 300.0), (18.0, 300.0))
SHORT = 256  # tokens: up to here the matrix of attention weights fits into a processor's cache


class TimeEmbedding(nn.Module):
    """A noise level as a vector: sinusoids of many frequencies, then a small MLP.

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
    """Multi-head self-attention: (b, n, d) -> (b, n, d). The output starts at zero.

    attention_mask: booleans that broadcast to (b, heads, n, n), true where a token may attend.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = zero_init(nn.Linear(width, width))

    def forward(self, x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        q, k, v = rearrange(
            self.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=self.heads
        )
        with torch.autocast(q.device.type, enabled=False):
            y = attention(q, k, v, attention_mask, q.shape[-1] ** -0.5)
        return self.out(rearrange(y, "b heads n d -> b n (heads d)"))


class QKNormAttention(nn.Module):
    """Attention with normalised queries and keys: tokens (b, n, d) attend to context (b, m, d) -> (b, n, d).

    Queries and keys have length 1, and a learned scale takes the place of 1 / sqrt(d) (Henry et al. 2020,
    arXiv 2010.04245, with one scale a layer; here each head has its own). With `context` the tokens
    themselves it is self-attention, else cross-attention. rope_angles: of both, where they are the same
    tokens; see `rope_angles`. attention_mask: booleans (b, n, m), or (b, 1, m), true where a token may
    attend.
    """

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.logit_scale = nn.Parameter(torch.full((width // HEAD_DIM, 1, 1), math.log(8.0)))

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        rope_angles: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        q = rearrange(self.query(x), "b n (heads d) -> b heads n d", d=HEAD_DIM)
        k, v = rearrange(self.key_value(context), "b m (two heads d) -> two b heads m d", two=2, d=HEAD_DIM)
        with torch.autocast(x.device.type, enabled=False):
            if x.device.type == "cpu":
                q, k = q.float(), k.float()
            q, k = normalize(q, dim=-1) * self.logit_scale.exp(), normalize(k, dim=-1)
            if rope_angles is not None:
                q, k = apply_rope(q, rope_angles), apply_rope(k, rope_angles)
            mask = None if attention_mask is None else attention_mask[:, None]
            y = attention(q, k, v, mask, scale=1.0)
        return self.out(rearrange(y, "b heads n d -> b n (heads d)"))


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """softmax(scale q kᵀ) v ("Attention is all you need", eq. 1).

    q: (b, heads, n, d), k and v: (b, heads, m, d) -> (b, heads, n, d).
    mask: booleans that broadcast to (b, heads, n, m), true where a token may attend. PyTorch's own kernel;
    but on a CPU that is slower in bf16 than in full precision: there short lists are computed as the formula
    is written, in two products of matrices, and long ones in full precision.
    """
    if v.device.type == "cpu" and v.dtype == torch.bfloat16:
        if q.shape[-2] * k.shape[-2] <= SHORT**2:
            logits = scale * (q.to(v) @ k.to(v).mT).float()
            logits = logits if mask is None else logits.masked_fill(~mask, -math.inf)
            return logits.softmax(-1).to(v) @ v
        q = q.float()
    return scaled_dot_product_attention(q, k.to(q), v.to(q), attn_mask=mask, scale=scale)


class SwiGLU(nn.Module):
    """A gated feed-forward (Shazeer 2020, arXiv 2002.05202): (..., d) -> (..., d)."""

    def __init__(self, width: int):
        super().__init__()
        hidden = 32 * round(8 * width / 3 / 32)
        self.up, self.down = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.up(x).chunk(2, -1)
        return self.down(silu(gate) * value)


class TransformerLayer(nn.Module):
    """A pre-norm transformer layer, self-attention and a feed-forward: (b, n, d) -> (b, n, d)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), attention_mask)
        return x + self.down(silu(self.up(self.norm2(x))))


# Rotary positions (RoPE, Su et al. 2021, arXiv 2104.09864), in seconds and pixels --------------------


def rope_angles(positions: Tensor) -> Tensor:
    """The angle of every rotating pair: (..., n, 5) -> (..., n, HEAD_DIM / 2).

    Each pair turns with one axis, once in so many seconds or pixels. positions: see `patches.positions`.
    """
    angles = []
    for axis, (pairs, (fast, slow)) in enumerate(zip(AXES_PAIRS, AXES_PERIODS, strict=True)):
        rates = angular_rates(fast, slow, pairs).to(positions)
        angles.append(positions[..., axis, None] * rates)
    return torch.cat(angles, -1)


def apply_rope(x: Tensor, angles: Tensor) -> Tensor:
    """Turn each pair of numbers by its angle: (b, heads, n, HEAD_DIM), (n, …) or (b, n, HEAD_DIM / 2)."""
    angles = angles if angles.ndim == 2 else angles[:, None]
    cos, sin = angles.cos(), angles.sin()
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def fourier_features(x: Tensor, rates: Tensor) -> Tensor:
    """Cosines and sines of each number at each of r rates: (..., k) -> (..., 2 · k · r)."""
    angles = (x[..., None] * rates.to(x)).flatten(-2)
    return torch.cat([angles.cos(), angles.sin()], -1)


def angular_rates(fast: float, slow: float, n: int) -> Tensor:
    """Angles a second, or a pixel, of n pairs that turn once in `fast` … `slow` of them: (n,)."""
    return 2 * math.pi / torch.logspace(math.log10(fast), math.log10(slow), n)


def root_mean_square_norm(x: Tensor) -> Tensor:
    """RMSNorm without gains (Zhang and Sennrich 2019, arXiv 1910.07467), in full precision."""
    return rms_norm(x.float(), x.shape[-1:])  # in bf16 it would be slow, and coarse


def zero_init(layer: nn.Module) -> nn.Module:
    """The layer with weights and bias at zero, so that what it adds to a residual begins as nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
