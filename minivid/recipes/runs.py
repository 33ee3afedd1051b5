"""Running a recipe: training that resumes, and at the end weights, card and score.

A training is kept in a folder of runs: its checkpoint, and its card once its weights are written and scored.
"""

import platform
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch

from minivid import files, recipes, training, weights
from minivid.recipes.flops import training_flops
from minivid.recipes.scorecard import SEED, N
from minivid.training import Progress, TrainConfig, checkpoint


def run(name: str, at: str, runs: Path, micro_batches: int | None = None) -> Iterator[Progress]:
    """Train a model by its recipe, resuming what is in `runs`; at the end write its weights and card.

    micro_batches: where none are given, as many as the training that is resumed had, or as there are
    processes. The first process alone writes; where it was stopped before it had, the next run does.
    Raises ValueError where all that was done, or nothing is to be done at that scale, and as
    `training.train` does.
    """
    recipe, config = recipes.recipe(name), recipes.config_of(name, at)
    rank, world_size = training.rank_and_world_size()
    path, done = checkpoint_path(name, at, runs), card_path(name, at, runs)
    if is_done(name, at, runs):
        raise ValueError(f"{path} is a finished training. Delete it to train {name} again.")
    files.require_writable(weights.folder(), "MINIVID_WEIGHTS")
    if not path.exists():
        done.unlink(missing_ok=True)
    n = _micro_batches(path) or world_size if micro_batches is None else micro_batches
    config = replace(config, micro_batches=n)
    torch.manual_seed(config.seed)
    network = recipe.build().to(training.device())

    def draw_batch(rng: torch.Generator):
        return recipe.draw_batch(config, rng)

    for progress in training.train(network, recipe.loss, draw_batch, config, path):
        yield progress
    if rank == 0:
        _ship(name, at, config, progress, done)
    training.barrier()  # what comes next may begin from these weights


def _ship(name: str, at: str, config: TrainConfig, progress: Progress, done: Path) -> None:
    """Write a trained model's weights and card, score them, and keep the card in `done` as well."""
    recipe = recipes.recipe(name)
    recipe.finish(progress.network)
    precision = config.precision if training.has_bf16(training.device()) else "fp32"
    card = {
        "model": name,
        "what": recipe.what,
        "scale": at,
        "world": recipe.world,
        "made_by": f"python -m minivid train {name} --scale {at}",
        "config": asdict(config),
        "parameters": sum(p.numel() for p in progress.network.parameters()),
        "precision": precision,
        "seconds": round(progress.seconds),
        "flops": training_flops(recipe, at),
        "machine": machine(),
        "last_loss": progress.loss,
    }
    weights.save(name, progress.network, card, recipe.int8)
    stored = weights.load(name, recipe.build())  # scored as a reader gets them: rounded
    weights.write_card(name, {**weights.card(name), "score": recipe.score(stored, N, SEED)})
    files.write_json(done, weights.card(name))


def checkpoint_path(name: str, at: str, runs: Path) -> Path:
    """Where the state of a training is kept."""
    return Path(runs) / f"{name}-{at}.pt"


def card_path(name: str, at: str, runs: Path) -> Path:
    """Where its card is kept once its weights are written and scored."""
    return Path(runs) / f"{name}-{at}.json"


def is_done(name: str, at: str, runs: Path) -> bool:
    """Whether a training by this recipe has ended, and its weights are written and scored, and are there."""
    done = card_path(name, at, runs)
    if not (done.exists() and checkpoint_path(name, at, runs).exists()):
        return False
    card = files.read_json(done)
    micro_batches = card["config"]["micro_batches"]
    config = {**asdict(recipes.config_of(name, at)), "micro_batches": micro_batches}
    return card["config"] == config and weights.matches_card(name, card)


def _micro_batches(path: Path) -> int | None:
    """In how many parts the training that is kept there learns from a batch; None if none is."""
    return checkpoint.read(path)["config"]["micro_batches"] if path.exists() else None


def machine() -> str:
    """What this ran on, in words."""
    where = training.device()
    if where.type == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"
