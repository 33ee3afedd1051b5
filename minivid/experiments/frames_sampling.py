"""Clips from noise that frames share or do not, all frames of a clip denoised together or each by itself."""

from collections.abc import Iterator

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from minivid import diffusion
from minivid.recipes import clips

FRAMES = 9
NUM_STEPS = 12


def noise(n: int, seed: int, shared: float = 0.0) -> Tensor:
    """Noise of whose variance a share is common to all frames: (n, 3, 9, 32, 32).

    Each frame's noise is standard normal whatever is shared. (Ge et al. 2023, arXiv 2305.10474, fine-tune a
    model of pictures with noise that frames share; here it only starts the sampling.)
    """
    rng = torch.Generator().manual_seed(seed)
    own = torch.randn(n, 3, FRAMES, 32, 32, generator=rng)
    common = torch.randn(n, 3, 1, 32, 32, generator=rng)
    return shared**0.5 * common + (1 - shared) ** 0.5 * own


def generate(network: nn.Module, start: Tensor, together: bool, pooled_text: Tensor | None = None) -> Tensor:
    """Clips from noise (n, 3, 9, 32, 32), 100 at a time; where not together, each frame by itself.

    pooled_text: of a prompt for each clip (n, d), which conditions each of its frames; None for no prompt.
    """
    generated = []
    for k in range(0, len(start), 100):
        cond = None if pooled_text is None else pooled_text[k : k + 100]
        steps = _steps(network, start[k : k + 100], together, cond)
        generated.append(diffusion.last_step(steps).x_t)
    return torch.cat([_clips(x, together) for x in generated]).clamp(-1, 1)


def predictions(
    network: nn.Module, start: Tensor, together: bool, pooled_text: Tensor | None = None
) -> Tensor:
    """The clean clip predicted at each step from the noise of one clip: (NUM_STEPS, 3, 9, 32, 32)."""
    steps = _steps(network, start, together, pooled_text)
    return torch.cat([_clips(step.clean, together) for step in steps])


def _steps(
    network: nn.Module, start: Tensor, together: bool, cond: Tensor | None
) -> Iterator[diffusion.Step]:
    """The sampling trajectory of clips, or of lone frames."""
    scale = 1.0 if cond is None else clips.GUIDANCE
    if cond is None:
        cond = torch.zeros(len(start), network.config.text_dim)
    if not together:
        start = rearrange(start, "b c f h w -> (b f) c 1 h w")
        cond = repeat(cond, "b d -> (b f) d", f=FRAMES)
    uncond = torch.zeros_like(cond)
    field = diffusion.guided_field(network.eval(), cond, uncond, scale, clips.PATH, "clean")
    timesteps = diffusion.schedule(NUM_STEPS, clips.SHIFT)
    return diffusion.sample(field, start, timesteps, clips.PATH, diffusion.heun)


def _clips(x: Tensor, together: bool) -> Tensor:
    """Lone frames as clips again."""
    return x if together else rearrange(x, "(b f) c 1 h w -> b c f h w", f=FRAMES)
