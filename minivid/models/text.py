"""Sentences to vectors: a tokenizer, a text encoder, and what trains it.

What a sentence *means* is learned beside a clip encoder: in a batch of clips and captions, the vector
of each caption must point where its own clip's vector points and away from the other clips' (CLIP,
Radford et al. 2021, arXiv 2103.00020, fig. 3). The text encoder alone then conditions a video
model. It knows the words of its vocabulary and no others.
"""

import difflib
import re
from collections.abc import Sequence
from reprlib import Repr

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, scaled_dot_product_attention, silu

from minivid.models.attention import TimeEmbedding, TransformerLayer

MAX_LENGTH = 40  # tokens of the longest sentence
PADDING = 0  # the token after a sentence's end
quote = Repr()  # of a text in an error
quote.maxstring = 100


class Tokenizer:
    """Words and commas to whole numbers: one for each word of the vocabulary, 0 for padding."""

    def __init__(self, words: Sequence[str]):
        self.words = ("", ",", *words)
        self.number = {word: k for k, word in enumerate(self.words)}

    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """Sentences -> tokens (b, MAX_LENGTH). The empty sentence asks for nothing in particular.

        Raises ValueError for a word outside the vocabulary, with the nearest inside, for a sentence that is
        too long, and for one sentence instead of a list.
        """
        if isinstance(sentences, str):
            raise ValueError(f"one sentence, {quote.repr(sentences)}: give a list, [sentence].")
        if not len(sentences) or not all(isinstance(one, str) for one in sentences):
            raise ValueError(f"{quote.repr(sentences)}: give a list of one sentence or more.")
        rows = torch.full((len(sentences), MAX_LENGTH), PADDING)
        for row, sentence in zip(rows, sentences, strict=True):
            parts = self.split(sentence)
            if len(parts) > MAX_LENGTH:
                raise ValueError(f"{len(parts)} words in {quote.repr(sentence)}: at most {MAX_LENGTH}.")
            row[: len(parts)] = torch.tensor([self._look_up(part, sentence) for part in parts])
        return rows

    def split(self, sentence: str) -> list[str]:
        """The words and commas of a sentence, in lower case."""
        return re.findall(r"\w+|[^\w\s.]", sentence.lower())

    def _look_up(self, word: str, sentence: str) -> int:
        if word not in self.number:
            near = difflib.get_close_matches(word, self.words, 3, 0.5)
            advice = f"nearest: {', '.join(near)}" if near else "known are those of the captions"
            raise ValueError(f"the word {quote.repr(word)} in {quote.repr(sentence)} is not known; {advice}.")
        return self.number[word]


def text_mask(tokens: Tensor) -> Tensor:
    """Which tokens may be attended to: (b, n) booleans. Of an empty sentence the first, so that one is."""
    mask = tokens != PADDING
    mask[:, 0] = True
    return mask


