"""Is a judge right about generated clips? 200 of them, labelled by eye; how, says data/labels/README.md.

The clips are kept as they were labelled, whatever becomes of the model that made them.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from minivid import files, folders
from minivid.measure.stats import proportion_row
from minivid.world import scene

FOLDER = folders.data() / "labels"
OF_A_DIGIT = ("digit", "heading", "legible")
OF_A_CLIP = ("camera", "style")


class Labelled(NamedTuple):
    """Clips (n, 3, f, h, w), their prompts, which nobody saw who labelled, and the labels of both passes."""

    clips: Tensor
    prompts: list[str]
    first: list[dict]
    second: list[dict]


def load() -> Labelled:
    """The labelled clips."""
    content = files.read_json(FOLDER / "labels.json")
    frames = torch.from_numpy(np.asarray(Image.open(FOLDER / "clips.webp").convert("RGB")).copy())
    clips = rearrange(frames / 127.5 - 1, "(n h) (f w) c -> n c f h w", n=len(content["prompts"]), f=17)
    return Labelled(clips, content["prompts"], content["first"], content["second"])


def pairs(first: dict, second: dict) -> list[tuple[str, dict, dict]]:
    """The digits that both passes saw in a clip: their colour, and the labels of either."""
    by_colour = [{one["colour"]: one for one in labels["digits"]} for labels in (first, second)]
    return [(c, one, by_colour[1][c]) for c, one in by_colour[0].items() if c in by_colour[1]]


def rows(read: Callable[[Tensor], Sequence[scene.Description]]) -> dict:
    """How often a judge reads what both passes saw; ceiling: how often they saw the same.

    labelled_colours: of clips in which both saw the same colours, those in which the judge finds just these.
    labelled_digit, _heading: of digits that both called the same. labelled_legible_digit: of those that both
    could name in nearly every frame.
    """
    found = load()
    described = [d for part in found.clips.split(50) for d in read(part)]
    right: dict[str, list[bool]] = {}
    same: dict[str, list[bool]] = {}
    for first, second, description in zip(found.first, found.second, described, strict=True):
        subjects = {one.colour: one for one in description.subjects}
        colours = [{one["colour"] for one in labels["digits"]} for labels in (first, second)]
        _note(right, same, "colours", *colours, set(subjects))
        for key in OF_A_CLIP:
            _note(right, same, key, first[key], second[key], getattr(description, key))
        for colour, one, other in pairs(first, second):
            subject = subjects.get(colour, scene.Subject())
            for key in ("digit", "heading"):
                _note(right, same, key, one[key], other[key], getattr(subject, key))
            if one["legible"] == other["legible"] == "yes":
                _note(right, same, "legible_digit", one["digit"], other["digit"], subject.digit)
    return {
        f"labelled_{key}": proportion_row(right[key], None, sum(same[key]) / len(same[key])) for key in right
    }


def _note(right: dict, same: dict, key: str, first, second, read) -> None:
    """Count whether two labels agree, and, where they do, whether the judge agrees with them."""
    if first is None and second is None:
        return
    same.setdefault(key, []).append(first == second)
    if first == second:
        right.setdefault(key, []).append(read == first)
