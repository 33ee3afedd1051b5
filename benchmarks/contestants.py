"""Who races in `peers.py`: ours and other libraries' networks, all given a prompt and trained alike."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from unittest.mock import MagicMock

import torch
from einops import rearrange
from torch import Tensor, nn

from minivid import diffusion, pipeline, training
from minivid.models import text
from minivid.models.alignment import ALIGNMENT_DIM
from minivid.models.text_to_video import TextToVideo, TextToVideoConfig
from minivid.models.unet import VideoUNet, VideoUNetConfig
from minivid.recipes import cache, clips, formats, latents, video
from minivid.recipes.words import encode_prompts
from minivid.training import TrainConfig
from minivid.world import held_out, render

DATASET_SIZE = 4000  # clips whose latents are trained on
GUIDANCE = 3.0
STEPS = 8  # of Heun: 15 evaluations, each with the prompt and without, NFE 30
CONFIG = TrainConfig(1_000_000, 16, 1e-3, cooldown=1e-6, ema=0.99)
EVERY = 100.0  # CPU-seconds between two evaluations of what is generated
SECONDS = 600.0  # CPU-seconds of each, in all


@dataclass(frozen=True)
class Contestant:
    """What is trained in the race, and how it generates.

    build: a network (x_t, t, conditioning) -> what it predicts; draw_batch: (config, rng) -> clean clips or
    latents, and their conditioning; encode_text: prompts -> conditioning; decode: what is sampled -> clips
    (b, 3, f, h, w).
    """

    name: str
    library: str
    settings: str
    build: Callable[[], nn.Module]
    config: TrainConfig
    draw_batch: Callable[[TrainConfig, torch.Generator], tuple[Tensor, ...]]
    loss: training.Loss | None = None
    predicts: diffusion.Predicts = "velocity"
    path: diffusion.Path = clips.PATH
    shift: float = clips.SHIFT
    shape: tuple[int, ...] = (3, 17, 32, 32)
    encode_text: Callable[[Sequence[str]], Tensor] = encode_prompts
    decode: Callable[[Tensor], Tensor] = field(default=lambda x: x)
    every: float = EVERY

    def training_loss(self, network: nn.Module, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
        """Its own loss, or else that of the clips' U-Net, at its own noise levels."""
        if self.loss is not None:
            return self.loss(network, batch, rng)
        noise_levels = diffusion.NoiseLevels(shift=self.shift)
        return clips.loss(network, batch, rng, self.predicts, noise_levels, self.path)

    def generate(self, network: nn.Module, prompts: Sequence[str], seed: int) -> Tensor:
        """Clips of what the prompts ask for: (b, 3, 17, 32, 32)."""
        rng = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(prompts), *self.shape, generator=rng)
        cond, uncond = self.encode_text(prompts), self.encode_text([""] * len(prompts))
        guided = diffusion.guided_field(network.eval(), cond, uncond, GUIDANCE, self.path, self.predicts)
        timesteps = diffusion.schedule(STEPS, self.shift)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.precision == "bf16"):
            steps = diffusion.sample(guided, noise, timesteps, self.path, diffusion.heun)
            last = diffusion.last_step(steps)
        return self.decode(last.x_t.float()).clamp(-1, 1)


# Ours --------------------------------------------------------------------------------------------


@functools.cache
def training_set(seed: int) -> tuple[Tensor, list]:
    """Latents to train on, and their scenes."""
    scenes = held_out.draw_scenes(DATASET_SIZE, training.step_seed(seed, 0))
    return cache.encode("clips", cache.video_codec(), scenes, render.video), scenes


@functools.cache
def alignment_targets(seed: int) -> Tensor:
    """Alignment targets of these latents' tokens."""
    _, scenes = training_set(seed)
    return cache.encode("alignment", cache.alignment_target(), scenes, render.video)


def forget() -> None:
    """Forget what was encoded for another run."""
    training_set.cache_clear()
    alignment_targets.cache_clear()


def draw_latents(
    config: TrainConfig, rng: torch.Generator, encode_text: Callable[[Sequence[str]], Tensor] = encode_prompts
) -> tuple[Tensor, ...]:
    """Latents and captions, encoded."""
    encoded, scenes = training_set(config.seed)
    return latents.pick([encoded], scenes, config.batch_size, rng, encode_text)


