"""Facts about the toy world: motion, walls, light, handwriting, and that a seed is a promise."""

import hashlib
import math
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minivid import formats
from minivid.world import random_scenes, render, scene
from minivid.world.scene import Body, Scene

DURATION = 17 / formats.FRAMES_PER_SECOND


def test_motion_between_hits_is_straight_and_hits_are_contacts():
    for one in random_scenes.draw_scenes(50, 0, random_scenes.FULL):
        for hit in one.hits(DURATION):
            body = one.bodies[hit.body]
            x, y = one.positions(torch.tensor([hit.seconds], dtype=torch.float64))[hit.body, 0].tolist()
            touching = {
                "left": x - body.width / 2 + one.room[0] / 2,
                "right": one.room[0] / 2 - x - body.width / 2,
                "top": y - body.height / 2 + one.room[1] / 2,
                "bottom": one.room[1] / 2 - y - body.height / 2,
            }
            assert abs(touching[hit.wall]) < 1e-9


@given(
    start=st.floats(-0.28, 0.28), speed=st.floats(0.05, 3), angle=st.floats(-15, 15),
    seconds=st.floats(0, 20),
)  # fmt: skip
@settings(deadline=None)
def test_reflection_agrees_with_stepping_until_the_wall(start, speed, angle, seconds):
    one = Scene((Body(3, "red", "right", (start, 0.0), speed, angle),))
    (vx, _), at, left = one.bodies[0].velocity, start, seconds
    free = (1 - one.bodies[0].width) / 2
    while left > 0:  # an independent way to the same place: fly to the next wall, turn, go on
        to_wall = ((free if vx > 0 else -free) - at) / vx
        fly = min(left, to_wall)
        at, left = at + vx * fly, left - fly
        vx = -vx if fly == to_wall else vx
    found = one.positions(torch.tensor([seconds], dtype=torch.float64))[0, 0, 0].item()
    assert found == pytest.approx(at, abs=1e-6)


def test_nothing_is_hit_in_the_quiet_start_and_ink_never_leaves_the_room():
    for room in ((1.0, 1.0), (1.5, 1.0)):
        for one in random_scenes.draw_scenes(300, 1, random_scenes.FULL, room):
            assert all(hit.seconds >= scene.QUIET_START for hit in one.hits(DURATION))
            paths = one.positions(torch.linspace(0, 5, 200))
            for body, path in zip(one.bodies, paths, strict=True):
                reach = path.abs() + torch.tensor([body.width, body.height]) / 2
                assert (reach <= torch.tensor(room) / 2 + 1e-9).all()


def test_the_heading_is_where_the_digit_goes_first():
    toward = {"right": (1, 0), "left": (-1, 0), "up": (0, -1), "down": (0, 1)}
    for one in random_scenes.draw_scenes(100, 2, random_scenes.FULL):
        start, end = one.positions(torch.tensor([0.0, 0.4])).unbind(1)
        for body, motion in zip(one.bodies, end - start, strict=True):
            cosine = (motion / motion.norm()) @ torch.tensor(toward[body.heading]).double()
            assert cosine >= math.cos(math.radians(15)) - 1e-9


def test_a_description_is_obeyed_and_the_rest_is_drawn():
    asked = scene.Description((scene.Subject(digit=7, heading="up"),), camera="zoom in")
    drawn = random_scenes.draw_scenes(40, 3, random_scenes.FULL, descriptions=[asked] * 40)
    assert all(len(s.bodies) == 1 and s.bodies[0].digit == 7 and s.camera == "zoom in" for s in drawn)
    assert {s.bodies[0].heading for s in drawn} == {"up"}
    assert len({s.bodies[0].colour for s in drawn}) > 3 and len({s.light for s in drawn}) == 3


def test_every_word_is_drawn_about_equally_often():
    scenes = random_scenes.draw_scenes(4000, 4, random_scenes.FULL)
    cameras = random_scenes.FULL.cameras
    for words, key in ((cameras, "camera"), (scene.LIGHTS, "light"), (scene.STYLES, "style")):
        for word in words:
            proportion = sum(getattr(s, key) == word for s in scenes) / 4000
            assert abs(proportion - 1 / len(words)) < 0.035, (key, word, proportion)
    bodies = [body for s in scenes for body in s.bodies]
    for words, key in ((scene.DIGITS, "digit"), (scene.COLOURS, "colour"), (scene.HEADINGS, "heading")):
        for word in words:
            proportion = sum(getattr(body, key) == word for body in bodies) / len(bodies)
            assert abs(proportion - 1 / len(words)) < 0.03, (key, word, proportion)


def test_ink_fills_its_box_exactly_whatever_the_hand():
    """The box is what hits the wall, so at high resolution ink must reach all four of its sides."""
    size = 256
    for digit in range(10):
        for hand in range(3):
            one = Scene((Body(digit, "green", "up", (0.0, 0.0), height=0.5, width=0.3, hand=hand),))
            ink = render.video([one], 1, size, size)[0, 1, 0] > 0.2  # brighter than any wall
            for axis, side in ((1, 0.5), (0, 0.3)):
                reached = ink.any(axis).nonzero()[:, 0]
                across = (reached[-1] - reached[0] + 1) * render.VIEW / size
                assert across == pytest.approx(side, abs=0.02), (digit, hand)


