"""The blocks of the published DiT (Peebles and Xie 2022, arXiv 2212.09748, figure 3).

LayerNorm without gains, plain attention, GELU; the conditioning comes in tokens, or modulates the norms.
"""

from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention, silu

from minivid.models.attention import zero_init


class PlainBlock(nn.Module):
    """A transformer block without modulation: (b, n, d) -> (b, n, d).

    The conditioning is among the tokens; or, with `cross`, in tokens of its own (b, m, d).
    """

    def __init__(self, width: int, heads: int, cross: bool = False):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.cross = cross
        if cross:
            self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
            self.cross_out = nn.Linear(width, width)

    def forward(self, x: Tensor, conditioning: Tensor) -> Tensor:
        x = x + self.self_attention(norm(x))
        if self.cross:
            x = x + self.cross_attention(norm(x), conditioning)
        return x + self.feed_forward(norm(x))

    def self_attention(self, x: Tensor) -> Tensor:
        q, k, v = self._split(self.qkv(x))
        return self.out(self._join(scaled_dot_product_attention(q, k, v)))

    def cross_attention(self, x: Tensor, conditioning: Tensor) -> Tensor:
        (q,), (k, v) = self._split(self.query(x)), self._split(self.key_value(conditioning))
        return self.cross_out(self._join(scaled_dot_product_attention(q, k, v)))

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.down(gelu(self.up(x), approximate="tanh"))

    def _split(self, x: Tensor) -> Tensor:
        """Queries, keys and values that lie side by side: (b, n, parts · d) -> (parts, b, heads, n, d)."""
        d = self.out.in_features // self.heads
        return rearrange(x, "b n (k heads d) -> k b heads n d", heads=self.heads, d=d)

    def _join(self, y: Tensor) -> Tensor:
        return rearrange(y, "b heads n d -> b n (heads d)")


class ClassicBlock(PlainBlock):
    """The same, conditioned by one vector (b, d), which scales and shifts what the norms give.

    zero: with gates, and all modulation beginning at zero; else without gates.
    """

    def __init__(self, width: int, heads: int, zero: bool = True):
        super().__init__(width, heads)
        self.modulation = nn.Linear(width, (6 if zero else 4) * width)
        if zero:
            zero_init(self.modulation)

    def forward(self, x: Tensor, conditioning: Tensor) -> Tensor:
        vectors = rearrange(self.modulation(silu(conditioning)), "b (k d) -> k b 1 d", d=x.shape[-1])
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = (
            vectors if len(vectors) == 6 else (*vectors[:2], 1, *vectors[2:], 1)
        )
        x = x + gate * self.self_attention(norm(x) * (1 + scale) + shift)
        return x + mlp_gate * self.feed_forward(norm(x) * (1 + mlp_scale) + mlp_shift)


def norm(x: Tensor) -> Tensor:
    """LayerNorm without gains."""
    return layer_norm(x, x.shape[-1:], eps=1e-6)
