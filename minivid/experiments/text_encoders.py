"""Five text encoders for one U-Net: what a prompt is to the network, tokens (b, n) -> (b, 128)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from minivid import diffusion, recipes
from minivid.formats import Format
from minivid.models.text import PADDING, TextEncoder
from minivid.models.unet import VideoUNetConfig
from minivid.pipeline import TOKENIZER, Pipeline
from minivid.recipes import clips, words

DIM = 128
GUIDANCE = 2.0


class NoText(nn.Module):
    """Whatever the prompt, the conditioning is zero."""

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.zeros(len(tokens), DIM, device=tokens.device)


class BagOfWords(nn.Module):
    """Which words occur, in no order."""

    def __init__(self):
        super().__init__()
        self.word = nn.Linear(len(TOKENIZER.words), DIM, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        counts = one_hot(tokens, len(TOKENIZER.words)).sum(1).float()
        counts[:, PADDING] = 0
        return self.word(counts)


class Frozen(nn.Module):
    """The encoder that learned to match captions and clips, as it is."""

    def forward(self, tokens: Tensor) -> Tensor:
        return words.encode_tokens(tokens.cpu()).to(tokens.device)


class TaughtOrder(nn.Module):
    """The same encoder, trained some minutes more on swapped captions (`swapped_captions`), then frozen."""

    def __init__(self):
        super().__init__()
        self.text = recipes.load("words").text.requires_grad_(False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.text(tokens)[1]


class LearnedAlong(nn.Module):
    """An encoder of the same shape that goes on learning, from the clips' loss alone."""

    def __init__(self):
        super().__init__()
        self.text = TextEncoder(len(TOKENIZER.words))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.text(tokens)[1]


ENCODERS: dict[str, Callable[[], nn.Module]] = {
    "no text": NoText,
    "bag of words": BagOfWords,
    "contrastive": Frozen,
    "learned along": LearnedAlong,
    "contrastive, swaps": TaughtOrder,
}


class TextUNet(nn.Module):
    """The shipped video U-Net behind a text encoder: x_t (b, 3, f, h, w), t (b,), tokens (b, n)."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder, self.unet = encoder, recipes.load("clips")

    def forward(self, x_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        return self.unet(x_t, t, self.encoder(tokens))

    @property
    def config(self) -> VideoUNetConfig:
        return self.unet.config

    @property
    def unit(self) -> tuple[int, int]:
        return self.unet.unit


def generate(
    network: TextUNet,
    prompts: Sequence[str],
    seed: int,
    guidance: float = GUIDANCE,
    num_steps: int = 12,
    frames: int = 1,
) -> Tensor:
    """Stills, or clips, of what the prompts ask for: (b, 3, frames, 32, 32). Seeded on the CPU."""
    ready = Pipeline(
        network,
        encode_text=TOKENIZER,
        predicts="clean",
        path=clips.PATH,
        shift=clips.SHIFT,
        solver=diffusion.heun,
    )
    return clips.generate_batch(ready, prompts, seed, num_steps, guidance, Format(frames))
