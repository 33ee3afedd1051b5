"""Does the sound belong to the picture? Wall hits that are seen against notes that are heard.

The judge says where each digit is in each frame; the nearest lawful flight says when, between frames, it met
a wall. The listener says when which note was struck, to the sample. What belongs together is within a frame;
hums are held against the brightness of the digit whose tone they are.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from minivid.formats import FRAMES_PER_SECOND, SAMPLE_RATE, frame_times
from minivid.measure import motion, stats
from minivid.measure.adherence import read_clips
from minivid.measure.judge import Observation, load_judge
from minivid.measure.listener import HUM_STEP, Transcription
from minivid.measure.stats import row

FRAME = 1 / FRAMES_PER_SECOND
SHARP = 0.05  # seconds: what an eye and an ear still take for one event
CROSSING = (0.28, 0.39)  # short sides, across and down, within which two digits overlap
HUM_RATE = SAMPLE_RATE / HUM_STEP  # loudnesses a second


@dataclass(frozen=True)
class Events:
    """What happens in a clip, to an eye or to an ear: when, in order, and whose digit it is, (k,) each."""

    seconds: Tensor
    digits: Tensor

    def before(self, end: float) -> "Events":
        """Those before the clip's last moment."""
        early = self.seconds < end
        return Events(self.seconds[early], self.digits[early])

    def of(self, digit: int | None) -> Tensor:
        """When one digit's events are, or all: (k,)."""
        return self.seconds if digit is None else self.seconds[self.digits == digit]


@dataclass(frozen=True)
class Visible:
    """What an eye can hold against the sound: the hits, and the brightness of each digit there, (f,).

    Of two digits of one number it is that of the one whose brightness changes more. count: how many digits
    there are; crosses: whether one passes in front of another.
    """

    hits: Events
    brightness: dict[int, Tensor]
    count: int
    crosses: bool


def watch(video: Tensor) -> list[Visible]:
    """Hits and brightness in clips (b, 3, f, h, w), f at least 5."""
    return visible_events(read_clips(load_judge(), video))


def visible_events(
    observed: Sequence[Observation], min_bend: float | None = None, touch: float = motion.TOUCH
) -> list[Visible]:
    """Hits and brightness in what the judge has read: all digits' flights are fitted at once.

    min_bend, touch: as of `motion.nearest_flight`.
    """
    positions, clear, reach = (
        torch.cat([getattr(one, key) for one in observed]) for key in ("positions", "clear", "reach")
    )
    times = frame_times(positions.shape[1])
    hits = iter(motion.nearest_flight(positions, times, clear, reach, min_bend, touch).hits)
    return [_visible(one, list(itertools.islice(hits, len(one.positions)))) for one in observed]


def _visible(observed: Observation, hits: list[Tensor]) -> Visible:
    digits = [-1 if one.digit is None else one.digit for one in observed.description.subjects]
    seconds = torch.cat(hits)
    owners = torch.tensor(digits).repeat_interleave(torch.tensor([len(some) for some in hits]))
    order = seconds.argsort()
    pairs = sorted(zip(digits, observed.brightness, strict=True), key=lambda one: _varies(one[1]))
    brightness = dict(pairs)  # of two 3s, that of the one that changes more
    gap = (observed.positions[0] - observed.positions[-1]).abs()
    crosses = len(digits) > 1 and bool((gap < torch.tensor(CROSSING)).all(-1).any())
    return Visible(Events(seconds[order], owners[order]), brightness, len(digits), crosses)


def _varies(brightness: Tensor) -> float:
    return (brightness.std() / brightness.mean().clamp(min=1e-3)).item()


KINDS = {
    "one": lambda one: one.count == 1,
    "two": lambda one: one.count == 2,
    "crossing": lambda one: one.crosses,
    "apart": lambda one: one.count == 2 and not one.crosses,
}


def sync_rows(seen: list[Visible], heard: list[Transcription], frames: int) -> dict:
    """Rows of what is seen against what is heard, clip by clip.

    onset_f1: within a frame; onset_f1_one, _two: of clips with one digit, with two; _crossing, _apart: of
    those with two, where one passes in front of the other, and where none does; onset_f1_50ms: within 50 ms;
    note_f1: within a frame, and the note is the digit's; onset_error_ms: median distance of a pair; pitch:
    proportion of pairs whose note is the digit's; envelope_correlation: of brightness and loudness, of digits
    that are heard to hum and whose number is seen. Floors: the sound of the next clip, but for that row.
    Intervals are of clips, not of pairs; of that row, of digits. What nothing is known of has no row.
    """
    end = frame_times(frames)[-1].item() - SHARP  # later strokes are too short to be told
    ours, others = (
        [
            (one.hits.before(end), Events(other.seconds, other.digits).before(end))
            for one, other in zip(seen, some, strict=True)
        ]
        for some in (heard, heard[1:] + heard[:1])
    )
    rows = {}
    if _any_events(ours):
        rows["onset_f1"] = _f1_row(ours, others, FRAME)
        rows["onset_f1_50ms"] = _f1_row(ours, others, SHARP)
        rows["note_f1"] = _f1_row(ours, others, FRAME, by_digit=True)
    for kind, is_kind in KINDS.items():
        some, chance = (
            [pair for pair, one in zip(clips, seen, strict=True) if is_kind(one)] for clips in (ours, others)
        )
        if len(some) > 1 and _any_events(some):
            rows[f"onset_f1_{kind}"] = _f1_row(some, chance, FRAME)
    (delay, right), (far, by_chance) = _pairs(ours), _pairs(others)
    if min(one.isfinite().sum() for one in (delay, far)) > 1:
        error, chance = (1000 * delays.abs() for delays in (delay, far))
        rows["onset_error_ms"] = row(stats.median(error), stats.median(chance).value)
        rows["pitch"] = row(stats.ratio(*right), stats.ratio(*by_chance).value)
    envelopes = _envelopes(seen, heard, frames)
    if len(envelopes) > 1:
        rows["envelope_correlation"] = row(stats.bootstrap(envelopes))
    return rows


