"""The autoencoder of sound, trained on the full world."""

import torch
from torch import Tensor

from minivid.measure import fidelity
from minivid.models import codec
from minivid.recipes.codec_score import audio_rows
from minivid.recipes.recipe import Recipe
from minivid.recipes.video_codec import KL, reconstruct
from minivid.training import TrainConfig, step_seed
from minivid.world import random_scenes, sound

WINDOWS = (128, 512, 2048)  # samples, of the spectra that are compared


def draw_batch(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Sounds of the full world: (b, 17408)."""
    return (sound.audio(random_scenes.draw_scenes(config.batch_size, rng, random_scenes.FULL)),)


def loss(network: codec.AudioCodec, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
    """Absolute error of the waveform, and of its spectra at three resolutions, and a little KL.

    The waveform alone would neglect what is quiet, spectra alone the phase ("multi-resolution STFT
    loss", Yamamoto et al. 2019, arXiv 1910.11480).
    """
    (clip,) = batch
    mean, log_variance = network.posterior(clip)
    copy = network.reconstruct(codec.sample(mean, log_variance, rng)).float()
    wave = (copy - clip).abs().mean()
    spectra = sum((_spectrum(copy, n) - _spectrum(clip, n)).abs().mean() for n in WINDOWS)
    kl = KL * codec.kl(mean, log_variance)
    return codec.AUDIO_GAIN * (wave + spectra / len(WINDOWS)) + kl


def _spectrum(clip: Tensor, size: int) -> Tensor:
    """Roots of magnitudes, so that what is quiet counts: (b, n) -> (b, frequencies, times).

    A tone of amplitude a comes out as sqrt(a) / 2.
    """
    window = torch.hann_window(size, device=clip.device)
    transform = torch.stft(clip, size, size // 4, window=window, return_complex=True)
    return (transform.abs() + 1e-4).sqrt() / size**0.5


@torch.no_grad()
def score(network: codec.AudioCodec, n: int, seed: int) -> dict:
    """What the sound of the full world loses on the way through the codec: see `codec_score.audio_rows`."""
    scenes = random_scenes.draw_scenes(n, seed, random_scenes.FULL)
    originals = sound.audio(scenes)
    copies = reconstruct(network, originals)
    rows = audio_rows(scenes, originals, copies)
    return {"psnr": fidelity.psnr_row(copies, originals)} | rows


def finish(network: codec.AudioCodec) -> None:
    """Measure the mean and standard deviation of the latents' channels, on sounds of the full world."""
    scenes = random_scenes.draw_scenes(1000, step_seed(0, 0), random_scenes.FULL)
    network.fit_normalization(sound.audio(scenes))


RECIPE = Recipe(
    what="an autoencoder of sound: 256 samples in 16 numbers",
    build=codec.AudioCodec,
    draw_batch=draw_batch,
    loss=loss,
    configs={
        "laptop": TrainConfig(steps=3000, batch_size=16, learning_rate=2e-3),
        "gpu": TrainConfig(steps=20_000, batch_size=64, learning_rate=2e-3),
    },
    score=score,
    finish=finish,
)
