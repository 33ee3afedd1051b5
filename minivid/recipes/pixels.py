"""Pixel diffusion: a U-Net that turns static into close-ups of the digit asked for."""

import torch
from torch import Tensor, nn

from minivid import diffusion, metrics, train
from minivid.recipes.judging import referee
from minivid.recipes.recipe import Recipe, entry, measured, with_bar
from minivid.unet import UNet
from minivid.world import render, scene

SIZE = 24
PATH = diffusion.RectifiedFlow()
UNASKED = 10  # the label that asks for no digit in particular
DROPPED = 0.3  # share of training pictures whose label is hidden


def batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Close-ups (b, 3, 24, 24) of the easy world's digits, and which digit each shows (b,)."""
    scenes = scene.draw_scenes(plan.batch, generator)
    labels = torch.tensor([one.bodies[0].digit for one in scenes])
    return render.portraits(scenes, SIZE), labels


def loss(network: nn.Module, batch: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    """Velocity prediction on the straight path, labels dropped now and then.

    Noise levels are drawn evenly: crowded around 1/2 they would leave out the noisiest ones, where it
    is decided which digit appears.
    """
    clean, labels = batch
    dropped = torch.rand(len(labels), generator=generator) < DROPPED
    told = labels.masked_fill(dropped.to(labels.device), UNASKED)

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        return network(x_t, t, told)

    return diffusion.loss(predict, clean, generator, PATH, "velocity")


def field(network: nn.Module, labels: Tensor, guidance: float = 1.0) -> diffusion.Field:
    """The velocity field that leads to pictures of the digits asked for: labels (b,)."""
    unasked = torch.full_like(labels, UNASKED)
    return diffusion.conditional(network, labels, unasked, guidance, PATH, "velocity")


def draw(
    network: nn.Module, labels: Tensor, seed: int, steps: int = 24, guidance: float = 1.0
) -> Tensor:
    """Pictures of the digits asked for: labels (b,) -> (b, 3, 24, 24) in [-1, 1]. Seeded on the CPU."""
    where = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(labels), 3, SIZE, SIZE, generator=generator).to(where)
    towards = field(network.eval(), labels.to(where), guidance)
    *_, last = diffusion.sample(towards, noise, diffusion.schedule(steps), PATH, diffusion.heun)
    return last.x_t.clamp(-1, 1)


def score(network: nn.Module, n: int, seed: int) -> dict:
    """Asked for each digit in turn, which does the judge read, and how evenly; and if none is asked?"""
    judge = referee()
    asked = torch.arange(n) % 10

    def read(labels: Tensor, seed: int) -> Tensor:
        shown = with_bar(labels.split(250), "drawing", 250)
        parts = [draw(network, part, seed + k) for k, part in enumerate(shown)]
        return torch.cat([judge.read_portraits(part)[0] for part in parts])

    digits, unasked = read(asked, seed), read(torch.full_like(asked, UNASKED), seed + 1000)
    scenes = scene.draw_scenes(n, seed)
    real = judge.read_portraits(render.portraits(scenes, SIZE))[0]
    truth = torch.tensor([one.bodies[0].digit for one in scenes])
    return {
        "digit": entry(
            digits == asked, digits == asked.roll(1), metrics.share(real == truth).value
        ),
        "balance": measured(metrics.balance(digits, 10)),
        "balance_unasked": measured(metrics.balance(unasked, 10)),
    }


RECIPE = Recipe(
    what="a U-Net that turns static into close-ups of the digit asked for",
    build=lambda: UNet(width=64),
    draw=batch,
    loss=loss,
    plans={
        "laptop": train.Plan(steps=3500, batch=64, learning_rate=1.5e-3, precision="bf16"),
        "gpu": train.Plan(steps=8000, batch=256, learning_rate=1e-3, precision="bf16"),
    },
    score=score,
)
