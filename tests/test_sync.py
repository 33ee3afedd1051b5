"""Picture and sound held against each other: a lag that was put in comes out, strangers do not agree."""

import pytest
import torch

from minivid import listener
from minivid.recipes import sync
from minivid.world import render, scene, sound

N = 40


@pytest.fixture(scope="module")
def real() -> tuple[list[sync.Sighting], torch.Tensor]:
    """What is seen in real clips of the full world, and their sound."""
    scenes = scene.draw_scenes(N, 5, scene.FULL)
    return sync.watch(render.video(scenes)), sound.audio(scenes)


def table(real, audio: torch.Tensor) -> dict:
    return sync.table(real[0], listener.listen(audio), 17)


def test_real_clips_are_in_sync_and_strangers_are_not(real):
    rows = table(real, real[1])
    assert rows["onset_f1"]["ours"] > 0.9 and rows["sharp_f1"]["ours"] > 0.9
    assert rows["note_f1"]["ours"] > 0.9 and rows["pitch"]["ours"] > 0.95
    assert rows["late"]["ours"] < 3 and rows["hum"]["ours"] > 0.9
    others = table(real, real[1].roll(1, 0))
    assert others["onset_f1"]["ours"] < 0.5 and others["note_f1"]["ours"] < 0.15
    assert others["pitch"]["ours"] < 0.4
    for key in ("onset_f1", "note_f1"):  # the floor is what strangers get
        assert rows[key]["floor"] == pytest.approx(table(real, real[1].roll(-1, 0))[key]["ours"])


@pytest.mark.parametrize("milliseconds", [-90, 30, 70])
def test_a_known_lag_comes_back(real, milliseconds):
    late = real[1].roll(round(8.192 * milliseconds), 1)
    rows = table(real, late)
    assert rows["late"]["ours"] == pytest.approx(abs(milliseconds), abs=3)
    assert rows["onset_f1"]["ours"] > 0.8
    assert (rows["sharp_f1"]["ours"] > 0.8) == (abs(milliseconds) < 50)


def test_a_note_of_another_digit_is_no_answer(real):
    heard = listener.listen(real[1])
    wrong = [
        type(one)(one.seconds, (one.digits + 1) % 10, one.strengths, one.hums) for one in heard
    ]
    rows = sync.table(real[0], wrong, 17)
    assert rows["onset_f1"] == sync.table(real[0], heard, 17)["onset_f1"]
    assert rows["pitch"]["ours"] < 0.1 and rows["note_f1"]["ours"] < 0.2


def test_silence_answers_nothing(real):
    rows = table(real, torch.zeros_like(real[1]))
    assert rows["onset_f1"]["ours"] == 0 and "late" not in rows and "hum" not in rows
