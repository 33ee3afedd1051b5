"""Text to video: a diffusion transformer on latents, of the full world, in many formats.

Its tokens also learn to predict what the clip encoder of `words` would see there were the clip clean
(`models.alignment`; it helps, less than in the paper). Near the end that stops: the target is coarse, and
held to it the tokens would not learn the finest ("early stop", Wang et al. 2025, arXiv 2505.16792). The text
encoder is that of `reader`, as it is.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from minivid import diffusion, pipeline, weights
from minivid.formats import DEFAULT_FORMAT, Format
from minivid.models.alignment import alignment_loss
from minivid.models.text import TextEncoder
from minivid.models.text_to_video import TextToVideo
from minivid.recipes import clips, formats, latents, reader
from minivid.recipes.recipe import Recipe
from minivid.recipes.video_score import score
from minivid.training import TrainConfig, step_of_rng

# What is trained on: how many clips of each format are kept, and the share of steps that take them.
FORMATS = {
    Format(17, 32, 32): (30_000, 0.5),
    Format(17, 32, 48): (6_000, 0.12),
    Format(17, 48, 32): (6_000, 0.12),
    Format(33, 32, 32): (5_000, 0.1),
    Format(9, 32, 32): (6_000, 0.08),
    Format(1, 32, 32): (10_000, 0.08),
}
# Many around the middle, where a digit takes its shape; the others spread, more of them high, where it is
# decided what goes where. Without the first digits take twice as long, without the others headings.
NOISE_LEVELS = diffusion.NoiseLevels(shift=pipeline.SHIFT, logit_normal=0.2)
EASY_STEPS = 600  # at first, with nothing but the easy world in the usual format
ALIGNMENT_WEIGHT = 1.0  # what the alignment loss counts beside the velocity's
ALIGNMENT_STOP = 2 / 3  # share of the steps after which there is none


def draw_batch(
    config: TrainConfig, rng: torch.Generator, size: int = DEFAULT_FORMAT.width
) -> tuple[Tensor, ...]:
    """Latents (b, c, f, h, w) of one format, alignment targets, and their captions' tokens (b, n).

    Targets: (b, ALIGNMENT_DIM, f, h / 2, w / 2), until alignment stops. The first EASY_STEPS see the easy
    world alone (a curriculum, Bengio et al. 2009), later one clip in nine is of it. size: what is 32 pixels
    in FORMATS.
    """
    step = step_of_rng(rng, config.seed)
    easy = step < EASY_STEPS
    shape = DEFAULT_FORMAT if easy else formats.draw_format(FORMATS, rng)
    n = FORMATS[shape][0]
    cached, scenes = formats.training_set(n, shape, size)
    part = slice(n // 3) if easy else slice(n // 4, n)
    kinds = [cached[part]]
    if not alignment_stopped(step, config):
        kinds.append(formats.alignment_targets(n, shape)[part])
    many = formats.batch_size(config, cached)
    return latents.pick(kinds, scenes[part], many, rng, formats.tokenize)


def alignment_stopped(step: int, config: TrainConfig) -> bool:
    return step >= ALIGNMENT_STOP * config.steps


def loss(
    network: nn.Module,
    batch: tuple[Tensor, ...],
    rng: torch.Generator,
    noise_levels: diffusion.NoiseLevels = NOISE_LEVELS,
) -> Tensor:
    """The velocity is predicted, as of `latents`; and the alignment target, where there is one."""
    clean, *target, tokens = batch
    if not target:
        return clips.loss(network, batch, rng, "velocity", noise_levels)
    predicted = []

    def predict(x_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        velocity, alignment = network(x_t, t, tokens, return_alignment=True)
        predicted.append(alignment)
        return velocity

    velocity_loss = clips.loss(predict, (clean, tokens), rng, "velocity", noise_levels)
    return velocity_loss + ALIGNMENT_WEIGHT * alignment_loss(predicted[0], target[0])


def trained_reader() -> TextEncoder:
    """The text encoder of `reader`, which learns no more."""
    return weights.load("reader", reader.build()).text.requires_grad_(False)


def build(size: int = DEFAULT_FORMAT.width) -> TextToVideo:
    """A transformer that knows nothing yet, and a text encoder that can read."""
    return TextToVideo(pipeline.video_config(size), trained_reader())


LAPTOP = TrainConfig(10_000, 64, learning_rate=1e-3, muon_lr=0.02, precision="bf16", compile=True)
GPU = replace(LAPTOP, steps=40_000, batch_size=256)

RECIPE = Recipe(
    what="a diffusion transformer that turns noise into latents of clips of what a prompt asks for",
    build=build,
    draw_batch=draw_batch,
    loss=loss,
    configs={"laptop": LAPTOP, "gpu": GPU},
    score=score,
    int8=True,
    needs=("judge", "words", "features", "video_codec", "reader"),
)
