"""Picture and sound held against each other: a delay that was put in comes out, strangers do not agree."""

import math

import pytest
import torch

from minivid.formats import frame_times
from minivid.measure import stats, sync
from minivid.measure.listener import listen
from minivid.world import random_scenes, render, sound

N = 40


@pytest.fixture(scope="module")
def real() -> tuple[list[sync.Visible], torch.Tensor]:
    """What is seen in real clips of the full world, and their sound."""
    scenes = random_scenes.draw_scenes(N, 5, random_scenes.FULL)
    return sync.watch(render.video(scenes)), sound.audio(scenes)


def rows_of(real, audio: torch.Tensor) -> dict:
    return sync.sync_rows(real[0], listen(audio), 17)


def test_real_clips_are_in_sync_and_strangers_are_not(real):
    rows = rows_of(real, real[1])
    assert rows["onset_f1"]["ours"] > 0.9 and rows["onset_f1_50ms"]["ours"] > 0.9
    assert rows["note_f1"]["ours"] > 0.9 and rows["pitch"]["ours"] > 0.95
    assert rows["onset_error_ms"]["ours"] < 3 and rows["envelope_correlation"]["ours"] > 0.9
    others = rows_of(real, real[1].roll(1, 0))
    assert others["onset_f1"]["ours"] < 0.5 and others["note_f1"]["ours"] < 0.15
    assert others["pitch"]["ours"] < 0.4
    for key in ("onset_f1", "note_f1"):  # the floor is what strangers get
        floor = rows_of(real, real[1].roll(-1, 0))[key]["ours"]
        assert rows[key]["floor"] == pytest.approx(floor)


@pytest.mark.parametrize("milliseconds", [-90, 30, 70])
def test_a_known_delay_comes_back(real, milliseconds):
    delayed = real[1].roll(round(8.192 * milliseconds), 1)
    rows = rows_of(real, delayed)
    assert rows["onset_error_ms"]["ours"] == pytest.approx(abs(milliseconds), abs=3)
    assert rows["onset_f1"]["ours"] > 0.8
    assert (rows["onset_f1_50ms"]["ours"] > 0.8) == (abs(milliseconds) < 50)


def test_a_note_of_another_digit_is_no_answer(real):
    heard = listen(real[1])
    wrong = [
        type(one)(one.seconds, (one.digits + 1) % 10, one.strengths, one.hums) for one in heard
    ]
    rows = sync.sync_rows(real[0], wrong, 17)
    assert rows["onset_f1"] == sync.sync_rows(real[0], heard, 17)["onset_f1"]
    assert rows["pitch"]["ours"] < 0.1 and rows["note_f1"]["ours"] < 0.2


def test_silence_answers_nothing(real):
    rows = rows_of(real, torch.zeros_like(real[1]))
    assert rows["onset_f1"]["ours"] == 0
    assert "onset_error_ms" not in rows and "envelope_correlation" not in rows


# Events and envelopes ----------------------------------------------------------------------------


def test_as_many_pairs_as_can_be_and_none_too_far_apart():
    seen, heard = torch.tensor([0.1, 0.5, 0.6, 2.0]), torch.tensor([0.15, 0.58, 1.0, 1.95, 3.0])
    assert sync.match_events(seen, heard, 0.1).tolist() == [[0, 0], [1, 1], [3, 3]]
    assert sync.match_events(seen, heard, 0.41).tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert sync.match_events(heard, seen, 0.41).tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert sync.match_events(seen, heard[:0], 1.0).shape == (0, 2)


@pytest.mark.parametrize("delay", [-0.08, 0.0, 0.03])
def test_a_known_delay_of_strokes_comes_back(delay):
    scenes = random_scenes.draw_scenes(40, 11)
    struck = [torch.tensor([hit.seconds for hit in one.hits(17 / 8)]) for one in scenes]
    found = [sync.match_events(times, times + delay, 0.125) for times in struck]
    delays = torch.cat(
        [(t + delay)[p[:, 1]] - t[p[:, 0]] for t, p in zip(struck, found, strict=True)]
    )
    assert delays.median().item() == pytest.approx(delay, abs=1e-6)
    counts = torch.tensor([len(times) for times in struck])
    strict = torch.tensor([len(sync.match_events(times, times + delay, 0.05)) for times in struck])
    score = stats.f1(strict, counts, counts).value
    assert (score == 1) == (abs(delay) < 0.05) and (score < 0.2 or score == 1)


@pytest.mark.parametrize("delay", [-0.25, 0.0, 0.125])
def test_a_known_delay_of_a_hum_comes_back(delay):
    seconds, rate = frame_times(33), 64
    when = torch.arange(33 * 8) / rate

    def wave(at: torch.Tensor) -> torch.Tensor:
        return torch.sin(2 * math.pi * 0.9 * at + 1).double() + 0.3 * torch.sin(9 * at)

    loudness = 0.2 + 3 * wave(when - delay)
    found = sync.envelope_correlation(wave(seconds), seconds, loudness, rate)
    assert found.delay == pytest.approx(delay, abs=1.1 / rate)
    assert (found.correlation > 0.99) == (delay == 0)
    still = sync.envelope_correlation(torch.ones(33), seconds, wave(when), rate)
    assert still.correlation == 0, "what does not change goes with nothing"
