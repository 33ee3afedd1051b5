"""The diffusion transformer: tokens that look at each other, at the words, and at how noisy they are.

DiT (Peebles and Xie 2022, arXiv 2212.09748) put a plain transformer in the place of the U-Net and told
each block the noise level by a scale, a shift and a gate, the gates beginning at zero ("AdaLN-zero").
The block here is what has become of it since: root-mean-square norms (Zhang and Sennrich 2019, arXiv
1910.07467), normalised queries and keys (Dehghani et al. 2023, arXiv 2302.05442), rotary positions (Su et
al. 2021, arXiv 2104.09864) in seconds and pixels, gated feed-forwards (Shazeer 2020, arXiv 2002.05202),
words by cross-attention, and one modulation that all blocks share up to an offset (PixArt-α, Chen et al.
2023, arXiv 2310.00426).

Every token has a noise level of its own. Whoever gives some of them level 0 says: these are known.
"""

import functools
import math
from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import normalize, rms_norm, silu

from minivid.layers import TimeEmbedding, attend, zeroed

HEAD = 32  # numbers of a head: 16 rotating pairs, shared out among seconds, down and right
PAIRS = (6, 5, 5)
EDGES = 6  # waves in which each border's distance is told
# In how many seconds and pixels the fastest and the slowest of those pairs turn once. Neighbours of our
# formats are half a second and 8 pixels apart: what turns once on that way could not tell them apart.
TURNS = ((0.6, 20.0), (18.0, 300.0), (18.0, 300.0))
CLOCK = (0.125, 8.0)  # seconds in which the fastest and the slowest hand of the clock turn once
HANDS = 7  # of the clock: each turns twice as slowly as the one before


Pair = tuple[Tensor, Tensor]  # of picture, and of sound


