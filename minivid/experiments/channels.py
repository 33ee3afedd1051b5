"""What diffusion needs of latents: no more channels than carry information, and each of unit size.

Autoencoders of 8 and of 64 channels are trained alike, then a transformer on the latents of each; and once
more on those of 8 channels as they are, before each is shifted and scaled to mean 0 and standard deviation 1.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from minivid.experiments import compression, small_task
from minivid.experiments.records import Bar, means, train_network
from minivid.measure import fidelity
from minivid.models.codec import VideoCodec, VideoCodecConfig
from minivid.models.text_to_video import TextToVideo
from minivid.pipeline import Pipeline
from minivid.recipes import cache, formats, latents, video, video_codec
from minivid.training import step_seed
from minivid.world import held_out, render, scene

WHAT = "a transformer on latents of 8 and 64 channels, and on 8 that are not normalised: clips as asked"
SEEDS = (0, 1, 2)
CODEC_CONFIG = replace(compression.CONFIG, steps=1500)
DATASET_SIZE = 6000  # clips whose latents are trained on
WAYS = {"8 channels": (8, True), "8, as they are": (8, False), "64 channels": (64, True)}


def train_codec(channels: int, seed: int, bar: Bar) -> VideoCodec:
    """An autoencoder of clips of five frames of the easy world, its normalisation fitted."""
    config = replace(CODEC_CONFIG, seed=seed)
    torch.manual_seed(seed)
    what = f"{channels} channels, seed {seed}"

    def draw_batch(rng: torch.Generator) -> tuple[Tensor, ...]:
        scenes = held_out.draw_scenes(config.batch_size, rng)
        return (render.video(scenes, small_task.SHAPE.frames),)

    network = VideoCodec(VideoCodecConfig(channels))
    trained = train_network(network, video_codec.loss, draw_batch, config, bar, what)
    sample = held_out.draw_scenes(400, step_seed(seed, 0))
    trained.fit_normalization(render.video(sample, small_task.SHAPE.frames))
    return trained


def without_normalization(codec: VideoCodec) -> VideoCodec:
    """The same autoencoder, its latents as they are."""
    plain = VideoCodec(codec.config)
    plain.load_state_dict(codec.state_dict())
    plain.mean.zero_()
    plain.std.fill_(1)
    return plain.eval()


def run(seed: int, bar: Bar, n: int = 200) -> dict:
    """{way: {"digit", "colour", "heading", "all" as asked, and the rows of `fidelity_rows`}}."""
    codecs = {channels: train_codec(channels, seed, bar) for channels in (8, 64)}
    scenes = held_out.draw_scenes(DATASET_SIZE, step_seed(seed, 1))
    found = {}
    for name, (channels, normalized) in WAYS.items():
        codec = codecs[channels] if normalized else without_normalization(codecs[channels])
        encoded = cache.encode(name, codec, scenes, small_task.in_shape)
        pipeline = train(codec, encoded, scenes, seed, bar, name)
        found[name] = _adherence(pipeline, n, seed) | fidelity_rows(codec, encoded, seed)
    return found


def train(
    codec: VideoCodec, encoded: Tensor, scenes: list[scene.Scene], seed: int, bar: Bar, name: str
) -> Pipeline:
    """A transformer trained on the latents of a codec, ready to generate."""
    config = replace(small_task.CONFIG, seed=seed)
    torch.manual_seed(seed)
    build = replace(small_task.config(), channels=codec.config.channels)
    network = TextToVideo(build, video.trained_reader())
    draw = functools.partial(latents.pick, [encoded], scenes, config.batch_size, encode_text=formats.tokenize)
    trained = train_network(network, video.loss, draw, config, bar, f"{name}, seed {seed}")
    return Pipeline(trained, codec, **small_task.SAMPLING)


def _adherence(pipeline: Pipeline, n: int, seed: int) -> dict:
    def generate(prompts: Sequence[str]) -> Tensor:
        return pipeline.generate(prompts, seed, shape=small_task.SHAPE).video

    return small_task.adherence(generate, n, seed)[0]


def fidelity_rows(codec: VideoCodec, encoded: Tensor, seed: int) -> dict:
    """Decibels of clips through the autoencoder, and the least and the largest spread of its channels."""
    originals = small_task.in_shape(held_out.draw_scenes(100, seed))
    spread = encoded.transpose(0, 1).flatten(1).std(1)
    copies = video_codec.reconstruct(codec, originals)
    rows = means({"psnr": fidelity.psnr(copies, originals)})
    return rows | {"spread": [round(x.item(), 3) for x in (spread.min(), spread.max())]}
