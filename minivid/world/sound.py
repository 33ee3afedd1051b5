"""Scenes to sound: a struck note at every wall hit, a hum that swells with the digit's brightness.

Each digit owns a note of a pentatonic scale. A note starts at the exact time of its hit, between
samples if need be: its phase is counted from the hit itself, not from the nearest sample.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from minivid.world.scene import SAMPLE_RATE, SAMPLES_PER_FRAME, Scene, frame_times

# C D E G A over two octaves, equal temperament from A4 = 440 Hz: the note of each digit, in Hz.
NOTES = tuple(440 * 2 ** ((semitone - 9) / 12) for octave in (0, 12) for semitone in
              (octave, octave + 2, octave + 4, octave + 7, octave + 9))  # fmt: skip
PARTIALS = (1.0, 0.45, 0.2)  # strength of the fundamental, its octave, and the twelfth
DECAY = 0.11  # seconds in which a struck note falls to 1/e
NOTE_SECONDS = 0.7
NOTE_GAIN, HUM_GAIN = 0.32, 0.10


def audio(scenes: Sequence[Scene], frames: int = 17) -> Tensor:
    """The sound of each scene: (b, 1024 · frames) in [-1, 1], at 8192 Hz.

    Raises ValueError where frames is not 1 + 4k.
    """
    frame_times(frames)
    samples = frames * SAMPLES_PER_FRAME
    sound = torch.stack([_hums(scene, samples) for scene in scenes])
    struck = [
        (row, hit.seconds, NOTES[scene.bodies[hit.body].digit])
        for row, scene in enumerate(scenes)
        for hit in scene.hits(samples / SAMPLE_RATE)
    ]
    if struck:
        rows, seconds, pitch = torch.tensor(struck, dtype=torch.float64).T
        start = (seconds * SAMPLE_RATE).ceil()
        index = start[:, None] + torch.arange(int(NOTE_SECONDS * SAMPLE_RATE))
        notes = note(index / SAMPLE_RATE - seconds[:, None], pitch[:, None])
        inside = index < samples
        flat = (rows[:, None] * samples + index).long()
        sound.view(-1).index_add_(0, flat[inside], notes[inside].float())
    return sound.clamp(-1, 1)


def note(seconds: Tensor, pitch: Tensor) -> Tensor:
    """A struck note, `seconds` after the stroke: partials that decay, the higher the faster."""
    fade = torch.exp(-seconds / DECAY)
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
            total += HUM_GAIN * body.hum.loudness(seconds) * tone
    return total.float()