class DiT(nn.Module):
    """Tokens to tokens, whatever the format.

    numbers: in a token; asked: width of the words' vectors; depth: blocks; block: makes one, of a width.
    """

    def __init__(
        self,
        numbers: int,
        width: int = 192,
        depth: int = 8,
        asked: int = 128,
        block: "Callable[[int], Block] | None" = None,
    ):
        super().__init__()
        self.stem = nn.Linear(numbers, width)
        self.edges = nn.Linear(8 * EDGES, width, bias=False)
        self.time = TimeEmbedding(width)
        self.whole = nn.Linear(asked, width)
        self.words = nn.Linear(asked, width)
        self.modulation = zeroed(nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList((block or Block)(width) for _ in range(depth))
        self.last = zeroed(nn.Linear(width, 2 * width))
        self.out = zeroed(nn.Linear(width, numbers))

    def forward(
        self,
        x_t: Tensor,
        places: Tensor,
        t: Tensor,
        words: Tensor,
        whole: Tensor,
        seen: Tensor | None = None,
        heard: Tensor | None = None,
    ) -> Tensor:
        """What `both` says of the tokens, without what they are halfway."""
        return self.both(x_t, places, t, words, whole, seen, heard)[0]

    def both(
        self,
        x_t: Tensor,
        places: Tensor,
        t: Tensor,
        words: Tensor,
        whole: Tensor,
        seen: Tensor | None = None,
        heard: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The tokens in the end, (b, n, numbers), and what they are after half of the blocks, (b, n, width).

        x_t: (b, n, numbers), places: (b, n, 5) or (n, 5), see `patches.places`.

        t: noise levels, (b, 1) or one for each token (b, n); words: (b, m, asked), what each word means;
        whole: (b, 1, asked) or (b, n, asked), what the whole sentence means. seen, heard: booleans
        (b, n, n) and (b, n, m), true where a token may look at a token, or a word; everywhere if not given.
        """
        x = self.stem(x_t) + self.edges(_edges(places))
        told = silu(self.time(t) + self.whole(whole))
        six = self.modulation(told)
        turns = rotations(places)
        words = self.words(words)
        x, halfway = self.through(x, six, turns, words, seen, heard)
        scale, shift = self.last(told).chunk(2, -1)
        return self.out(normed(x) * (1 + scale) + shift), halfway

    def through(self, x: Tensor, *given) -> tuple[Tensor, Tensor]:
        """The tokens after all blocks, and after half of them, the middle one included."""
        x = halfway = x.float()  # as a block returns it: in bf16 the first would be compiled apart
        for done, block in enumerate(self.blocks, 1):
            x = block(x, *given)
            if done == (len(self.blocks) + 1) // 2:
                halfway = x
        return x, halfway


class Block(nn.Module):
    """Look at the other tokens, look at the words, think: (b, n, d) -> (b, n, d).

    At the start every gate is zero, so a block changes nothing.
    """

    def __init__(self, width: int):
        super().__init__()
        self.look = Look(width)
        self.read = Look(width)
        self.think = Think(width)
        self.offset = nn.Parameter(torch.zeros(6 * width))
        zeroed(self.read.out)

    def forward(self, x, six, turns, words, seen=None, heard=None, pictures=0) -> Tensor:
        """pictures: how many of the tokens, where others are of sound; see `JointBlock`."""
        scale, shift, gate, scale2, shift2, gate2 = self.told(six, pictures).chunk(6, -1)
        y = normed(x) * (1 + scale) + shift
        x = x + gate * self.look(y, y, turns, seen)
        x = x + self.read(normed(x), words, seen=heard)
        return x + gate2 * self.thought(normed(x) * (1 + scale2) + shift2, pictures)

    def told(self, six: Tensor, pictures: int) -> Tensor:
        """What all blocks are told, as this one takes it."""
        return six + self.offset

    def thought(self, x: Tensor, pictures: int) -> Tensor:
        """What each token makes of what it has seen."""
        return self.think(x)


class JointDiT(DiT):
    """Picture and sound in one list: every token looks at every other, each kind thinks for itself.

    Sound has a way in and out, a modulation, and in each block a feed-forward of its own; attention, words
    and the sense of noise are shared (as in JavisDiT++, whose ablation found shared feed-forwards worse).
    Rotations tell attention differences of time; a clock of HANDS hands tells each token when it is.
    numbers, sounds: in a token of picture, of sound; apart: whether sound thinks for itself at all.
    """

    def __init__(
        self,
        numbers: int,
        sounds: int,
        width: int = 192,
        depth: int = 8,
        asked: int = 128,
        apart: bool = True,
    ):
        super().__init__(numbers, width, depth, asked, functools.partial(JointBlock, apart=apart))
        self.clock = zeroed(nn.Linear(2 * HANDS, width))
        self.sound_stem = nn.Linear(sounds, width)
        self.sound_modulation = zeroed(nn.Linear(width, 6 * width))
        self.sound_last = zeroed(nn.Linear(width, 2 * width))
        self.sound_out = zeroed(nn.Linear(width, sounds))

    def both(
        self,
        x_t: Pair,
        places: Pair,
        t: Pair,
        words: Tensor,
        whole: Tensor,
        seen: Tensor | None = None,
        heard: Tensor | None = None,
    ) -> tuple[Pair, Pair]:
        """Pairs are of picture and of sound. x_t: (b, n, numbers) and (b, m, sounds) -> the same.

        And what the tokens are after half of the blocks, (b, n, width) and (b, m, width).

        places: (n, 5) and (m, 5); t: (b, 1) or (b, n), and (b, 1) or (b, m); words, whole, seen, heard: as
        in `DiT`, for all n + m tokens, pictures first.
        """
        n, m = (tokens.shape[1] for tokens in x_t)
        x = torch.cat(
            [self.stem(x_t[0]) + self.edges(_edges(places[0])), self.sound_stem(x_t[1])], 1
        )
        x = x + self.clock(_clock(torch.cat(places)))
        told = [silu(self.time(level) + self.whole(whole)) for level in t]
        six = _each(told, (self.modulation, self.sound_modulation), (n, m))
        turns, words = rotations(torch.cat(places)), self.words(words)
        seen = None if seen is None else seen.to(x.device)
        x, halfway = self.through(x, six, turns, words, seen, heard, n)
        scale, shift = _each(told, (self.last, self.sound_last), (n, m)).chunk(2, -1)
        x = normed(x) * (1 + scale) + shift
        return (self.out(x[:, :n]), self.sound_out(x[:, n:])), (halfway[:, :n], halfway[:, n:])


class JointBlock(Block):
    """A block in which sound takes what it is told, and thinks, in a way of its own."""

    def __init__(self, width: int, apart: bool = True):
        super().__init__(width)
        self.sound_offset = nn.Parameter(torch.zeros(6 * width))
        self.sound_think = Think(width) if apart else self.think

    def told(self, six: Tensor, pictures: int) -> Tensor:
        seen, sounds = six.tensor_split([pictures], 1)
        return torch.cat([seen + self.offset, sounds + self.sound_offset], 1)

    def thought(self, x: Tensor, pictures: int) -> Tensor:
        seen, sounds = x.tensor_split([pictures], 1)
        return torch.cat([self.think(seen), self.sound_think(sounds)], 1)


class Look(nn.Module):
    """Attention with normalised queries and keys: (b, n, d) looks at (b, m, d) -> (b, n, d).

    turns: the angles of both, where they are the same tokens; see `rotations`.
    """

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.sharpness = nn.Parameter(torch.full((width // HEAD, 1, 1), math.log(8.0)))

    def forward(self, x, others, turns=None, seen=None) -> Tensor:
        q = rearrange(self.query(x), "b n (heads d) -> b heads n d", d=HEAD)
        k, v = rearrange(
            self.key_value(others), "b m (two heads d) -> two b heads m d", two=2, d=HEAD
        )
        with torch.autocast(x.device.type, enabled=False):
            if x.device.type == "cpu":
                q, k = q.float(), k.float()
            q, k = normalize(q, dim=-1) * self.sharpness.exp(), normalize(k, dim=-1)
            if turns is not None:
                q, k = rotate(q, turns), rotate(k, turns)
            y = attend(q, k, v, None if seen is None else seen[:, None], scale=1.0)
        return self.out(rearrange(y, "b heads n d -> b n (heads d)"))


class Think(nn.Module):
    """A gated feed-forward, SwiGLU: (..., d) -> (..., d)."""

    def __init__(self, width: int):
        super().__init__()
        hidden = 32 * round(8 * width / 3 / 32)
        self.wide, self.narrow = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.wide(x).chunk(2, -1)
        return self.narrow(silu(gate) * value)


def _each(told: Sequence[Tensor], layers: Sequence[nn.Module], counts: Sequence[int]) -> Tensor:
    """What each kind's layer makes of what it is told, (b, 1, d) or one a token: (b, n + m, …)."""
    return torch.cat(
        [
            layer(what).expand(-1, n, -1)
            for what, layer, n in zip(told, layers, counts, strict=True)
        ],
        1,
    )


def rotations(places: Tensor) -> Tensor:
    """The angle of every rotating pair: (..., n, 5) -> (..., n, HEAD / 2).

    Each pair turns with one axis, once in so many seconds or pixels.
    """
    angles = []
    for axis, (pairs, (fast, slow)) in enumerate(zip(PAIRS, TURNS, strict=True)):
        angles.append(places[..., axis, None] * _rates(fast, slow, pairs).to(places))
    return torch.cat(angles, -1)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn each pair of numbers by its angle: (b, heads, n, HEAD), (n, …) or (b, n, HEAD / 2)."""
    angles = angles if angles.ndim == 2 else angles[:, None]
    cos, sin = angles.cos(), angles.sin()
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def _edges(places: Tensor) -> Tensor:
    """How far each wall is, as sines and cosines: (..., n, 5) -> (..., n, 8 · EDGES)."""
    at, frame = places[..., 1:3], places[..., 3:5]
    away = torch.cat([frame / 2 + at, frame / 2 - at], -1)
    return _waves(away, _rates(*TURNS[1], EDGES))


def _clock(places: Tensor) -> Tensor:
    """The time, as the hands of a clock show it: (..., n, 5) -> (..., n, 2 · hands)."""
    return _waves(places[..., :1], _rates(*CLOCK, HANDS))


def _waves(x: Tensor, rates: Tensor) -> Tensor:
    """Cosines and sines of each number at each of r rates: (..., k) -> (..., 2 · k · r)."""
    angles = (x[..., None] * rates.to(x)).flatten(-2)
    return torch.cat([angles.cos(), angles.sin()], -1)


def _rates(fast: float, slow: float, n: int) -> Tensor:
    """Angles a second, or a pixel, of n pairs that turn once in `fast` … `slow` of them: (n,)."""
    return 2 * math.pi / torch.logspace(math.log10(fast), math.log10(slow), n)


def normed(x: Tensor) -> Tensor:
    return rms_norm(x.float(), x.shape[-1:])  # in bf16 it would be slow, and coarse
