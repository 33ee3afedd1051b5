"""Prompts as tokens: one vocabulary for every model, of which a model knows the words it was trained with."""

from collections.abc import Sequence

from torch import Tensor

from minivid.models import text
from minivid.world import captions

TOKENIZER = text.Tokenizer(captions.VOCABULARY)


def tokenize(prompts: Sequence[str]) -> Tensor:
    """Prompts as tokens (b, n). Raises ValueError for a word that is not known, with the nearest that are."""
    return text.trim_padding(TOKENIZER(prompts))


def require_known(tokens: Tensor, encoder: text.TextEncoder, name: str) -> Tensor:
    """The tokens. Raises ValueError for words that came after the text encoder of that model was trained."""
    known = encoder.token_embedding.num_embeddings
    if unknown := [k for k in dict.fromkeys(tokens.flatten().tolist()) if k >= known]:
        words = " ".join(TOKENIZER.words[k] for k in unknown)
        raise ValueError(
            f"{name} was trained before {words!r}: leave that out, or train the model again, on all "
            f"{len(TOKENIZER.words) - 2} words."
        )
    return tokens
