"""Captions as training wants them: in several wordings, partial, sometimes empty; and as numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from minivid.world import captions, scene

NOT_SAID = -1  # in the place of an attribute's number, where a caption leaves it out
CAPTION_DROPOUT = 0.1  # share of training captions that are empty


def write_captions(scenes: Sequence[scene.Scene], rng: torch.Generator) -> list[str]:
    """A caption for each scene; three in ten leave about half of it out."""
    keeps = torch.where(torch.rand(len(scenes), generator=rng) < 0.3, 0.5, 1.0).tolist()
    pairs = zip(scenes, keeps, strict=True)
    return [captions.write(one.describe(), rng, keep) for one, keep in pairs]


def drop_captions(
    sentences: Sequence[str], rng: torch.Generator, probability: float = CAPTION_DROPOUT
) -> list[str]:
    """Captions to train on, a share of them made empty.

    Guidance needs them: the conditional and the unconditional field are then one network (Ho and Salimans
    2022, arXiv 2207.12598).
    """
    dropped = (torch.rand(len(sentences), generator=rng) < probability).tolist()
    return ["" if drop else sentence for sentence, drop in zip(sentences, dropped, strict=True)]


def attribute_codes(descriptions: Sequence[scene.Description]) -> Tensor:
    """Descriptions as rows of numbers, NOT_SAID where nothing is said: (n, 15).

    How many digits, camera, light, style, slow motion; then digit, colour, heading, hum of the first and
    whether the camera follows it, and of the second.
    """

    def subject(one: scene.Subject | None) -> list[int]:
        if one is None:
            return [NOT_SAID] * 5
        values = ((one.digit, scene.DIGITS), (one.colour, tuple(scene.COLOURS)))
        values += ((one.heading, tuple(scene.HEADINGS)), (one.hums, (False, True)))
        values += ((one.followed, (False, True)),)
        return [NOT_SAID if value is None else among.index(value) for value, among in values]

    def code(d: scene.Description) -> list[int]:
        values = ((d.camera, scene.CAMERAS), (d.light, scene.LIGHTS), (d.style, scene.STYLES))
        values += ((d.slow_motion, (False, True)),)
        shared = [NOT_SAID if value is None else among.index(value) for value, among in values]
        first, second = [*d.subjects, None][:2]
        return [len(d.subjects), *shared, *subject(first), *subject(second)]

    return torch.tensor([code(one) for one in descriptions])


def captions_fit(codes: Tensor, shown: Tensor) -> Tensor:
    """Which caption says nothing wrong of which clip, by their codes: (a, 15), (b, 15) -> (a, b) booleans.

    See `adherence.agreement`.
    """
    asked, there = codes[:, None], shown[None]
    agrees = (asked == there) | (asked < 0)
    shared, first, second = agrees[..., :5].all(-1), slice(5, 10), slice(10, 15)
    straight = agrees[..., first].all(-1) & agrees[..., second].all(-1)
    swapped = (asked[..., first] == there[..., second]) | (asked[..., first] < 0)
    back = (asked[..., second] == there[..., first]) | (asked[..., second] < 0)
    return shared & (straight | (swapped.all(-1) & back.all(-1)))
