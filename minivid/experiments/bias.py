"""Bias, made by hand: a training set in which most 3s are red, and what "a 3" then gives.

The shipped video model, which saw every colour equally often, is taught some minutes more on stills.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from minivid import judge, train
from minivid.experiments import encoders
from minivid.experiments.keeping import Follow, followed, keep, shares
from minivid.recipes import clips
from minivid.recipes.judging import referee
from minivid.recipes.words import TOKENISER
from minivid.world import captions, render, scene

WHAT = "a training set in which nine 3s in ten are red, and a fair one"
SEEDS = (0, 1, 2)
RED = 0.9  # share of the biased set's 3s that are red
PLAN = train.Plan(steps=300, batch=64, learning_rate=1e-3, decay=0.6, precision="bf16")
SCALES = (1.0, 2.0, 4.0)
PROMPTS = ("a 3", "a 5", "a blue 3", "a blue 5")


def draw_scenes(n: int, generator: torch.Generator, biased: bool) -> list[scene.Scene]:
    """Scenes of the easy world; where biased, a 3 is red nine times in ten."""
    digits = torch.randint(10, (n,), generator=generator).tolist()
    chances = torch.rand(n, generator=generator).tolist()
    others = torch.randint(1, 6, (n,), generator=generator).tolist()
    fair = torch.randint(6, (n,), generator=generator).tolist()
    colours = list(scene.COLOURS)
    picked = [
        colours[0 if chance < RED else other] if biased and digit == 3 else colours[any_]
        for digit, chance, other, any_ in zip(digits, chances, others, fair, strict=True)
    ]
    asked = [
        scene.Description((scene.Subject(digit, colour),))
        for digit, colour in zip(digits, picked, strict=True)
    ]
    return scene.draw_scenes(n, generator, descriptions=asked)


def describe(one: scene.Scene) -> scene.Description:
    """What a still shows: digits and their colours."""
    return scene.Description(tuple(scene.Subject(b.digit, b.colour) for b in one.bodies))


def batch(plan: train.Plan, generator: torch.Generator, biased: bool) -> tuple[Tensor, ...]:
    """Stills (b, 3, 1, 32, 32) and captions' tokens; every other caption leaves the colour out."""
    scenes = draw_scenes(plan.batch, generator, biased)
    sentences = [captions.write(describe(one), generator, 0.5) for one in scenes]
    return render.video(scenes, 1), TOKENISER(clips.some_unsaid(sentences, generator))


def trained(biased: bool, seed: int, follow: Follow, steps: int = PLAN.steps) -> nn.Module:
    """The shipped video model, taught on the biased or the fair set."""
    plan = replace(PLAN, seed=seed, steps=steps)
    network = encoders.Told(encoders.Frozen())
    what = f"{'biased' if biased else 'fair'}, seed {seed}"
    return followed(network, clips.loss, lambda g: batch(plan, g, biased), plan, follow, what)


def measure(viewer: judge.Judge, video: Tensor, prompt: str) -> dict[str, Tensor]:
    """red: the digit is red; right: digit and colour are what the prompt says."""
    asked = captions.parse(prompt)
    seen = [one.description for one in clips.look(viewer, video)]
    rows = [judge.agreement(asked, one) for one in seen]
    return {
        "red": torch.tensor([one.subjects[0].colour == "red" for one in seen]),
        "right": torch.tensor([row["digit"] and row["colour"] for row in rows]),
    }


def run(seed: int, follow: Follow, n: int = 100) -> dict:
    """{set: {"prompt @ scale": {"red", "right"}}}."""
    viewer, table = referee(), {}
    for biased in (True, False):
        network, name = trained(biased, seed, follow), "biased" if biased else "fair"
        table[name] = {}
        for prompt in PROMPTS:
            for scale in SCALES:
                video = encoders.draw(network, [prompt] * n, seed, scale)
                table[name][f"{prompt} @ {scale:g}"] = shares(measure(viewer, video, prompt))
                if seed == SEEDS[0]:
                    keep("bias", f"{name}: {prompt} @ {scale:g}", video[:12])
    return table
