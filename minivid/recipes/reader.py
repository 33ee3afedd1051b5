"""A text encoder that learns from text alone what a sentence says of which digit.

It is quizzed about a digit, named by its colour or by what it is: what else does the sentence say of it? It
may attend to the sentence's words once to answer, so the embedding of each word must carry whose it is: what
a video model needs when two digits are asked for. Systems of today begin likewise, with text encoders that
learned from text and stay as they are (Imagen, Saharia et al. 2022, arXiv 2205.11487).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from minivid.measure.stats import proportion_row
from minivid.models import text
from minivid.pipeline import TOKENIZER
from minivid.recipes.captioning import NOT_SAID, attribute_codes, write_captions
from minivid.recipes.recipe import Recipe
from minivid.training import TrainConfig
from minivid.world import captions, held_out, random_scenes, scene

COLOURS, HEADINGS = tuple(scene.COLOURS), tuple(scene.HEADINGS)


def draw_batch(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Captions of the full world (b, n), questions (b, 2), answers (b, 2, 4), and of the sentence (b, 4)."""
    scenes = held_out.draw_scenes(config.batch_size, rng, world=random_scenes.FULL)
    return quiz(scenes, rng)


def quiz(scenes: Sequence[scene.Scene], rng: torch.Generator) -> tuple[Tensor, ...]:
    """Captions of scenes, some of which leave things out, and questions about them; see `draw_batch`.

    An answer is NOT_SAID where the sentence does not give it, or nothing is asked.
    """
    sentences = write_captions(scenes, rng)
    descriptions = [captions.parse(sentence) for sentence in sentences]
    by_colour = torch.rand(len(descriptions), 2, generator=rng) < 0.5
    questions = torch.zeros(len(descriptions), 2, dtype=torch.long)
    sentence_answers, subjects = attribute_codes(descriptions).split([5, 10], 1)
    sentence_answers = sentence_answers[:, :4]  # the full world knows no slow motion, and no tracking
    subjects = subjects.unflatten(1, (2, 5))[..., :4]
    subjects[..., 3].clamp_(min=0)  # a digit that is not called humming does not hum
    answers = torch.full_like(subjects, NOT_SAID)
    for row, description in enumerate(descriptions):
        for k, subject in enumerate(description.subjects):
            ways = names(subject, description)
            if ways:
                questions[row, k] = ways[0] if by_colour[row, k] else ways[-1]
                answers[row, k] = subjects[row, k]
    sentence_answers[:, 0] -= 1  # a second digit, or none
    return TOKENIZER(sentences), questions, answers, sentence_answers


def names(subject: scene.Subject, description: scene.Description) -> list[int]:
    """The questions that mean this digit and no other: by its colour, 0 to 5, or its name, 6 to 15."""
    same = sum(other.digit == subject.digit for other in description.subjects) > 1
    ways = [] if subject.colour is None else [COLOURS.index(subject.colour)]
    return ways if same or subject.digit is None else [*ways, len(COLOURS) + subject.digit]


def loss(network: nn.Module, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
    """The cross-entropy of every answer that the sentence gives."""
    tokens, questions, *answers = batch
    pairs = zip(network(tokens, questions), answers, strict=True)
    return sum(
        cross_entropy(part.float().flatten(0, -2), right.flatten(), ignore_index=NOT_SAID)
        for logits, rights in pairs
        for part, right in zip(logits, rights.unbind(-1), strict=True)
    )


@torch.no_grad()
def score(network: nn.Module, n: int, seed: int) -> dict:
    """Of the questions about two digits, which share is answered right? Floor: the other digit's answers."""
    rng = torch.Generator().manual_seed(seed)
    two = random_scenes.World(counts=(2,))
    tokens, questions, answers, _ = quiz(held_out.draw_scenes(n, rng, world=two), rng)
    found = torch.stack([part.argmax(-1) for part in network(tokens, questions)[0]], -1)
    known = answers != NOT_SAID
    return {
        key: proportion_row(
            (found == answers)[..., k][known[..., k]], (found.flip(1) == answers)[..., k][known[..., k]], 1.0
        )
        for k, key in enumerate(("digit", "colour", "heading", "hums"))
    }


def build() -> text.CaptionReader:
    """A reader of captions that knows nothing yet."""
    return text.CaptionReader(
        len(TOKENIZER.words),
        len(COLOURS) + len(scene.DIGITS),
        (len(scene.DIGITS), len(COLOURS), len(HEADINGS), 2),
        (2, len(random_scenes.FULL.cameras), len(scene.LIGHTS), len(scene.STYLES)),
    )


RECIPE = Recipe(
    what="a text encoder that learned from text alone what a sentence says of which digit",
    build=build,
    draw_batch=draw_batch,
    loss=loss,
    configs={
        "laptop": TrainConfig(steps=600, batch_size=128, learning_rate=1e-3, muon_lr=0.01),
        "gpu": TrainConfig(steps=1500, batch_size=512, learning_rate=1e-3, muon_lr=0.01),
    },
    score=score,
)
