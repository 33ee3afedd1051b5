"""Rectified flow against DDPM, at equal compute: the same transformer and steps, another path.

What is drawn is compared, since losses of different predictions cannot be: is it what was asked for, after
how many looks? Esser et al. 2024 (arXiv 2403.03206) compared 61 formulations so; rectified flow won where
steps were few, and with most noise levels drawn around the middle, logit-normal, it won on the whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minivid import diffusion, generator
from minivid.experiments import task
from minivid.experiments.keeping import Follow
from minivid.recipes import clips, latents, video

WHAT = "rectified flow against DDPM and the cosine path: clips as asked, look for look"
SEEDS = (0, 1, 2)
LOOKS = (4, 8, 16, 32)  # network calls for the asked field


@dataclass(frozen=True)
class Way:
    """A path, what is predicted on it, how it is walked, and at which noise levels it is trained.

    shift: of the noise levels at which it is walked.
    """

    path: diffusion.Path
    predicts: diffusion.Predicts
    move: diffusion.Move
    levels: clips.Levels = diffusion.uniform
    shift: float = 1.0

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...], draws: torch.Generator) -> Tensor:
        return clips.loss(network, batch, draws, self.predicts, self.levels, self.path)

    @torch.no_grad()
    def draw(self, network: nn.Module, sentences: Sequence[str], seed: int, steps: int) -> Tensor:
        """Clips of what the sentences ask for, in so many looks."""
        draws = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(sentences), 8, 1 + task.SHAPE.frames // 4, 8, 8, generator=draws)
        asked, unasked = video.tokens(sentences), video.tokens([""] * len(sentences))
        field = diffusion.conditional(
            network, asked, unasked, generator.GUIDANCE, self.path, self.predicts
        )
        times = diffusion.schedule(steps, self.shift)
        *_, last = diffusion.sample(field, noise, times, self.path, self.move, draws)
        return latents.video_codec().decode(last.clean).clamp(-1, 1)


WAYS = {
    "rectified flow, levels as we train": Way(
        diffusion.RectifiedFlow(), "velocity", diffusion.euler, video.levels, generator.SHIFT
    ),
    "rectified flow": Way(
        diffusion.RectifiedFlow(), "velocity", diffusion.euler, shift=generator.SHIFT
    ),
    "cosine, velocity": Way(diffusion.Cosine(), "velocity", diffusion.ddim),
    "DDPM, noise, DDIM steps": Way(diffusion.DDPM(), "noise", diffusion.ddim),
}


def measure(way: Way, network: nn.Module, seed: int, steps: int, n: int = 150) -> dict:
    """{"digit", "colour", "heading", "all"} as asked: [share, low, high]."""
    return task.as_asked(lambda said: way.draw(network, said, seed, steps), n, seed)[0]


def run(seed: int, follow: Follow) -> dict:
    """{way: {looks: {"digit", "colour", "heading", "all"}}}."""
    found = {}
    for name, way in WAYS.items():
        network, _ = task.trained(task.network(seed), seed, follow, name, loss=way.loss)
        found[name] = {str(looks): measure(way, network, seed, looks) for looks in LOOKS}
    return found
