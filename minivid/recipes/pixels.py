"""Pixel diffusion: a U-Net that turns noise into close-ups of the digit asked for."""

import torch
from torch import Tensor, nn

from minivid import diffusion
from minivid.measure import stats
from minivid.measure.judge import load_judge
from minivid.measure.stats import proportion_row, row, with_bar
from minivid.models.unet import UNet, UNetConfig
from minivid.recipes.recipe import Recipe
from minivid.training import TrainConfig
from minivid.world import random_scenes, render

SIZE = 24
PATH = diffusion.RectifiedFlow()
NO_LABEL = 10  # the label that asks for no digit in particular
LABEL_DROPOUT = 0.3  # share of training pictures whose label is hidden


def draw_batch(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Close-ups (b, 3, 24, 24) of the easy world's digits, and which digit each shows (b,)."""
    scenes = random_scenes.draw_scenes(config.batch_size, rng)
    labels = torch.tensor([one.bodies[0].digit for one in scenes])
    return render.portraits(scenes, SIZE), labels


def loss(network: nn.Module, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
    """Velocity prediction on the straight path, labels dropped now and then.

    Noise levels are drawn evenly: crowded around 1/2 they would leave out the noisiest ones, where it
    is decided which digit appears.
    """
    clean, labels = batch
    dropped = torch.rand(len(labels), generator=rng) < LABEL_DROPOUT
    labels = labels.masked_fill(dropped.to(labels.device), NO_LABEL)

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        return network(x_t, t, labels)

    return diffusion.loss(predict, clean, rng, PATH, "velocity")


def field(network: nn.Module, labels: Tensor, guidance: float = 1.0) -> diffusion.Field:
    """The velocity field that leads to pictures of the digits asked for: labels (b,)."""
    uncond = torch.full_like(labels, NO_LABEL)
    return diffusion.guided_field(network, labels, uncond, guidance, PATH, "velocity")


def generate(
    network: nn.Module, labels: Tensor, seed: int, num_steps: int = 24, guidance: float = 1.0
) -> Tensor:
    """Pictures of the digits asked for: labels (b,) -> (b, 3, 24, 24) in [-1, 1]. Seeded on the CPU."""
    where = next(network.parameters()).device
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(labels), 3, SIZE, SIZE, generator=rng).to(where)
    guided = field(network.eval(), labels.to(where), guidance)
    timesteps = diffusion.schedule(num_steps)
    trajectory = diffusion.sample(guided, noise, timesteps, PATH, diffusion.heun)
    return diffusion.last_step(trajectory).x_t.clamp(-1, 1)


def score(network: nn.Module, n: int, seed: int) -> dict:
    """Asked for each digit in turn, which does the judge read, and how evenly; and if none is asked?"""
    judge = load_judge()
    asked = torch.arange(n) % 10

    def read(labels: Tensor, seed: int) -> Tensor:
        parts = enumerate(with_bar(labels.split(250), "generating", 250))
        made = [generate(network, part, seed + k) for k, part in parts]
        return torch.cat([judge.read_portraits(part)[0] for part in made])

    digits, uncond = read(asked, seed), read(torch.full_like(asked, NO_LABEL), seed + 1000)
    scenes = random_scenes.draw_scenes(n, seed)
    real = judge.read_portraits(render.portraits(scenes, SIZE))[0]
    truth = torch.tensor([one.bodies[0].digit for one in scenes])
    ceiling = stats.proportion(real == truth).value
    return {
        "digit": proportion_row(digits == asked, digits == asked.roll(1), ceiling),
        "balance": row(stats.balance(digits, 10)),
        "balance_uncond": row(stats.balance(uncond, 10)),
    }


RECIPE = Recipe(
    what="a U-Net that turns noise into close-ups of the digit asked for",
    build=lambda: UNet(UNetConfig(width=64)),
    draw_batch=draw_batch,
    loss=loss,
    configs={
        "laptop": TrainConfig(steps=3500, batch_size=64, learning_rate=1.5e-3, precision="bf16"),
        "gpu": TrainConfig(steps=8000, batch_size=256, learning_rate=1e-3, precision="bf16"),
    },
    score=score,
    int8=True,
    needs=("judge",),
)
