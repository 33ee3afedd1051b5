"""DiT as it was published, with its four ways to condition a transformer.

"Scalable diffusion models with transformers" (Peebles and Xie 2022, arXiv 2212.09748, section 3.2 and figure
5): the noise level and the prompt enter as two more tokens ("in-context"), by cross-attention, as a scale and
a shift of each block's norms ("AdaLN"), or as these and a gate that begins at zero ("AdaLN-zero").
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from minivid.experiments.classic_blocks import ClassicBlock, PlainBlock, norm
from minivid.models.attention import TimeEmbedding, zero_init
from minivid.models.dit import Text

Way = Literal["adaln-zero", "adaln", "in-context", "cross-attention"]


@dataclass(frozen=True)
class ClassicDiTConfig:
    """token_dim: numbers in a token; out_dim: in what it predicts, 0 for as many; way: of conditioning."""

    token_dim: int
    width: int
    depth: int
    heads: int
    out_dim: int = 0
    way: Way = "adaln-zero"


class ClassicDiT(nn.Module):
    """DiT on any tokens; called like `dit.DiT`, of whose text it takes the pooled alone.

    pooled_text: what makes a vector (b, width) of that.
    """

    def __init__(self, config: ClassicDiTConfig, pooled_text: nn.Module):
        super().__init__()
        width, heads, depth = config.width, config.heads, config.depth
        self.config, self.modulated = config, config.way.startswith("adaln")
        self.stem = nn.Linear(config.token_dim, width)
        self.time, self.pooled_text = TimeEmbedding(width, frequencies=128), pooled_text
        if self.modulated:
            zero = config.way == "adaln-zero"
            self.blocks = nn.ModuleList(ClassicBlock(width, heads, zero) for _ in range(depth))
            self.final_modulation = nn.Linear(width, 2 * width)
            if zero:
                zero_init(self.final_modulation)
        else:
            cross = config.way == "cross-attention"
            self.blocks = nn.ModuleList(PlainBlock(width, heads, cross) for _ in range(depth))
        self.out = zero_init(nn.Linear(width, config.out_dim or config.token_dim))

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        positions: Tensor,
        text: Text,
        attention_mask: Tensor | None = None,
        return_hidden: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """x_t: (b, n, token_dim), t: (b, 1) -> (b, n, out_dim), and with return_hidden the hidden states.

        attention_mask is not used. Hidden states (b, n, width) are those after half of the blocks.
        """
        n = x_t.shape[1]
        x = self.stem(x_t) + sinusoidal_positions(positions, self.config.width)
        time, pooled = self.time(t[:, 0]), self.pooled_text(text.pooled[:, 0])
        conditioning = time + pooled if self.modulated else torch.stack([time, pooled], 1)
        if self.config.way == "in-context":
            x = torch.cat([x, conditioning], 1)
        for done, block in enumerate(self.blocks, 1):
            x = block(x, conditioning)
            if done == (len(self.blocks) + 1) // 2:
                hidden = x[:, :n]
        y = norm(x)[:, :n]
        if self.modulated:
            shift, scale = self.final_modulation(silu(conditioning))[:, None].chunk(2, -1)
            y = y * (1 + scale) + shift
        return (self.out(y), hidden) if return_hidden else self.out(y)


def sinusoidal_positions(positions: Tensor, width: int) -> Tensor:
    """Fixed sinusoids of seconds, down and right, added to tokens: (n, 5) -> (n, width)."""
    pairs = width // 6
    rates = torch.logspace(0, -math.log10(32), pairs).to(positions)
    unit = torch.tensor([8.0, 0.25, 0.25]).to(positions)  # about one from a token to the next
    angles = (positions[..., :3] * unit)[..., None] * rates
    waves = torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)
    return nn.functional.pad(waves, (0, width - waves.shape[-1]))