def test_hands_differ_and_one_hand_repeats():
    def portrait(hand):
        return render.portraits([Scene((Body(5, "red", "up", (0.0, 0.0), hand=hand),))], 48)

    pictures = torch.cat([portrait(hand) for hand in range(20)])
    distances = torch.cdist(pictures.flatten(1), pictures.flatten(1)).fill_diagonal_(9e9)
    assert distances.min() > 1.0
    torch.testing.assert_close(portrait(3), pictures[3:4], rtol=0, atol=0)


def test_a_clip_is_the_same_alone_and_in_a_batch():
    scenes = random_scenes.draw_scenes(6, 5, random_scenes.FULL)
    together = render.video(scenes)
    for one, clip in zip(scenes, together, strict=True):
        torch.testing.assert_close(render.video([one])[0], clip, rtol=0, atol=1e-5)


def test_camera_moves_the_room_and_light_scales_it():
    rooms = render.empty_rooms(random_scenes.FULL.cameras, ["steady"] * 7, 17, 32, 32)
    still = rooms[scene.CAMERAS.index("still")]
    assert (still[0] == still[-1]).all()
    left = rooms[scene.CAMERAS.index("pan left")]
    right = rooms[scene.CAMERAS.index("pan right")]
    torch.testing.assert_close(left, right.flip(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(left, right.flip(2), atol=1e-5, rtol=0)
    zoom_in = rooms[scene.CAMERAS.index("zoom in")]
    assert (zoom_in[0] < 0.1).sum() > (zoom_in[-1] < 0.1).sum()  # less of the dark outside is left
    dims, brightens = render.light(["dims", "brightens"], formats.frame_times(17))
    torch.testing.assert_close(dims, brightens.flip(0))
    assert dims[0] > 0.95 and dims[-1] == pytest.approx(render.DARKEST, abs=0.03)


def test_more_pixels_show_the_same_scene():
    scenes = random_scenes.draw_scenes(4, 6, random_scenes.FULL)
    small, large = render.video(scenes), render.video(scenes, 17, 128, 128)
    pooled = torch.nn.functional.avg_pool3d(large, (1, 4, 4))
    assert (small - pooled).abs().mean() < 0.02


def test_a_hum_is_seen_as_it_is_heard():
    hum = scene.Hum(1.0, 0.25)
    loud = Scene((Body(4, "cyan", "up", (0.0, 0.0), speed=0.0, hum=hum),))
    plain = Scene((Body(4, "cyan", "up", (0.0, 0.0), speed=0.0),))
    seconds = formats.frame_times(17)
    ratio = (render.video([loud]).amax((1, 3, 4)) + 1) / (render.video([plain]).amax((1, 3, 4)) + 1)
    torch.testing.assert_close(ratio[0], hum.loudness(seconds).float(), atol=0.02, rtol=0)


@pytest.mark.parametrize("frames", [0, -3, 2, 4, 16, 18])
def test_other_frame_counts_are_refused_with_the_nearest_that_fit(frames):
    with pytest.raises(ValueError, match=r"1 \+ 4k"):
        render.video(random_scenes.draw_scenes(1, 0), frames)
    with pytest.raises(ValueError, match="Try 13 or 17"):
        formats.frame_times(16)


def test_bad_scenes_say_what_is_allowed():
    with pytest.raises(ValueError, match="'pink' is unknown. Allowed: red"):
        Scene((Body(3, "pink", "up", (0.0, 0.0)),))
    with pytest.raises(ValueError, match="outside the room"):
        Scene((Body(3, "red", "up", (0.45, 0.0)),))
    with pytest.raises(ValueError, match="different colours"):
        scene.Description((scene.Subject(1, "red"), scene.Subject(2, "red")))
    with pytest.raises(ValueError, match="room_for"):
        render.video(random_scenes.draw_scenes(1, 0), 5, 32, 48)


_DIGEST = """
import hashlib, sys, torch
torch.set_num_threads(int(sys.argv[1]))
from minivid import formats
from minivid.world import random_scenes, render, scene, sound
scenes = random_scenes.draw_scenes(8, 7, random_scenes.FULL)
video, audio = render.video(scenes), sound.audio(scenes)
print(hashlib.sha256(video.numpy().tobytes() + audio.numpy().tobytes()).hexdigest())
torch.save((video, audio), sys.argv[2])
"""


def test_one_seed_one_clip_in_every_process(tmp_path):
    def elsewhere(threads, name):
        command = [sys.executable, "-c", _DIGEST, str(threads), str(tmp_path / name)]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ}
        ).stdout.strip()

    first, second = elsewhere(1, "a"), elsewhere(1, "b")
    assert first == second and len(first) == len(hashlib.sha256().hexdigest())
    elsewhere(2, "c")
    for one, other in zip(torch.load(tmp_path / "a"), torch.load(tmp_path / "c"), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