def draw_aligned_latents(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Latents, alignment targets, and captions' tokens."""
    encoded, scenes = training_set(config.seed)
    kinds = [encoded, alignment_targets(config.seed)]
    return latents.pick(kinds, scenes, config.batch_size, rng, formats.tokenize)


def decode(x: Tensor) -> Tensor:
    """The clips that latents stand for."""
    with torch.no_grad():
        return cache.video_codec().decode(x)


def our_transformer(alignment_dim: int = ALIGNMENT_DIM) -> nn.Module:
    """The transformer of notebook 07, two blocks shallower."""
    vocab_size = len(pipeline.TOKENIZER.words)
    config = TextToVideoConfig(vocab_size, depth=6, alignment_dim=alignment_dim)
    return TextToVideo(config, video.trained_reader())


MUON = replace(CONFIG, batch_size=32, muon_lr=0.02, precision="bf16")
LATENT = {"shift": pipeline.SHIFT, "shape": (8, 5, 8, 8), "decode": decode}
OURS = (
    Contestant(
        "latent DiT",
        "minivid",
        "TextToVideoConfig(width=128, depth=6), aligned with the clip encoder; batch 64, Muon 0.02, bf16, "
        "compiled",
        our_transformer,
        replace(MUON, batch_size=64, compile=True),
        draw_aligned_latents,
        video.loss,
        encode_text=formats.tokenize,
        **LATENT,
    ),
    Contestant(
        "latent DiT, not aligned",
        "minivid",
        "TextToVideoConfig(width=128, depth=6); batch 64, Muon 0.02, bf16, compiled",
        functools.partial(our_transformer, 0),
        replace(MUON, batch_size=64, compile=True),
        functools.partial(draw_latents, encode_text=formats.tokenize),
        video.loss,
        encode_text=formats.tokenize,
        **LATENT,
    ),
    Contestant(
        "latent U-Net",
        "minivid",
        "VideoUNetConfig(8, width=32, patch=1, temporal_patch=1); batch 32, Muon 0.02, bf16",
        lambda: VideoUNet(VideoUNetConfig(8, width=32, blocks=1, patch=1, temporal_patch=1)),
        MUON,
        draw_latents,
        **LATENT,
    ),
    Contestant(
        "pixel U-Net",
        "minivid",
        "VideoUNetConfig(width=32, patch=4, temporal_patch=2), predicts clean; batch 32, Muon 0.02, bf16",
        lambda: VideoUNet(VideoUNetConfig(width=32, blocks=1, patch=4, temporal_patch=2)),
        MUON,
        clips.draw_batch,
        predicts="clean",
    ),
)

# Others' -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def without_torchvision() -> Iterator[None]:
    """Two of the packages import torchvision, for files of pictures; their networks do without it."""
    missing = find_spec("torchvision") is None
    names = ["torchvision", "torchvision.transforms", "torchvision.utils"] if missing else []
    sys.modules.update((name, MagicMock()) for name in names)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


class FramesAsChannels(nn.Module):
    """denoising-diffusion-pytorch's guided Unet; the frames are its channels, a prompt its class."""

    def __init__(self, dim: int):
        super().__init__()
        with without_torchvision():
            from denoising_diffusion_pytorch.classifier_free_guidance import Unet

        self.unet = Unet(dim, num_classes=1, channels=3 * 17, dim_mults=(1, 2, 4))
        self.unet.classes_emb = nn.Linear(text.TextEncoder(1).width, dim)

    def forward(self, x_t: Tensor, t: Tensor, pooled_text: Tensor) -> Tensor:
        x = rearrange(x_t, "b c f h w -> b (c f) h w")
        y = self.unet(x, 1000 * t, pooled_text, cond_drop_prob=0.0)
        return rearrange(y, "b (c f) h w -> b c f h w", c=3)


class InSpaceAndTime(nn.Module):
    """video-diffusion-pytorch's Unet3D (Ho et al. 2022), conditioned on the pooled text."""

    def __init__(self, dim: int, heads: int = 2):
        super().__init__()
        with without_torchvision():
            from video_diffusion_pytorch import Unet3D

        width = text.TextEncoder(1).width
        self.unet = Unet3D(dim, cond_dim=width, dim_mults=(1, 2, 4), attn_heads=heads)

    def forward(self, x_t: Tensor, t: Tensor, pooled_text: Tensor) -> Tensor:
        return self.unet(x_t, 1000 * t, cond=pooled_text)


class LatteOfText(nn.Module):
    """diffusers' Latte (Ma et al. 2024): attention within frames and along time in turn, cross to text."""

    def __init__(self, layers: int, channels: int = 3, frames: int = 17, side: int = 32, patch: int = 4):
        super().__init__()
        from diffusers import LatteTransformer3DModel

        self.text = video.trained_reader()
        self.latte = LatteTransformer3DModel(
            num_attention_heads=4,
            attention_head_dim=32,
            in_channels=channels,
            num_layers=layers,
            cross_attention_dim=128,
            attention_bias=True,
            sample_size=side,
            patch_size=patch,
            activation_fn="gelu-approximate",
            norm_type="ada_norm_single",
            norm_elementwise_affine=False,
            caption_channels=self.text.width,
            video_length=frames,
        )

    def forward(self, x_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        embeddings, _ = self.text(tokens)
        bias = (~text.text_mask(tokens)).float()[:, None] * -1e4
        bias = bias.repeat_interleave(x_t.shape[2], 0)
        return self.latte(x_t, 1000 * t, embeddings, bias).sample


THEIRS = (
    Contestant(
        "frames as channels",
        "denoising-diffusion-pytorch",
        "Unet(32, dim_mults=(1, 2, 4)), guided, predicts clean; batch 16, Muon 0.02, bf16",
        lambda: FramesAsChannels(32),
        replace(MUON, batch_size=16),
        clips.draw_batch,
        predicts="clean",
    ),
    Contestant(
        "Latte",
        "diffusers",
        "LatteTransformer3DModel(4 heads of 32, 2 layers, patch 4), predicts clean; batch 16, Muon 0.02",
        lambda: LatteOfText(2),
        replace(MUON, batch_size=16, precision="fp32"),
        functools.partial(clips.draw_batch, encode_text=formats.tokenize),
        predicts="clean",
        encode_text=formats.tokenize,
    ),
    Contestant(
        "Unet3D",
        "video-diffusion-pytorch",
        "Unet3D(16, dim_mults=(1, 2, 4), attn_heads=2), predicts clean; batch 8, Muon 0.02, bf16",
        lambda: InSpaceAndTime(16),
        replace(MUON, batch_size=8),
        clips.draw_batch,
        predicts="clean",
        every=SECONDS,
    ),
)
# Latte was made for latents; the only autoencoder of these clips is ours.
MIXED = (
    Contestant(
        "Latte on our latents",
        "diffusers",
        "LatteTransformer3DModel(4 heads of 32, 3 layers, patch 2) on our autoencoder's latents; batch 64, "
        "Muon 0.02, bf16",
        lambda: LatteOfText(3, channels=8, frames=5, side=8, patch=2),
        replace(MUON, batch_size=64),
        functools.partial(draw_latents, encode_text=formats.tokenize),
        encode_text=formats.tokenize,
        **LATENT,
    ),
)
CONTESTANTS = {one.name: one for one in (*OURS, *MIXED, *THEIRS)}


def trials() -> dict[str, Contestant]:
    """Others' settings that were tried before the race; "Unet3D" is too slow, and takes after the best."""
    frames, latte = CONTESTANTS["frames as channels"], CONTESTANTS["Latte"]
    adam = replace(CONFIG, precision="bf16")
    slower = replace(latte.config, learning_rate=5e-4, muon_lr=0.01)
    wider = replace(frames, build=lambda: FramesAsChannels(64))
    return {
        "frames as channels, 64 wide, velocity, AdamW": replace(wider, predicts="velocity", config=adam),
        "frames as channels, 64 wide, velocity, Muon": replace(wider, predicts="velocity"),
        "frames as channels, 64 wide, clean, AdamW": replace(wider, config=adam),
        "frames as channels, 64 wide, clean, Muon": wider,
        "frames as channels, 32 wide, clean, AdamW": replace(frames, config=adam),
        "frames as channels, 32 wide, clean, Muon": frames,
        "Latte, velocity, Muon": replace(latte, predicts="velocity"),
        "Latte, clean, AdamW": replace(latte, config=CONFIG),
        "Latte, clean, AdamW, bf16": replace(latte, config=adam),
        "Latte, clean, Muon": latte,
        "Latte, clean, Muon, bf16": replace(latte, config=replace(latte.config, precision="bf16")),
        "Latte, clean, Muon, half the rates": replace(latte, config=slower),
    }
