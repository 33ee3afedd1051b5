"""From nothing to clips of what a sentence asks for, in an hour: codec, text encoder and transformer.

Nothing that is shipped is used but by who looks at the end: the judge and, for toy-FVD, the clip encoder.
Text encoder and clip encoder learn each other's language first, then the codec learns, both on the easy world
alone; the transformer learns last, with the text encoder, and is taught by the clip encoder (see
`recipes.video`).
"""

import functools
import time
from dataclasses import replace

import torch
from torch import Tensor

from minivid import codec, generator, text, train
from minivid.experiments import task
from minivid.experiments.keeping import Follow, followed, keep
from minivid.recipes import cache, clips, codecs, held_out, latents, teacher, video, words
from minivid.recipes.words import TOKENISER
from minivid.world import captions, render, scene

WHAT = "the easy world from nothing: codec, text encoder and transformer, and the time they take"
SEEDS = (0,)
KEPT = 12_000  # clips whose latents are trained on
WORDS = train.Plan(500, 64, learning_rate=1e-3)
CODEC = train.Plan(3000, 8, learning_rate=1.5e-3, muon=0.015, decay=0.8)
PLAN = train.Plan(3600, 64, learning_rate=1e-3, muon=0.02, decay=0.5, compiled=True)
WIDTH, DEPTH = 128, 6


def easy_clips(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Clips of the easy world (b, 3, 17, 32, 32), none held out."""
    return (render.video(held_out.draw_scenes(plan.batch, generator)),)


def pairs(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Captions (b, n), clips (b, 3, 17, 32, 32), and which caption also fits which clip (b, b)."""
    return words.paired(held_out.draw_scenes(plan.batch, generator), generator)


def easy_latents(
    kept: tuple[Tensor, Tensor],
    scenes: list[scene.Scene],
    plan: train.Plan,
    generator: torch.Generator,
) -> tuple[Tensor, ...]:
    """Latents (b, 8, 5, 8, 8), what they show until the teacher is silent, and captions' tokens (b, n)."""
    told = kept[:1] if video.silent(train.step_of(generator, plan.seed), plan) else kept
    return latents.pick_all(told, scenes, plan.batch, generator, video.tokens)


def taught_pair(seed: int, follow: Follow) -> text.Pair:
    """A text encoder and a clip encoder of the easy world."""
    torch.manual_seed(seed)
    plan = replace(WORDS, seed=seed)
    draw = functools.partial(pairs, plan)
    return followed(
        text.Pair(len(TOKENISER.words)), words.loss, draw, plan, follow, "captions and clips"
    )


def taught_codec(seed: int, follow: Follow) -> codec.VideoCodec:
    """An autoencoder of the easy world."""
    torch.manual_seed(seed)
    plan = replace(CODEC, seed=seed)
    draw = functools.partial(easy_clips, plan)
    learned = followed(codec.VideoCodec(), codecs.loss, draw, plan, follow, "codec")
    learned.measure(easy_clips(replace(plan, batch=500), torch.Generator().manual_seed(seed))[0])
    return learned


def taught_transformer(
    kept: tuple[Tensor, Tensor],
    scenes: list[scene.Scene],
    reader: text.TextEncoder,
    seed: int,
    follow: Follow,
) -> generator.TextToVideo:
    """A transformer and the text encoder, on latents of scenes and what they show."""
    plan = replace(PLAN, seed=seed)
    batch = functools.partial(easy_latents, kept, scenes, plan)
    torch.manual_seed(seed)
    network = generator.TextToVideo(
        len(TOKENISER.words), width=WIDTH, depth=DEPTH, taught=generator.TAUGHT
    )
    network.text.load_state_dict(reader.state_dict())
    return followed(network, video.loss, batch, plan, follow, "text encoder and transformer")


def run(seed: int, follow: Follow, n: int = 500) -> dict:
    """{"seconds": {part: seconds}, "score": the table of `clips.scored`}; scoring is not counted."""
    began, seconds = time.monotonic(), {}

    def lap(part: str) -> None:
        seconds[part] = round(time.monotonic() - began) - sum(seconds.values())

    pair = taught_pair(seed, follow)
    lap("captions and clips")
    own = taught_codec(seed, follow)
    lap("codec")
    scenes = held_out.draw_scenes(KEPT, train.step_seed(seed, 0))
    sample = render.video(held_out.draw_scenes(100, seed))
    eye = teacher.Teacher(pair.clip, sample, generator.TAUGHT)
    kept = tuple(cache.encode("the hour", one, scenes, render.video) for one in (own, eye))
    lap("latents")
    network = taught_transformer(kept, scenes, pair.text, seed, follow)
    lap("transformer")
    seconds["in all"] = sum(seconds.values())
    ready = generator.Generator(network, own, TOKENISER)
    asked = [one.describe() for one in held_out.draw_scenes(8, seed)]
    draw = functools.partial(ready.draw, **task.WALK)
    keep("hour", "clips", draw([captions.write(one) for one in asked], seed))
    return {"seconds": seconds, "score": clips.scored(draw, n, seed)}
