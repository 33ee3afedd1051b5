"""What survives compression: video autoencoders with larger and smaller latents, and more and less KL.

All are the codec of the course but for the one thing that is changed, trained on the easy world for the same
number of steps. Short trainings: they tell what helps, not how far it goes.
"""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from minivid.experiments.records import Bar, means, proportions, save_clips, train_network
from minivid.measure import fidelity
from minivid.measure.adherence import read_clips
from minivid.measure.judge import load_judge
from minivid.models import codec
from minivid.models.codec import VideoCodec, VideoCodecConfig
from minivid.recipes import video_codec
from minivid.training import TrainConfig
from minivid.world import random_scenes, render

WHAT = "video autoencoders with more and fewer channels, larger patches, more and less KL"
SEEDS = (0, 1, 2)
FRAMES = 9
SIZES = ((4, 2), (4, 4), (4, 8), (4, 16), (8, 8), (8, 16))  # patch, channels
KL_WEIGHTS = (0.0, 1e-2, 1.0)  # beside the codec's own, all with 8 channels
LATENT_NOISE = (0.1, 0.3)  # added to latents before they are decoded, in their standard deviations
CONFIG = TrainConfig(steps=400, batch_size=8, learning_rate=1.5e-3, muon_lr=0.015, precision="bf16", ema=0.99)


def ways() -> dict[str, tuple[int, int, float]]:
    """What is trained: patch, channels and the weight of the KL, by name."""
    sizes = {f"{patch}×{patch}, {n}": (patch, n, video_codec.KL) for patch, n in SIZES}
    return sizes | {f"KL {weight:g}": (4, 8, weight) for weight in KL_WEIGHTS}


def draw_batch(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Clips of the easy world: (b, 3, 9, 32, 32)."""
    return (render.video(random_scenes.draw_scenes(config.batch_size, rng), FRAMES),)


def train(patch: int, channels: int, kl_weight: float, seed: int, bar: Bar) -> VideoCodec:
    """An autoencoder after its short training, its normalisation fitted."""
    config = replace(CONFIG, seed=seed)
    torch.manual_seed(seed)
    network = VideoCodec(VideoCodecConfig(channels, patch))
    loss = partial(video_codec.loss, kl_weight=kl_weight)
    what = f"{channels} channels a {patch}×{patch} patch, KL {kl_weight:g}, seed {seed}"
    trained = train_network(network, loss, partial(draw_batch, config), config, bar, what)
    many = replace(config, batch_size=200)
    trained.fit_normalization(*draw_batch(many, torch.Generator().manual_seed(seed)))
    return trained


@torch.no_grad()
def measure(network: VideoCodec, seed: int, n: int = 200) -> tuple[dict, Tensor]:
    """What is left of n clips of the easy world, in numbers, and the copies (n, 3, 9, 32, 32).

    numbers: of a clip's latents; nats: KL of a clip; shaken: decibels where the latents were noisy; what the
    judge reads is proportions of clips.
    """
    scenes = random_scenes.draw_scenes(n, seed)
    originals = render.video(scenes, FRAMES)
    latents = torch.cat([network.encode(part) for part in originals.split(50)])
    copies = video_codec.decode(network, latents)
    nats = [codec.kl(*network.posterior(part)) for part in originals.split(50)]
    rows = {"psnr": fidelity.psnr(copies, originals)}
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    for amount in LATENT_NOISE:
        noisy = video_codec.decode(network, latents + amount * noise)
        rows[f"shaken {amount:g}"] = fidelity.psnr(noisy, originals)
    observed = [one.description.subjects for one in read_clips(load_judge(), copies)]
    truth = [one.describe().subjects[0] for one in scenes]
    right = {
        key: torch.tensor([
            bool(found) and getattr(found[0], key) == getattr(real, key)
            for found, real in zip(observed, truth, strict=True)
        ])
        for key in ("digit", "colour", "heading")
    }  # fmt: skip
    numbers = latents[0].numel()
    counted = {"numbers": numbers, "nats": round(torch.stack(nats).mean().item() * numbers, 1)}
    return counted | means(rows) | proportions(right), copies


def run(seed: int, bar: Bar) -> dict:
    """Train and measure every way: {way: {metric: [value, low, high]}}."""
    found = {}
    for name, (patch, channels, kl_weight) in ways().items():
        network = train(patch, channels, kl_weight, seed, bar)
        found[name], copies = measure(network, seed)
        if seed == SEEDS[0]:
            save_clips("compression", name, copies[:4])
    return found
