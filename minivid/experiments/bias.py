"""Bias, made by hand: a training set in which most 3s are red, and what the prompt "a 3" then gives.

The shipped video model, which saw every colour equally often, is trained some minutes more on stills.
"""

import functools
from dataclasses import replace

import torch
from torch import Tensor, nn

from minivid.experiments.records import Bar, proportions, save_clips, train_network
from minivid.experiments.stills import describe_still
from minivid.experiments.text_encoders import Frozen, TextUNet, generate
from minivid.measure.adherence import agreement, read_clips
from minivid.measure.judge import Judge, load_judge
from minivid.pipeline import TOKENIZER
from minivid.recipes import clips
from minivid.recipes.captioning import drop_captions
from minivid.training import TrainConfig
from minivid.world import captions, random_scenes, render, scene

WHAT = "a training set in which nine 3s in ten are red, and a fair one"
SEEDS = (0, 1, 2)
RED = 0.9  # share of the biased set's 3s that are red
CONFIG = TrainConfig(steps=300, batch_size=64, learning_rate=1e-3, cooldown=0.6, precision="bf16")
SCALES = (1.0, 2.0, 4.0)  # of guidance
PROMPTS = ("a 3", "a 5", "a blue 3", "a blue 5")


def draw_scenes(n: int, rng: torch.Generator, biased: bool) -> list[scene.Scene]:
    """Scenes of the easy world; where biased, a 3 is red nine times in ten."""
    digits = torch.randint(10, (n,), generator=rng).tolist()
    chances = torch.rand(n, generator=rng).tolist()
    others = torch.randint(1, 6, (n,), generator=rng).tolist()
    fair = torch.randint(6, (n,), generator=rng).tolist()
    colours = list(scene.COLOURS)
    picked = [
        colours[0 if chance < RED else other] if biased and digit == 3 else colours[uniform]
        for digit, chance, other, uniform in zip(digits, chances, others, fair, strict=True)
    ]
    descriptions = [
        scene.Description((scene.Subject(digit, colour),))
        for digit, colour in zip(digits, picked, strict=True)
    ]
    return random_scenes.draw_scenes(n, rng, descriptions=descriptions)


def draw_batch(config: TrainConfig, rng: torch.Generator, biased: bool) -> tuple[Tensor, ...]:
    """Stills (b, 3, 1, 32, 32) and captions' tokens; every other caption leaves the colour out."""
    scenes = draw_scenes(config.batch_size, rng, biased)
    sentences = [captions.write(describe_still(one), rng, 0.5) for one in scenes]
    return render.video(scenes, 1), TOKENIZER(drop_captions(sentences, rng))


def train(biased: bool, seed: int, bar: Bar, steps: int = CONFIG.steps) -> nn.Module:
    """The shipped video model, trained further on the biased or the fair set."""
    config = replace(CONFIG, seed=seed, steps=steps)
    draw = functools.partial(draw_batch, config, biased=biased)
    what = f"{'biased' if biased else 'fair'}, seed {seed}"
    return train_network(TextUNet(Frozen()), clips.loss, draw, config, bar, what)


def measure(judge: Judge, video: Tensor, prompt: str) -> dict[str, Tensor]:
    """red: the digit is red; right: digit and colour are what the prompt says."""
    asked = captions.parse(prompt)
    observed = [one.description for one in read_clips(judge, video)]
    rows = [agreement(asked, one) for one in observed]
    return {
        "red": torch.tensor([one.subjects[0].colour == "red" for one in observed]),
        "right": torch.tensor([row["digit"] and row["colour"] for row in rows]),
    }


def run(seed: int, bar: Bar, n: int = 100) -> dict:
    """{set: {"prompt @ guidance scale": {"red", "right"}}}."""
    judge, table = load_judge(), {}
    for biased in (True, False):
        network, name = train(biased, seed, bar), "biased" if biased else "fair"
        table[name] = {}
        for prompt in PROMPTS:
            for scale in SCALES:
                video = generate(network, [prompt] * n, seed, scale)
                rows = measure(judge, video, prompt)
                table[name][f"{prompt} @ {scale:g}"] = proportions(rows)
                if seed == SEEDS[0]:
                    save_clips("bias", f"{name}: {prompt} @ {scale:g}", video[:12])
    return table
