"""Sound starts when it must, at the pitch it must."""

import numpy as np
import pytest
import torch

from minivid import formats
from minivid.world import random_scenes, sound
from minivid.world.scene import Body, Hum, Scene

RATE = formats.SAMPLE_RATE


def test_every_note_starts_within_one_sample_of_its_hit():
    """Struck alone, the first sound of a scene begins at its first hit, to the sample."""
    checked = 0
    for one in random_scenes.draw_scenes(300, 0):
        hits = one.hits(17 / 8)
        sounding = sound.audio([one])[0].nonzero()[:, 0]
        assert bool(hits) == bool(len(sounding))
        if hits:
            assert 0 <= sounding[0].item() - hits[0].seconds * RATE <= 1 + 1e-6
            checked += 1
    assert checked > 100


def test_later_notes_start_on_time_too():
    """Taking the earlier notes away leaves silence up to the next hit."""
    for one in random_scenes.draw_scenes(100, 1):
        hits, samples = one.hits(17 / 8), sound.audio([one])[0].double()
        seconds = torch.arange(len(samples), dtype=torch.float64) / RATE
        for hit in hits:
            after = samples.abs() > 1e-6
            if not after.any():
                assert (hit.seconds * RATE) > len(samples) - 2
                continue
            assert 0 <= after.nonzero()[0, 0].item() - hit.seconds * RATE <= 1 + 1e-3
            pitch = sound.NOTES[one.bodies[hit.body].digit]
            since = seconds - hit.seconds
            end = np.ceil(hit.seconds * RATE) + int(sound.NOTE_SECONDS * RATE)
            ringing = (since >= 0) & (torch.arange(len(samples)) < end)
            struck = sound.note(since.clamp(min=0), torch.tensor(pitch, dtype=torch.float64))
            samples = samples - torch.where(ringing, struck, 0)


@pytest.mark.parametrize("digit", range(10))
def test_a_struck_note_has_the_pitch_of_its_digit(digit):
    one = Scene((Body(digit, "red", "right", (0.0, 0.0), speed=0.5),))
    samples = sound.audio([one], 33)[0].numpy()
    begin = int(one.hits(2)[0].seconds * RATE)
    spectrum = np.abs(np.fft.rfft(samples[begin : begin + 4096] * np.hanning(4096)))
    peak = spectrum.argmax() * RATE / 4096
    nearest = min(range(10), key=lambda d: abs(sound.NOTES[d] - peak))
    assert nearest == digit


def test_the_notes_are_ten_different_ones_of_the_pentatonic_scale_tuned_to_a():
    assert sound.NOTES[4] == pytest.approx(440)
    semitones = [round(12 * np.log2(note / sound.NOTES[0])) for note in sound.NOTES]
    assert semitones == [0, 2, 4, 7, 9, 12, 14, 16, 19, 21]


def test_a_hum_swells_by_its_loudness():
    hum = Hum(1.0, 0.0)
    samples = sound.audio([Scene((Body(2, "red", "up", (0.0, 0.0), speed=0.0, hum=hum),))], 33)[0]
    blocks = samples.unfold(0, 256, 256).square().mean(1).sqrt()
    when = (torch.arange(len(blocks)) + 0.5) * 256 / RATE
    together = torch.corrcoef(torch.stack([blocks.double(), hum.loudness(when.double())]))[0, 1]
    assert together > 0.99


def test_sound_has_the_length_of_the_picture_and_stays_in_range():
    samples = sound.audio(random_scenes.draw_scenes(200, 2, random_scenes.FULL), 13)
    assert samples.shape == (200, 13 * 1024) and samples.abs().max() <= 1
    with pytest.raises(ValueError, match=r"1 \+ 4k"):
        sound.audio(random_scenes.draw_scenes(1, 0), 12)
