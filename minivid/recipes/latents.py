"""Video in latents: the U-Net of `clips`, its text and its sampler, on what the codec keeps of a clip."""

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from minivid import codec, diffusion, train
from minivid.generator import SHIFT, USUAL
from minivid.generator import video_codec as shipped_codec
from minivid.recipes import cache, clips, held_out
from minivid.recipes.recipe import Recipe
from minivid.recipes.words import write_captions
from minivid.unet import VideoUNet
from minivid.world import render, scene

KEPT = 20_000  # clips whose latents are made once, to be trained on


def video_codec(size: int = USUAL.width) -> codec.VideoCodec:
    """The shipped autoencoder of clips of that size."""
    return _video_codec(size)


@functools.cache
def _video_codec(size: int) -> codec.VideoCodec:
    return shipped_codec(size).requires_grad_(False)


@functools.cache
def training_set(n: int) -> tuple[Tensor, list[scene.Scene]]:
    """Latents to train on, and their scenes; none held out."""
    scenes = held_out.draw_scenes(n, train.step_seed(0, 0))
    return cache.latents("easy", video_codec(), scenes, render.video), scenes


def batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Latents of clips of the easy world (b, 8, 5, 8, 8) and their captions as vectors (b, d)."""
    return pick(*training_set(KEPT), plan.batch, generator)


def pick(
    kept: Tensor,
    scenes: list[scene.Scene],
    n: int,
    generator: torch.Generator,
    hear: Callable[[Sequence[str]], Tensor] = clips.understand,
) -> tuple[Tensor, ...]:
    """n of the latents that are kept, and captions of their scenes, some empty, as `hear` has them."""
    return pick_all([kept], scenes, n, generator, hear)


def pick_all(
    kept: Sequence[Tensor],
    scenes: list[scene.Scene],
    n: int,
    generator: torch.Generator,
    hear: Callable[[Sequence[str]], Tensor],
) -> tuple[Tensor, ...]:
    """The same where several kinds of latents are kept of each scene: n of every kind, and captions."""
    which = torch.randint(len(scenes), (n,), generator=generator)
    sentences = write_captions([scenes[k] for k in which], generator)
    picked = (latents[which].float() for latents in kept)
    return *picked, hear(clips.some_unsaid(sentences, generator))


def levels(n: int, generator: torch.Generator) -> Tensor:
    """Noise levels to train on: (n,) in [0, 1), more of them high."""
    return clips.draw_t(n, generator, SHIFT)


def loss(network: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """The velocity is predicted: here no stem has to carry more numbers than the network is wide."""
    return clips.loss(network, batch, generator, "velocity", levels)


def field(network: nn.Module, asked: Tensor, guidance: float = 1.0) -> diffusion.Field:
    """The velocity field that leads to latents of what was asked: asked (b, d), see `clips.understand`."""
    return clips.field(network, asked, guidance, "velocity")


@torch.no_grad()
def draw(
    network: nn.Module,
    sentences: Sequence[str],
    seed: int,
    steps: int = 8,
    guidance: float = clips.GUIDANCE,
) -> Tensor:
    """Clips of what the sentences ask for: (b, 3, 17, 32, 32) in [-1, 1]. Seeded on the CPU."""
    where = next(network.parameters()).device
    noise = torch.randn(len(sentences), 8, 5, 8, 8, generator=torch.Generator().manual_seed(seed))
    towards = field(network.eval(), clips.understand(sentences).to(where), guidance)
    times = diffusion.schedule(steps, SHIFT)
    *_, last = diffusion.sample(towards, noise.to(where), times, clips.PATH, diffusion.heun)
    return video_codec().to(where).decode(last.x_t).clamp(-1, 1)


def score(network: nn.Module, n: int, seed: int) -> dict:
    """The table of `clips.scored`, of clips that this network and the codec's decoder draw."""
    return clips.scored(lambda sentences, seed: draw(network, sentences, seed), n, seed)


RECIPE = Recipe(
    what="a video U-Net that turns static into latents of easy-world clips of what a sentence asks for",
    build=lambda: VideoUNet(8, fold=1, moment=1, width=32, blocks=1),
    draw=batch,
    loss=loss,
    plans={
        "laptop": train.Plan(6000, 32, learning_rate=1e-3, muon=0.02, precision="bf16"),
        "gpu": train.Plan(20_000, 128, learning_rate=1e-3, muon=0.02, precision="bf16"),
    },
    score=score,
)
