"""Does the sound belong to the picture? Wall hits that are seen against notes that are heard.

The judge says where each digit is in each frame; the nearest lawful flight says when, between frames, it met
a wall. The listener says when which note was struck, to the sample. What belongs together is within a frame;
hums are held against the brightness of the digit whose tone they are.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from minivid import judge, listener, metrics
from minivid.recipes import clips
from minivid.recipes.judging import referee
from minivid.recipes.recipe import entry, measured
from minivid.world import scene

FRAME = 1 / scene.FRAMES_PER_SECOND
SHARP = 0.05  # seconds: what an eye and an ear still take for one event
HUM_RATE = scene.SAMPLE_RATE / listener.HUM_STEP  # loudnesses a second


@dataclass(frozen=True)
class Events:
    """What happens in a clip, to an eye or to an ear: when, in order, and whose digit it is, (k,) each."""

    seconds: Tensor
    digits: Tensor


@dataclass(frozen=True)
class Sighting:
    """What is seen in a clip: its hits, and by digit, the brightness of those that are there, (f,)."""

    hits: Events
    brightness: dict[int, Tensor]


def watch(video: Tensor) -> list[Sighting]:
    """What the judge sees in clips (b, 3, f, h, w), f at least 5."""
    return sightings(clips.look(referee(), video))


def sightings(seen: list[judge.Seen]) -> list[Sighting]:
    """The hits in what the judge has seen: all digits' flights are looked for at once."""
    places = torch.cat([one.places for one in seen])
    hits = iter(metrics.nearest_flight(places, scene.frame_times(places.shape[1])).hits)
    return [_sighting(one, list(itertools.islice(hits, len(one.places)))) for one in seen]


def _sighting(seen: judge.Seen, hits: list[Tensor]) -> Sighting:
    digits = [subject.digit for subject in seen.description.subjects]
    when = torch.cat(hits)
    whose = torch.tensor(digits).repeat_interleave(torch.tensor([len(some) for some in hits]))
    order = when.argsort()
    brightness = dict(zip(digits, seen.brightness, strict=True))
    return Sighting(Events(when[order], whose[order]), brightness)


def table(seen: list[Sighting], heard: list[listener.Heard], frames: int) -> dict:
    """Rows of what is seen against what is heard, clip by clip.

    onset_f1: within a frame; sharp_f1: within 50 ms; note_f1: within a frame, and the note is the digit's;
    late: median distance of a pair in milliseconds; pitch: share of pairs whose note is the digit's; hum:
    correlation of brightness and loudness of digits that hum. Floors: the sound of the next clip.
    """
    strangers = heard[1:] + heard[:1]
    last = scene.frame_times(frames)[-1].item() - SHARP  # later strokes are too short to be told
    rows = {}
    for key, within, notes in (
        ("onset_f1", FRAME, False),
        ("sharp_f1", SHARP, False),
        ("note_f1", FRAME, True),
    ):
        ours, floor = (
            metrics.f1(*_counts(seen, some, last, within, notes)) for some in (heard, strangers)
        )
        rows[key] = measured(ours, floor.value)
    found, by_chance = (_pairs(seen, some, last) for some in (heard, strangers))
    if len(found) > 1 and len(by_chance) > 1:
        rows["late"] = measured(
            metrics.median(1000 * found[:, 0].abs()), (1000 * by_chance[:, 0].abs()).median().item()
        )
        rows["pitch"] = entry(found[:, 1] == 1, by_chance[:, 1] == 1)
    swells = _swells(seen, heard, frames)
    if len(swells) > 1:
        rows["hum"] = measured(metrics.bootstrap(swells))
    return rows


def _until(events: Events, last: float) -> Events:
    """Those before the clip's last moment."""
    early = events.seconds < last
    return Events(events.seconds[early], events.digits[early])


def _both(one: Sighting, other: listener.Heard, last: float) -> tuple[Events, Events]:
    return _until(one.hits, last), _until(Events(other.seconds, other.digits), last)


def _counts(
    seen: list[Sighting], heard: list[listener.Heard], last: float, within: float, notes: bool
) -> list[Tensor]:
    """Pairs, hits and strokes of each clip: (n,) each; notes: only of one digit with itself."""
    rows = []
    for one, other in zip(seen, heard, strict=True):
        hits, strokes = _both(one, other, last)
        whose = sorted({*hits.digits.tolist()} | {*strokes.digits.tolist()}) if notes else [None]
        together = sum(
            len(metrics.pairs(_of(hits, digit), _of(strokes, digit), within)) for digit in whose
        )
        rows.append([together, len(hits.seconds), len(strokes.seconds)])
    return list(torch.tensor(rows).T)


def _of(events: Events, digit: int | None) -> Tensor:
    """When one digit's events are, or all: (k,)."""
    return events.seconds if digit is None else events.seconds[events.digits == digit]


def _pairs(seen: list[Sighting], heard: list[listener.Heard], last: float) -> Tensor:
    """Of all pairs within a frame: by how much the stroke is late, and whether the note is the digit's."""
    rows = []
    for one, other in zip(seen, heard, strict=True):
        hits, strokes = _both(one, other, last)
        for k, m in metrics.pairs(hits.seconds, strokes.seconds, FRAME).tolist():
            late = (strokes.seconds[m] - hits.seconds[k]).item()
            rows.append([late, float(strokes.digits[m] == hits.digits[k])])
    return torch.tensor(rows).view(-1, 2)


def _swells(seen: list[Sighting], heard: list[listener.Heard], frames: int) -> Tensor:
    """Correlation of a digit's brightness and its hum, of the digits that are heard to hum."""
    times = scene.frame_times(frames)
    return torch.tensor(
        [
            metrics.swell(one.brightness[digit], times, other.hums[digit], HUM_RATE).correlation
            for one, other in zip(seen, heard, strict=True)
            for digit in sorted(other.humming & one.brightness.keys())
        ]
    )
