"""What guidance buys and what it costs: prompt adherence against variety."""

import torch
from torch import Tensor

from minivid import recipes
from minivid.experiments.records import Bar, save_clips
from minivid.measure import motion, stats
from minivid.measure.adherence import agreement, first_flights, read_clips
from minivid.measure.judge import Observation, load_judge
from minivid.recipes import clips
from minivid.world import captions, held_out, random_scenes, render

WHAT = "one prompt, many clips, at several guidance scales: how many agree, and how they differ"
SEEDS = (0, 1, 2)
SCALES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
PROMPTS, EACH = 6, 8  # prompts, and clips of each
SAVED = 4  # clips of each scale, each of another prompt


def variety(observed: list[Observation]) -> Tensor:
    """How differently clips of one prompt begin: prompts · EACH of them -> (prompts,).

    The standard deviation of the digit's first position, which no prompt says.
    """
    positions, *_ = first_flights(observed)
    return positions[:, 0].unflatten(0, (-1, EACH)).std(1).mean(-1)


def saturation(video: Tensor) -> Tensor:
    """The share of each clip's values at the very ends of the range: (b,)."""
    return (video.abs() > 0.98).float().mean((1, 2, 3, 4))


def run(seed: int, bar: Bar) -> dict:
    """{scale: {"all", "identity", "flicker", "variety", "saturation"}}, and of real clips under "real"."""
    network, judge = recipes.load("clips"), load_judge()
    asked = [one.describe() for one in held_out.draw_scenes(PROMPTS, seed) for _ in range(EACH)]
    real = render.video(random_scenes.draw_scenes(len(asked), seed, descriptions=asked))
    prompts = [captions.write(one) for one in asked]

    def measure(video: Tensor) -> dict:
        observed = read_clips(judge, video)
        right = [agreement(a, b.description)["all_attributes"] for a, b in zip(asked, observed, strict=True)]
        rows = {
            "all": stats.proportion(torch.tensor(right)),
            "identity": stats.proportion(torch.tensor([one.identity for one in observed])),
            "flicker": stats.bootstrap(motion.flicker(video)),
            "variety": stats.bootstrap(variety(observed)),
            "saturation": stats.bootstrap(saturation(video)),
        }
        return {key: [round(x, 5) for x in row] for key, row in rows.items()}

    table = {"real": measure(real)}
    for scale in bar(SCALES, len(SCALES), f"guidance, seed {seed}"):
        video = clips.generate(network, prompts, seed, guidance=scale)
        table[f"{scale}"] = measure(video)
        if seed == SEEDS[0]:
            save_clips("guidance", f"{scale}", video[::EACH][:SAVED])
    return table
