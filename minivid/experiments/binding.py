"""Attribute binding: which digit has which colour? Three text encoders, and two digits in one picture.

One is trained along with the transformer, from nothing; one has learned what captions and clips have in
common, and is frozen; one has learned from text alone what is said of which digit (`recipes.reader`), and is
frozen. Asked for a red 3 and a blue 7, which model makes a red 7 and a blue 3? One pair of digits in five is
never trained on, and only such are asked for, so that no prompt can be known by heart.
"""

import functools
from dataclasses import replace

import torch
from torch import Tensor

from minivid import recipes
from minivid.experiments import small_task, stills
from minivid.experiments.records import Bar, proportions, save_clips
from minivid.formats import Format
from minivid.measure.adherence import read_clips
from minivid.measure.judge import load_judge
from minivid.models.alignment import ALIGNMENT_DIM
from minivid.models.text import TextEncoder
from minivid.models.text_to_video import TextToVideo
from minivid.pipeline import TOKENIZER
from minivid.training import TrainConfig, step_seed
from minivid.world import held_out, random_scenes, render, scene

WHAT = "pictures of two digits, words from three text encoders: as asked, or with digits exchanged?"
SEEDS = (0, 1, 2)
WORLD = replace(random_scenes.EASY, counts=(2,))
SHAPE = Format(1, 32, 32)
DATASET_SIZE = 8000  # draws of two digits, of which some are left out
OUTCOMES = ("as asked", "exchanged", "other")
CONFIG = TrainConfig(1000, 64, learning_rate=1e-3, muon_lr=0.02, ema=0.995, compile=True)

# Of the shipped models, which one's text encoder is taken, frozen.
WAYS = {"learns along": None, "captions and clips": "words", "text alone": "reader"}


def network(way: str, seed: int) -> TextToVideo:
    """A network whose text encoder is one of WAYS; the transformer begins the same in all."""
    built = small_task.network(seed, alignment_dim=ALIGNMENT_DIM)
    name = WAYS[way]
    if name is None:
        built.text = TextEncoder(len(TOKENIZER.words))
    else:
        built.text = recipes.load(name).text.requires_grad_(False)
    return built


def draw_scenes(n: int, seed: int, train: bool) -> list[scene.Scene]:
    """Scenes of two different digits, from n draws: of pairs to train on, or of those never trained on."""
    scenes = held_out.draw_scenes(n, seed, world=WORLD)
    return [
        one for one in scenes if one.bodies[0].digit != one.bodies[1].digit and train == (_pair(one) % 5 > 0)
    ]


def _pair(one: scene.Scene) -> int:
    """A number of the two digits with their colours, whichever is in front."""
    colours = list(scene.COLOURS)
    return sum(7 * colours.index(body.colour) + body.digit for body in one.bodies)


def write_prompts(scenes: list[scene.Scene], seed: int) -> list[str]:
    """Prompts for pictures, in several wordings."""
    rng = torch.Generator().manual_seed(seed)
    return [stills.write_prompt(one, rng) for one in scenes]


@functools.cache
def training_set() -> stills.TrainingSet:
    """Latents of pictures, their alignment targets, and prompts for them."""
    scenes = draw_scenes(DATASET_SIZE, step_seed(0, 0), True)
    make = functools.partial(render.in_format, shape=SHAPE)
    return stills.encode("binding", scenes, make, write_prompts(scenes, 0))


def outcome(asked: scene.Description, observed: scene.Description) -> str:
    """What became of two digits: one of OUTCOMES."""
    wanted, found = ({one.colour: one.digit for one in described.subjects} for described in (asked, observed))
    if found == wanted:
        return "as asked"
    colours, digits = list(wanted), list(wanted.values())
    return "exchanged" if found == dict(zip(colours, digits[::-1], strict=True)) else "other"


def run(seed: int, bar: Bar, n: int = 1500) -> dict:
    """{way, or "real": {outcome: [proportion, low, high]}}; asked for from n draws."""
    scenes = draw_scenes(n, seed, False)
    prompts = write_prompts(scenes, seed)
    found = {"real": _outcomes(scenes, render.in_format(scenes, SHAPE))}
    config = replace(CONFIG, seed=seed)
    for name in WAYS:
        what = f"{name}, seed {seed}"
        pipeline = stills.train([training_set()], network(name, seed), config, bar, what)
        video = pipeline.generate(prompts, seed, shape=SHAPE).video
        found[name] = _outcomes(scenes, video)
        if seed == SEEDS[0]:
            save_clips("binding", name, video[:6])
    return found


def _outcomes(scenes: list[scene.Scene], video: Tensor) -> dict:
    """The proportion of pictures with each outcome."""
    observed = read_clips(load_judge(), video)
    pairs = zip(scenes, observed, strict=True)
    became = [outcome(a.describe(), b.description) for a, b in pairs]
    return proportions({way: torch.tensor([way == one for one in became]) for way in OUTCOMES})
