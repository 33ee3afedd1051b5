"""Whose word is whose? Three text encoders, and two digits in one picture.

One learns along with the transformer, from nothing; one has learned what captions and clips have in common,
and stays as it is; one has learned from text alone what is said of whom (`recipes.reader`), and stays. Asked
for a red 3 and a blue 7, who draws a red 7 and a blue 3? One pair of digits in five is never trained on, and
only such are asked for, so that no sentence can be known by heart.
"""

import functools
from dataclasses import replace

import torch
from torch import Tensor

from minivid import generator, recipes, text, train
from minivid.experiments import crops, task
from minivid.experiments.keeping import Follow, keep, shares
from minivid.recipes import cache, clips, held_out, latents, teacher, video
from minivid.recipes.judging import referee
from minivid.recipes.words import TOKENISER
from minivid.world import captions, render, scene

WHAT = "pictures of two digits, words from three text encoders: as asked, or with digits exchanged?"
SEEDS = (0, 1, 2)
WORLD = replace(scene.EASY, counts=(2,))
SHAPE = generator.Format(1, 32, 32)
KEPT = 8000  # pictures
BECAME = ("as asked", "exchanged", "other")
PLAN = train.Plan(1000, 64, learning_rate=1e-3, muon=0.02, ema=0.995, compiled=True)


# Of the shipped models, which one's text encoder is taken, and learns no more.
WAYS = {"learns along": None, "captions and clips": "words", "text alone": "reader"}


def network(way: str, seed: int) -> generator.TextToVideo:
    """A network that reads in one of WAYS."""
    made = task.network(seed, taught=generator.TAUGHT)
    name = WAYS[way]
    if name is None:
        made.text = text.TextEncoder(len(TOKENISER.words))
    else:
        made.text = recipes.load(name).text.requires_grad_(False)
    return made


def draw_scenes(n: int, seed: int, known: bool) -> list[scene.Scene]:
    """Scenes of two different digits, from n draws: of pairs to train on, or of those never trained on."""
    scenes = held_out.draw_scenes(n, seed, world=WORLD)
    return [
        one
        for one in scenes
        if one.bodies[0].digit != one.bodies[1].digit and known == (_pair(one) % 5 > 0)
    ]


def _pair(one: scene.Scene) -> int:
    """A number of the two digits with their colours, whoever is in front."""
    colours = list(scene.COLOURS)
    return sum(7 * colours.index(body.colour) + body.digit for body in one.bodies)


def wishes(scenes: list[scene.Scene], seed: int) -> list[str]:
    """Sentences for pictures, in several wordings."""
    draws = torch.Generator().manual_seed(seed)
    return [captions.write(crops.still(one), draws) for one in scenes]


@functools.cache
def training_set() -> tuple[Tensor, Tensor, list[str]]:
    """Latents of pictures, what they show, and their sentences."""
    scenes = draw_scenes(KEPT, train.step_seed(0, 0), True)
    make = video.filming(SHAPE)
    eyes = latents.video_codec(), teacher.teacher(generator.TAUGHT)
    made, shown = (cache.encode("binding", eye, scenes, make) for eye in eyes)
    return made, shown, wishes(scenes, 0)


def bound(asked: scene.Description, seen: scene.Description) -> str:
    """What became of two digits: one of BECAME."""
    there, here = ({one.colour: one.digit for one in said.subjects} for said in (asked, seen))
    if here == there:
        return "as asked"
    colours, digits = list(there), list(there.values())
    return "exchanged" if here == dict(zip(colours, digits[::-1], strict=True)) else "other"


def run(seed: int, follow: Follow, n: int = 1500) -> dict:
    """{way, or "real": {"as asked", "exchanged", "other": [share, low, high]}}; asked for from n draws."""
    scenes = draw_scenes(n, seed, False)
    sentences = wishes(scenes, seed)
    found = {"real": _became(scenes, render.video(scenes, SHAPE.frames))}
    plan = replace(PLAN, seed=seed)
    for name in WAYS:
        what = f"{name}, seed {seed}"
        draw = crops.trained_on([training_set()], network(name, seed), plan, follow, what)
        made = draw(sentences, seed, shape=SHAPE)
        found[name] = _became(scenes, made)
        if seed == SEEDS[0]:
            keep("binding", name, made[:6])
    return found


def _became(scenes: list[scene.Scene], made: Tensor) -> dict:
    """The share of pictures in which the two digits became each of BECAME."""
    seen = clips.look(referee(), made)
    became = [bound(a.describe(), b.description) for a, b in zip(scenes, seen, strict=True)]
    return shares({way: torch.tensor([way == one for one in became]) for way in BECAME})
