"""One row of a score: what was measured, between what chance and the truth give; and a bar on the way."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
from tqdm import tqdm

from minivid.measure import stats

T = TypeVar("T")


def proportion_row(right, floor=None, ceiling: float | None = None) -> dict:
    """Floor, ours, ceiling and the 95 % interval of ours; right, floor: booleans (n,)."""
    low = None if floor is None else stats.proportion(torch.as_tensor(floor)).value
    return row(stats.proportion(torch.as_tensor(right)), low, ceiling)


def row(ours: stats.Interval, floor: float | None = None, ceiling: float | None = None) -> dict:
    """The same of what is no proportion."""
    return {
        "floor": floor,
        "ours": ours.value,
        "ceiling": ceiling,
        "interval": [ours.low, ours.high],
    }


def with_bar(parts: Sequence[T], what: str, each: int) -> Iterable[T]:
    """The parts, `each` clips or the like in one, under a bar in a terminal that is cleared at the end.

    Not `tqdm.auto`, which would leave a widget in a notebook. One part needs no bar.
    """
    off = None if len(parts) > 1 else True
    return tqdm(parts, what, leave=False, disable=off, unit_scale=each)
