"""From nothing to clips of what a prompt asks for, in an hour: codec, text encoder and transformer.

Nothing that is shipped is used but by what measures at the end: the judge and, for toy-FVD, the clip encoder.
Text encoder and clip encoder learn to match first, then the codec learns, both on the easy world alone; the
transformer learns last, with the text encoder, and its tokens are aligned with the clip encoder (see
`recipes.video`).
"""

import functools
import time
from dataclasses import replace

import torch
from torch import Tensor

from minivid.experiments import small_task
from minivid.experiments.records import Bar, save_clips, train_network
from minivid.measure.adherence import score_easy
from minivid.models.alignment import ALIGNMENT_DIM, AlignmentTarget
from minivid.models.codec import VideoCodec
from minivid.models.text import ContrastiveEncoders, TextEncoder
from minivid.models.text_to_video import TextToVideo, TextToVideoConfig
from minivid.pipeline import TOKENIZER, Pipeline
from minivid.recipes import cache, features, formats, latents, video, video_codec, words
from minivid.training import TrainConfig, step_of_rng, step_seed
from minivid.world import captions, held_out, render, scene

WHAT = "the easy world from nothing: codec, text encoder and transformer, and the time they take"
SEEDS = (0,)
DATASET_SIZE = 12_000  # clips whose latents are trained on
ENCODERS = TrainConfig(500, 64, learning_rate=1e-3)
CODEC = TrainConfig(3000, 8, learning_rate=1.5e-3, muon_lr=0.015, cooldown=0.8)
TRANSFORMER = TrainConfig(3600, 64, learning_rate=1e-3, muon_lr=0.02, cooldown=0.5, compile=True)
WIDTH, DEPTH = 128, 6


def draw_clips(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Clips of the easy world (b, 3, 17, 32, 32), none held out."""
    return (render.video(held_out.draw_scenes(config.batch_size, rng)),)


def draw_pairs(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Captions (b, n), clips (b, 3, 17, 32, 32), and the attribute codes of both (b, 15)."""
    return words.caption_pairs(held_out.draw_scenes(config.batch_size, rng), rng)


def draw_latents(
    cached: tuple[Tensor, Tensor], scenes: list[scene.Scene], config: TrainConfig, rng: torch.Generator
) -> tuple[Tensor, ...]:
    """Latents (b, 8, 5, 8, 8), alignment targets until alignment stops, and captions' tokens (b, n)."""
    stopped = video.alignment_stopped(step_of_rng(rng, config.seed), config)
    kinds = cached[:1] if stopped else cached
    return latents.pick(kinds, scenes, config.batch_size, rng, formats.tokenize)


def train_encoders(seed: int, bar: Bar) -> ContrastiveEncoders:
    """A text encoder and a clip encoder of the easy world."""
    torch.manual_seed(seed)
    network, config = ContrastiveEncoders(len(TOKENIZER.words)), replace(ENCODERS, seed=seed)
    draw = functools.partial(draw_pairs, config)
    return train_network(network, words.loss, draw, config, bar, "captions and clips")


def train_codec(seed: int, bar: Bar) -> VideoCodec:
    """An autoencoder of the easy world."""
    torch.manual_seed(seed)
    config = replace(CODEC, seed=seed)
    draw = functools.partial(draw_clips, config)
    trained = train_network(VideoCodec(), video_codec.loss, draw, config, bar, "codec")
    (sample,) = draw_clips(replace(config, batch_size=500), torch.Generator().manual_seed(seed))
    trained.fit_normalization(sample)
    return trained


def train_transformer(
    cached: tuple[Tensor, Tensor], scenes: list[scene.Scene], text_encoder: TextEncoder, seed: int, bar: Bar
) -> TextToVideo:
    """A transformer and the text encoder, on latents of scenes and their alignment targets."""
    torch.manual_seed(seed)
    size = {"width": WIDTH, "depth": DEPTH, "alignment_dim": ALIGNMENT_DIM}
    network = TextToVideo(TextToVideoConfig(len(TOKENIZER.words), **size))
    network.text.load_state_dict(text_encoder.state_dict())
    config, what = replace(TRANSFORMER, seed=seed), "text encoder and transformer"
    draw = functools.partial(draw_latents, cached, scenes, config)
    return train_network(network, video.loss, draw, config, bar, what)


def run(seed: int, bar: Bar, n: int = 500) -> dict:
    """{"seconds": {part: seconds}, "score": the table of `score_easy`}; scoring is not counted."""
    began, seconds = time.monotonic(), {}

    def lap(part: str) -> None:
        seconds[part] = round(time.monotonic() - began) - sum(seconds.values())

    encoders = train_encoders(seed, bar)
    lap("captions and clips")
    codec = train_codec(seed, bar)
    lap("codec")
    scenes = held_out.draw_scenes(DATASET_SIZE, step_seed(seed, 0))
    sample = render.video(held_out.draw_scenes(100, seed))
    target = AlignmentTarget(encoders.clip, sample, ALIGNMENT_DIM)
    cached = tuple(cache.encode("the hour", one, scenes, render.video) for one in (codec, target))
    lap("latents")
    ready = Pipeline(train_transformer(cached, scenes, encoders.text, seed, bar), codec)
    lap("transformer")
    seconds["in all"] = sum(seconds.values())

    def generate(prompts: list[str], seed: int) -> Tensor:
        return ready.generate(prompts, seed, **small_task.SAMPLING).video

    prompts = [captions.write(one.describe()) for one in held_out.draw_scenes(8, seed)]
    save_clips("hour", "clips", generate(prompts, seed))
    return {"seconds": seconds, "score": score_easy(generate, n, seed, features.clip_features)}
