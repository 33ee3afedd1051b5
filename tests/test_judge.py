"""The judge: what agrees with what, and what it reads in clips whose truth is known."""

from dataclasses import replace

import pytest
import torch

from minivid import judge, recipes
from minivid.world import render, scene
from minivid.world.scene import Body, Description, Hum, Scene, Subject


@pytest.fixture(scope="module")
def shipped():
    return recipes.load("judge")


def _right(shipped, scenes, **size) -> dict[str, float]:
    seen = shipped.read(render.video(scenes, **size))
    rows = [judge.agreement(a.describe(), b.description) for a, b in zip(scenes, seen, strict=True)]
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


# Agreeing


def test_what_was_left_unsaid_agrees_with_anything():
    seen = Description((Subject(3, "red", "up", False),), "still", "dims", "filled")
    assert all(judge.agreement(Description(), seen).values())
    assert all(judge.agreement(seen, seen).values())
    for wrong, key in (
        (replace(seen, camera="zoom in"), "camera"),
        (replace(seen, light="steady"), "light"),
        (replace(seen, style="outlined"), "style"),
        (replace(seen, subjects=(Subject(8, "red", "up", False),)), "digit"),
        (replace(seen, subjects=(Subject(3, "blue", "up", False),)), "colour"),
        (replace(seen, subjects=(Subject(3, "red", "left", False),)), "heading"),
        (replace(seen, subjects=(Subject(3, "red", "up", True),)), "hums"),
    ):
        found = judge.agreement(wrong, seen)
        assert {k for k, right in found.items() if not right} == {key, "all_attributes"}


def test_two_digits_agree_in_either_order_and_only_together():
    red, blue = Subject(3, "red", "up"), Subject(7, "blue", "left")
    asked = Description((red, blue))
    assert all(judge.agreement(asked, Description((blue, red))).values())
    swapped = Description((replace(red, digit=7), replace(blue, digit=3)))
    assert not judge.agreement(asked, swapped)["digit"]  # the red one was to be the 3
    assert judge.agreement(asked, swapped)["colour"]
    half = judge.agreement(asked, Description((red, replace(blue, digit=1))))
    assert not half["digit"] and half["heading"]


def test_a_colour_asked_for_says_which_digit_is_meant_whatever_else_agrees():
    asked = Description((Subject(3, "red"), Subject(7, "blue")))
    seen = (Subject(3, "green"), Subject(7, "red"))
    for order in (seen, seen[::-1]):
        found = judge.agreement(asked, Description(order))
        assert not found["digit"]  # the red one was to be the 3


def test_where_colours_and_digits_do_not_tell_headings_and_hums_do():
    right, left = Subject(3, heading="right", hums=True), Subject(3, heading="left", hums=False)
    shown = (replace(right, colour="red"), replace(left, colour="blue"))
    for order in (shown, shown[::-1]):
        assert all(judge.agreement(Description((right, left)), Description(order)).values())


def test_a_digit_too_many_or_too_few_is_wrong_in_all_that_is_said_of_digits():
    one, two = Description((Subject(3),)), Description((Subject(3), Subject(4)))
    for asked, seen in ((one, two), (two, one)):
        found = judge.agreement(asked, seen)
        assert not (found["digit"] or found["colour"] or found["heading"] or found["hums"])
        assert found["camera"] and not found["all_attributes"]


# Reading


@pytest.mark.parametrize("world", [scene.EASY, scene.FULL], ids=["easy", "full"])
def test_real_clips_are_read_right(shipped, world):
    found = _right(shipped, scene.draw_scenes(60, 4242, world))
    assert min(found.values()) > 0.93, found


@pytest.mark.parametrize("height, width, frames", [(64, 64, 9), (32, 48, 17), (48, 32, 13)])
def test_other_sizes_aspects_and_lengths_are_read_right(shipped, height, width, frames):
    scenes = scene.draw_scenes(24, 4343, scene.FULL, render.room_for(height, width))
    found = _right(shipped, scenes, height=height, width=width, frames=frames)
    hums = found.pop("hums")  # a slow hum does not show in a short clip
    found.pop("all_attributes")
    assert min(found.values()) > 0.85 and (hums > 0.85 or frames < 17), found


def test_every_camera_and_light_is_measured_without_a_trained_network():
    body = Body(5, "green", "right", (-0.1, 0.05))
    every = [Scene((body,), camera=c, light=lit) for c in scene.CAMERAS for lit in scene.LIGHTS]
    seen = judge.Judge().read(render.video(every))
    told = [(one.description.camera, one.description.light) for one in seen]
    assert told == [(one.camera, one.light) for one in every]


def test_places_are_those_of_the_trajectory():
    body = Body(2, "purple", "left", (0.05, 0.05), speed=0.1, angle=10)
    scenes = [Scene((body,), camera=camera) for camera in scene.CAMERAS]
    for one, seen in zip(scenes, judge.Judge().read(render.video(scenes)), strict=True):
        off = seen.places[0] - one.positions(scene.frame_times(17))[0].float()
        assert (off - off.mean(0)).abs().max() < 0.01  # ink's centre moves with its box


def test_brightness_follows_the_hum_and_not_the_light():
    hum = Hum(rate=1.0, phase=0.1)
    still = Scene((Body(8, "cyan", "up", (0, 0.1), speed=0.3, hum=hum),), light="dims")
    silent = replace(still, bodies=(replace(still.bodies[0], hum=None),))
    loud, quiet = judge.Judge().read(render.video([still, silent]))
    truth = hum.loudness(scene.frame_times(17)).float()
    assert torch.corrcoef(torch.stack([loud.brightness[0], truth]))[0, 1] > 0.97
    assert loud.description.subjects[0].hums and not quiet.description.subjects[0].hums
    assert quiet.brightness[0].std() / quiet.brightness[0].mean() < 0.05


def test_a_digit_that_changes_within_the_clip_is_noticed(shipped):
    three = Scene((Body(3, "red", "right", (-0.2, 0)),))
    eight = Scene((Body(1, "red", "right", (-0.2, 0)),))
    whole, other = render.video([three, eight]).split(1)
    popped = torch.cat([whole[:, :, :9], other[:, :, 9:]], 2)
    assert shipped.read(whole)[0].same_digit
    assert not shipped.read(popped)[0].same_digit


def test_noise_costs_little_until_it_is_strong(shipped):
    scenes = scene.draw_scenes(40, 99, scene.FULL)
    clips = render.video(scenes)
    noise = torch.randn(clips.shape, generator=torch.Generator().manual_seed(0))
    share = []
    for level in (0.1, 0.2, 1.0):
        seen = shipped.read(clips + level * noise)
        rows = [
            judge.agreement(a.describe(), b.description) for a, b in zip(scenes, seen, strict=True)
        ]
        share.append(sum(row["all_attributes"] for row in rows) / len(rows))
    assert share[0] > 0.9 and share[1] > 0.75 and share[2] < 0.2, share


def test_close_ups_are_read_right(shipped):
    scenes = scene.draw_scenes(100, 31)
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
