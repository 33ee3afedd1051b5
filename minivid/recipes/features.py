"""The classifier behind distances between many clips. It was trained for that alone, and enters no loss.

What teaches a model (representation alignment: the clip encoder of `words`) must not measure it too.
"""

import functools

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool3d, cross_entropy
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from minivid import weights
from minivid.measure import adherence, stats
from minivid.recipes import cache
from minivid.recipes.recipe import Recipe
from minivid.training import TrainConfig
from minivid.world import held_out, random_scenes, render, scene

WIDTH = 64
OF_DIGITS = {"digit": scene.DIGITS, "colour": tuple(scene.COLOURS), "heading": tuple(scene.HEADINGS)}
OF_ALL = {"camera": scene.CAMERAS, "light": scene.LIGHTS, "style": scene.STYLES}
OF_ALL["slow_motion"] = (False, True)


class ClipClassifier(nn.Module):
    """Clips of 32×32 to logits of what is in them; before its last layer, `features` (b, WIDTH)."""

    def __init__(self):
        super().__init__()
        self.frames = nn.Conv2d(3, 24, 3, 2, 1)
        self.convs = nn.ModuleList(nn.Conv3d(a, b, 3, 2, 1) for a, b in ((24, 32), (32, 48), (48, WIDTH)))
        self.norms = nn.ModuleList(nn.GroupNorm(8, n) for n in (24, 32, 48, WIDTH))
        self.project = nn.Linear(WIDTH * 2 * 2 * 3, WIDTH)
        self.heads = nn.ModuleDict({k: nn.Linear(WIDTH, len(a)) for k, a in (OF_DIGITS | OF_ALL).items()})

    def features(self, video: Tensor) -> Tensor:
        """video: (b, 3, f, h, w) -> (b, WIDTH), of any size and length."""
        video = adaptive_avg_pool3d(video, (video.shape[2], 32, 32))
        x = self.frames(rearrange(video, "b c f h w -> (b f) c h w"))
        x = nn.functional.silu(self.norms[0](rearrange(x, "(b f) c h w -> b c f h w", b=len(video))))
        for conv, norm in zip(self.convs, self.norms[1:], strict=True):
            x = nn.functional.silu(norm(conv(x)))
        return torch.tanh(self.project(adaptive_avg_pool3d(x, (3, 2, 2)).flatten(1)))

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        x = self.features(video)
        return {key: head(x).float() for key, head in self.heads.items()}


def draw_batch(config: TrainConfig, rng: torch.Generator) -> tuple[Tensor, ...]:
    """Clips of the directed world, which digits, colours and headings are there, and the other words."""
    scenes = random_scenes.draw_scenes(config.batch_size, rng, random_scenes.DIRECTED)
    there = [
        torch.tensor([[one in {getattr(b, key) for b in s.bodies} for one in among] for s in scenes])
        for key, among in OF_DIGITS.items()
    ]
    words = [[among.index(getattr(s, key)) for s in scenes] for key, among in OF_ALL.items()]
    return render.video(scenes), *(one.float() for one in there), torch.tensor(words)


def loss(network: nn.Module, batch: tuple[Tensor, ...], rng: torch.Generator) -> Tensor:
    """Cross-entropy of every word."""
    video, *there, words = batch
    logits = network(video)
    found = [bce(logits[key], truth) for key, truth in zip(OF_DIGITS, there, strict=True)]
    found += [cross_entropy(logits[key], truth) for key, truth in zip(OF_ALL, words, strict=True)]
    return sum(found)


@torch.no_grad()
def clip_features(video: Tensor) -> Tensor:
    """Features of clips, by the shipped classifier, frozen: (b, 3, f, h, w) -> (b, WIDTH)."""
    return _features(network(), video)


def _features(made: ClipClassifier, video: Tensor) -> Tensor:
    return torch.cat([made.features(part) for part in video.split(100)])


@functools.cache
def network() -> ClipClassifier:
    """The shipped classifier, frozen."""
    return weights.load("features", ClipClassifier()).requires_grad_(False)


@torch.no_grad()
def score(made: ClipClassifier, n: int, seed: int) -> dict:
    """Distances from n real clips to n others: real ones, the codec's copies, and clips with a known fault.

    Ceilings: of the other real clips.
    """
    scenes = held_out.draw_scenes(4 * n, seed)
    others = [one for one in scenes[2 * n :] if one.bodies[0].colour != "red"][:n]
    real, other, wrong, no_red = (render.video(some) for some in (scenes[:n], scenes[n : 2 * n],
                                                                  scenes[2 * n : 3 * n], others))  # fmt: skip
    clips = {"real": other, "copies": cache.copies(wrong), "shuffled": adherence.shuffle_frames(wrong, seed),
             "static": wrong[:, :, :1].expand_as(wrong), "no_red": no_red}  # fmt: skip
    clouds = {kind: _features(made, video) for kind, video in clips.items()}
    table, theirs = {}, _features(made, real)
    for name, distance in (("toy_kid", stats.kernel_distance), ("toy_fvd", stats.frechet)):
        if name == "toy_kid" or n > 2 * WIDTH:
            found = {k: stats.jackknife(distance, ours, theirs) for k, ours in clouds.items()}
            table |= {f"{name}_{k}": stats.row(one, None, found["real"].value) for k, one in found.items()}
    return table


CONFIG = TrainConfig(steps=1500, batch_size=48, learning_rate=2e-3, ema=0.998, seed=3)

RECIPE = Recipe(
    "a classifier of clips, whose features stand behind distances",
    ClipClassifier, draw_batch, loss, {"laptop": CONFIG, "gpu": CONFIG}, score,
    needs=("video_codec",), world="directed",
)  # fmt: skip
