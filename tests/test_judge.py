"""The judge: what it reads in clips whose truth is known."""

from dataclasses import replace

import pytest
import torch

from minivid import recipes
from minivid.formats import frame_times
from minivid.measure import judge, sync
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


WORLDS = {"easy": random_scenes.EASY, "full": random_scenes.FULL, "directed": random_scenes.DIRECTED}


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
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
    every = [
        Scene((body,), camera=c, light=lit, tracked=0 if c == "track" else None, slow_motion=slow)
        for c in scene.CAMERAS
        for lit in scene.LIGHTS
        for slow in (False, True)
    ]
    observed = judge.Judge().read(render.video(every))
    for one, found in zip(every, observed, strict=True):
        read, asked = found.description, one.describe()
        assert (read.camera, read.light) == (one.camera, one.light)
        assert read.slow_motion == one.slow_motion
        assert read.subjects[0].followed == asked.subjects[0].followed


def test_positions_are_those_of_the_trajectory():
    body = Body(2, "purple", "left", (0.05, 0.05), speed=0.2, angle=10)
    scenes = [Scene((body,), camera=c, tracked=0 if c == "track" else None) for c in scene.CAMERAS]
    for one, observed in zip(scenes, judge.Judge().read(render.video(scenes)), strict=True):
        off = observed.positions[0] - one.positions(frame_times(17))[0].float()
        assert off.abs().quantile(0.9) < 0.01, one.camera
        size = torch.tensor([body.width, body.height])
        assert (observed.reach[0] - (1 - size)).abs().max() < 0.015, one.camera


@pytest.mark.parametrize("size", [32, 64])
def test_the_cameras_path_is_measured_and_not_only_named(shipped, size):
    """Where its word names it, and where a camera drifts off the path that its word names."""
    scenes = random_scenes.draw_scenes(60, 4444, random_scenes.DIRECTED)
    seconds = frame_times(17)
    centre, view = render.camera_paths(scenes, seconds)
    for one, o, c, v in zip(scenes, shipped.read(render.video(scenes, 17, size, size)), centre, view):
        off = (o.camera_path - torch.cat([c, v[:, None]], -1)).abs()
        assert off.quantile(0.9) < 0.015 and off.median() < 0.005, one.camera
    drift = 0.02 * torch.sin(2 * seconds)
    paths = [tuple((d, -d, render.VIEW) for d in drift.tolist())] * 4
    drifting = [replace(one, camera="still", tracked=None, camera_path=path)
                for one, path in zip(random_scenes.draw_scenes(4, 7), paths)]  # fmt: skip
    for o in shipped.read(render.video(drifting, 17, size, size)):
        assert o.description.camera == "still"
        assert (o.camera_path[:, 0] - drift).abs().max() < 0.006
        assert (o.camera_path[:, 1] + drift).abs().max() < 0.006


def test_a_digit_that_fades_away_did_not_stay_itself(shipped):
    one = Scene((Body(3, "red", "right", (-0.2, 0)),))
    clip, empty = render.video([one]), render.empty_rooms(["still"], ["steady"], 17, 32, 32)
    gone = torch.cat([clip[:, :, :6], (2 * empty - 1).expand(3, -1, -1, -1)[None, :, 6:]], 2)
    assert shipped.read(clip)[0].identity and not shipped.read(gone)[0].identity


def test_a_still_has_no_heading_and_is_not_right_about_one(shipped):
    scenes = [Scene((Body(3, "red", way, (0, 0)),)) for way in scene.HEADINGS]
    for one, observed in zip(scenes, shipped.read(render.video(scenes, 1)), strict=True):
        assert observed.description.subjects[0].heading is None
        assert not agreement(one.describe(), observed.description)["heading"]


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


def test_two_digits_of_one_colour_are_no_digit_that_can_be_named(shipped):
    """Two clips in one: the same digit, of one colour, on the left and on the right."""
    left, right = (
        Scene((Body(3, "red", "up", (x, 0.1), speed=0.2, height=0.42, width=0.28),)) for x in (-0.3, 0.3)
    )
    alone = render.video([left, right])
    both = torch.maximum(alone[:1], alone[1:])
    one, other, twice = shipped.read(torch.cat([alone, both]))
    assert one.description.subjects[0].digit == other.description.subjects[0].digit == 3
    assert twice.description.subjects[0].digit is None and (twice.digits == -1).all() and not twice.identity
    asked = left.describe()
    assert agreement(asked, one.description)["digit"] and not agreement(asked, twice.description)["digit"]
    (seen,) = sync.visible_events([twice])
    assert (seen.hits.digits == -1).all(), "and no note is its own"
