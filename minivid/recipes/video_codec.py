"""The autoencoder of clips, trained on the full world: what it keeps is all that later models can say."""

import torch
from torch import Tensor

from minivid.formats import DEFAULT_FORMAT
from minivid.measure import fidelity
from minivid.measure.stats import with_bar
from minivid.models import codec
from minivid.recipes.codec_score import video_rows
from minivid.recipes.recipe import Recipe
from minivid.training import TrainConfig, step_seed
from minivid.world import random_scenes, render

FORMATS = (*3 * ((32, 32),), (24, 24), (40, 40), (24, 32), (32, 24), (32, 40), (40, 32))  # h, w
WIDER = (40, 56)  # h, w: a larger frame than training shows, of digits as large as some it shows
LARGER = (48, 48)  # one in which the digits too are larger than any it shows
SQUARED = 5.0  # how much a squared error counts beside the absolute one
INK = 2.0  # how much more a pixel of full colour counts than a grey one
KL = 1e-4  # how much a nat of KL a latent costs, in mean absolute errors


def draw_batch(
    config: TrainConfig, rng: torch.Generator, size: int = DEFAULT_FORMAT.width
) -> tuple[Tensor, ...]:
    """Clips of the full world (b, 3, 17, h, w), one format a batch; size: what is 32 pixels in FORMATS."""
    scale = size // DEFAULT_FORMAT.width
    height, width = FORMATS[int(torch.randint(len(FORMATS), (), generator=rng))]
    return (draw_clips(config.batch_size, rng, scale * height, scale * width),)


def draw_clips(
    n: int, seed: int | torch.Generator, height: int = 32, width: int = 32, frames: int = 17
) -> Tensor:
    """Clips of the full world: (n, 3, frames, height, width)."""
    room = render.room_for(height, width)
    scenes = random_scenes.draw_scenes(n, seed, random_scenes.FULL, room)
    return render.video(scenes, frames, height, width)


def loss(
    network: codec.VideoCodec, batch: tuple[Tensor, ...], rng: torch.Generator, kl_weight: float = KL
) -> Tensor:
    """Absolute and squared error, coloured pixels counted for more, and a little KL.

    The square is what PSNR counts; the absolute error goes on pulling where all is nearly right.
    """
    (clip,) = batch
    mean, log_variance = network.posterior(clip)
    sampled = codec.sample(mean, log_variance, rng)
    error = (network.reconstruct(sampled) - clip).float().abs()
    colourful = (clip.amax(1, keepdim=True) - clip.amin(1, keepdim=True)) / 2
    error = error + SQUARED * error.square()
    return (error * (1 + INK * colourful)).mean() + kl_weight * codec.kl(mean, log_variance)


@torch.no_grad()
def score(network: codec.VideoCodec, n: int, seed: int, size: int = DEFAULT_FORMAT.width) -> dict:
    """What clips of the full world lose on the way through the codec; size: as in `draw_batch`.

    psnr: decibels, the mean over clips; wider_psnr, larger_psnr: of formats never trained on; then the rows
    of `codec_score.video_rows`.
    """
    scale = size // DEFAULT_FORMAT.width
    scenes = random_scenes.draw_scenes(n, seed, random_scenes.FULL)
    originals = render.video(scenes, height=size, width=size)
    copies = reconstruct(network, originals)
    table = {"psnr": fidelity.psnr_row(copies, originals)}
    for key, (height, width) in (("wider_psnr", WIDER), ("larger_psnr", LARGER)):
        more = draw_clips(max(2, n // 4), seed + 1, scale * height, scale * width)
        table[key] = fidelity.psnr_row(reconstruct(network, more), more, floor=False)
    return table | video_rows(scenes, originals, copies)


@torch.no_grad()
def reconstruct(network: codec.Codec, originals: Tensor, batch_size: int = 50) -> Tensor:
    """Clips, or sounds, encoded and decoded: what is left of them, in [-1, 1]."""
    parts = with_bar(originals.split(batch_size), "encoding", batch_size)
    return decode(network, torch.cat([network.encode(part) for part in parts]), batch_size)


@torch.no_grad()
def decode(network: codec.Codec, latents: Tensor, batch_size: int = 50) -> Tensor:
    """The clips, or sounds, that many latents stand for, in [-1, 1]."""
    parts = with_bar(latents.split(batch_size), "decoding", batch_size)
    return torch.cat([network.decode(part).clamp(-1, 1) for part in parts])


def finish(network: codec.Codec, size: int = DEFAULT_FORMAT.width) -> None:
    """Measure the mean and standard deviation of the latents' channels, on clips of the full world."""
    network.fit_normalization(draw_clips(1000, step_seed(0, 0), size, size))


RECIPE = Recipe(
    what="a causal autoencoder of clips: 4 frames of 4×4 pixels in 8 numbers",
    build=lambda size=DEFAULT_FORMAT.width: codec.VideoCodec(codec.VIDEO_CODECS[size]),
    draw_batch=draw_batch,
    loss=loss,
    configs={
        "laptop": TrainConfig(24_000, 8, learning_rate=1.5e-3, muon_lr=0.015, cooldown=0.8, precision="bf16"),
        "gpu": TrainConfig(20_000, 64, learning_rate=2e-3, muon_lr=0.02, precision="bf16"),
    },
    score=score,
    finish=finish,
    needs=("judge",),
)
