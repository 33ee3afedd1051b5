"""The diffusion transformer for picture and sound: one list of tokens, in which each kind attends to both.

Audio has a way in and out, a modulation, and in each block a feed-forward of its own; attention, text and
the embedding of noise levels are shared (as in JavisDiT++, whose ablation found shared feed-forwards worse).
Rotary positions give attention differences of time; Fourier features of the absolute time tell each token
when it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from minivid.models.attention import SwiGLU, angular_rates, fourier_features, rope_angles, zero_init
from minivid.models.dit import (
    Block,
    Context,
    DiT,
    DiTConfig,
    Modulation,
    Text,
    border_features,
    split_modulation,
)

# Seconds of the fastest and the slowest wave that tells the absolute time.
TIME_PERIODS = (0.125, 8.0)
TIME_RATES = 7  # each twice as slow as the one before

Pair = tuple[Tensor, Tensor]  # of video, and of audio


@dataclass(frozen=True)
class DiTAVConfig(DiTConfig):
    """audio_token_dim: numbers in a token of audio; shared_feed_forward: whether both kinds use one."""

    audio_token_dim: int = 32
    shared_feed_forward: bool = False


@dataclass(frozen=True)
class AVContext(Context):
    """video_tokens: how many of the tokens, the first, are of video."""

    video_tokens: int = 0


class DiTAV(DiT):
    """Tokens of video and of audio to the same. Pairs are of video and of audio."""

    def __init__(self, config: DiTAVConfig):
        super().__init__(config)
        width = config.width
        self.absolute_time = zero_init(nn.Linear(2 * TIME_RATES, width))
        self.audio_stem = nn.Linear(config.audio_token_dim, width)
        self.audio_modulation = zero_init(nn.Linear(width, 6 * width))
        self.audio_final_modulation = zero_init(nn.Linear(width, 2 * width))
        self.audio_out = zero_init(nn.Linear(width, config.audio_token_dim))

    def build_block(self) -> "AVBlock":
        return AVBlock(self.config.width, self.config.shared_feed_forward)

    def forward(
        self,
        x_t: Pair,
        t: Pair,
        positions: Pair,
        text: Text,
        attention_mask: Tensor | None = None,
        return_hidden: bool = False,
    ) -> Pair | tuple[Pair, Pair]:
        """x_t: (b, n, token_dim) and (b, m, audio_token_dim) -> the same.

        With return_hidden also the hidden states, (b, n, width) and (b, m, width). t: (b, 1) or (b, n), and
        (b, 1) or (b, m); positions: (n, 5) and (m, 5); attention_mask: booleans (b, n + m, n + m), video
        first; the others as in `DiT`.
        """
        n, m = (tokens.shape[1] for tokens in x_t)
        video, audio = self.stem(x_t[0]) + self.border(border_features(positions[0])), x_t[1]
        x, where = torch.cat([video, self.audio_stem(audio)], 1), torch.cat(positions)
        x = x + self.absolute_time(time_features(where))
        conditioning = [silu(self.time(level) + self.pooled_text(text.pooled)) for level in t]
        modulation = _per_token(conditioning, (self.modulation, self.audio_modulation), (n, m))
        mask = None if attention_mask is None else attention_mask.to(x.device)
        context = AVContext(rope_angles(where), self.text(text.embeddings), mask, text.mask, n)
        x, hidden = self.run_blocks(x, modulation, context)
        final = (self.final_modulation, self.audio_final_modulation)
        scale, shift = _per_token(conditioning, final, (n, m)).chunk(2, -1)
        y = Modulation(shift, scale).apply(x)
        y = self.out(y[:, :n]), self.audio_out(y[:, n:])
        return (y, (hidden[:, :n], hidden[:, n:])) if return_hidden else y


class AVBlock(Block):
    """A block in which audio has a modulation table and a feed-forward of its own."""

    def __init__(self, width: int, shared_feed_forward: bool = False):
        super().__init__(width)
        self.audio_modulation_table = nn.Parameter(torch.zeros(6 * width))
        self.audio_feed_forward = self.feed_forward if shared_feed_forward else SwiGLU(width)

    def modulations(self, modulation: Tensor, context: AVContext) -> tuple[Modulation, Modulation]:
        video, audio = modulation.tensor_split([context.video_tokens], 1)
        own = [video + self.modulation_table, audio + self.audio_modulation_table]
        return split_modulation(torch.cat(own, 1))

    def transform(self, x: Tensor, context: AVContext) -> Tensor:
        video, audio = x.tensor_split([context.video_tokens], 1)
        return torch.cat([self.feed_forward(video), self.audio_feed_forward(audio)], 1)


def time_features(positions: Tensor) -> Tensor:
    """The absolute time as sines and cosines: (..., n, 5) -> (..., n, 2 · TIME_RATES)."""
    return fourier_features(positions[..., :1], angular_rates(*TIME_PERIODS, TIME_RATES))


def _per_token(conditioning: Sequence[Tensor], layers: Sequence[nn.Module], counts: Sequence[int]) -> Tensor:
    """Each kind's layer on its conditioning, (b, 1, d) or one a token: (b, n + m, …)."""
    made = zip(conditioning, layers, counts, strict=True)
    return torch.cat([layer(given).expand(-1, n, -1) for given, layer, n in made], 1)
