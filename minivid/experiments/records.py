"""What experiments share: training under a progress bar, and keeping numbers and clips."""

import functools
import io
import operator
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from minivid import files, folders, training
from minivid.measure import stats
from minivid.training import TrainConfig

FOLDER = folders.data() / "experiments"

# A progress bar: (what is run through, how many there are, what it is) -> the same.
Bar = Callable[[Iterable, int, str], Iterable]


def train_network(
    network: nn.Module,
    loss: training.Loss,
    draw_batch: training.DrawBatch,
    config: TrainConfig,
    bar: Bar,
    what: str,
) -> nn.Module:
    """Train a network under a bar, and give back its average; what: what is trained."""
    steps = training.train(network, loss, draw_batch, config)
    return list(bar(steps, config.steps, what))[-1].network


def means(rows: dict[str, Tensor]) -> dict[str, list[float]]:
    """Mean and bootstrap interval of each row: [value, low, high]."""
    return {key: [round(x, 5) for x in stats.bootstrap(values)] for key, values in rows.items()}


def proportions(rows: dict[str, Tensor]) -> dict[str, list[float]]:
    """Proportion of trues and Wilson's interval of each row: [value, low, high]."""
    return {key: [round(x, 5) for x in stats.proportion(right)] for key, right in rows.items()}


def without_bounds(rows: dict[str, dict]) -> dict[str, list[float]]:
    """Rows of a score without floors and ceilings: [value, low, high]."""
    return {key: [row["ours"], *row["interval"]] for key, row in rows.items()}


def over_seeds(found: dict, *path: str) -> tuple[float, float, float]:
    """What stands at the end of a path in each seed's results, or the first of what stands there.

    The mean over the seeds, the lowest and the highest.
    """
    values = [functools.reduce(operator.getitem, path, found[seed]) for seed in found]
    values = [value[0] if isinstance(value, list) else value for value in values]
    return sum(values) / len(values), min(values), max(values)


def save_clips(name: str, key: str, video: Tensor, folder: Path | None = None) -> None:
    """Save clips (b, 3, f, h, w) of an experiment under a key, in data/experiments/NAME.npz, as bytes.

    folder: another than data/experiments.
    """
    path = (folder or FOLDER) / f"{name}.npz"
    saved = dict(np.load(path)) if path.exists() else {}
    saved[key] = ((video.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    content = io.BytesIO()
    np.savez_compressed(content, **saved)
    files.write(path, content.getvalue())


def load_clips(name: str, folder: Path | None = None) -> dict[str, Tensor]:
    """The clips an experiment saved: (b, 3, f, h, w) in [-1, 1] by key. ValueError for a damaged file."""
    path = (folder or FOLDER) / f"{name}.npz"
    try:
        with np.load(path) as saved:
            return {key: torch.from_numpy(saved[key]).float() / 127.5 - 1 for key in saved}
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy and zipfile have many ways to say it
        raise ValueError(f"{path} is damaged ({type(error).__name__}): restore it.") from error
