"""Shapes: ink that is the same overlaps, another digit less, and hands that differ differ."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from minivid.measure import shape
from minivid.measure.adherence import identity_rows, read_clips
from minivid.measure.judge import load_judge
from minivid.world import random_scenes, render


def test_overlap_is_one_for_the_same_ink_wherever_it_lies_and_zero_for_strangers():
    ink = torch.zeros(1, 24, 24)
    ink[:, 6:16, 8:12] = 1
    assert shape.overlap(ink, ink).item() == 1
    assert shape.overlap(ink, ink.roll((1, -2), (1, 2))).item() == 1
    assert shape.overlap(ink, ink.roll(12, 1)).item() == pytest.approx(0, abs=0.2)
    half = ink.clone()
    half[:, 11:] = 0
    assert shape.overlap(ink, half).item() == pytest.approx(0.5)
    assert shape.overlap(ink, 0.5 * ink).item() == pytest.approx(0.5)
    assert shape.overlap(ink, torch.zeros_like(ink)).item() == 0


def test_the_first_shape_is_not_held_against_itself_and_hidden_frames_do_not_count():
    ink = torch.zeros(4, 24, 24)
    ink[:, 6:16, 8:12] = 1
    ink[1:3, 11:] = 0  # half of it
    ink[3] = 0
    clear = torch.tensor([[True, True, True, False]])
    seen = SimpleNamespace(shapes=ink[None], clear=clear)
    once = SimpleNamespace(shapes=ink[None], clear=torch.tensor([[True, False, False, False]]))
    assert shape.shape_drift([seen, once]).tolist() == pytest.approx([0.5]), "seen once, it drifts nowhere"


@pytest.fixture(scope="module")
def scenes():
    return random_scenes.draw_scenes(60, 31, replace(random_scenes.EASY, styles=("filled",)))


@pytest.fixture(scope="module")
def real(scenes):
    return read_clips(load_judge(), render.video(scenes))


def test_real_digits_keep_their_shape_and_wobbling_ones_drift(scenes, real):
    assert shape.shape_drift(real).mean() < 0.15

    def wobbles(one):  # another hand in every frame
        body = replace(one.bodies[0], start=(0.0, 0.0), speed=0.1)
        clips = render.video([replace(one, bodies=(replace(body, hand=k),)) for k in range(17)])
        return torch.stack([clip[:, k] for k, clip in enumerate(clips)], 1)

    wobbling = read_clips(load_judge(), torch.stack([wobbles(one) for one in scenes[:10]]))
    assert shape.shape_drift(wobbling).mean() > shape.shape_drift(real[:10]).mean() + 0.15


def test_one_hand_has_no_variety_and_many_have(scenes, real):
    many = shape.hand_variety(real)
    one_hand = [
        replace(one, bodies=(replace(one.bodies[0], hand=5, height=0.42, width=0.28, start=(0.0, 0.0)),))
        for one in scenes
    ]
    few = shape.hand_variety(read_clips(load_judge(), render.video(one_hand)))
    assert many.mean() > 0.3 and few.mean() < 0.5 * many.mean()
    rows = identity_rows(real, real)
    assert rows["shape_drift"]["floor"] > 0.4 > rows["shape_drift"]["ours"]
    assert rows["hand_variety"]["ours"] == pytest.approx(rows["hand_variety"]["ceiling"])
