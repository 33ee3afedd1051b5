"""Crops or native formats: the experiment of Sora's report, in which the truth is known.

Pictures are wide or tall. One network is trained on them as they are, the other on their middle square, as
is done where every clip must have one format. How often does a digit that they draw stick out of the frame?
"""

import functools
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from minivid import generator, judge, train
from minivid.experiments import task
from minivid.experiments.keeping import Follow, followed, keep, shares
from minivid.generator import Format
from minivid.recipes import cache, clips, held_out, latents, teacher, video
from minivid.recipes.judging import referee
from minivid.recipes.words import TOKENISER
from minivid.world import captions, render, scene

WHAT = "trained on wide and tall pictures, or on the middle squares of them: is the digit cut off?"
SEEDS = (0, 1, 2)
SQUARE, WIDE, TALL = Format(1, 32, 32), Format(1, 32, 48), Format(1, 48, 32)
KEPT = 6000  # pictures of each format
PLAN = train.Plan(1200, 64, learning_rate=1e-3, muon=0.02, ema=0.995, compiled=True)
Draw = Callable[..., Tensor]  # sentences, seed, shape -> clips
INK = 0.3  # ink on the frame's outermost pixels, above which a digit counts as cut off


def pictures(scenes: list[scene.Scene], shape: Format, cropped: bool) -> Tensor:
    """Stills (b, 3, 1, h, w) of scenes in rooms of that shape, or their middle squares."""
    whole = render.video(scenes, shape.frames, shape.height, shape.width)
    return middle(whole) if cropped else whole


def middle(video: Tensor) -> Tensor:
    """The middle square of frames: (b, 3, f, h, w) -> (b, 3, f, s, s), s the shorter side."""
    height, width = video.shape[3:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return video[..., top : top + side, left : left + side]


def still(one: scene.Scene) -> scene.Description:
    """What can be seen of a scene in a still."""
    digits = [replace(each, heading=None, hums=None) for each in one.describe().subjects]
    return scene.Description(tuple(digits))


def wish(one: scene.Scene) -> str:
    """A sentence for a still."""
    return captions.write(still(one))


def cut_off(video: Tensor) -> Tensor:
    """Whether a digit sticks out of the frame anywhere in a clip: (b, 3, f, h, w) -> (b,) booleans."""
    ink = judge.find_ink((video.clamp(-1, 1) + 1) / 2).amax(1)
    sides = (ink[..., 0, :], ink[..., -1, :], ink[..., :, 0], ink[..., :, -1])
    return torch.stack([(side > INK).flatten(1).any(1) for side in sides]).any(0)


def as_asked(sentences: list[str], made: Tensor) -> Tensor:
    """Whether the judge sees the digit that a sentence names: (b,) booleans."""
    seen = clips.look(referee(), made)
    asked = map(captions.parse, sentences)
    return torch.tensor(
        [judge.agreement(a, b.description)["digit"] for a, b in zip(asked, seen, strict=True)]
    )


def draw_scenes(n: int, seed: int, shape: Format) -> list[scene.Scene]:
    """Scenes of the easy world in rooms of that shape."""
    return held_out.draw_scenes(n, seed, room=render.room_for(shape.height, shape.width))


def training_set(
    seed: int, cropped: bool, kept: int = KEPT
) -> list[tuple[Tensor, Tensor, list[str]]]:
    """Latents of wide and of tall pictures, or of their middles, what they show, and their sentences.

    kept: how many of each.
    """
    made = []
    for k, shape in enumerate((WIDE, TALL)):
        scenes = draw_scenes(kept, train.step_seed(seed, k), shape)
        make = functools.partial(pictures, shape=shape, cropped=cropped)
        both = (
            cache.encode(f"{shape}", eye, scenes, make)
            for eye in (latents.video_codec(), teacher.teacher(generator.TAUGHT))
        )
        made.append((*both, [wish(one) for one in scenes]))
    return made


def trained(
    cropped: bool, seed: int, follow: Follow, plan: train.Plan = PLAN, kept: int = KEPT
) -> Draw:
    """A way to draw, of a network trained on one of the two: see `generator.Generator.draw`."""
    network = task.network(seed, taught=generator.TAUGHT)
    what = f"{'middle squares' if cropped else 'native formats'}, seed {seed}"
    sets = training_set(seed, cropped, kept)
    return trained_on(sets, network, replace(plan, seed=seed), follow, what)


def trained_on(
    sets: list[tuple[Tensor, Tensor, list[str]]],
    network: generator.TextToVideo,
    plan: train.Plan,
    follow: Follow,
    what: str,
) -> Draw:
    """The same of any network and sets of latents, what they show, and sentences; each batch of one set."""

    def batch(generator: torch.Generator) -> tuple[Tensor, ...]:
        made, shown, sentences = sets[int(torch.randint(len(sets), (), generator=generator))]
        which = torch.randint(len(made), (plan.batch,), generator=generator)
        said = clips.some_unsaid([sentences[k] for k in which], generator)
        return made[which], shown[which], video.tokens(said)

    learned = followed(network, video.loss, batch, plan, follow, what)
    ready = generator.Generator(learned, latents.video_codec(), TOKENISER)
    return functools.partial(ready.draw, **task.WALK)


def run(seed: int, follow: Follow, n: int = 200) -> dict:
    """{"crops" | "native": {format: {"cut off", "digit" as asked}}}, and of real pictures."""
    shapes = {"square": SQUARE, "wide": WIDE, "tall": TALL}
    scenes = {name: draw_scenes(n, seed, shape) for name, shape in shapes.items()}
    real = {name: pictures(scenes[name], shape, False) for name, shape in shapes.items()}
    cropped = torch.cat([middle(real["wide"]), middle(real["tall"])])
    table = {
        "real": {name: shares({"cut off": cut_off(made)}) for name, made in real.items()},
        "real crops": {"square": shares({"cut off": cut_off(cropped)})},
    }
    for name in ("crops", "native"):
        draw, table[name] = trained(name == "crops", seed, follow), {}
        for shape, at in shapes.items():
            sentences = [wish(one) for one in scenes[shape]]
            made = draw(sentences, seed, shape=at)
            table[name][shape] = shares(
                {"cut off": cut_off(made), "digit": as_asked(sentences, made)}
            )
            if seed == SEEDS[0]:
                keep("crops", f"{name}, {shape}", made[:6])
    return table
