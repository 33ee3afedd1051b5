"""Video in pixels: a U-Net that turns static into easy-world clips of what a sentence asks for."""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from minivid import diffusion, judge, text, train, weights
from minivid.recipes.judging import read, referee
from minivid.recipes.recipe import Recipe, entry
from minivid.recipes.words import TOKENISER, write_captions
from minivid.unet import VideoUNet
from minivid.world import captions, render, scene

PATH = diffusion.RectifiedFlow()
SHIFT = 3.0  # many pixels say the same thing, so what a clip shows is settled at high noise
UNSAID = 0.1  # share of training captions that are empty


def batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Clips of the easy world (b, 3, 17, 32, 32) and their captions as vectors (b, d)."""
    scenes = scene.draw_scenes(plan.batch, generator)
    sentences = write_captions(scenes, generator)
    unsaid = (torch.rand(plan.batch, generator=generator) < UNSAID).tolist()
    heard = ["" if empty else words for words, empty in zip(sentences, unsaid, strict=True)]
    return render.video(scenes), understand(heard)


@functools.cache
def _words() -> nn.Module:
    return weights.load("words", text.Pair(len(TOKENISER.words))).text.requires_grad_(False)


@torch.no_grad()
def understand(sentences: Sequence[str]) -> Tensor:
    """Sentences as the frozen text encoder understands them: (b, d). An empty one is all zeros."""
    return _words()(TOKENISER(sentences))[1]


def loss(network: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """Velocity prediction on the straight path, more often at high noise."""
    clean, asked = batch

    def draw_t(n: int, generator: torch.Generator) -> Tensor:
        return diffusion.shift(diffusion.uniform(n, generator), SHIFT)

    return diffusion.loss(
        lambda x_t, t: network(x_t, t, asked),
        clean,
        generator,
        PATH,
        "velocity",
        draw_t=draw_t,
    )


def field(network: nn.Module, asked: Tensor, guidance: float = 1.0) -> diffusion.Field:
    """The velocity field that leads to clips of what was asked: asked (b, d), see `understand`."""

    def towards(told: Tensor) -> diffusion.Field:
        return diffusion.field(lambda x_t, t: network(x_t, t, told), PATH, "velocity")

    if guidance == 1:
        return towards(asked)
    return diffusion.guided(towards(asked), towards(torch.zeros_like(asked)), guidance)


def draw(
    network: nn.Module,
    sentences: Sequence[str],
    seed: int,
    steps: int = 8,
    guidance: float = 2.0,
    frames: int = 17,
) -> Tensor:
    """Clips of what the sentences ask for: (b, 3, frames, 32, 32) in [-1, 1]. Seeded on the CPU."""
    where = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(sentences), 3, frames, 32, 32, generator=generator).to(where)
    towards = field(network.eval(), understand(sentences).to(where), guidance)
    times = diffusion.schedule(steps, SHIFT)
    *_, last = diffusion.sample(towards, noise, times, PATH, diffusion.heun)
    return last.x_t.clamp(-1, 1)


def score(network: nn.Module, n: int, seed: int) -> dict:
    """Asked for scenes of the easy world, what does the judge see? Ceiling: in the scenes' own clips."""
    viewer = referee()
    scenes = scene.draw_scenes(n, seed)
    asked = [one.describe() for one in scenes]
    seen = []
    for start in range(0, n, 50):
        sentences = [captions.write(one) for one in asked[start : start + 50]]
        seen += viewer.read(draw(network, sentences, seed + start).cpu())
    rows, floor, ceiling = (
        [judge.agreement(a, b.description) for a, b in zip(asked, told, strict=True)]
        for told in (seen, seen[1:] + seen[:1], read(viewer, scenes))
    )
    table = {
        key: entry(
            [row[key] for row in rows],
            [row[key] for row in floor],
            sum(row[key] for row in ceiling) / n,
        )
        for key in rows[0]
    }
    table["easy_all_attributes"] = table.pop("all_attributes")
    return table | {"identity": entry([one.same_digit for one in seen])}


RECIPE = Recipe(
    what="a video U-Net that turns static into easy-world clips of what a sentence asks for",
    build=lambda at: VideoUNet(width=64, blocks=1),
    draw=batch,
    loss=loss,
    plans={
        "laptop": train.Plan(steps=4000, batch=32, learning_rate=1.5e-3, precision="bf16"),
        "gpu": train.Plan(steps=20_000, batch=128, learning_rate=1e-3, precision="bf16"),
    },
    score=score,
)
