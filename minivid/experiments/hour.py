"""From nothing to clips of what a sentence asks for, in an hour: codec, text encoder and transformer.

Nothing that is shipped is used but by who looks at the end: the judge and, for toy-FVD, the clip encoder.
The text encoder learns along with the transformer; the codec learns first, on the easy world alone.
"""

import functools
import time
from dataclasses import replace

import torch
from torch import Tensor

from minivid import codec, generator, train
from minivid.experiments.keeping import Follow, followed, keep
from minivid.recipes import cache, clips, codecs, held_out, latents, video
from minivid.recipes.words import TOKENISER
from minivid.world import captions, render, scene

WHAT = "the easy world from nothing: codec, text encoder and transformer, and the time they take"
SEEDS = (0,)
KEPT = 12_000  # clips whose latents are trained on
CODEC = train.Plan(3000, 8, learning_rate=1.5e-3, muon=0.015, decay=0.8, precision="bf16")
PLAN = train.Plan(
    5000, 64, learning_rate=1e-3, muon=0.02, decay=0.5, precision="bf16", compiled=True
)
WIDTH, DEPTH = 128, 8


def easy_clips(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Clips of the easy world (b, 3, 17, 32, 32), none held out."""
    return (render.video(held_out.draw_scenes(plan.batch, generator)),)


def taught_codec(seed: int, follow: Follow) -> codec.VideoCodec:
    """An autoencoder of the easy world."""
    torch.manual_seed(seed)
    plan = replace(CODEC, seed=seed)
    draw = functools.partial(easy_clips, plan)
    learned = followed(codec.VideoCodec(), codecs.loss, draw, plan, follow, "codec")
    learned.measure(easy_clips(replace(plan, batch=500), torch.Generator().manual_seed(seed))[0])
    return learned


def taught_transformer(
    kept: Tensor, scenes: list[scene.Scene], seed: int, follow: Follow
) -> generator.TextToVideo:
    """A text encoder and a transformer, on latents of scenes."""
    plan = replace(PLAN, seed=seed)
    batch = functools.partial(latents.pick, kept, scenes, plan.batch, hear=video.tokens)
    torch.manual_seed(seed)
    network = generator.TextToVideo(len(TOKENISER.words), width=WIDTH, depth=DEPTH)
    return followed(network, video.loss, batch, plan, follow, "text encoder and transformer")


def run(seed: int, follow: Follow, n: int = 500) -> dict:
    """{"seconds": {part: seconds}, "score": the table of `clips.scored`}; scoring is not counted."""
    began, seconds = time.monotonic(), {}
    own = taught_codec(seed, follow)
    seconds["codec"] = round(time.monotonic() - began)
    scenes = held_out.draw_scenes(KEPT, train.step_seed(seed, 0))
    kept = cache.encode("the hour", own, scenes, render.video)
    seconds["latents"] = round(time.monotonic() - began) - seconds["codec"]
    network = taught_transformer(kept, scenes, seed, follow)
    seconds["in all"] = round(time.monotonic() - began)
    ready = generator.Generator(network, own, TOKENISER)
    asked = [one.describe() for one in held_out.draw_scenes(8, seed)]
    keep("hour", "clips", ready.draw([captions.write(one) for one in asked], seed))
    return {"seconds": seconds, "score": clips.scored(ready.draw, n, seed)}
