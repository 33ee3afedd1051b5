"""What is trained, on what, for how long, and how it is scored.

Each model is a `Recipe`: a network, a stream of batches, a loss, a plan for each scale ("laptop": two
CPU cores; "gpu": one GPU) and a score on scenes drawn fresh. `python -m minivid train NAME` and
`score NAME` do nothing but follow them.
"""

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from minivid import train, weights
from minivid.recipes import clips, codecs, joint, judging, latents, pixels, reader, video, words
from minivid.recipes.recipe import Recipe

SCALES = ("laptop", "gpu")
MAX_SEED = 2**31 - 1  # evaluation takes its seeds from 0 to here; training draws from above
SCORED = 1000  # clips or pictures behind the score on a card

RECIPES = {
    "judge": judging.RECIPE,
    "pixels": pixels.RECIPE,
    "words": words.RECIPE,
    "clips": clips.RECIPE,
    "video_codec": codecs.VIDEO,
    "video_codec_64": codecs.VIDEO_64,
    "audio_codec": codecs.AUDIO,
    "latents": latents.RECIPE,
    "reader": reader.RECIPE,
    "video": video.RECIPE,
    "joint": joint.RECIPE,
}


def scale() -> str:
    """The scale in force: $MINIVID_SCALE if set, else "gpu" where there is a CUDA device."""
    chosen = os.environ.get("MINIVID_SCALE") or ("gpu" if torch.cuda.is_available() else "laptop")
    if chosen not in SCALES:
        raise ValueError(f"MINIVID_SCALE={chosen!r}: allowed are {' and '.join(SCALES)}.")
    return chosen


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises ValueError where there is none."""
    if name not in RECIPES:
        raise ValueError(f"no model is called {name!r}. There are: {', '.join(RECIPES)}.")
    return RECIPES[name]


def load(name: str) -> nn.Module:
    """The shipped model of that name, ready to use on the CPU."""
    return weights.load(name, recipe(name).build("laptop"))


def run(name: str, at: str, runs: Path, parts: int | None = None) -> Iterator[train.Progress]:
    """Train a model by its recipe, resuming what is in `runs`; at the end ship weights and card.

    parts: in how many parts a batch is learned from; where none is given, as many as the training that is
    resumed had, or as there are processes. The first process alone ships.
    """
    made = recipe(name)
    rank, processes = train.place()
    clock = Path(runs) / f"{name}-{at}.pt"
    plan = replace(made.plans[at], parts=parts or train.parts_of(clock) or processes)
    torch.manual_seed(plan.seed)
    network = made.build(at).to(train.device())
    progress = None
    for progress in train.train(network, made.loss, lambda g: made.draw(plan, g), plan, clock):
        yield progress
    if progress is None:
        raise ValueError(f"{clock} is a finished training. Delete it to train {name} again.")
    if rank:
        return
    made.finish(progress.network)
    shipped = name if at in made.ships else f"{name}-{at}"
    card = {
        "model": name,
        "what": made.what,
        "scale": at,
        "made_by": f"python -m minivid train {name} --scale {at}",
        "plan": asdict(plan),
        "parameters": sum(p.numel() for p in network.parameters()),
        "seconds": round(progress.seconds),
        "machine": machine(),
        "last_loss": progress.loss,
    }
    weights.save(shipped, progress.network, card)
    kept = weights.load(shipped, made.build(at))  # scored as a reader gets them: rounded
    weights.save(shipped, kept, card | {"score": made.score(kept, SCORED, 2)})


def machine() -> str:
    """What this ran on, in words."""
    where = train.device()
    if where.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"