def match_events(seen: Tensor, heard: Tensor, within: float) -> Tensor:
    """Events that belong together: times (k,) and (m,), both in order -> numbers of pairs (p, 2).

    As many pairs as can be, none further apart than `within`, no event in two of them. Raises ValueError for
    times or a distance that are no numbers, and for a negative distance.
    """
    if not within >= 0 or not (seen.isfinite().all() and heard.isfinite().all()):
        raise ValueError(f"events within {within} seconds: give a number from 0, and times that are finite.")
    found, k, m = [], 0, 0
    while k < len(seen) and m < len(heard):
        delay = (heard[m] - seen[k]).item()
        if abs(delay) <= within:
            found.append((k, m))
        k, m = k + (delay >= -within), m + (delay <= within)
    return torch.tensor(found, dtype=torch.long).view(-1, 2)


def _any_events(clips: list[tuple[Events, Events]]) -> bool:
    return any(len(events.seconds) for pair in clips for events in pair)


def _f1_row(clips: list, others: list, within: float, by_digit: bool = False) -> dict:
    """The F1 of clips, and as its floor that of others."""
    f1, floor = (stats.f1(*_counts(some, within, by_digit)) for some in (clips, others))
    return row(f1, floor.value)


def _counts(clips: list[tuple[Events, Events]], within: float, by_digit: bool) -> list[Tensor]:
    """Pairs, hits and strokes of each clip: (n,) each; by_digit: only of one digit with itself."""
    counts = []
    for hits, strokes in clips:
        digits = {*hits.digits.tolist(), *strokes.digits.tolist()} if by_digit else {None}
        matched = sum(len(match_events(hits.of(d), strokes.of(d), within)) for d in digits)
        counts.append([matched, len(hits.seconds), len(strokes.seconds)])
    return list(torch.tensor(counts).T)


def _pairs(clips: list[tuple[Events, Events]]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The delays of all pairs within a frame, (n, most), NaN where a clip has fewer; and of each clip how
    many pairs have the digit's own note, and how many there are.

    A hit belongs to a note of its own digit first, and to another only where none is left.
    """
    delays, right = [], []
    for hits, strokes in clips:
        pairs, left = [], [torch.ones(len(e.seconds), dtype=torch.bool) for e in (hits, strokes)]
        for digit in (*dict.fromkeys(hits.digits.tolist()), None):
            own = [
                (free & (True if digit is None else events.digits == digit)).nonzero()[:, 0]
                for free, events in zip(left, (hits, strokes), strict=True)
            ]
            found = match_events(hits.seconds[own[0]], strokes.seconds[own[1]], FRAME)
            for free, numbers, column in zip(left, own, found.T, strict=True):
                free[numbers[column]] = False
            pairs += [(own[0][k], own[1][m]) for k, m in found]
        delays.append(torch.tensor([(strokes.seconds[m] - hits.seconds[k]).item() for k, m in pairs]))
        right.append(sum(bool(hits.digits[k] == strokes.digits[m]) for k, m in pairs))
    padded = torch.nn.utils.rnn.pad_sequence(delays, True, math.nan)
    return padded, (torch.tensor(right), torch.tensor([len(one) for one in delays]))


class Envelope(NamedTuple):
    """correlation: of brightness and loudness at the same time; delay: seconds that loudness comes after."""

    correlation: float
    delay: float


def envelope_correlation(brightness: Tensor, seconds: Tensor, loudness: Tensor, rate: float) -> Envelope:
    """How a digit's brightness, (f,) at certain seconds, goes with the loudness of its hum, (m,).

    rate: loudnesses a second, the first at second 0. The delay is the one, of up to half a second either
    way, at which they correlate best.
    """
    delays = torch.arange(-round(rate / 2), round(rate / 2) + 1) / rate
    index = (seconds[None] + delays[:, None]) * rate
    inside = (index >= 0) & (index <= len(loudness) - 1)
    found = torch.full((len(delays),), -1.0)
    for k, (where, known) in enumerate(zip(index, inside, strict=True)):
        if known.sum() > 3:
            left = where[known].floor().long().clamp(max=len(loudness) - 2)
            part = (where[known] - left).to(loudness)
            delayed = torch.lerp(loudness[left], loudness[left + 1], part)
            pair = torch.stack([brightness[known].to(delayed), delayed])
            found[k] = pair.corrcoef()[0, 1].nan_to_num(0)
    return Envelope(found[len(delays) // 2].item(), delays[found.argmax()].item())


def _envelopes(seen: list[Visible], heard: list[Transcription], frames: int) -> Tensor:
    """Correlation of a digit's brightness and its hum, of the digits that are heard to hum."""
    times = frame_times(frames)
    return torch.tensor(
        [
            envelope_correlation(one.brightness[digit], times, other.hums[digit], HUM_RATE).correlation
            for one, other in zip(seen, heard, strict=True)
            for digit in sorted(other.humming & one.brightness.keys())
        ]
    )
