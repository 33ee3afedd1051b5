"""The small task on which transformers are compared: short clips of the easy world, in latents.

A training takes minutes. Losses are of unseen clips, with the same noise for all: small differences show.
"""

import functools
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from minivid import diffusion, training
from minivid.experiments.records import Bar, means, without_bounds
from minivid.formats import Format
from minivid.measure.adherence import easy_rows, read_clips
from minivid.measure.judge import load_judge
from minivid.models.text_to_video import TextToVideo, TextToVideoConfig
from minivid.pipeline import TOKENIZER
from minivid.recipes import cache, formats, latents, video
from minivid.recipes.captioning import write_captions
from minivid.training import TrainConfig, step_seed
from minivid.world import captions, held_out, render, scene

SHAPE = Format(5, 32, 32)
DATASET_SIZE, TEST_SIZE = 8000, 256  # clips to train on, and to compare on
CONFIG = TrainConfig(600, 32, learning_rate=1e-3, muon_lr=0.02, cooldown=0.3, ema=0.995, compile=True)
WIDTH, DEPTH = 128, 6
SAMPLING = {"num_steps": 8, "solver": diffusion.heun}  # no chance on the way from noise to clips

in_shape = functools.partial(render.in_format, shape=SHAPE)


@functools.cache
def alignment_targets(n: int) -> Tensor:
    """What the tokens of the latents to train on will show: (n, ALIGNMENT_DIM, 2, 4, 4)."""
    target, (_, scenes) = cache.alignment_target(), training_set(n)
    return cache.latents(f"task-alignment-{n}", target, scenes, in_shape)


@functools.cache
def training_set(n: int) -> tuple[Tensor, list[scene.Scene]]:
    """Latents to train on, and their scenes."""
    scenes = held_out.draw_scenes(n, step_seed(0, 0))
    return cache.latents(f"task-{n}", cache.video_codec(), scenes, in_shape), scenes


@functools.cache
def eval_set() -> tuple[Tensor, list[str]]:
    """Latents and sentences to compare on."""
    scenes = held_out.draw_scenes(TEST_SIZE, 0)
    encoded = cache.encode("the task", cache.video_codec(), scenes, in_shape)
    return encoded, write_captions(scenes, torch.Generator().manual_seed(0))


def config(width: int = WIDTH, depth: int = DEPTH, alignment_dim: int = 0) -> TextToVideoConfig:
    """How the small transformers are built."""
    vocab_size = len(TOKENIZER.words)
    return TextToVideoConfig(vocab_size, width=width, depth=depth, alignment_dim=alignment_dim)


def network(seed: int, *sizes: int, **named: int) -> TextToVideo:
    """A small one of the library's, of `config`'s sizes; its text encoder can read and learns no more."""
    torch.manual_seed(seed)
    return TextToVideo(config(*sizes, **named), video.trained_reader())


def draw_batch(config: TrainConfig, rng: torch.Generator, n: int | None = None) -> tuple[Tensor, ...]:
    """Latents (b, 8, 2, 8, 8) and tokens (b, m). n: how many clips are trained on, else DATASET_SIZE."""
    encoded, scenes = training_set(n or DATASET_SIZE)
    return latents.pick([encoded], scenes, config.batch_size, rng, formats.tokenize)


def adherence(generate: Callable[[list[str]], Tensor], n: int, seed: int) -> tuple[dict, Tensor]:
    """{"digit", "colour", "heading", "all": [proportion, low, high]} as asked, and the clips.

    generate: prompts -> clips; asked for are n scenes of the easy world.
    """
    asked = [one.describe() for one in held_out.draw_scenes(n, seed)]
    generated = generate([captions.write(one) for one in asked])
    observed = read_clips(load_judge(), generated)
    return without_bounds(easy_rows(asked, observed, observed)), generated


@torch.no_grad()
def eval_loss(model: nn.Module, loss: training.Loss = video.loss) -> Tensor:
    """The loss of each 32 of the clips to compare on: (TEST_SIZE / 32,). Same noise for every model."""
    encoded, sentences = eval_set()
    rng = torch.Generator().manual_seed(1)
    parts = [slice(start, start + 32) for start in range(0, TEST_SIZE, 32)]
    batches = [(encoded[part], formats.tokenize(sentences[part])) for part in parts]
    return torch.tensor([loss(model, batch, rng).item() for batch in batches])


def train_on_task(
    model: nn.Module,
    seed: int,
    bar: Bar,
    what: str,
    config: TrainConfig | None = None,
    loss: training.Loss = video.loss,
    every: int = 200,
    draw: training.DrawBatch | None = None,
) -> tuple[nn.Module, dict]:
    """The averaged network, and {"loss": [value, low, high], "curve": [{"step", "seconds", "loss"}]}.

    All losses are test losses. draw: where another batch than this task's is trained on.
    """
    config, curve = replace(config or CONFIG, seed=seed), []
    steps = training.train(model, loss, draw or functools.partial(draw_batch, config), config)
    for last in bar(steps, config.steps, f"{what}, seed {seed}"):
        if last.step % every == 0 or last.step == config.steps:
            losses = eval_loss(last.network, loss)
            mean, seconds = round(losses.mean().item(), 5), round(last.seconds, 1)
            curve.append({"step": last.step, "seconds": seconds, "loss": mean})
    return last.network, {**means({"loss": losses}), "curve": curve}
