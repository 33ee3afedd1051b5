"""Knobs change what they should, and an exercise answers what it should."""

import itertools

import pytest
import torch

from minivid import diffusion, show
from minivid.exercises import check
from minivid.show import widgets
from minivid.world import captions, random_scenes, render, scene, sound


def _all(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _all(child)


def _named(panel, description: str):
    return next(w for w in _all(panel) if getattr(w, "description", None) == description)


def test_each_knob_of_the_scene_builder_redraws_the_picture():
    panel = widgets.scene_builder()
    strip = next(w for w in _all(panel) if type(w).__name__ == "Image")
    player = next(w for w in _all(panel) if type(w).__name__ == "Video")
    sentence = next(w for w in _all(panel) if type(w).__name__ == "Label")
    for name, value in (
        ("digit", 8), ("colour", "cyan"), ("heading", "left"), ("speed", 0.9), ("handwriting", 4),
        ("hums", True), ("camera", "zoom in"), ("light", "dims"), ("style", "outlined"),
    ):  # fmt: skip
        before = strip.value, player.value
        _named(panel, name).value = value
        assert strip.value != before[0] and player.value != before[1], name
    described = captions.parse(sentence.value)
    assert described.subjects == (scene.Subject(8, "cyan", "left", True),)
    assert (described.camera, described.light, described.style) == ("zoom in", "dims", "outlined")


def test_no_setting_of_the_knobs_leaves_the_room():
    for digit, heading, speed, hand in itertools.product((0, 1, 4), scene.HEADINGS, (0.1, 1.2), (0, 20)):
        built = widgets.build_scene(digit, "red", heading, speed, hand, True, "still", "steady", "filled")
        assert all(hit.seconds > 0 for hit in built.hits(2))


def test_the_noise_slider_shows_an_error_that_grows_with_the_noise():
    clean = render.portraits(random_scenes.draw_scenes(3, 1))
    path = diffusion.RectifiedFlow()

    def trusting(x_t, t):  # takes the noise for the picture
        return x_t

    errors = [widgets.predict_at(trusting, clean, t, path, "clean")[1] for t in (0.1, 0.5, 0.9)]
    assert errors[0] < errors[1] < errors[2]
    rows, error = widgets.predict_at(lambda x_t, t: clean, clean, 0.5, path, "clean")
    assert error == 0 and (rows[2] == -1).all() and torch.equal(rows[1], clean)

    panel = widgets.noise_slider(trusting, clean, path, "clean")
    picture = next(w for w in _all(panel) if type(w).__name__ == "Image")
    before = picture.value
    _named(panel, "noise t").value = 0.9
    assert picture.value != before
    assert any("squared error" in getattr(w, "value", "") for w in _all(panel) if w is not picture
               and isinstance(getattr(w, "value", None), str))  # fmt: skip


def test_the_step_slider_goes_through_a_denoising():
    clean = render.video(random_scenes.draw_scenes(2, 1), 5)
    steps = [diffusion.Step(1 - k / 3, (1 - k / 3) * -clean, clean * k / 3) for k in range(1, 4)]
    panel = widgets.step_slider(steps, ["one", "two"])
    picture = next(w for w in _all(panel) if type(w).__name__ == "Image")
    level = next(w for w in _all(panel) if type(w).__name__ == "Label")
    before = picture.value
    assert level.value == "after 1 of 3 steps, t = 0.67"
    _named(panel, "step").value = 3
    assert picture.value != before and level.value == "after 3 of 3 steps, t = 0.00"


def test_the_choice_slider_leafs_through_clips_made_beforehand():
    clips = {str(k): render.video(random_scenes.draw_scenes(1, k), 5) for k in range(3)}
    panel = widgets.choice_slider(clips, ["a clip"], "scale")
    picture = next(w for w in _all(panel) if type(w).__name__ == "Image")
    shown = []
    for key in clips:
        _named(panel, "scale").value = key
        shown.append(picture.value)
    assert len(set(shown)) == 3


@pytest.mark.parametrize(
    "answer, expected",
    [
        (None, "Exercise 2: not answered yet."),
        (4, "Exercise 2: right."),
        (5, "Exercise 2: not yet. Half of eight."),
        ("four", "Exercise 2: that stopped with TypeError"),
    ],
)
def test_an_exercise_says_right_not_yet_or_why_it_stopped(answer, expected):
    verdict = check(2, answer, lambda a: a - 4 == 0, "Half of eight.")
    assert repr(verdict).startswith(expected)


def test_the_sound_slider_shows_and_sounds_the_prediction_of_each_step():
    scenes = random_scenes.draw_scenes(3, 4)
    predictions = [(render.video([one]), sound.audio([one])) for one in scenes]
    panel = widgets.sound_slider(predictions, [0.3])
    player = next(w for w in _all(panel) if type(w).__name__ == "Video")
    wave = next(w for w in _all(panel) if type(w).__name__ == "Image")
    shown = []
    for step, (video, audio) in enumerate(predictions, 1):
        _named(panel, "step").value = step
        assert player.value == show.encode_mp4(video, audio, audio_codec="mp3")
        shown.append(bytes(wave.value))
    assert len(set(shown)) == 3
