"""The listener: a sound goes in, what an ear would say is in it comes out: which notes, when, what hums.

Struck notes are found by matching pursuit (Mallat and Zhang 1993): the strongest note anywhere is
written down and taken away, until what is left is too weak. A note that starts at once and dies away
fits best exactly where it starts, so onsets are found to the sample. Like the judge, the listener
knows the world's notes and nothing of what made the sound.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from minivid.formats import SAMPLE_RATE, require_values
from minivid.world.scene import DIGITS, SLOW_MOTION
from minivid.world.sound import DECAY, HUM_GAIN, NOTE_GAIN, NOTES, PARTIALS

LASTS = 3.2  # decays of a note that are listened for
MIN_STRENGTH = 0.35  # share of a full note's strength below which nothing was struck
MIN_GAP = int(0.06 * SAMPLE_RATE)  # samples between two strokes of one note
BEFORE = int(0.1 * SAMPLE_RATE)  # samples before it, in which it is not yet there
AFTER = int(0.4 * SAMPLE_RATE)  # samples after a stroke that tell how fast it dies away
END = int(0.03 * SAMPLE_RATE)  # samples of a note without which it cannot be told
MAX_STROKES = 10  # strokes in a second
HUM_WINDOW = int(0.15 * SAMPLE_RATE)
HUM_STEP = 128  # samples from one loudness of a hum to the next
MIN_LOUDNESS = 0.4  # share of a full hum's loudness, on average, below which nothing hums


@dataclass(frozen=True)
class Transcription:
    """What was heard in one clip.

    seconds: (k,) when notes were struck, in order; digits: (k,) whose they are; strengths: (k,), 1 for
    a note as the world strikes it; hums: (10, m) loudness of each digit's hum every 1/64 s, 1 for full;
    slow_motion: whether the notes die away half as fast.
    """

    seconds: Tensor
    digits: Tensor
    strengths: Tensor
    hums: Tensor
    slow_motion: bool = False

    @property
    def humming(self) -> set[int]:
        """The digits that hum."""
        return {d for d in DIGITS if self.hums[d].mean() > MIN_LOUDNESS}


def listen(audio: Tensor, at_once: int = 50) -> list[Transcription]:
    """audio: (b, n) in [-1, 1] at 8192 Hz -> what is heard in each. Raises ValueError for other shapes
    and for values that are not finite floats.
    """
    if audio.ndim != 2 or not audio.numel():
        raise ValueError(f"sound of shape {tuple(audio.shape)}: the listener takes (b, n).")
    audio = require_values(audio, "a sound")
    return [found for part in audio.split(at_once) for found in _listen(part)]


def _listen(sound: Tensor) -> list[Transcription]:
    """What is heard in each sound (b, n): as usual, and again where notes die away as in slow motion."""
    heard = _pursue(sound.clone(), DECAY)
    slow = [k for k, one in enumerate(heard) if _is_slow(sound[k], one)]
    if slow:
        for k, one in zip(slow, _pursue(sound[slow], DECAY / SLOW_MOTION), strict=True):
            heard[k] = replace(one, slow_motion=True)
    return heard


def _is_slow(sound: Tensor, heard: Transcription) -> bool:
    """Whether the strokes heard in a sound (n,) die away half as fast as usual.

    Around each a note of either decay is fitted, above a tone that was there before, as of a hum.
    """
    if not len(heard.digits):
        return False
    index = (heard.seconds * SAMPLE_RATE).round().long()[:, None] + torch.arange(-BEFORE, AFTER)
    inside = ((index >= 0) & (index < len(sound)))[..., None]
    segment = sound[index.clamp(0, len(sound) - 1)][..., None] * inside
    left = []
    for decay in (DECAY, DECAY / SLOW_MOTION):
        fade, turn = _note(torch.tensor(NOTES)[heard.digits], decay, BEFORE, AFTER)
        waves = (fade * turn.real, fade * turn.imag, turn.real, turn.imag)
        basis = torch.stack(waves, -1) * inside
        square = basis.mT @ basis + 1e-6 * torch.eye(4)
        fitted = basis @ torch.linalg.solve(square, basis.mT @ segment)
        left.append((segment - fitted).square().sum())
    return bool(left[1] < left[0])


def _pursue(residual: Tensor, decay: float) -> list[Transcription]:
    """What is heard in each sound (b, n), whose notes are taken out on the way."""
    strokes = [[] for _ in residual]
    open_ = torch.ones(len(residual), len(NOTES), residual.shape[1], dtype=torch.bool)
    rows = torch.arange(len(residual))
    for _ in range(math.ceil(MAX_STROKES * residual.shape[1] / SAMPLE_RATE)):
        strength = (_match(residual[rows], decay) * open_[rows]).flatten(1)
        best, where = strength.max(1)
        loud = best > MIN_STRENGTH
        rows, best, where = rows[loud], best[loud], where[loud]
        if not len(rows):
            break
        digits, starts = where // residual.shape[1], where % residual.shape[1]
        residual[rows] = _remove(residual[rows], digits, starts, decay)
        for row, digit, start, strong in zip(*map(Tensor.tolist, (rows, digits, starts, best)), strict=True):
            open_[row, digit, max(0, start - MIN_GAP) : start + MIN_GAP] = False
            strokes[row].append((start / SAMPLE_RATE, digit, strong))
    return [
        Transcription(*_columns(sorted(found)), hum)
        for found, hum in zip(strokes, _hums(residual), strict=True)
    ]


def _columns(found: list[tuple[float, int, float]]) -> tuple[Tensor, Tensor, Tensor]:
    seconds, digits, strengths = zip(*found, strict=True) if found else ((), (), ())
    return torch.tensor(seconds), torch.tensor(digits, dtype=torch.long), torch.tensor(strengths)


def _match(sound: Tensor, decay: float) -> Tensor:
    """How strongly each note begins at each sample: (b, n) -> (b, 10, n), 1 for a full note.

    What a hum would give, a tone as loud before as after, is taken out of what is listened for.
    """
    n = sound.shape[1]
    fade, turn = _note(torch.tensor(NOTES), decay, BEFORE)
    change = fade - fade.mean()
    size = 1 << (n + len(fade)).bit_length()
    wave = torch.fft.fft(change * turn, size).conj()
    padded = torch.fft.fft(pad(sound, (BEFORE, 0)), size)
    found = torch.fft.ifft(padded[:, None] * wave)[..., :n].abs()
    enough = torch.arange(n) < n - END
    return torch.where(enough, 2 * found / (change * fade).sum() / NOTE_GAIN, 0.0)


def _note(
    pitch: Tensor, decay: float, before: int = 0, after: int | None = None, partial: int = 1
) -> tuple[Tensor, Tensor]:
    """A partial's loudness, nothing at first (before + after,), and its turning (notes, the same)."""
    after = int(LASTS * decay * SAMPLE_RATE) if after is None else after
    seconds = torch.arange(-before, after) / SAMPLE_RATE
    angle = 2 * math.pi * partial * pitch[:, None] * seconds
    fade = torch.where(seconds < 0, 0.0, torch.exp(-partial * seconds / decay))
    return fade, torch.polar(torch.ones_like(angle), angle)


