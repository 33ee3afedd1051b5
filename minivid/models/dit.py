"""The diffusion transformer: tokens that attend to each other and to the text, and know how noisy they are.

DiT (Peebles and Xie 2022, arXiv 2212.09748) put a plain transformer in the place of the U-Net and gave each
block the noise level by a shift, a scale and a gate, the gates beginning at zero ("AdaLN-zero"). The block
here is what has become of it since: RMSNorm, QK-norm, rotary positions in seconds and pixels, SwiGLU
feed-forwards (all in `attention`), text by cross-attention, and one modulation that all blocks share up to a
table of their own (PixArt-α, Chen et al. 2023, arXiv 2310.00426).

Every token has a noise level of its own. Level 0 marks a token as given.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from minivid.models.attention import (
    AXES_PERIODS,
    QKNormAttention,
    SwiGLU,
    TimeEmbedding,
    angular_rates,
    fourier_features,
    root_mean_square_norm,
    rope_angles,
    zero_init,
)

BORDER_RATES = 6  # frequencies in which each border's distance is given


@dataclass(frozen=True)
class DiTConfig:
    """token_dim: numbers in a token; text_dim: width of the text's vectors; depth: how many blocks."""

    token_dim: int
    width: int = 192
    depth: int = 8
    text_dim: int = 128


class Text(NamedTuple):
    """The encoded prompt: text embeddings (b, m, d), a pooled one (b, 1, d) or (b, n, d), the padding mask.

    mask: booleans (b, 1, m), true where there is a word.
    """

    embeddings: Tensor
    pooled: Tensor
    mask: Tensor | None = None


class Modulation(NamedTuple):
    """The noise level and the prompt, as a block's branch takes them: (b, 1, d) or (b, n, d) each.

    gate: None after the last block, where nothing is added to a residual.
    """

    shift: Tensor
    scale: Tensor
    gate: Tensor | None = None

    def apply(self, x: Tensor) -> Tensor:
        """The normalised tokens, scaled and shifted."""
        return root_mean_square_norm(x) * (1 + self.scale) + self.shift


@dataclass(frozen=True)
class Context:
    """What tokens may attend to: where they are, which of each other they see, and the text.

    rope_angles: (n, d) or (b, n, d), see `attention.rope_angles`; text: (b, m, width); attention_mask,
    text_mask: booleans (b, n, n) and (b, 1, m), true where a token may attend; None for everywhere.
    """

    rope_angles: Tensor
    text: Tensor
    attention_mask: Tensor | None = None
    text_mask: Tensor | None = None


class DiT(nn.Module):
    """Tokens to tokens, whatever the format. At the start it gives zeros: every gate and output is zero."""

    def __init__(self, config: DiTConfig):
        super().__init__()
        width = config.width
        self.config = config
        self.stem = nn.Linear(config.token_dim, width)
        self.border = nn.Linear(8 * BORDER_RATES, width, bias=False)
        self.time = TimeEmbedding(width)
        self.pooled_text = nn.Linear(config.text_dim, width)
        self.text = nn.Linear(config.text_dim, width)
        self.modulation = zero_init(nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(self.build_block() for _ in range(config.depth))
        self.final_modulation = zero_init(nn.Linear(width, 2 * width))
        self.out = zero_init(nn.Linear(width, config.token_dim))

    def build_block(self) -> "Block":
        return Block(self.config.width)

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        positions: Tensor,
        text: Text,
        attention_mask: Tensor | None = None,
        return_hidden: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """x_t: (b, n, token_dim) -> the same, and with return_hidden also the hidden states (b, n, width).

        t: noise levels, (b, 1) or one for each token (b, n); positions: (n, 5) or (b, n, 5), see
        `patches.positions`; attention_mask: booleans (b, n, n). Hidden states are those after half of the
        blocks, the middle one included.
        """
        x = self.stem(x_t) + self.border(border_features(positions))
        conditioning = silu(self.time(t) + self.pooled_text(text.pooled))
        context = Context(rope_angles(positions), self.text(text.embeddings), attention_mask, text.mask)
        x, hidden = self.run_blocks(x, self.modulation(conditioning), context)
        scale, shift = self.final_modulation(conditioning).chunk(2, -1)
        y = self.out(Modulation(shift, scale).apply(x))
        return (y, hidden) if return_hidden else y

    def run_blocks(self, x: Tensor, modulation: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """The tokens after all blocks, and after half of them."""
        x = hidden = x.float()  # as a block returns it: in bf16 the first would be compiled apart
        for done, block in enumerate(self.blocks, 1):
            x = block(x, modulation, context)
            if done == (len(self.blocks) + 1) // 2:
                hidden = x
        return x, hidden


class Block(nn.Module):
    """Self-attention, cross-attention to the text, feed-forward: (b, n, d) -> (b, n, d).

    At the start every gate is zero, so a block changes nothing.
    """

    def __init__(self, width: int):
        super().__init__()
        self.self_attention = QKNormAttention(width)
        self.cross_attention = QKNormAttention(width)
        self.feed_forward = SwiGLU(width)
        self.modulation_table = nn.Parameter(torch.zeros(6 * width))
        zero_init(self.cross_attention.out)

    def forward(self, x: Tensor, modulation: Tensor, context: Context) -> Tensor:
        """modulation: (b, 1, 6 d) or (b, n, 6 d), which all blocks share."""
        attention, mlp = self.modulations(modulation, context)
        y = attention.apply(x)
        y = self.self_attention(y, y, context.rope_angles, context.attention_mask)
        x = x + attention.gate * y
        y = root_mean_square_norm(x)
        x = x + self.cross_attention(y, context.text, attention_mask=context.text_mask)
        return x + mlp.gate * self.transform(mlp.apply(x), context)

    def modulations(self, modulation: Tensor, context: Context) -> tuple[Modulation, Modulation]:
        """This block's own: of the attention, and of the feed-forward."""
        return split_modulation(modulation + self.modulation_table)

    def transform(self, x: Tensor, context: Context) -> Tensor:
        """The feed-forward."""
        return self.feed_forward(x)


def split_modulation(modulation: Tensor) -> tuple[Modulation, Modulation]:
    """(..., 6 d), twice scale, shift, gate (DiT has shift first) -> of attention, of the feed-forward."""
    scale, shift, gate, mlp_scale, mlp_shift, mlp_gate = modulation.chunk(6, -1)
    return Modulation(shift, scale, gate), Modulation(mlp_shift, mlp_scale, mlp_gate)


def border_features(positions: Tensor) -> Tensor:
    """How far each wall is, as sines and cosines: (..., n, 5) -> (..., n, 8 · BORDER_RATES)."""
    centre, frame = positions[..., 1:3], positions[..., 3:5]
    distances = torch.cat([frame / 2 + centre, frame / 2 - centre], -1)
    return fourier_features(distances, angular_rates(*AXES_PERIODS[1], BORDER_RATES))
