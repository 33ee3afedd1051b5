"""What diffusion needs of latents: as many channels as say something, and each of unit size.

Autoencoders of 8 and of 64 channels are taught alike, then a transformer on the latents of each; and once
more on those of 8 channels as they are, before each is shifted and scaled to mean 0 and standard deviation 1.
"""

import functools
from dataclasses import replace

import torch
from torch import Tensor

from minivid import codec, generator, metrics, train
from minivid.experiments import compression, task
from minivid.experiments.keeping import Follow, followed, means
from minivid.recipes import cache, codecs, held_out, latents, video
from minivid.world import render

WHAT = "a transformer on latents of 8 and 64 channels, and on 8 that are not normalised: clips as asked"
SEEDS = (0, 1, 2)
CODEC = replace(compression.PLAN, steps=1500)
KEPT = 6000  # clips whose latents are trained on
WAYS = {"8 channels": (8, True), "8, as they are": (8, False), "64 channels": (64, True)}


def taught_codec(channels: int, seed: int, follow: Follow) -> codec.VideoCodec:
    """An autoencoder of clips of five frames of the easy world, its latents measured."""
    plan = replace(CODEC, seed=seed)
    torch.manual_seed(seed)
    what = f"{channels} channels, seed {seed}"

    def draw(generator: torch.Generator) -> tuple[Tensor, ...]:
        return (render.video(held_out.draw_scenes(plan.batch, generator), task.SHAPE.frames),)

    network = followed(codec.VideoCodec(channels), codecs.loss, draw, plan, follow, what)
    sample = held_out.draw_scenes(400, train.step_seed(seed, 0))
    network.measure(render.video(sample, task.SHAPE.frames))
    return network


def as_it_is(made: codec.VideoCodec) -> codec.VideoCodec:
    """The same autoencoder, its latents not normalised."""
    plain = codec.VideoCodec(len(made.mean))
    plain.load_state_dict(made.state_dict())
    plain.mean.zero_()
    plain.std.fill_(1)
    return plain.eval()


def run(seed: int, follow: Follow, n: int = 200) -> dict:
    """{way: {"digit", "colour", "heading", "all" as asked, and the rows of `kept_by`}}."""
    made = {channels: taught_codec(channels, seed, follow) for channels in (8, 64)}
    scenes = held_out.draw_scenes(KEPT, train.step_seed(seed, 1))
    found = {}
    for name, (channels, normalised) in WAYS.items():
        own = made[channels] if normalised else as_it_is(made[channels])
        kept = cache.encode(name, own, scenes, video.filming(task.SHAPE))
        plan = replace(task.PLAN, seed=seed)
        torch.manual_seed(seed)
        words = len(video.TOKENISER.words)
        network = generator.TextToVideo(words, channels, width=task.WIDTH, depth=task.DEPTH)
        draw = functools.partial(latents.pick, kept, scenes, plan.batch, hear=video.tokens)
        what = f"{name}, seed {seed}"
        learned = followed(video.with_reader(network), video.loss, draw, plan, follow, what)
        ready = generator.Generator(learned, own, video.TOKENISER)
        ask = functools.partial(ready.draw, seed=seed, shape=task.SHAPE, **task.WALK)
        found[name] = task.as_asked(ask, n, seed)[0] | kept_by(own, kept, seed)
    return found


def kept_by(own: codec.VideoCodec, made: Tensor, seed: int) -> dict:
    """Decibels of clips through the autoencoder, and the least and the largest spread of its channels."""
    originals = video.filming(task.SHAPE)(held_out.draw_scenes(100, seed))
    spread = made.transpose(0, 1).flatten(1).std(1)
    rows = means({"psnr": metrics.psnr(codecs.through(own, originals), originals)})
    return rows | {"spread": [round(x.item(), 3) for x in (spread.min(), spread.max())]}
