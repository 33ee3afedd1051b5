"""The listener: real strokes are heard to the sample, hums are told from strokes, delays come back."""

import pytest
import torch

from minivid.formats import SAMPLE_RATE
from minivid.measure import listener
from minivid.world import random_scenes, scene, sound

FULL = random_scenes.draw_scenes(60, 11, random_scenes.FULL)
END = 17 / 8 - 0.06  # later strokes have no time to sound


@pytest.fixture(scope="module")
def transcriptions():
    return listener.listen(sound.audio(FULL))


def _strokes(one: scene.Scene) -> list[tuple[float, int]]:
    return [(hit.seconds, one.bodies[hit.body].digit) for hit in one.hits(END)]


def _error(found: listener.Transcription, seconds: float, digit: int) -> float:
    same = found.seconds[found.digits == digit]
    return (same - seconds).abs().min().item() if len(same) else 1.0


def test_nearly_every_stroke_is_heard_within_a_millisecond(transcriptions):
    errors = torch.tensor(
        [
            _error(found, *stroke)
            for one, found in zip(FULL, transcriptions, strict=True)
            for stroke in _strokes(one)
        ]
    )
    assert len(errors) > 100
    assert (errors < 0.05).float().mean() > 0.98
    assert errors.median() < 0.001


def test_nothing_is_heard_that_was_not_struck(transcriptions):
    for one, found in zip(FULL, transcriptions, strict=True):
        struck = [hit.seconds for hit in one.hits(3.0)]
        for seconds in found.seconds.tolist():
            assert min((abs(seconds - at) for at in struck), default=9) < 0.05


def test_the_digits_that_hum_are_named(transcriptions):
    for one, found in zip(FULL, transcriptions, strict=True):
        assert found.humming == {body.digit for body in one.bodies if body.hum}


def test_a_hum_s_loudness_is_the_scene_s(transcriptions):
    pairs = []
    for one, found in zip(FULL, transcriptions, strict=True):
        if len({body.digit for body in one.bodies}) < len(one.bodies):
            continue  # two hums of one pitch are one tone
        seconds = torch.arange(found.hums.shape[1]) * listener.HUM_STEP / SAMPLE_RATE
        pairs += [(found.hums[b.digit], b.hum.loudness(seconds.double())) for b in one.bodies if b.hum]
    errors = torch.stack([(a - b).abs().median() for a, b in pairs])
    assert len(pairs) > 15
    assert errors.median() < 0.03


@pytest.mark.parametrize("delay", [37, 1024])
def test_a_delayed_sound_is_heard_later_by_as_much(transcriptions, delay):
    delayed = listener.listen(sound.audio(FULL[:20]).roll(delay, 1))
    for was, found in zip(transcriptions[:20], delayed, strict=True):
        before = was.seconds[was.seconds < 1.8]
        for seconds, digit in zip(before, was.digits, strict=False):
            assert _error(found, seconds + delay / SAMPLE_RATE, digit) < 0.002


@pytest.mark.parametrize("digit", scene.DIGITS)
def test_a_weak_note_out_of_phase_is_still_that_note(digit):
    seconds = torch.arange(17408, dtype=torch.float64) / SAMPLE_RATE - 0.8
    played = torch.where(seconds < 0, 0.0, sound.note(seconds, torch.tensor(sound.NOTES[digit])))
    (found,) = listener.listen(-0.6 * played[None].float())
    assert found.digits.tolist() == [digit]
    assert abs(found.seconds.item() - 0.8) < 0.002
    assert abs(found.strengths.item() - 0.6) < 0.1


def test_silence_and_noise_hold_no_notes():
    noise = 0.03 * torch.randn(4, 17408, generator=torch.Generator().manual_seed(0))
    for found in listener.listen(torch.cat([torch.zeros(1, 17408), noise])):
        assert len(found.seconds) == 0 and found.humming == set()


def test_sound_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="listener takes"):
        listener.listen(torch.zeros(2, 1, 1024))


def test_listening_leaves_the_sound_as_it_was():
    played = sound.audio(FULL[:4])
    listener.listen(played)
    assert torch.equal(played, sound.audio(FULL[:4]))
