"""The world can be directed: cameras that track or look from above, slow motion, pushes, glyphs, paths."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minivid.formats import FRAMES_PER_SECOND, SAMPLE_RATE, frame_times
from minivid.measure.listener import listen
from minivid.world import captions, glyphs, random_scenes, render, scene, sound
from minivid.world.scene import Body, Description, Scene, Subject

SECONDS = frame_times(17)
STAR = (((0.5, 0), (0.8, 1)), ((0.8, 1), (0, 0.35)), ((0, 0.35), (1, 0.35)), ((1, 0.35), (0.2, 1)))


def test_a_seeds_scenes_are_the_same_in_the_directed_world_but_for_how_they_are_directed():
    full = random_scenes.draw_scenes(400, 9, random_scenes.FULL)
    directed = random_scenes.draw_scenes(400, 9, random_scenes.DIRECTED)
    undirected = 0
    for one, other in zip(full, directed, strict=True):
        if other.camera in random_scenes.DIRECTED_CAMERAS or other.slow_motion:
            bodies = tuple(replace(b, speed=a.speed) for a, b in zip(one.bodies, other.bodies, strict=True))
            changed = {"camera": one.camera, "tracked": None, "slow_motion": False, "bodies": bodies}
            assert replace(other, **changed) == one
        else:
            assert one == other
            undirected += 1
    assert 180 < undirected < 270  # 0.75 · 0.75 of 400
    for word, share in (("track", 1 / 8), ("from above", 1 / 8)):
        assert abs(sum(one.camera == word for one in directed) / 400 - share) < 0.05
    followed = {one.tracked for one in directed if one.camera == "track" and len(one.bodies) == 2}
    assert followed == {0, 1}
    for one in directed:  # what a caption names is seen, most of the time
        if one.camera == "track":
            apart = one.positions(SECONDS).diff(dim=0).abs().amax(-1)
            assert (apart < render.VIEW / 2).double().mean() > 0.5 or len(one.bodies) == 1
    again = random_scenes.draw_scenes(50, 9, random_scenes.DIRECTED)
    assert again == directed[:50]


def test_who_is_followed_and_slow_motion_can_be_asked_for():
    asked = captions.parse("a 3 and a blue 7, the camera follows the blue 7, in slow motion")
    for one in random_scenes.draw_scenes(20, 1, random_scenes.FULL, descriptions=[asked] * 20):
        assert one.camera == "track" and one.bodies[one.tracked].digit == 7 and one.slow_motion
        assert max(body.speed for body in one.bodies) <= 0.5
    shot = captions.parse("a 3 and a 7, a tracking shot")
    drawn = random_scenes.draw_scenes(40, 1, random_scenes.FULL, descriptions=[shot] * 40)
    assert {one.tracked for one in drawn} == {0, 1}
    with pytest.raises(ValueError, match="'track' follows one of the bodies, 0 to 0"):
        Scene((Body(3, "red", "up", (0, 0)),), camera="track")
    with pytest.raises(ValueError, match="follows none"):
        Scene((Body(3, "red", "up", (0, 0)),), tracked=0)
    with pytest.raises(ValueError, match="2 digits followed"):
        Description((Subject(3, followed=True), Subject(4, followed=True)), camera="track")
    with pytest.raises(ValueError, match="camera that is 'still'"):
        Description((Subject(3, followed=True),), camera="still")


def test_the_tracked_digit_stays_in_the_middle_and_the_room_moves_past():
    one = Scene((Body(8, "green", "right", (-0.2, 0.1), 0.5, 10),), camera="track", tracked=0)
    for height, width in ((64, 64), (32, 48)):
        wide = replace(one, room=render.room_for(height, width))
        clip = render.video([wide], 17, height, width)[0]
        ink = (clip[1] - clip[0]).clamp(min=0)
        x, y = (torch.arange(n) + 0.5 - n / 2 for n in (width, height))
        mass = ink.sum((1, 2))
        assert ((ink.sum(1) @ x) / mass).abs().max() < 0.03 * height
        assert ((ink.sum(2) @ y) / mass).abs().max() < 0.03 * height
        grey = clip[:, :, 2].mean(0)
        assert (grey[0] - grey[-1]).abs().mean() > 0.02  # the wall is elsewhere


def test_from_above_everything_is_two_thirds_as_large_with_the_dark_around_it():
    near = Scene((Body(8, "green", "right", (-0.1, 0.1), 0.1),))
    far = replace(near, camera="from above")
    a, b = render.video([near, far], 5, 96, 96)
    sizes = [((clip[1] - clip[0])[2] > 0.6).sum().item() ** 0.5 for clip in (a, b)]
    assert sizes[1] / sizes[0] == pytest.approx(2 / 3, abs=0.04)
    border = torch.ones(96, 96, dtype=torch.bool)
    border[14:-14, 14:-14] = False
    dark = 2 * render.OUTSIDE - 1
    assert (b[:, 2, border] - dark).abs().max() < 0.02 < (a[:, 2, border] - dark).abs().max()


@given(st.integers(0, 2**31), st.booleans())
@settings(deadline=None, max_examples=25)
def test_slow_motion_is_the_same_flight_at_half_the_speed_and_the_sound_with_it(seed, hums):
    world = random_scenes.World(hums=float(hums))
    (one,) = random_scenes.draw_scenes(1, seed, world)
    slow = replace(one, slow_motion=True)
    torch.testing.assert_close(slow.positions(SECONDS), one.positions(SECONDS / 2))
    fast, late = one.hits(3.0), slow.hits(6.0)
    assert [(hit.body, hit.wall) for hit in fast] == [(hit.body, hit.wall) for hit in late]
    assert [2 * hit.seconds for hit in fast] == pytest.approx([hit.seconds for hit in late])
    roll, slower = sound.event_roll([one], 17).float(), sound.event_roll([slow], 33).float()
    loudness = [part[0, :, 10:].sum(1) for part in (roll, slower)]
    torch.testing.assert_close(loudness[1][:128:2], loudness[0][:64], atol=0.5, rtol=0.05)


def test_a_slow_note_begins_on_its_hit_lasts_twice_as_long_and_keeps_its_pitch():
    body = Body(5, "red", "right", (0.2, 0), 0.4)
    for slow in (False, True):
        one = Scene((body,), slow_motion=slow)
        (hit,) = one.hits(1.9)
        wave = sound.audio([one])[0]
        first = wave.abs().gt(1e-6).nonzero()[0, 0].item()
        assert 0 <= first - hit.seconds * SAMPLE_RATE <= 2  # at the stroke itself the wave is 0
        (heard,) = listen(wave[None])
        assert heard.digits.tolist() == [5] and heard.slow_motion == slow
        loud = wave.unfold(0, 256, 64).square().mean(1).sqrt()
        peak, at = loud.max(0)
        later = int(at + 0.11 * (1 + slow) * SAMPLE_RATE / 64)
        assert loud[later] / peak == pytest.approx(0.36, abs=0.12)


def test_sound_does_not_depend_on_the_camera():
    scenes = random_scenes.draw_scenes(20, 3, random_scenes.FULL)
    tracked = [replace(one, camera="track", tracked=0) for one in scenes]
    assert torch.equal(sound.audio(scenes), sound.audio(tracked))


# Pushes ------------------------------------------------------------------------------------------


@given(
    pushes=st.lists(st.sampled_from(list(scene.PUSHES)), max_size=17),
    speed=st.floats(0.1, 0.6), angle=st.floats(-45, 45), slow=st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_pushed_flights_agree_with_stepping_from_wall_to_wall(pushes, speed, angle, slow):
    body = Body(3, "red", "right", (-0.1, 0.05), speed, angle, pushes=tuple(pushes))
    one = Scene((body,), slow_motion=slow)
    rate = 0.5 if slow else 1.0
    at, velocity, hits, now = [-0.1, 0.05], list(body.velocity), [], 0.0
    free = [(1 - body.width) / 2, (1 - body.height) / 2]
    for frame in range(17):  # an independent way: push, then fly to the next frame, turning at walls
        for axis in (0, 1):
            if frame < len(pushes):
                kick = scene.PUSH * scene.PUSHES[pushes[frame]][axis]
                bound = max(scene.FASTEST, abs(velocity[axis]))
                velocity[axis] = min(bound, max(-bound, velocity[axis] + kick))
            left = rate / FRAMES_PER_SECOND
            while left > 1e-12 and velocity[axis]:
                wall = free[axis] if velocity[axis] > 0 else -free[axis]
                fly = min(left, (wall - at[axis]) / velocity[axis])
                at[axis] += fly * velocity[axis]
                left -= fly
                if left > 1e-12:
                    hits.append((frame + 1) / FRAMES_PER_SECOND - left / rate)
                    velocity[axis] = -velocity[axis]
        now = (frame + 1) / FRAMES_PER_SECOND
        found = one.positions(torch.tensor([now - 1e-9], dtype=torch.float64))[0, 0].tolist()
        assert found == pytest.approx(at, abs=1e-6)
    seen = [hit.seconds for hit in one.hits(now)]
    assert len(seen) == pytest.approx(len(hits), abs=1)  # one may lie on the end itself
    for a, b in zip(seen, sorted(hits)):
        assert a == pytest.approx(b, abs=1e-6)


def test_pushes_turn_a_digit_and_others_are_refused():
    still = Body(3, "red", "right", (0, 0), 0.0)
    pushed = replace(still, pushes=("none", "up", "up", "left"))
    path = Scene((pushed,)).positions(SECONDS)[0]
    assert path[0].tolist() == [0, 0] and path[-1, 0] < 0 and (path[2:5, 1].diff() < 0).all()
    times = torch.linspace(0, 5, 2001).double()
    quick = replace(still, speed=1.1, pushes=("right", "right"))
    hurried = Scene((quick,)).positions(times)[0, :, 0]
    fastest = (hurried.diff() / times.diff()).abs().max()
    assert fastest == pytest.approx(scene.FASTEST, rel=1e-3)
    with pytest.raises(ValueError, match="'jump' is unknown. Allowed: none, left"):
        replace(still, pushes=("jump",))


# Glyphs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", scene.STYLES)
def test_a_glyph_of_ones_own_fills_its_box_and_is_no_digit_in_a_caption(style):
    body = Body(3, "green", "up", (0, 0), height=0.5, width=0.4, glyph=STAR)
    one = Scene((body,), style=style)
    ink = render.video([one], 1, 256, 256)[0, 1, 0] > 0.2
    for axis, side in ((1, 0.5), (0, 0.4)):
        reached = ink.any(axis).nonzero()[:, 0]
        across = (reached[-1] - reached[0] + 1) * render.VIEW / 256
        assert across == pytest.approx(side, abs=0.02)
    assert captions.write(one.describe()).startswith("a green digit moves up")
    digit = replace(one, bodies=(replace(body, glyph=None),))
    assert (render.portraits([one]) - render.portraits([digit])).abs().mean() > 0.1
    moved = tuple(tuple((10 * x - 3, 5 * y) for x, y in stroke) for stroke in STAR)
    torch.testing.assert_close(glyphs.drawn(moved, 0.8), glyphs.drawn(STAR, 0.8), atol=1e-4, rtol=0)


def test_glyphs_that_cannot_be_drawn_are_refused():
    for glyph, match in (
        ((((0, 0),),), "two points"),
        ((((0, 0), (0, 1)),), "some width"),
        ((((0, 0), (float("nan"), 1)),), "two points"),
    ):
        with pytest.raises(ValueError, match=match):
            glyphs.drawn(glyph, 0.7)


def test_a_hand_can_be_asked_for_again():
    """The same handwriting in another scene: the reference and the digit are one shape."""
    first = Scene((Body(4, "red", "up", (0, 0), hand=77),))
    second = Scene((Body(4, "red", "left", (0.1, 0.1), hand=77), Body(5, "blue", "up", (0, 0))))
    torch.testing.assert_close(render.portraits([first]), render.portraits([second]), atol=1e-5, rtol=0)


# Camera paths ------------------------------------------------------------------------------------


def test_a_camera_path_gives_what_the_word_gives_and_anything_else():
    body = Body(6, "yellow", "left", (0.1, 0), 0.4)
    for word in ("pan left", "zoom out"):
        centre, view = render.camera([word], SECONDS)
        path = tuple((*c, v) for c, v in zip(centre[0].tolist(), view[0].tolist(), strict=True))
        named, free = Scene((body,), word), Scene((body,), camera_path=path)
        torch.testing.assert_close(*(render.video([one]) for one in (named, free)), atol=1e-5, rtol=0)
        assert free.describe().camera is None
    with pytest.raises(ValueError, match="a camera path of 17 frames for a clip of 9"):
        render.video([free], 9)
    with pytest.raises(ValueError, match="finite numbers"):
        Scene((body,), camera_path=((0, 0, 0),))
