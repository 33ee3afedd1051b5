"""Captions and clips learn to match (CLIP): a text encoder that conditions video models, a clip encoder."""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from minivid import weights
from minivid.measure.stats import proportion_row
from minivid.models import text
from minivid.pipeline import TOKENIZER, require_known
from minivid.recipes.captioning import attribute_codes, captions_fit, write_captions
from minivid.recipes.recipe import Recipe
from minivid.training import TrainConfig
from minivid.world import captions, random_scenes, render, scene


def draw_batch(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Captions (b, n), clips (b, 3, 17, 32, 32), and the attribute codes of both (b, 15).

    One world a batch, so that a clip's neighbours are its peers; some captions leave things out.
    """
    worlds = random_scenes.EASY, random_scenes.FULL
    world = worlds[int(torch.randint(2, (), generator=rng))]
    return caption_pairs(random_scenes.draw_scenes(config.batch_size, rng, world), rng)


def caption_pairs(scenes: Sequence[scene.Scene], rng: torch.Generator) -> tuple[Tensor, ...]:
    """Captions of scenes, clips of them, and the attribute codes of both; see `draw_batch`."""
    sentences = write_captions(scenes, rng)
    codes = attribute_codes([captions.parse(sentence) for sentence in sentences])
    shown = attribute_codes([one.describe() for one in scenes])
    return TOKENIZER(sentences), render.video(scenes), codes, shown


def loss(network: nn.Module, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
    """Each caption is to find its clip in the batch, or in its micro-batch, and each clip its caption."""
    tokens, video, codes, shown = batch
    return text.contrastive_loss(network(tokens, video).float(), captions_fit(codes, shown))


@torch.no_grad()
def score(network: nn.Module, n: int, seed: int) -> dict:
    """Of 64 different captions, which one fits an unseen clip best? Floor: another clip's choice."""
    table, rng = {}, torch.Generator().manual_seed(seed)
    for prefix, world in (("", random_scenes.FULL), ("easy_", random_scenes.EASY)):
        right, floor = [], []
        for _ in range(math.ceil(n / 64)):
            drawn = {s.describe(): s for s in random_scenes.draw_scenes(160, rng, world)}
            scenes = list(drawn.values())[:64]
            sentences = [captions.write(one.describe(), rng) for one in scenes]
            choice = network(TOKENIZER(sentences), render.video(scenes)).argmax(0)
            own = torch.arange(64)
            right.append(choice == own)
            floor.append(choice.roll(1) == own)
        table[prefix + "retrieval"] = proportion_row(torch.cat(right)[:n], torch.cat(floor)[:n], 1.0)
    return table


# As others use them ------------------------------------------------------------------------------


@functools.cache
def encoders() -> text.ContrastiveEncoders:
    """The shipped pair, frozen."""
    return weights.load("words", RECIPE.build()).requires_grad_(False)


@torch.no_grad()
def encode_prompts(prompts: Sequence[str]) -> Tensor:
    """Pooled text of prompts, by the frozen text encoder: (b, d). An empty prompt is all zeros."""
    return encode_tokens(TOKENIZER(prompts))


@torch.no_grad()
def encode_tokens(tokens: Tensor) -> Tensor:
    """Pooled text of tokens, by the frozen text encoder: (b, n) -> (b, d)."""
    return encoders().text(require_known(tokens, encoders().text, "`words`"))[1]


RECIPE = Recipe(
    what="a text encoder and a clip encoder that learned to match captions and clips",
    build=lambda: text.ContrastiveEncoders(len(TOKENIZER.words)),
    draw_batch=draw_batch,
    loss=loss,
    configs={
        "laptop": TrainConfig(steps=2000, batch_size=64, learning_rate=1e-3, precision="bf16"),
        "gpu": TrainConfig(steps=4000, batch_size=256, learning_rate=1e-3, precision="bf16"),
    },
    score=score,
)
