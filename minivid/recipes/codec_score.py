"""How autoencoders are scored: what a viewer and a listener still find in a copy.

Attributes and places that the judge reads, notes and hums that the listener hears.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from minivid.formats import SAMPLE_RATE
from minivid.measure import stats
from minivid.measure.adherence import agreement_rows, read_clips
from minivid.measure.judge import Observation, load_judge
from minivid.measure.listener import HUM_STEP, Transcription, listen
from minivid.measure.stats import proportion_row, row
from minivid.world import scene

TOO_LATE = 0.06  # seconds at a clip's end in which a stroke is not counted
SAME_EVENT = 0.05  # seconds within which a note counts as kept


def video_rows(scenes: Sequence[scene.Scene], originals: Tensor, copies: Tensor) -> dict:
    """Rows of what the judge reads in copies against what is so; ceiling: what it reads in the originals.

    displacement: short sides between a digit's place before and after.
    """
    judge, truth = load_judge(), [one.describe() for one in scenes]
    before, after = read_clips(judge, originals), read_clips(judge, copies)
    moved = torch.cat([_displacement(a, b) for a, b in zip(before, after, strict=True)])
    return agreement_rows(truth, after, before) | {"displacement": row(stats.bootstrap(moved))}


def _displacement(before: Observation, after: Observation) -> Tensor:
    """How far each digit is from where it was, in short sides; digits are known by their colours."""
    pairs = zip(after.description.subjects, after.positions, strict=True)
    where = {one.colour: at for one, at in pairs}
    pairs = zip(before.description.subjects, before.positions, strict=True)
    gaps = [(at - where[one.colour]).norm(dim=-1).mean() for one, at in pairs if one.colour in where]
    return torch.stack(gaps) if gaps else torch.empty(0)


def audio_rows(scenes: Sequence[scene.Scene], originals: Tensor, copies: Tensor) -> dict:
    """Rows of what the listener hears in copies against the originals. Floors: another clip's sound.

    onset_recall: a stroke is heard again, as the same note, within 50 ms; onset_error_ms: how far off, in
    the median (never heard counts as a second); envelope_correlation: of a hum's loudness before and after.
    """
    before, after = listen(originals), listen(copies)
    others = after[1:] + after[:1]
    recalled, error = _strokes(before, after)
    recalled_by_chance, error_by_chance = _strokes(before, others)
    truth = [{body.digit for body in one.bodies if body.hum} for one in scenes]
    hums = [
        [one.humming == real for one, real in zip(heard, truth, strict=True)]
        for heard in (after, others, before)
    ]
    return {
        "onset_recall": proportion_row(recalled, recalled_by_chance, 1.0),
        "onset_error_ms": row(stats.median(error), error_by_chance.median().item(), 0.0),
        "hums": proportion_row(hums[0], hums[1], sum(hums[2]) / len(scenes)),
        "envelope_correlation": row(stats.bootstrap(_hum_correlation(before, after)), None, 1.0),
    }


def _strokes(before: list[Transcription], after: list[Transcription]) -> tuple[list[bool], Tensor]:
    """Of each stroke that was heard before: whether its note is heard after, and how far off, in ms.

    Strokes in a clip's last moment are left out: too little of them is there to tell the note.
    """
    end = before[0].hums.shape[1] * HUM_STEP / SAMPLE_RATE - TOO_LATE
    recalled, errors = [], []
    for was, found in zip(before, after, strict=True):
        for seconds, digit in zip(was.seconds, was.digits, strict=True):
            if seconds > end:
                continue
            same = found.seconds[found.digits == digit]
            error = (same - seconds).abs().min().item() if len(same) else 1.0
            recalled.append(error < SAME_EVENT)
            errors.append(1000 * error)
    return recalled, torch.tensor(errors)


def _hum_correlation(before: list[Transcription], after: list[Transcription]) -> Tensor:
    """Correlation of the loudness of each hum before and after."""
    pairs = [
        torch.stack([was.hums[digit], found.hums[digit]])
        for was, found in zip(before, after, strict=True)
        for digit in was.humming
    ]
    return torch.stack([pair.corrcoef()[0, 1] for pair in pairs])
