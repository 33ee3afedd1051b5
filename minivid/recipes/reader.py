"""A text encoder that learns from text alone what a sentence says of whom.

It is asked of a digit, by its colour or by its name, what else the sentence says of it, and may look at the
sentence's words once to answer. So each word must come to carry whose it is: what a transformer that draws
needs when two digits are asked for. Systems of today begin likewise, with text encoders that learned from
text and stay as they are (Imagen, Saharia et al. 2022, arXiv 2205.11487).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from minivid import text, train
from minivid.recipes import held_out
from minivid.recipes.recipe import Recipe, entry
from minivid.recipes.words import TOKENISER, UNSAID, codes, write_captions
from minivid.world import captions, scene

COLOURS, HEADINGS = tuple(scene.COLOURS), tuple(scene.HEADINGS)


def batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Captions of the full world (b, n), questions (b, 2), answers (b, 2, 4), and of the whole (b, 4)."""
    return quiz(held_out.draw_scenes(plan.batch, generator, world=scene.FULL), generator)


def quiz(scenes: Sequence[scene.Scene], generator: torch.Generator) -> tuple[Tensor, ...]:
    """Captions of scenes, some of which leave things out, and what is asked of them; see `batch`.

    An answer is UNSAID where the sentence does not give it, or nothing is asked.
    """
    sentences = write_captions(scenes, generator)
    said = [captions.parse(sentence) for sentence in sentences]
    by_colour = torch.rand(len(said), 2, generator=generator) < 0.5
    asked = torch.zeros(len(said), 2, dtype=torch.long)
    whole, subjects = codes(said).split([4, 8], 1)
    told = subjects.unflatten(1, (2, 4))
    told[..., 3].clamp_(min=0)  # who is not called humming does not hum
    answers = torch.full_like(told, UNSAID)
    for row, one in enumerate(said):
        for k, subject in enumerate(one.subjects):
            ways = names(subject, one)
            if ways:
                asked[row, k] = ways[0] if by_colour[row, k] else ways[-1]
                answers[row, k] = told[row, k]
    whole[:, 0] -= 1  # a second digit, or none
    return TOKENISER(sentences), asked, answers, whole


def names(subject: scene.Subject, one: scene.Description) -> list[int]:
    """The questions that mean this digit and no other: by its colour, 0 to 5, or its name, 6 to 15."""
    same = sum(other.digit == subject.digit for other in one.subjects) > 1
    ways = [] if subject.colour is None else [COLOURS.index(subject.colour)]
    return ways if same or subject.digit is None else [*ways, len(COLOURS) + subject.digit]


def loss(network: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """The cross-entropy of every answer that the sentence gives."""
    tokens, asked, *answers = batch
    pairs = zip(network(tokens, asked), answers, strict=True)
    return sum(
        cross_entropy(part.float().flatten(0, -2), right.flatten(), ignore_index=UNSAID)
        for logits, rights in pairs
        for part, right in zip(logits, rights.unbind(-1), strict=True)
    )


@torch.no_grad()
def score(network: nn.Module, n: int, seed: int) -> dict:
    """Of the questions about two digits, which share is answered right? Floor: as the other digit asks."""
    generator = torch.Generator().manual_seed(seed)
    two = scene.World(counts=(2,))
    tokens, asked, answers, _ = quiz(held_out.draw_scenes(n, generator, world=two), generator)
    found = torch.stack([part.argmax(-1) for part in network(tokens, asked)[0]], -1)
    known = answers != UNSAID
    return {
        key: entry(
            (found == answers)[..., k][known[..., k]],
            (found.flip(1) == answers)[..., k][known[..., k]],
            1.0,
        )
        for k, key in enumerate(("digit", "colour", "heading", "hums"))
    }


def build() -> text.Reader:
    """A reader of captions that knows nothing yet."""
    return text.Reader(
        len(TOKENISER.words),
        len(COLOURS) + len(scene.DIGITS),
        (len(scene.DIGITS), len(COLOURS), len(HEADINGS), 2),
        (2, len(scene.CAMERAS), len(scene.LIGHTS), len(scene.STYLES)),
    )


RECIPE = Recipe(
    what="a text encoder that learned from text alone what a sentence says of whom",
    build=build,
    draw=batch,
    loss=loss,
    plans={
        "laptop": train.Plan(steps=600, batch=128, learning_rate=1e-3, muon=0.01),
        "gpu": train.Plan(steps=1500, batch=512, learning_rate=1e-3, muon=0.01),
    },
    score=score,
)
