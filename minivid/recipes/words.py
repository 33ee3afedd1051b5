"""Captions and clips learn each other's language: the text encoder that tells video models what to draw."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from minivid import text, train
from minivid.recipes.recipe import Recipe, entry
from minivid.world import captions, render, scene

TOKENISER = text.Tokeniser(captions.WORDS)
UNSAID = -1  # in the place of a word's number


def batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Captions (b, n), clips (b, 3, 17, 32, 32), and the `codes` of both (b, 12).

    One world a batch, so that a clip's neighbours are its peers; some captions leave things out.
    """
    world = (scene.EASY, scene.FULL)[int(torch.randint(2, (), generator=generator))]
    return paired(scene.draw_scenes(plan.batch, generator, world), generator)


def paired(scenes: Sequence[scene.Scene], generator: torch.Generator) -> tuple[Tensor, ...]:
    """Captions of scenes, clips of them, and the `codes` of both; see `batch`."""
    sentences = write_captions(scenes, generator)
    said = codes([captions.parse(sentence) for sentence in sentences])
    return TOKENISER(sentences), render.video(scenes), said, codes([s.describe() for s in scenes])


def write_captions(scenes: Sequence[scene.Scene], generator: torch.Generator) -> list[str]:
    """A caption for each scene; three in ten leave about half of it unsaid."""
    keeps = torch.where(torch.rand(len(scenes), generator=generator) < 0.3, 0.5, 1.0).tolist()
    return [
        captions.write(one.describe(), generator, keep)
        for one, keep in zip(scenes, keeps, strict=True)
    ]


def fitting(said: Tensor, shown: Tensor) -> Tensor:
    """Which caption says nothing wrong of which clip, by their `codes`: (a, 12), (b, 12) -> (a, b) booleans.

    See `judge.agreement`.
    """
    asked, seen = said[:, None], shown[None]
    agrees = (asked == seen) | (asked < 0)
    whole, first, second = agrees[..., :4].all(-1), slice(4, 8), slice(8, 12)
    straight = agrees[..., first].all(-1) & agrees[..., second].all(-1)
    swapped = (asked[..., first] == seen[..., second]) | (asked[..., first] < 0)
    back = (asked[..., second] == seen[..., first]) | (asked[..., second] < 0)
    return whole & (straight | (swapped.all(-1) & back.all(-1)))


def codes(descriptions: Sequence[scene.Description]) -> Tensor:
    """Descriptions as rows of numbers, UNSAID where nothing is said: (n, 12).

    How many digits, camera, light, style; then digit, colour, heading, hum of the first, and of the second.
    """

    def subject(one: scene.Subject | None) -> list[int]:
        if one is None:
            return [UNSAID] * 4
        words = ((one.digit, scene.DIGITS), (one.colour, tuple(scene.COLOURS)))
        words += ((one.heading, tuple(scene.HEADINGS)), (one.hums, (False, True)))
        return [UNSAID if word is None else among.index(word) for word, among in words]

    def row(d: scene.Description) -> list[int]:
        words = ((d.camera, scene.CAMERAS), (d.light, scene.LIGHTS), (d.style, scene.STYLES))
        whole = [UNSAID if word is None else among.index(word) for word, among in words]
        two = [*d.subjects, None][:2]
        return [len(d.subjects), *whole, *subject(two[0]), *subject(two[1])]

    return torch.tensor([row(one) for one in descriptions])


def loss(network: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """Each caption is to find its clip in the batch, or in its part of one, and each clip its caption."""
    tokens, video, said, shown = batch
    return text.contrastive_loss(network(tokens, video).float(), fitting(said, shown))


@torch.no_grad()
def score(network: nn.Module, n: int, seed: int) -> dict:
    """Of 64 different captions, which one fits an unseen clip best? Floor: another clip's choice."""
    table, generator = {}, torch.Generator().manual_seed(seed)
    for prefix, world in (("", scene.FULL), ("easy_", scene.EASY)):
        right, floor = [], []
        for _ in range(math.ceil(n / 64)):
            drawn = {s.describe(): s for s in scene.draw_scenes(160, generator, world)}
            scenes = list(drawn.values())[:64]
            sentences = [captions.write(one.describe(), generator) for one in scenes]
            choice = network(TOKENISER(sentences), render.video(scenes)).argmax(0)
            own = torch.arange(64)
            right.append(choice == own)
            floor.append(choice.roll(1) == own)
        table[prefix + "retrieval"] = entry(torch.cat(right)[:n], torch.cat(floor)[:n], 1.0)
    return table


RECIPE = Recipe(
    what="a text encoder and a clip encoder that learned each other's language",
    build=lambda: text.Pair(len(TOKENISER.words)),
    draw=batch,
    loss=loss,
    plans={
        "laptop": train.Plan(steps=2000, batch=64, learning_rate=1e-3, precision="bf16"),
        "gpu": train.Plan(steps=4000, batch=256, learning_rate=1e-3, precision="bf16"),
    },
    score=score,
)
