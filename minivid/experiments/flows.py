"""Rectified flow against DDPM, at equal compute: the same transformer and steps, another path.

What is drawn is compared, since losses of different predictions cannot be: is it what was asked for, after
how many looks? Esser et al. 2024 (arXiv 2403.03206) compared 61 formulations so, and rectified flow won
where steps were few.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minivid import diffusion, generator
from minivid.experiments import task
from minivid.experiments.keeping import Follow
from minivid.recipes import clips, latents, video
from minivid.recipes.judging import referee
from minivid.world import captions

WHAT = "rectified flow against DDPM and the cosine path: clips as asked, look for look"
SEEDS = (0, 1, 2)
LOOKS = (4, 8, 16, 32)  # network calls for the asked field


@dataclass(frozen=True)
class Way:
    """A path, what is predicted on it, and how it is walked; shift: of the noise levels."""

    path: diffusion.Path
    predicts: diffusion.Predicts
    move: diffusion.Move
    shift: float = 1.0

    def loss(self, network: nn.Module, batch: tuple[Tensor, ...], draws: torch.Generator) -> Tensor:
        clean, said = batch
        levels = functools.partial(clips.draw_t, by=self.shift)
        return diffusion.loss(
            lambda x_t, t: network(x_t, t, said), clean, draws, self.path, self.predicts,
            draw_t=levels,
        )  # fmt: skip

    @torch.no_grad()
    def draw(self, network: nn.Module, sentences: Sequence[str], seed: int, steps: int) -> Tensor:
        """Clips of what the sentences ask for, in so many looks."""
        draws = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(sentences), 8, 1 + task.SHAPE.frames // 4, 8, 8, generator=draws)

        def towards(said: Sequence[str]) -> diffusion.Field:
            heard = video.tokens(said)
            return diffusion.field(lambda x, t: network(x, t, heard), self.path, self.predicts)

        field = diffusion.guided(
            towards(sentences), towards([""] * len(sentences)), generator.GUIDANCE
        )
        times = diffusion.schedule(steps, self.shift)
        *_, last = diffusion.sample(field, noise, times, self.path, self.move, draws)
        return latents.video_codec().decode(last.clean).clamp(-1, 1)


WAYS = {
    "rectified flow, velocity": Way(
        diffusion.RectifiedFlow(), "velocity", diffusion.euler, generator.SHIFT
    ),
    "cosine, velocity": Way(diffusion.Cosine(), "velocity", diffusion.ddim),
    "DDPM, noise, DDIM steps": Way(diffusion.DDPM(), "noise", diffusion.ddim),
}


def measure(way: Way, network: nn.Module, seed: int, steps: int, n: int = 150) -> dict:
    """{"digit", "colour", "heading", "all"} as asked: [share, low, high]."""
    scenes = task.asked(n, seed)
    drawn = way.draw(network, [captions.write(one) for one in scenes], seed, steps)
    seen = clips.look(referee(), drawn)
    rows = clips.asked_rows(scenes, seen, seen)
    return {key: [row["ours"], *row["interval"]] for key, row in rows.items()}


def run(seed: int, follow: Follow) -> dict:
    """{way: {looks: {"digit", "colour", "heading", "all"}}}."""
    found = {}
    for name, way in WAYS.items():
        network, _ = task.trained(task.network(seed), seed, follow, name, loss=way.loss)
        found[name] = {str(looks): measure(way, network, seed, looks) for looks in LOOKS}
    return found
