"""Who races in `peers.py`: ours and other libraries' networks, told of a sentence and trained alike."""

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

from minivid import diffusion, generator, text, train
from minivid.recipes import cache, clips, held_out, latents, teacher, video
from minivid.unet import VideoUNet
from minivid.world import render

KEPT = 4000  # clips whose latents are trained on
GUIDANCE = 3.0
STEPS = 8  # of Heun: 15 looks, each with the sentence and without, 30 network calls
PLAN = train.Plan(1_000_000, 16, 1e-3, decay=1e-6, ema=0.99)
EVERY = 100.0  # CPU-seconds from look to look
SECONDS = 600.0  # CPU-seconds of each, in all


@dataclass(frozen=True)
class Contestant:
    """What is trained in the race, and how it draws.

    build: a network (x_t, t, asked) -> what it predicts; batch: (plan, generator) -> clean clips or
    latents, and what is asked; hear: sentences -> what is asked; decode: what is drawn -> clips
    (b, 3, f, h, w).
    """

    name: str
    by: str
    settings: str
    build: Callable[[], nn.Module]
    plan: train.Plan
    batch: train.Draw
    loss: train.Loss | None = None
    predicts: diffusion.Predicts = "velocity"
    path: diffusion.Path = clips.PATH
    shift: float = clips.SHIFT
    shape: tuple[int, ...] = (3, 17, 32, 32)
    hear: Callable[[Sequence[str]], Tensor] = clips.understand
    decode: Callable[[Tensor], Tensor] = field(default=lambda x: x)
    every: float = EVERY

    def missed(
        self, network: nn.Module, made: tuple[Tensor, ...], noise: torch.Generator
    ) -> Tensor:
        """The loss."""
        if self.loss is not None:
            return self.loss(network, made, noise)
        levels = functools.partial(clips.draw_t, by=self.shift)
        return clips.loss(network, made, noise, self.predicts, levels, self.path)

    def draw(self, network: nn.Module, sentences: Sequence[str], seed: int) -> Tensor:
        """Clips of what the sentences ask for: (b, 3, 17, 32, 32)."""
        noise = torch.randn(
            len(sentences), *self.shape, generator=torch.Generator().manual_seed(seed)
        )
        asked, unasked = self.hear(sentences), self.hear([""] * len(sentences))
        towards = diffusion.conditional(
            network.eval(), asked, unasked, GUIDANCE, self.path, self.predicts
        )
        times = diffusion.schedule(STEPS, self.shift)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.plan.precision == "bf16"):
            *_, last = diffusion.sample(towards, noise, times, self.path, diffusion.heun)
        return self.decode(last.x_t.float()).clamp(-1, 1)


# Ours --------------------------------------------------------------------------------------------


@functools.cache
def kept_clips(seed: int) -> tuple[list, Tensor]:
    """Scenes to train on, and their latents."""
    scenes = held_out.draw_scenes(KEPT, train.step_seed(seed, 0))
    return scenes, cache.encode("clips", latents.video_codec(), scenes, render.video)


@functools.cache
def shown(seed: int) -> Tensor:
    """What these clips show, as the teacher sees it."""
    scenes, eye = kept_clips(seed)[0], teacher.teacher(generator.TAUGHT)
    return cache.encode("what they show", eye, scenes, render.video)


def forget() -> None:
    """Forget what was encoded for another run."""
    kept_clips.cache_clear()
    shown.cache_clear()


def of_latents(
    plan: train.Plan,
    draws: torch.Generator,
    hear: Callable[[Sequence[str]], Tensor] = clips.understand,
) -> tuple[Tensor, ...]:
    """Latents and captions, as `hear` has them."""
    scenes, made = kept_clips(plan.seed)
    return latents.pick(made, scenes, plan.batch, draws, hear)


def of_taught_latents(plan: train.Plan, draws: torch.Generator) -> tuple[Tensor, ...]:
    """Latents, what they show, and captions' tokens."""
    scenes, made = kept_clips(plan.seed)
    return latents.pick_all([made, shown(plan.seed)], scenes, plan.batch, draws, video.tokens)


def decoded(x: Tensor) -> Tensor:
    """The clips that latents stand for."""
    with torch.no_grad():
        return latents.video_codec().decode(x)


def our_transformer(taught: int = generator.TAUGHT) -> nn.Module:
    """The transformer of notebook 07, two blocks shallower."""
    words = len(video.TOKENISER.words)
    return video.with_reader(generator.TextToVideo(words, depth=6, taught=taught))


