"""Is a judge right about generated clips? 200 of them were labelled; data/labels/README.md says how.

The clips are kept as they were labelled, whatever becomes of the model that made them.
"""

from collections import Counter
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
    """The digits that both passes saw in a clip, once each: their colour, and the labels of either."""
    by_colour = []
    for labels in (first, second):
        colours = [one["colour"] for one in labels["digits"]]
        by_colour.append(
            {one["colour"]: one for one in labels["digits"] if colours.count(one["colour"]) == 1}
        )
    return [(c, one, by_colour[1][c]) for c, one in by_colour[0].items() if c in by_colour[1]]


def rows(read: Callable[[Tensor], Sequence[scene.Description]]) -> dict:
    """How often a judge reads what both passes saw, where both saw the same and named it.

    labelled_colours: the colours of all digits. One that is there twice counts twice, and so does one in
    which the judge can name no digit. labelled_legible_digit: of digits that both could name in nearly every
    frame.
    """
    found = load()
    described = [d for part in found.clips.split(50) for d in read(part)]
    right: dict[str, list[bool]] = {}

    def note(key: str, first, second, read) -> None:
        if first == second is not None:
            right.setdefault(key, []).append(read == first)

    for first, second, description in zip(found.first, found.second, described, strict=True):
        subjects = {one.colour: one for one in description.subjects}
        colours = [Counter(one["colour"] for one in labels["digits"]) for labels in (first, second)]
        note("colours", *colours, {c: 1 + (one.digit is None) for c, one in subjects.items()})
        for key in OF_A_CLIP:
            note(key, first[key], second[key], getattr(description, key))
        for colour, one, other in pairs(first, second):
            subject = subjects.get(colour, scene.Subject())
            for key in ("digit", "heading"):
                note(key, one[key], other[key], getattr(subject, key))
            if one["legible"] == other["legible"] == "yes":
                note("legible_digit", one["digit"], other["digit"], subject.digit)
    return {f"labelled_{key}": proportion_row(these) for key, these in right.items()}


def passes_agree() -> dict[str, list[int]]:
    """How often the two passes said the same, of all digits that either named: [the same, of how many]."""
    found, counts = load(), {key: [0, 0] for key in ("digit", "heading")}
    for first, second in zip(found.first, found.second, strict=True):
        for _, one, other in pairs(first, second):
            for key, count in counts.items():
                if one[key] is not None or other[key] is not None:
                    count[0] += one[key] == other[key]
                    count[1] += 1
    return counts
