"""DiT as it was published, four ways to tell it something, and the library's block beside it.

"Scalable diffusion models with transformers" (Peebles and Xie 2022, arXiv 2212.09748, sections 3.2 and
figure 5): the noise level and what is asked for enter as two more tokens ("in-context"), by cross-attention,
as a scale and a shift of each block's norms ("AdaLN"), or as these and a gate that begins at zero
("AdaLN-zero").
"""

import math
from dataclasses import replace
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention, silu

from minivid.experiments import task
from minivid.experiments.keeping import Follow
from minivid.layers import TimeEmbedding, zeroed

WHAT = "DiT's four ways to tell a transformer something, and the library's block, at equal FLOPs"
SEEDS = (0, 1, 2)

Way = Literal["adaln-zero", "adaln", "in-context", "cross-attention"]
WAYS: tuple[Way, ...] = ("adaln-zero", "adaln", "in-context", "cross-attention")


class PlainBlock(nn.Module):
    """A transformer block told by tokens: in its own list (b, n, d), or, `cross`, in another (b, m, d)."""

    def __init__(self, width: int, heads: int, cross: bool = False):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.cross = cross
        if cross:
            self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
            self.answer = nn.Linear(width, width)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        x = x + self.look(_normed(x))
        if self.cross:
            x = x + self.read(_normed(x), told)
        return x + self.think(_normed(x))

    def read(self, x: Tensor, told: Tensor) -> Tensor:
        q = rearrange(self.query(x), "b n (heads d) -> b heads n d", heads=self.heads)
        k, v = rearrange(
            self.key_value(told), "b m (two heads d) -> two b heads m d", two=2, heads=self.heads
        )
        y = scaled_dot_product_attention(q, k, v)
        return self.answer(rearrange(y, "b heads n d -> b n (heads d)"))

    def look(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(
            self.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=self.heads
        )
        y = scaled_dot_product_attention(q, k, v)
        return self.out(rearrange(y, "b heads n d -> b n (heads d)"))

    def think(self, x: Tensor) -> Tensor:
        return self.narrow(gelu(self.wide(x), approximate="tanh"))


class ClassicBlock(PlainBlock):
    """The same, told by one vector: (b, n, d), (b, d) -> (b, n, d).

    zero: with gates, and all that is told beginning at zero; else without gates.
    """

    def __init__(self, width: int, heads: int, zero: bool = True):
        super().__init__(width, heads)
        self.modulation = nn.Linear(width, (6 if zero else 4) * width)
        if zero:
            zeroed(self.modulation)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        told = rearrange(
            self.modulation(silu(told)), "b (vectors d) -> vectors b 1 d", d=x.shape[-1]
        )
        shift, scale, gate, shift2, scale2, gate2 = (
            told if len(told) == 6 else (*told[:2], 1, *told[2:], 1)
        )
        x = x + gate * self.look(_normed(x) * (1 + scale) + shift)
        return x + gate2 * self.think(_normed(x) * (1 + scale2) + shift2)


class Classic(nn.Module):
    """DiT on any tokens; called like `dit.DiT`, of whose arguments it hears `t` and `whole`.

    asked: what makes a vector (b, width) of what is asked for; outputs: numbers of a token it answers with.
    """

    def __init__(
        self,
        numbers: int,
        width: int,
        depth: int,
        heads: int,
        asked: nn.Module,
        outputs: int = 0,
        way: Way = "adaln-zero",
    ):
        super().__init__()
        self.way, self.width = way, width
        self.stem = nn.Linear(numbers, width)
        self.time, self.asked = TimeEmbedding(width, frequencies=128), asked
        if way.startswith("adaln"):
            zero = way == "adaln-zero"
            self.blocks = nn.ModuleList(ClassicBlock(width, heads, zero) for _ in range(depth))
            self.last = nn.Linear(width, 2 * width)
            if zero:
                zeroed(self.last)
        else:
            cross = way == "cross-attention"
            self.blocks = nn.ModuleList(PlainBlock(width, heads, cross) for _ in range(depth))
        self.out = zeroed(nn.Linear(width, outputs or numbers))

    def forward(self, x_t, places, t, words, whole, seen=None, heard=None) -> Tensor:
        """x_t: (b, n, numbers), t: (b, 1), whole: (b, 1, …) -> (b, n, outputs)."""
        x = self.stem(x_t) + sines(places, self.width)
        time, asked = self.time(t[:, 0]), self.asked(whole[:, 0])
        if self.way.startswith("adaln"):
            told = time + asked
            for block in self.blocks:
                x = block(x, told)
            shift, scale = self.last(silu(told))[:, None].chunk(2, -1)
            return self.out(_normed(x) * (1 + scale) + shift)
        told = torch.stack([time, asked], 1)
        if self.way == "in-context":
            x = torch.cat([x, told], 1)
        for block in self.blocks:
            x = block(x, told)
        return self.out(_normed(x)[:, : x_t.shape[1]])


def networks(seed: int) -> dict[str, nn.Module]:
    """The library's network, and the same with DiT's transformer in its place, told in four ways."""
    made = {"library": task.network(seed)}
    for way in WAYS:
        made[way] = task.network(seed)
        asked = nn.Linear(made[way].text.width, task.WIDTH)
        numbers = made[way].dit.stem.in_features
        made[way].dit = Classic(numbers, task.WIDTH, task.DEPTH, task.WIDTH // 32, asked, way=way)
    return made


def run(seed: int, follow: Follow) -> dict:
    """{network: {"parameters", "flops" of a step on a clip, "steps", "loss" [value, low, high], "curve"}}.

    Who costs more FLOPs a step takes fewer steps.
    """
    found, made = {}, networks(seed)
    usual = task.flops(made["adaln-zero"])
    for name, network in made.items():
        cost = task.flops(network)
        plan = replace(task.PLAN, steps=round(task.PLAN.steps * usual / cost))
        _, record = task.trained(network, seed, follow, name, plan)
        found[name] = {
            "parameters": sum(p.numel() for p in network.parameters()),
            "flops": cost,
            "steps": plan.steps,
            **record,
        }
    return found


def sines(places: Tensor, width: int) -> Tensor:
    """Fixed waves of seconds, down and right, added to tokens: (n, 5) -> (n, width)."""
    pairs = width // 6
    rates = torch.logspace(0, -math.log10(32), pairs).to(places)
    unit = torch.tensor([8.0, 0.25, 0.25]).to(places)  # about one from a token to the next
    angles = (places[..., :3] * unit)[..., None] * rates
    waves = torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)
    return nn.functional.pad(waves, (0, width - waves.shape[-1]))


def _normed(x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:], eps=1e-6)
