"""Scenes to sound: a struck note at every wall hit, a hum that swells with the digit's brightness.

Each digit owns a note of a pentatonic scale. A note starts at the exact time of its hit, between
samples if need be: its phase is counted from the hit itself, not from the nearest sample.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from minivid.formats import (
    AUDIO_LATENTS_PER_FRAME,
    FRAMES_PER_SECOND,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    frame_times,
)
from minivid.world.scene import DIGITS, Scene

# C D E G A over two octaves, equal temperament from A4 = 440 Hz: the note of each digit, in Hz.
NOTES = tuple(440 * 2 ** ((semitone - 9) / 12) for octave in (0, 12) for semitone in
              (octave, octave + 2, octave + 4, octave + 7, octave + 9))  # fmt: skip
PARTIALS = (1.0, 0.45, 0.2)  # strength of the fundamental, its octave, and the twelfth
DECAY = 0.11  # seconds in which a struck note falls to 1/e
NOTE_SECONDS = 0.7
NOTE_GAIN, HUM_GAIN = 0.32, 0.10

STROKE_SPREAD, HUM_SPREAD = 0.08, 0.125  # how much strokes and hums vary, in an event roll
STROKE_WIDTH = 0.04  # seconds by which a stroke is smoothed there
TIMES_PER_LATENT = 8  # over which its mean is taken


def audio(scenes: Sequence[Scene], frames: int = 17) -> Tensor:
    """The sound of each scene: (b, 1024 · frames) in [-1, 1], at 8192 Hz.

    Raises ValueError where frames is not 1 + 4k, and for no scenes.
    """
    frame_times(frames)
    if not scenes:
        raise ValueError("no scenes: give at least one.")
    samples = frames * SAMPLES_PER_FRAME
    sound = torch.stack([_hums(scene, samples) for scene in scenes])
    struck = [
        (row, hit.seconds, NOTES[scene.bodies[hit.body].digit], scene.rate)
        for row, scene in enumerate(scenes)
        for hit in scene.hits(samples / SAMPLE_RATE)
    ]
    if struck:
        rows, seconds, pitch, rate = torch.tensor(struck, dtype=torch.float64).T
        start = (seconds * SAMPLE_RATE).ceil()
        lasts = (NOTE_SECONDS * SAMPLE_RATE / rate).long()
        after = torch.arange(int(lasts.max()))
        index = start[:, None] + after
        elapsed = index / SAMPLE_RATE - seconds[:, None]
        notes = note(elapsed, pitch[:, None], DECAY / rate[:, None])
        inside = (index < samples) & (after < lasts[:, None])
        flat = (rows[:, None] * samples + index).long()
        sound.view(-1).index_add_(0, flat[inside], notes[inside].float())
    return sound.clamp(-1, 1)


def event_roll(scenes: Sequence[Scene], frames: int) -> Tensor:
    """A piano roll of strokes and hums: (b, n, 20), half precision, one row for each latent of audio.

    First how strongly each digit's note is struck, a stroke smoothed by a Gaussian of STROKE_WIDTH seconds,
    then how loudly each digit hums; both in units of their spread.
    """
    each = AUDIO_LATENTS_PER_FRAME * TIMES_PER_LATENT  # times in a frame
    times = (torch.arange(frames * each) + 0.5) / (FRAMES_PER_SECOND * each)
    rolls = []
    for scene in scenes:
        roll = torch.zeros(2 * len(DIGITS), len(times))
        for hit in scene.hits(frames / FRAMES_PER_SECOND):
            away = (times - hit.seconds) / STROKE_WIDTH
            roll[scene.bodies[hit.body].digit] += (-away.square() / 2).exp() / STROKE_SPREAD
        for body in scene.bodies:
            if body.hum:
                loudness = body.hum.loudness(scene.rate * times)
                roll[len(DIGITS) + body.digit] += loudness / HUM_SPREAD
        rolls.append(roll.unflatten(1, (-1, TIMES_PER_LATENT)).mean(-1).T.half())
    return torch.stack(rolls)


def note(seconds: Tensor, pitch: Tensor, decay: float | Tensor = DECAY) -> Tensor:
    """A struck note, `seconds` after the stroke: partials that decay, the higher the faster."""
    fade = torch.exp(-seconds / decay)
    return NOTE_GAIN * sum(
        strength * fade**k * torch.sin(2 * math.pi * k * pitch * seconds)
        for k, strength in enumerate(PARTIALS, 1)
    )


def _hums(scene: Scene, samples: int) -> Tensor:
    """The hums of a scene, an octave below each digit's note: (samples,)."""
    total = torch.zeros(samples, dtype=torch.float64)
    seconds = torch.arange(samples, dtype=torch.float64) / SAMPLE_RATE
    for body in scene.bodies:
        if body.hum:
            phase = math.pi * NOTES[body.digit] * seconds
            tone = torch.sin(phase) + 0.3 * torch.sin(2 * phase)
            total += HUM_GAIN * body.hum.loudness(scene.rate * seconds) * tone
    return total.float()
