"""The judge: what it reads in clips whose truth is known."""

from dataclasses import replace

import pytest
import torch

from minivid import recipes
from minivid.formats import frame_times
from minivid.measure import judge
from minivid.measure.adherence import agreement
from minivid.world import random_scenes, render, scene
from minivid.world.scene import Body, Hum, Scene


@pytest.fixture(scope="module")
def shipped():
    return recipes.load("judge")


def _right(shipped, scenes, **size) -> dict[str, float]:
    observed = shipped.read(render.video(scenes, **size))
    rows = [agreement(a.describe(), b.description) for a, b in zip(scenes, observed, strict=True)]
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


@pytest.mark.parametrize("world", [random_scenes.EASY, random_scenes.FULL], ids=["easy", "full"])
def test_real_clips_are_read_right(shipped, world):
    found = _right(shipped, random_scenes.draw_scenes(60, 4242, world))
    assert min(found.values()) > 0.93, found


@pytest.mark.parametrize("height, width, frames", [(64, 64, 9), (32, 48, 17), (48, 32, 13)])
def test_other_sizes_aspects_and_lengths_are_read_right(shipped, height, width, frames):
    scenes = random_scenes.draw_scenes(24, 4343, random_scenes.FULL, render.room_for(height, width))
    found = _right(shipped, scenes, height=height, width=width, frames=frames)
    hums = found.pop("hums")  # a slow hum does not show in a short clip
    found.pop("all_attributes")
    assert min(found.values()) > 0.85 and (hums > 0.85 or frames < 17), found


def test_every_camera_and_light_is_measured_without_a_trained_network():
    body = Body(5, "green", "right", (-0.1, 0.05))
    every = [Scene((body,), camera=c, light=lit) for c in scene.CAMERAS for lit in scene.LIGHTS]
    observed = judge.Judge().read(render.video(every))
    found = [(one.description.camera, one.description.light) for one in observed]
    assert found == [(one.camera, one.light) for one in every]


def test_positions_are_those_of_the_trajectory():
    body = Body(2, "purple", "left", (0.05, 0.05), speed=0.1, angle=10)
    scenes = [Scene((body,), camera=camera) for camera in scene.CAMERAS]
    for one, observed in zip(scenes, judge.Judge().read(render.video(scenes)), strict=True):
        off = observed.positions[0] - one.positions(frame_times(17))[0].float()
        assert (off - off.mean(0)).abs().max() < 0.01  # ink's centre moves with its box


def test_brightness_follows_the_hum_and_not_the_light():
    hum = Hum(rate=1.0, phase=0.1)
    still = Scene((Body(8, "cyan", "up", (0, 0.1), speed=0.3, hum=hum),), light="dims")
    hushed = replace(still, bodies=(replace(still.bodies[0], hum=None),))
    loud, quiet = judge.Judge().read(render.video([still, hushed]))
    truth = hum.loudness(frame_times(17)).float()
    assert torch.corrcoef(torch.stack([loud.brightness[0], truth]))[0, 1] > 0.97
    assert loud.description.subjects[0].hums and not quiet.description.subjects[0].hums
    assert quiet.brightness[0].std() / quiet.brightness[0].mean() < 0.05


def test_a_digit_that_changes_within_the_clip_is_noticed(shipped):
    three = Scene((Body(3, "red", "right", (-0.2, 0)),))
    eight = Scene((Body(1, "red", "right", (-0.2, 0)),))
    unchanged, other = render.video([three, eight]).split(1)
    popped = torch.cat([unchanged[:, :, :9], other[:, :, 9:]], 2)
    assert shipped.read(unchanged)[0].identity
    assert not shipped.read(popped)[0].identity


def test_noise_costs_little_until_it_is_strong(shipped):
    scenes = random_scenes.draw_scenes(40, 99, random_scenes.FULL)
    clips = render.video(scenes)
    noise = torch.randn(clips.shape, generator=torch.Generator().manual_seed(0))
    right = []
    for level in (0.1, 0.2, 1.0):
        observed = shipped.read(clips + level * noise)
        pairs = zip(scenes, observed, strict=True)
        rows = [agreement(a.describe(), b.description) for a, b in pairs]
        right.append(sum(row["all_attributes"] for row in rows) / len(rows))
    assert right[0] > 0.9 and right[1] > 0.75 and right[2] < 0.2, right


def test_close_ups_are_read_right(shipped):
    scenes = random_scenes.draw_scenes(100, 31)
    digits, colours = shipped.read_portraits(render.portraits(scenes))
    assert digits.tolist() == [s.bodies[0].digit for s in scenes]
    names = [list(scene.COLOURS)[c] for c in colours]
    assert names == [s.bodies[0].colour for s in scenes]


def test_anything_of_a_clip_s_shape_gets_an_answer_and_nothing_else_does(shipped):
    noise = torch.randn(2, 3, 17, 32, 32, generator=torch.Generator().manual_seed(1))
    flat = torch.full((2, 3, 5, 32, 32), -1.0)
    assert len(shipped.read(noise)) == 2 and len(shipped.read(flat)) == 2
    with pytest.raises(ValueError, match=r"\(3, 17, 32, 32\).*\(b, 3, f, h, w\)"):
        shipped.read(noise[0])
    with pytest.raises(ValueError, match="16 frames.*13 or 17"):
        shipped.read(noise[:, :, :16])