MUON = replace(PLAN, batch=32, muon=0.02, precision="bf16")
LATENT = {"shift": generator.SHIFT, "shape": (8, 5, 8, 8), "decode": decoded}
OURS = (
    Contestant(
        "latent DiT",
        "minivid",
        "TextToVideo(width=128, depth=6), taught by the clip encoder; batch 64, Muon 0.02, bf16, compiled",
        our_transformer,
        replace(MUON, batch=64, compiled=True),
        of_taught_latents,
        video.loss,
        hear=video.tokens,
        **LATENT,
    ),
    Contestant(
        "latent DiT, not taught",
        "minivid",
        "TextToVideo(width=128, depth=6); batch 64, Muon 0.02, bf16, compiled",
        functools.partial(our_transformer, 0),
        replace(MUON, batch=64, compiled=True),
        functools.partial(of_latents, hear=video.tokens),
        video.loss,
        hear=video.tokens,
        **LATENT,
    ),
    Contestant(
        "latent U-Net",
        "minivid",
        "VideoUNet(8, width=32); batch 32, Muon 0.02, bf16",
        lambda: VideoUNet(8, fold=1, moment=1, width=32, blocks=1),
        MUON,
        of_latents,
        **LATENT,
    ),
    Contestant(
        "pixel U-Net",
        "minivid",
        "VideoUNet(fold=4, moment=2, width=32), predicts clean; batch 32, Muon 0.02, bf16",
        lambda: VideoUNet(fold=4, moment=2, width=32, blocks=1),
        MUON,
        clips.batch,
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
    """denoising-diffusion-pytorch's guided Unet; the frames are its channels, a sentence its class."""

    def __init__(self, dim: int):
        super().__init__()
        with without_torchvision():
            from denoising_diffusion_pytorch.classifier_free_guidance import Unet

        self.unet = Unet(dim, num_classes=1, channels=3 * 17, dim_mults=(1, 2, 4))
        self.unet.classes_emb = nn.Linear(text.TextEncoder(1).width, dim)

    def forward(self, x_t: Tensor, t: Tensor, asked: Tensor) -> Tensor:
        x = rearrange(x_t, "b c f h w -> b (c f) h w")
        y = self.unet(x, 1000 * t, asked, cond_drop_prob=0.0)
        return rearrange(y, "b (c f) h w -> b c f h w", c=3)


class InSpaceAndTime(nn.Module):
    """video-diffusion-pytorch's Unet3D (Ho et al. 2022), told the sentence as a vector."""

    def __init__(self, dim: int, heads: int = 2):
        super().__init__()
        with without_torchvision():
            from video_diffusion_pytorch import Unet3D

        width = text.TextEncoder(1).width
        self.unet = Unet3D(dim, cond_dim=width, dim_mults=(1, 2, 4), attn_heads=heads)

    def forward(self, x_t: Tensor, t: Tensor, asked: Tensor) -> Tensor:
        return self.unet(x_t, 1000 * t, cond=asked)


class LatteOfText(nn.Module):
    """diffusers' Latte (Ma et al. 2024): attention within frames and along time in turn, words across."""

    def __init__(
        self, layers: int, channels: int = 3, frames: int = 17, side: int = 32, patch: int = 4
    ):
        super().__init__()
        from diffusers import LatteTransformer3DModel

        self.text = our_transformer().text
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
        words, _ = self.text(tokens)
        unheard = (~text.heard(tokens)).float()[:, None] * -1e4
        unheard = unheard.repeat_interleave(x_t.shape[2], 0)
        return self.latte(x_t, 1000 * t, words, unheard).sample


THEIRS = (
    Contestant(
        "frames as channels",
        "denoising-diffusion-pytorch",
        "Unet(32, dim_mults=(1, 2, 4)), guided, predicts clean; batch 16, Muon 0.02, bf16",
        lambda: FramesAsChannels(32),
        replace(MUON, batch=16),
        clips.batch,
        predicts="clean",
    ),
    Contestant(
        "Latte",
        "diffusers",
        "LatteTransformer3DModel(4 heads of 32, 2 layers, patch 4), predicts clean; batch 16, Muon 0.02",
        lambda: LatteOfText(2),
        replace(MUON, batch=16, precision="fp32"),
        functools.partial(clips.batch, hear=video.tokens),
        predicts="clean",
        hear=video.tokens,
    ),
    Contestant(
        "Unet3D",
        "video-diffusion-pytorch",
        "Unet3D(16, dim_mults=(1, 2, 4), attn_heads=2), predicts clean; batch 8, Muon 0.02, bf16",
        lambda: InSpaceAndTime(16),
        replace(MUON, batch=8),
        clips.batch,
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
        replace(MUON, batch=64),
        functools.partial(of_latents, hear=video.tokens),
        hear=video.tokens,
        **LATENT,
    ),
)
CONTESTANTS = {one.name: one for one in (*OURS, *MIXED, *THEIRS)}


def trials() -> dict[str, Contestant]:
    """Others' settings that were tried before the race; "Unet3D" is too slow to be tried, and takes after."""
    frames, latte = CONTESTANTS["frames as channels"], CONTESTANTS["Latte"]
    adam = replace(PLAN, precision="bf16")
    slower = replace(latte.plan, learning_rate=5e-4, muon=0.01)
    wide = replace(frames, build=lambda: FramesAsChannels(64))
    return {
        "frames as channels, 64 wide, velocity, AdamW": replace(
            wide, predicts="velocity", plan=adam
        ),
        "frames as channels, 64 wide, velocity, Muon": replace(wide, predicts="velocity"),
        "frames as channels, 64 wide, clean, AdamW": replace(wide, plan=adam),
        "frames as channels, 64 wide, clean, Muon": wide,
        "frames as channels, 32 wide, clean, AdamW": replace(frames, plan=adam),
        "frames as channels, 32 wide, clean, Muon": frames,
        "Latte, velocity, Muon": replace(latte, predicts="velocity"),
        "Latte, clean, AdamW": replace(latte, plan=PLAN),
        "Latte, clean, AdamW, bf16": replace(latte, plan=adam),
        "Latte, clean, Muon": latte,
        "Latte, clean, Muon, bf16": replace(latte, plan=replace(latte.plan, precision="bf16")),
        "Latte, clean, Muon, half the rates": replace(latte, plan=slower),
    }