def trim_padding(tokens: Tensor, multiple: int = 1) -> Tensor:
    """Tokens (b, n) without the padding behind the longest sentence; n is a multiple of `multiple`."""
    longest = max(1, int((tokens != PADDING).sum(1).max()))
    return tokens[:, : -(-longest // multiple) * multiple]


class TextEncoder(nn.Module):
    """Tokens (b, n) -> text embeddings, one for each word (b, n, d), and the pooled text (b, d).

    Trailing padding may be cut off: it changes nothing.
    """

    def __init__(self, vocab_size: int, width: int = 128, layers: int = 3, heads: int = 4):
        super().__init__()
        self.width = width
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.position_embedding = nn.Parameter(0.02 * torch.randn(MAX_LENGTH, width))
        self.layers = nn.ModuleList([TransformerLayer(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        is_word = tokens != PADDING
        x = self.token_embedding(tokens) + self.position_embedding[: tokens.shape[1]]
        mask = rearrange(text_mask(tokens), "b n -> b 1 1 n")
        for layer in self.layers:
            x = layer(x, mask)
        x = self.norm(x) * is_word[..., None]
        return x, x.sum(1) / is_word.sum(1, keepdim=True).clamp(min=1)


class CaptionReader(nn.Module):
    """A text encoder that is quizzed: what does the sentence say of which digit?

    questions: how many there are; subject_answers, sentence_answers: how many answers each question about a
    digit, and about the whole sentence, may have.
    """

    def __init__(
        self,
        vocab_size: int,
        questions: int,
        subject_answers: Sequence[int],
        sentence_answers: Sequence[int],
        width: int = 128,
    ):
        super().__init__()
        self.text = TextEncoder(vocab_size, width)
        self.question = nn.Embedding(questions, width)
        self.key = nn.Linear(width, width)
        self.subject_heads = nn.ModuleList(nn.Linear(width, n) for n in subject_answers)
        self.sentence_heads = nn.ModuleList(nn.Linear(width, n) for n in sentence_answers)

    def forward(self, tokens: Tensor, questions: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Tokens (b, n), questions (b, k) -> logits (b, k, ·) of each answer, and of the sentence's (b, ·).

        A question attends once, by its own vector alone, to the embeddings of the words.
        """
        embeddings, pooled = self.text(tokens)
        query, key = self.question(questions)[:, None], self.key(embeddings)[:, None]
        mask = rearrange(text_mask(tokens), "b n -> b 1 1 n")
        found = scaled_dot_product_attention(query, key, embeddings[:, None], attn_mask=mask)[:, 0]
        subject = [head(found) for head in self.subject_heads]
        return subject, [head(pooled) for head in self.sentence_heads]


class ClipEncoder(nn.Module):
    """Video (b, 3, f, h, w) of 32×32 pixels -> a vector for the whole clip (b, d)."""

    def __init__(self, width: int = 128):
        super().__init__()
        widths = (12, 32, 64, 64, 128)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride, 1)
            for a, b, stride in zip(widths, widths[1:], (1, 2, 1, 2), strict=False)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, channels) for channels in widths[1:])
        self.frame_projection = nn.Linear(128 * 4 * 4, width)
        self.frame_embedding = TimeEmbedding(width)
        self.layers = nn.ModuleList([TransformerLayer(width, 4) for _ in range(2)])
        self.norm = nn.LayerNorm(width)

    def forward(self, video: Tensor) -> Tensor:
        x = self.frame_projection(rearrange(self.frame_features(video), "b c f h w -> b f (c h w)"))
        x = x + self.frame_embedding(torch.arange(x.shape[1], device=x.device) / 64)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x.mean(1))

    def frame_features(self, video: Tensor) -> Tensor:
        """What is where, each frame by itself: (b, 3, f, h, w) -> (b, 128, f, h / 8, w / 8)."""
        b = len(video)
        x = rearrange(video, "b c f (h p) (w q) -> (b f) (c p q) h w", p=2, q=2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = silu(norm(conv(x)))
        return rearrange(x, "(b f) c h w -> b c f h w", b=b)


class ContrastiveEncoders(nn.Module):
    """A text encoder and a clip encoder that learn to match captions and clips (CLIP)."""

    def __init__(self, vocab_size: int, width: int = 128):
        super().__init__()
        self.text, self.clip = TextEncoder(vocab_size, width), ClipEncoder(width)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, tokens: Tensor, video: Tensor) -> Tensor:
        """How well each caption fits each clip: tokens (a, n), video (b, ...) -> logits (a, b)."""
        texts, clips = normalize(self.text(tokens)[1], dim=-1), normalize(self.clip(video), dim=-1)
        return self.logit_scale.clamp(max=4.6).exp() * texts @ clips.T


def contrastive_loss(logits: Tensor, also_fit: Tensor) -> Tensor:
    """CLIP's loss: each caption is to find its clip among all, and each clip its caption.

    logits: (a, b), pairs on the diagonal; rows from b on are captions without a clip, negatives for the
    clips. also_fit: (a, b) booleans, true where a caption says nothing wrong of another pair's clip: such a
    clip is no negative and is left out.
    """
    n = logits.shape[1]
    own = torch.eye(*logits.shape, dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(also_fit & ~own, -torch.inf)
    right = torch.arange(n, device=logits.device)
    return (cross_entropy(logits[:n], right) + cross_entropy(logits.T, right)) / 2
