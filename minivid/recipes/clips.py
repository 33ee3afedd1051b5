"""Video in pixels: a U-Net that turns noise into easy-world clips of what a prompt asks for."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from minivid import diffusion
from minivid.formats import DEFAULT_FORMAT, Format
from minivid.measure.adherence import score_easy
from minivid.models.unet import VideoUNet, VideoUNetConfig
from minivid.pipeline import Pipeline
from minivid.recipes.captioning import drop_captions, write_captions
from minivid.recipes.features import clip_features
from minivid.recipes.recipe import Recipe
from minivid.recipes.words import encode_prompts
from minivid.training import TrainConfig
from minivid.world import held_out, render

PATH = diffusion.RectifiedFlow()
SHIFT = 3.0  # many pixels say the same thing, so what a clip shows is settled at high noise
NOISE_LEVELS = diffusion.NoiseLevels(shift=SHIFT)
GUIDANCE, STEPS = 3.0, 8


def draw_batch(
    config: TrainConfig, rng: torch.Generator, encode_text: Callable[[Sequence[str]], Tensor] = encode_prompts
) -> tuple[Tensor, ...]:
    """Clips of the easy world (b, 3, 17, 32, 32) and their captions, encoded (b, d); none held out."""
    scenes = held_out.draw_scenes(config.batch_size, rng)
    sentences = drop_captions(write_captions(scenes, rng), rng)
    return render.video(scenes), encode_text(sentences)


def loss(
    network: nn.Module,
    batch: tuple[Tensor, ...],
    rng: torch.Generator,
    predicts: diffusion.Predicts = "clean",
    noise_levels: diffusion.NoiseLevels = NOISE_LEVELS,
    path: diffusion.Path = PATH,
) -> Tensor:
    """The clean clip is predicted, and compared as it is, more often at high noise.

    The stem hands the network 96 numbers for two frames of 4×4 pixels; to predict noise or velocity it would
    have to carry all of them through, where a clean clip needs fewer (Li and He 2025, arXiv 2511.13720). In
    the velocity the same error counts 1 / t² as much: fine grain first, where frames ought to agree.
    """
    clean, conditioning = batch

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        return network(x_t, t, conditioning)

    return diffusion.loss(predict, clean, rng, path, predicts, noise_levels=noise_levels)


def ready(network: nn.Module) -> Pipeline:
    """The network, ready to generate."""
    return Pipeline(
        network,
        encode_text=encode_prompts,
        predicts="clean",
        shift=SHIFT,
        solver=diffusion.heun,
        num_steps=STEPS,
        guidance=GUIDANCE,
    )


def generate(
    network: nn.Module,
    prompts: Sequence[str],
    seed: int,
    num_steps: int = STEPS,
    guidance: float = GUIDANCE,
    frames: int = 17,
) -> Tensor:
    """Clips of what the prompts ask for: (b, 3, frames, 32, 32) in [-1, 1]. Seeded on the CPU."""
    return generate_batch(ready(network), prompts, seed, num_steps, guidance, Format(frames))


def generate_batch(
    made: Pipeline,
    prompts: Sequence[str],
    seed: int,
    num_steps: int,
    guidance: float,
    shape: Format = DEFAULT_FORMAT,
) -> Tensor:
    """Clips by any silent pipeline, (b, 3, f, h, w), from the noise of `batch_noise`."""
    noise = batch_noise(made, len(prompts), seed, shape)
    return made.generate(prompts, seed, num_steps, guidance, noise=noise).video


def batch_noise(made: Pipeline, n: int, seed: int, shape: Format = DEFAULT_FORMAT) -> Tensor:
    """Noise for n clips from one seed, not from one each: it came first, and scores are of it."""
    like = made.noise(1, seed, shape)
    return torch.randn(n, *like.shape[1:], generator=torch.Generator().manual_seed(seed)).to(like)


def score(network: nn.Module, n: int, seed: int) -> dict:
    """The table of `score_easy`, of clips that this network generates."""
    return score_easy(functools.partial(generate, network), n, seed, clip_features)


RECIPE = Recipe(
    what="a video U-Net that turns noise into easy-world clips of what a prompt asks for",
    build=lambda: VideoUNet(VideoUNetConfig(width=64, blocks=1)),
    draw_batch=draw_batch,
    loss=loss,
    configs={
        "laptop": TrainConfig(steps=6000, batch_size=32, learning_rate=2e-3, precision="bf16"),
        "gpu": TrainConfig(steps=20_000, batch_size=128, learning_rate=1e-3, precision="bf16"),
    },
    score=score,
    int8=True,
    needs=("judge", "words", "features"),
)
