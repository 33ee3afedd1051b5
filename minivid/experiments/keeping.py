"""What experiments share: following a training, and keeping numbers and clips."""

import functools
import io
import operator
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from minivid import files, metrics, train

FOLDER = Path(__file__).parents[2] / "data" / "experiments"

# Shows that something advances: (what is run through, how many there are, what it is) -> the same.
Follow = Callable[[Iterable, int, str], Iterable]


def followed(
    network: nn.Module,
    loss: train.Loss,
    draw: train.Draw,
    plan: train.Plan,
    follow: Follow,
    what: str,
) -> nn.Module:
    """Train a network while it is followed, and give back its average; what: what is trained."""
    steps = train.train(network, loss, draw, plan)
    return list(follow(steps, plan.steps, what))[-1].network


def means(rows: dict[str, Tensor]) -> dict[str, list[float]]:
    """Mean and bootstrap interval of each row: [value, low, high]."""
    return {key: [round(x, 5) for x in metrics.bootstrap(values)] for key, values in rows.items()}


def shares(rows: dict[str, Tensor]) -> dict[str, list[float]]:
    """Share of trues and Wilson's interval of each row: [value, low, high]."""
    return {key: [round(x, 5) for x in metrics.share(right)] for key, right in rows.items()}


def plain(rows: dict[str, dict]) -> dict[str, list[float]]:
    """Rows of a score without floors and ceilings: [value, low, high]."""
    return {key: [row["ours"], *row["interval"]] for key, row in rows.items()}


def over_seeds(found: dict, *path: str) -> tuple[float, float, float]:
    """What stands at the end of a path in each seed's results, or the first of what stands there.

    The mean over the seeds, the lowest and the highest.
    """
    values = [functools.reduce(operator.getitem, path, found[seed]) for seed in found]
    values = [value[0] if isinstance(value, list) else value for value in values]
    return sum(values) / len(values), min(values), max(values)


def keep(name: str, key: str, video: Tensor, folder: Path | None = None) -> None:
    """Keep clips (b, 3, f, h, w) of an experiment under a key, in data/experiments/NAME.npz, as bytes.

    folder: another than data/experiments.
    """
    path = (folder or FOLDER) / f"{name}.npz"
    kept = dict(np.load(path)) if path.exists() else {}
    kept[key] = ((video.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    content = io.BytesIO()
    np.savez_compressed(content, **kept)
    files.write(path, content.getvalue())


def clips(name: str, folder: Path | None = None) -> dict[str, Tensor]:
    """The clips an experiment kept: (b, 3, f, h, w) in [-1, 1] by key."""
    with np.load((folder or FOLDER) / f"{name}.npz") as kept:
        return {key: torch.from_numpy(kept[key]).float() / 127.5 - 1 for key in kept}
