"""Crops or native formats: the experiment of Sora's report, in a world where the truth is known.

Pictures are wide or tall. One network is trained on them as they are, the other on their centre crops, as is
done where every clip must have one format. How often does a digit that they generate stick out of the frame?
"""

import functools
from dataclasses import replace

import torch
from torch import Tensor

from minivid.experiments import small_task, stills
from minivid.experiments.records import Bar, proportions, save_clips
from minivid.experiments.stills import write_prompt
from minivid.formats import Format
from minivid.measure.adherence import agreement, read_clips
from minivid.measure.ink import find_ink
from minivid.measure.judge import load_judge
from minivid.models.alignment import ALIGNMENT_DIM
from minivid.pipeline import Pipeline
from minivid.training import TrainConfig, step_seed
from minivid.world import captions, held_out, render, scene

WHAT = "trained on wide and tall pictures, or on the middle squares of them: is the digit cut off?"
SEEDS = (0, 1, 2)
SQUARE, WIDE, TALL = Format(1, 32, 32), Format(1, 32, 48), Format(1, 48, 32)
DATASET_SIZE = 6000  # pictures of each format
CONFIG = TrainConfig(1200, 64, learning_rate=1e-3, muon_lr=0.02, ema=0.995, compile=True)
BORDER_INK = 0.3  # ink on the frame's outermost pixels, above which a digit counts as cut off


def draw_scenes(n: int, seed: int, shape: Format) -> list[scene.Scene]:
    """Scenes of the easy world in rooms of that shape."""
    return held_out.draw_scenes(n, seed, room=render.room_for(shape.height, shape.width))


def render_stills(scenes: list[scene.Scene], shape: Format, cropped: bool) -> Tensor:
    """Stills (b, 3, 1, h, w) of scenes in rooms of that shape, or their centre crops."""
    video = render.in_format(scenes, shape)
    return centre_crop(video) if cropped else video


def centre_crop(video: Tensor) -> Tensor:
    """The middle square of frames: (b, 3, f, h, w) -> (b, 3, f, s, s), s the shorter side."""
    height, width = video.shape[3:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return video[..., top : top + side, left : left + side]


def cut_off(video: Tensor) -> Tensor:
    """Whether a digit sticks out of the frame anywhere in a clip: (b, 3, f, h, w) -> (b,) booleans."""
    ink = find_ink((video.clamp(-1, 1) + 1) / 2).amax(1)
    sides = (ink[..., 0, :], ink[..., -1, :], ink[..., :, 0], ink[..., :, -1])
    return torch.stack([(side > BORDER_INK).flatten(1).any(1) for side in sides]).any(0)


def digit_as_asked(prompts: list[str], video: Tensor) -> Tensor:
    """Whether the judge reads the digit that a prompt names: (b,) booleans."""
    observed = read_clips(load_judge(), video)
    asked = map(captions.parse, prompts)
    return torch.tensor([agreement(a, b.description)["digit"] for a, b in zip(asked, observed, strict=True)])


def training_sets(seed: int, cropped: bool, n: int = DATASET_SIZE) -> list[stills.TrainingSet]:
    """Of wide and of tall pictures, or of their centre crops; n: how many of each."""
    sets = []
    for k, shape in enumerate((WIDE, TALL)):
        scenes = draw_scenes(n, step_seed(seed, k), shape)
        make = functools.partial(render_stills, shape=shape, cropped=cropped)
        sets.append(stills.encode(f"{shape}", scenes, make, [write_prompt(one) for one in scenes]))
    return sets


def train(
    cropped: bool, seed: int, bar: Bar, config: TrainConfig = CONFIG, n: int = DATASET_SIZE
) -> Pipeline:
    """A network trained on crops or on native formats, n pictures of each, ready to generate."""
    network = small_task.network(seed, alignment_dim=ALIGNMENT_DIM)
    what = f"{'centre crops' if cropped else 'native formats'}, seed {seed}"
    sets = training_sets(seed, cropped, n)
    return stills.train(sets, network, replace(config, seed=seed), bar, what)


def run(seed: int, bar: Bar, n: int = 200) -> dict:
    """{"crops" | "native": {format: {"cut off", "digit" as asked}}}, and of real pictures."""
    shapes = {"square": SQUARE, "wide": WIDE, "tall": TALL}
    scenes = {name: draw_scenes(n, seed, shape) for name, shape in shapes.items()}
    real = {name: render_stills(scenes[name], shape, False) for name, shape in shapes.items()}
    cropped = torch.cat([centre_crop(real["wide"]), centre_crop(real["tall"])])
    table = {
        "real": {name: proportions({"cut off": cut_off(video)}) for name, video in real.items()},
        "real crops": {"square": proportions({"cut off": cut_off(cropped)})},
    }
    for name in ("crops", "native"):
        pipeline, table[name] = train(name == "crops", seed, bar), {}
        for key, shape in shapes.items():
            prompts = [write_prompt(one) for one in scenes[key]]
            video = pipeline.generate(prompts, seed, shape=shape).video
            table[name][key] = proportions(
                {"cut off": cut_off(video), "digit": digit_as_asked(prompts, video)}
            )
            if seed == SEEDS[0]:
                save_clips("crops", f"{name}, {key}", video[:6])
    return table
