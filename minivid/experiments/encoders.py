"""Which text encoder should read the prompt? Five of them, and prompts in which the order of words matters.

"a red 3 moves left, the camera pans up" and "a red 3 moves up, the camera pans left" are the same words.
Each encoder is joined to the shipped video model, which has never seen the camera move, and trained on clips
in which it does. A new encoder is first distilled: on sentences of the easy world it learns to answer as the
shipped one does, so that all begin with the same knowledge of digits, colours and headings.
"""

import functools
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from minivid.experiments import swapped_captions, text_encoders
from minivid.experiments.records import Bar, proportions, save_clips, train_network
from minivid.experiments.swapped_captions import FRAMES, PANNED
from minivid.experiments.text_encoders import BagOfWords, LearnedAlong, TaughtOrder
from minivid.measure.adherence import agreement, read_clips
from minivid.measure.judge import Judge, load_judge
from minivid.pipeline import TOKENIZER
from minivid.recipes import clips, words
from minivid.recipes.captioning import drop_captions
from minivid.training import TrainConfig
from minivid.world import captions, random_scenes, render, scene

WHAT = "no text, a bag of words, a contrastive encoder, one learned along, one taught that order counts"
SEEDS = (0, 1, 2)
CONFIG = TrainConfig(steps=300, batch_size=16, learning_rate=1e-3, cooldown=0.6, precision="bf16")
DISTILLATION = TrainConfig(steps=300, batch_size=64, learning_rate=3e-3)


def draw_batch(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Clips under a panning camera (b, 3, 9, 32, 32) and their captions' tokens (b, n), some empty."""
    scenes = random_scenes.draw_scenes(config.batch_size, rng, PANNED)
    sentences = [captions.write(one.describe()) for one in scenes]
    return render.video(scenes, FRAMES), TOKENIZER(drop_captions(sentences, rng))


def draw_easy_batch(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Captions of the easy world: tokens (b, n), and the pooled text of the shipped encoder (b, d)."""
    scenes = random_scenes.draw_scenes(config.batch_size, rng)
    tokens = TOKENIZER([captions.write(one.describe()) for one in scenes])
    return tokens, words.encode_tokens(tokens)


def distillation_loss(encoder: nn.Module, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
    """Mean squared error of the encoder's pooled text."""
    tokens, pooled_text = batch
    return mse_loss(encoder(tokens), pooled_text)


def train(name: str, seed: int, bar: Bar) -> nn.Module:
    """The shipped video model with another text encoder."""
    torch.manual_seed(seed)
    encoder = text_encoders.ENCODERS[name]()
    if isinstance(encoder, BagOfWords | LearnedAlong):
        config = replace(DISTILLATION, seed=seed)
        draw = functools.partial(draw_easy_batch, config)
        encoder = train_network(encoder, distillation_loss, draw, config, bar, f"{name}, easy")
        encoder.requires_grad_(True)
    elif isinstance(encoder, TaughtOrder):
        encoder.text = swapped_captions.train(seed, bar).text
    config, network = replace(CONFIG, seed=seed), text_encoders.TextUNet(encoder)
    draw = functools.partial(draw_batch, config)
    return train_network(network, clips.loss, draw, config, bar, f"{name}, seed {seed}")


def draw_crossed_scenes(n: int, seed: int) -> list[scene.Scene]:
    """Scenes in which the digit goes one way and the camera another."""
    drawn = random_scenes.draw_scenes(2 * n, seed, PANNED)
    return [one for one in drawn if one.camera != f"pan {one.bodies[0].heading}"][:n]


def binding_rows(asked: list[scene.Description], observed: list[scene.Description]) -> dict[str, Tensor]:
    """words: the two directions asked for are there, in either order; bound: each is its own.

    plain: the digit and its colour, which no order of words can confuse.
    """
    rows = [agreement(a, o) for a, o in zip(asked, observed, strict=True)]
    pairs = [(_directions(a), _directions(o)) for a, o in zip(asked, observed, strict=True)]
    return {
        "plain": torch.tensor([row["digit"] and row["colour"] for row in rows]),
        "words": torch.tensor([sorted(a) == sorted(o) for a, o in pairs]),
        "bound": torch.tensor([a == o for a, o in pairs]),
    }


def _directions(one: scene.Description) -> tuple[str, str]:
    return one.subjects[0].heading, one.camera.removeprefix("pan ")


def run(seed: int, bar: Bar, n: int = 100) -> dict:
    """{text encoder: {"plain", "words", "bound"}}, and of real clips under "real"."""
    judge, scenes = load_judge(), draw_crossed_scenes(n, seed)
    asked = [one.describe() for one in scenes]
    prompts = [captions.write(one) for one in asked]
    table = {"real": _measure(judge, asked, render.video(scenes, FRAMES))}
    for name in text_encoders.ENCODERS:
        network = train(name, seed, bar)
        video = text_encoders.generate(network, prompts, seed, frames=FRAMES)
        table[name] = _measure(judge, asked, video)
        if seed == SEEDS[0]:
            save_clips("encoders", name, video[:4])
    return table


def _measure(judge: Judge, asked: list[scene.Description], video: Tensor) -> dict:
    observed = [one.description for one in read_clips(judge, video)]
    return proportions(binding_rows(asked, observed))
