"""What guidance buys and what it costs: agreement with the prompt against variety."""

import torch
from torch import Tensor

from minivid import judge, metrics, recipes
from minivid.experiments.keeping import Follow, keep
from minivid.recipes import clips, held_out
from minivid.recipes.judging import referee
from minivid.world import captions, render, scene

WHAT = "one prompt, many clips, at several guidance scales: how many agree, and how they differ"
SEEDS = (0, 1, 2)
SCALES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
PROMPTS, EACH = 6, 8
KEPT = 4


def variety(seen: list[judge.Seen]) -> Tensor:
    """How differently clips of one prompt begin: prompts · EACH of them -> (prompts,).

    The standard deviation of the digit's first place, which no prompt says.
    """
    places, _ = clips.flights(seen)
    return places[:, 0].unflatten(0, (-1, EACH)).std(1).mean(-1)


def garish(video: Tensor) -> Tensor:
    """The share of each clip's values at the very ends of the range: (b,)."""
    return (video.abs() > 0.98).float().mean((1, 2, 3, 4))


def run(seed: int, follow: Follow) -> dict:
    """{scale: {"all", "one_digit", "flicker", "variety", "garish"}}, and of real clips under "real"."""
    network, viewer = recipes.load("clips"), referee()
    asked = [one.describe() for one in held_out.draw_scenes(PROMPTS, seed) for _ in range(EACH)]
    real = render.video(scene.draw_scenes(len(asked), seed, descriptions=asked))
    sentences = [captions.write(one) for one in asked]

    def measure(video: Tensor) -> dict:
        seen = clips.look(viewer, video)
        right = [
            judge.agreement(a, s.description)["all_attributes"]
            for a, s in zip(asked, seen, strict=True)
        ]
        rows = {
            "all": metrics.share(torch.tensor(right)),
            "one_digit": metrics.share(torch.tensor([one.same_digit for one in seen])),
            "flicker": metrics.bootstrap(metrics.flicker(video)),
            "variety": metrics.bootstrap(variety(seen)),
            "garish": metrics.bootstrap(garish(video)),
        }
        return {key: [round(x, 5) for x in row] for key, row in rows.items()}

    table = {"real": measure(real)}
    for scale in follow(SCALES, len(SCALES), f"guidance, seed {seed}"):
        video = clips.draw(network, sentences, seed, guidance=scale)
        table[f"{scale}"] = measure(video)
        if seed == SEEDS[0]:
            keep("guidance", f"{scale}", video[::EACH][:KEPT])
    return table