def _remove(sound: Tensor, digits: Tensor, starts: Tensor, decay: float) -> Tensor:
    """Remove the note that starts there, whatever the strength and phase of its partials."""
    pitch = torch.tensor(NOTES)[digits]
    waves = []
    for partial in range(1, len(PARTIALS) + 1):
        fade, turn = _note(pitch, decay, partial=partial)
        waves += [fade * turn.real, fade * turn.imag]
    index = starts[:, None] + torch.arange(len(fade))
    inside = index < sound.shape[1]
    basis = torch.stack(waves, -1) * inside[..., None]
    index = index.clamp(max=sound.shape[1] - 1)
    segment = sound.gather(1, index)[..., None]
    square = basis.mT @ basis + 1e-6 * torch.eye(basis.shape[-1])
    fitted = (basis @ torch.linalg.solve(square, basis.mT @ segment))[..., 0]
    return sound.scatter_add(1, index, -fitted)


def _hums(sound: Tensor) -> Tensor:
    """How loudly each digit's hum sounds: (b, n) -> (b, 10, m), one every HUM_STEP samples."""
    seconds = torch.arange(sound.shape[1]) / SAMPLE_RATE
    angle = math.pi * torch.tensor(NOTES)[:, None] * seconds
    down = sound[:, None] * torch.polar(torch.ones_like(angle), -angle)
    window = torch.hann_window(HUM_WINDOW + 1, periodic=False)[None, None]

    def smooth(x: Tensor) -> Tensor:
        flat = x.reshape(-1, 1, x.shape[-1])
        return torch.conv1d(flat, window, stride=HUM_STEP, padding=HUM_WINDOW // 2).view(*x.shape[:-1], -1)

    weight = smooth(torch.ones(1, sound.shape[1]))  # less at the clip's two ends
    return (2 * torch.hypot(smooth(down.real), smooth(down.imag)) / weight / HUM_GAIN).float()
