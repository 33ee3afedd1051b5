"""What should a transformer predict whose tokens hold more numbers than it is wide?

"Back to basics: let denoising generative models denoise" (Li and He 2025, arXiv 2511.13720) reports that on
large pixel patches predicting the clean picture works where predicting noise or velocity fails: a clean
patch is one of few, noise fills all its numbers, and a narrow network cannot carry them through. Here a
token is 2 frames of 8×8 pixels, 384 numbers, in a transformer 128 wide; no codec.

All three are trained by one loss, the velocity's error, and sampled by the velocity that follows from what
they predict. Where there is only noise, predicted noise says nothing of the clip, and where there is none, a
predicted clip says nothing of the noise; so noise levels keep a little away from both ends.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from minivid import diffusion, pipeline
from minivid.experiments import small_task
from minivid.experiments.records import Bar, save_clips, train_network
from minivid.experiments.small_task import DEPTH, SAMPLING, WIDTH
from minivid.formats import FRAMES_PER_SECOND
from minivid.models.text import TextEncoder
from minivid.models.text_to_video import TextToVideo, TextToVideoConfig
from minivid.recipes import clips, formats, video
from minivid.recipes.captioning import drop_captions, write_captions
from minivid.training import TrainConfig
from minivid.world import held_out, render

WHAT = "pixel patches of 384 numbers: the clean clip, the noise or the velocity predicted"
SEEDS = (0, 1, 2)
PATCH, FRAMES, SIDE = (2, 8, 8), 8, 32
MARGIN = 0.05  # how far noise levels keep from 0 and 1
NOISE_LEVELS = diffusion.NoiseLevels(shift=clips.SHIFT, low=MARGIN, high=1 - MARGIN)
PREDICTS: tuple[diffusion.Predicts, ...] = ("clean", "velocity", "noise")


class PixelTransformer(TextToVideo):
    """The library's network on patches of pixels: (b, 3, 8, 32, 32) -> the same."""

    def __init__(self, width: int = WIDTH, depth: int = DEPTH, text_encoder: TextEncoder | None = None):
        size = {"width": width, "depth": depth}
        config = TextToVideoConfig(len(pipeline.TOKENIZER.words), 3, 1, PATCH, **size)
        super().__init__(config, text_encoder)

    def positions(self, grid: Sequence[int]) -> Tensor:
        """As of latents, but that no frame stands alone: (n, 5)."""
        return pixel_positions()


@functools.cache
def pixel_positions() -> Tensor:
    """Where and when each patch of pixels is: (n, 5), as `patches.positions` says of latents."""
    frames = torch.arange(FRAMES // PATCH[0]) * PATCH[0] + PATCH[0] / 2 + 1
    across = (torch.arange(SIDE // PATCH[1]) + 0.5) * PATCH[1] - SIDE / 2
    grid = torch.meshgrid(frames / FRAMES_PER_SECOND, across, across, indexing="ij")
    positions = torch.stack(grid, -1).flatten(0, 2)
    return torch.cat([positions, torch.full((len(positions), 2), float(SIDE))], 1)


def draw_batch(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Clips (b, 3, 8, 32, 32), the first of nine frames left out, and tokens (b, n)."""
    scenes = held_out.draw_scenes(config.batch_size, rng)
    sentences = drop_captions(write_captions(scenes, rng), rng)
    return render.video(scenes, FRAMES + 1)[:, :, 1:], formats.tokenize(sentences)


def loss(
    network: nn.Module, batch: tuple[Tensor, ...], rng: torch.Generator, predicts: diffusion.Predicts
) -> Tensor:
    """The error of the velocity that follows from the prediction."""
    clean, tokens = batch
    predict = functools.partial(network, tokens=tokens)
    return diffusion.loss(predict, clean, rng, clips.PATH, predicts, "velocity", NOISE_LEVELS)


def generate(network: nn.Module, prompts: Sequence[str], seed: int, predicts: diffusion.Predicts) -> Tensor:
    """Clips of what the prompts ask for: (b, 3, 9, 32, 32), the first frame shown twice."""
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(prompts), 3, FRAMES, SIDE, SIDE, generator=rng)
    cond, uncond = formats.tokenize(prompts), formats.tokenize([""] * len(prompts))
    field = diffusion.guided_field(network, cond, uncond, pipeline.GUIDANCE, clips.PATH, predicts)
    timesteps = diffusion.schedule(SAMPLING["num_steps"], clips.SHIFT).clamp(max=1 - MARGIN)
    trajectory = diffusion.sample(field, noise, timesteps, clips.PATH, SAMPLING["solver"])
    video = diffusion.last_step(trajectory).x_t
    return torch.cat([video[:, :, :1], video], 2).clamp(-1, 1)


def run(seed: int, bar: Bar, n: int = 150) -> dict:
    """{predicted: {"digit", "colour", "heading", "all"} as asked: [proportion, low, high]}."""
    found, config = {}, replace(small_task.CONFIG, seed=seed)
    for predicts in PREDICTS:
        torch.manual_seed(seed)
        network = train_network(
            PixelTransformer(text_encoder=video.trained_reader()),
            functools.partial(loss, predicts=predicts),
            functools.partial(draw_batch, config),
            config,
            bar,
            f"{predicts}, seed {seed}",
        )
        of_network = functools.partial(generate, network, seed=seed, predicts=predicts)
        found[predicts], generated = small_task.adherence(of_network, n, seed)
        if seed == SEEDS[0]:
            save_clips("prediction", predicts, generated[:4])
    return found
