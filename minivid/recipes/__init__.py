"""What is trained, on what, for how long, and how it is scored.

Each model is a `Recipe`: a network, a stream of batches, a loss, a plan for each scale ("laptop": two
CPU cores; "gpu": one GPU) and a score on scenes drawn fresh. `python -m minivid train NAME` and
`score NAME` do nothing but follow them.
"""

import contextlib
import hashlib
import json
import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from minivid import files, train, weights
from minivid.recipes import (
    clips,
    codecs,
    joint,
    judging,
    latents,
    pixels,
    reader,
    results,
    video,
    words,
)
from minivid.recipes.recipe import Recipe

SCALES = ("laptop", "gpu")
MAX_SEED = 2**31 - 1  # evaluation takes its seeds from 0 to here; training draws from above
SCORED, SEED = 1000, 2  # clips or pictures behind the score on a card, and what they are drawn from

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
    "video_64": video.VIDEO_64,
    "joint_64": joint.JOINT_64,
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


def trained_at(at: str) -> list[str]:
    """The models that have a plan for that scale, none before one that it begins from."""
    return [name for name, made in RECIPES.items() if at in made.plans]


def in_the_box() -> list[str]:
    """The models whose weights come with the course: those that a laptop can train."""
    return trained_at("laptop")


def plan_of(name: str, at: str) -> train.Plan:
    """How a model is trained at that scale. Raises ValueError where it is not."""
    plans = recipe(name).plans
    if at not in plans:
        raise ValueError(
            f"{name} has no plan for scale {at!r}. Try `python -m minivid train {name} --scale "
            f"{' or '.join(plans)}`."
        )
    return plans[at]


def load(name: str) -> nn.Module:
    """The shipped model of that name, ready to use on the CPU."""
    return weights.load(name, recipe(name).build())


def run(name: str, at: str, runs: Path, parts: int | None = None) -> Iterator[train.Progress]:
    """Train a model by its recipe, resuming what is in `runs`; at the end ship weights and card.

    parts: in how many parts a batch is learned from; where none is given, as many as the training that is
    resumed had, or as there are processes. The first process alone ships; where it was stopped before it
    had, the next run does.
    Raises ValueError where all that was done, or nothing is to be done at that scale, and as `train.train`
    does.
    """
    made, planned = recipe(name), plan_of(name, at)
    rank, processes = train.place()
    checkpoint, done = checkpoint_of(name, at, runs), done_of(name, at, runs)
    if is_done(name, at, runs):
        raise ValueError(f"{checkpoint} is a finished training. Delete it to train {name} again.")
    if not checkpoint.exists():
        done.unlink(missing_ok=True)
    plan = replace(planned, parts=parts or train.parts_of(checkpoint) or processes)
    torch.manual_seed(plan.seed)
    network = made.build().to(train.device())
    for progress in train.train(network, made.loss, lambda g: made.draw(plan, g), plan, checkpoint):
        yield progress
    if rank == 0:
        _ship(name, at, plan, progress, done)
    train.wait()  # what comes next may begin from these weights


def _ship(name: str, at: str, plan: train.Plan, progress: train.Progress, done: Path) -> None:
    """Write a trained model's weights and card, score them, and keep the card in `done` as well."""
    made = recipe(name)
    made.finish(progress.network)
    card = {
        "model": name,
        "what": made.what,
        "scale": at,
        "made_by": f"python -m minivid train {name} --scale {at}",
        "plan": asdict(plan),
        "parameters": sum(p.numel() for p in progress.network.parameters()),
        "precision": plan.precision if train.has_bf16(train.device()) else "fp32",
        "seconds": round(progress.seconds),
        "flops": results.flops(made, at),
        "machine": machine(),
        "last_loss": progress.loss,
    }
    weights.save(name, progress.network, card, made.in_bytes)
    kept = weights.load(name, made.build())  # scored as a reader gets them: rounded
    weights.write_card(name, {**weights.card(name), "score": made.score(kept, SCORED, SEED)})
    files.write_json(done, weights.card(name))


def checkpoint_of(name: str, at: str, runs: Path) -> Path:
    """Where the state of a training is kept."""
    return Path(runs) / f"{name}-{at}.pt"


def done_of(name: str, at: str, runs: Path) -> Path:
    """Where its card is kept once its weights are shipped and scored."""
    return Path(runs) / f"{name}-{at}.json"


def is_done(name: str, at: str, runs: Path) -> bool:
    """Whether a training by this plan has ended, and its weights are shipped and scored, and are there."""
    done = done_of(name, at, runs)
    if not (done.exists() and checkpoint_of(name, at, runs).exists()):
        return False
    card = json.loads(done.read_text())
    plan = {**asdict(plan_of(name, at)), "parts": card["plan"]["parts"]}
    return card["plan"] == plan and weights.is_as_told(name, card)


def expected_seconds(names: Sequence[str], at: str) -> dict[str, float]:
    """What trainings at that scale may take, for a bar of progress: as long as those of the cards did.

    Where a card is of another scale, its FLOPs are taken as fast as those of most cards of this one; where
    there is none, the model may take as long as that of usual clips, or else as most.
    """
    cards = {name: card for name in RECIPES if (card := _nearest_card(name)).get("flops")}
    paces = {
        name: card["seconds"] / card["flops"]
        for name, card in cards.items()
        if card.get("scale") == at
    }
    seconds = {}
    for name in cards.keys() & set(names) if paces else ():
        plan, shipped = recipe(name).plans[at], cards[name]["plan"]
        share = plan.steps * plan.batch / (shipped["steps"] * shipped["batch"])
        if name in paces:
            seconds[name] = cards[name]["seconds"] * share
        else:
            seconds[name] = statistics.median(paces.values()) * cards[name]["flops"] * share
    most = statistics.median(seconds.values()) if seconds else 1.0
    return {name: seconds.get(name, most) for name in names}


def _nearest_card(name: str) -> dict:
    """The card of a model, or else that of the same for usual clips, or else an empty one."""
    for told in (name, name.removesuffix("_64")):
        with contextlib.suppress(ValueError):
            return weights.card(told)
    return {}


def scored(n: int, seed: int, runs: Path) -> Iterator[tuple[str, dict]]:
    """The name and score of each model in the box, on n scenes: (name, {key: row}).

    Each is kept in `runs`, and found there again as long as neither weights nor code change.
    """
    made_of = [*weights.folder().glob("*.safetensors"), *Path(__file__).parents[1].rglob("*.py")]
    content = b"".join(path.read_bytes() for path in sorted(made_of))
    mark = hashlib.sha256(content).hexdigest()[:16]
    for name in in_the_box():
        kept = Path(runs) / "scores" / f"{name}-{n}-{seed}-{mark}.json"
        if not kept.exists():
            files.write_json(kept, recipe(name).score(load(name), n, seed))
        yield name, json.loads(kept.read_text())


def machine() -> str:
    """What this ran on, in words."""
    where = train.device()
    if where.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"
