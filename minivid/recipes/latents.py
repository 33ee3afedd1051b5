"""Video in latents: the U-Net of `clips`, its text and its sampler, on what the codec keeps of a clip."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from minivid import diffusion, pipeline
from minivid.measure.adherence import score_easy
from minivid.models.unet import VideoUNet, VideoUNetConfig
from minivid.recipes import cache, clips
from minivid.recipes.captioning import drop_captions, write_captions
from minivid.recipes.features import clip_features
from minivid.recipes.recipe import Recipe
from minivid.recipes.words import encode_prompts
from minivid.training import TrainConfig, step_seed
from minivid.world import held_out, render, scene

DATASET_SIZE = 20_000  # clips whose latents are made once, to be trained on
NOISE_LEVELS = diffusion.NoiseLevels(shift=pipeline.SHIFT)

EncodeText = Callable[[Sequence[str]], Tensor]


@functools.cache
def training_set(n: int) -> tuple[Tensor, list[scene.Scene]]:
    """Latents to train on, and their scenes; none held out."""
    scenes = held_out.draw_scenes(n, step_seed(0, 0))
    return cache.latents("easy", cache.video_codec(), scenes, render.video), scenes


def draw_batch(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Latents of clips of the easy world (b, 8, 5, 8, 8) and their captions, encoded (b, d)."""
    latents, scenes = training_set(DATASET_SIZE)
    return pick([latents], scenes, config.batch_size, rng, encode_prompts)


def pick(
    cached: Sequence[Tensor], scenes: list[scene.Scene], n: int, rng: torch.Generator, encode_text: EncodeText
) -> tuple[Tensor, ...]:
    """n scenes at random: of each kind of cached latents theirs, and captions, some empty, encoded."""
    which = torch.randint(len(scenes), (n,), generator=rng)
    sentences = write_captions([scenes[k] for k in which], rng)
    picked = (latents[which].float() for latents in cached)
    return *picked, encode_text(drop_captions(sentences, rng))


def loss(network: nn.Module, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
    """The velocity is predicted: here no stem has to carry more numbers than the network is wide."""
    return clips.loss(network, batch, rng, "velocity", NOISE_LEVELS)


def ready(network: nn.Module) -> pipeline.Pipeline:
    """The network, ready to generate."""
    return pipeline.Pipeline(
        network,
        cache.video_codec().to(next(network.parameters()).device),
        encode_text=encode_prompts,
        solver=diffusion.heun,
        num_steps=clips.STEPS,
        guidance=clips.GUIDANCE,
    )


def generate(
    network: nn.Module,
    prompts: Sequence[str],
    seed: int,
    num_steps: int = clips.STEPS,
    guidance: float = clips.GUIDANCE,
) -> Tensor:
    """Clips of what the prompts ask for: (b, 3, 17, 32, 32) in [-1, 1]. Seeded on the CPU."""
    return clips.generate_batch(ready(network), prompts, seed, num_steps, guidance)


def score(network: nn.Module, n: int, seed: int) -> dict:
    """The table of `score_easy`, of clips that this network and the codec's decoder generate."""
    return score_easy(functools.partial(generate, network), n, seed, clip_features)


RECIPE = Recipe(
    what="a video U-Net that turns noise into latents of easy-world clips of what a prompt asks for",
    build=lambda: VideoUNet(VideoUNetConfig(8, width=32, blocks=1, patch=1, temporal_patch=1)),
    draw_batch=draw_batch,
    loss=loss,
    configs={
        "laptop": TrainConfig(6000, 32, learning_rate=1e-3, muon_lr=0.02, precision="bf16"),
        "gpu": TrainConfig(20_000, 128, learning_rate=1e-3, muon_lr=0.02, precision="bf16"),
    },
    score=score,
    needs=("judge", "words", "features", "video_codec"),
)
