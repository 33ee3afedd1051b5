"""The playground: what is typed is drawn, or it is said why not; what was drawn is kept."""

from dataclasses import replace

import av
import pytest
import torch
from torch import nn

from minivid import codec, generator, judge, playground, text, weights
from minivid.world import captions

TOKENISER = text.Tokeniser(captions.WORDS)


def network(kind: type) -> nn.Module:
    torch.manual_seed(0)
    made = kind(len(TOKENISER.words), width=32, depth=1)
    for parameter in made.dit.parameters():
        nn.init.normal_(parameter, std=0.1)
    return made


@pytest.fixture(scope="module")
def viewer() -> judge.Judge:
    return weights.load("judge", judge.Judge())


@pytest.fixture
def panel(viewer, tmp_path) -> playground.Playground:
    eye = weights.load("video_codec", codec.VideoCodec())
    ready = generator.Generator(network(generator.TextToVideo), eye, TOKENISER)
    return playground.Playground(ready, viewer, tmp_path)


@pytest.fixture
def sounding(viewer, tmp_path) -> playground.Playground:
    eye, ear = weights.load("video_codec", codec.VideoCodec()), codec.AudioCodec(width=16, blocks=1)
    ready = generator.JointGenerator(network(generator.TextToClip), eye, TOKENISER, ear)
    return playground.Playground(ready, viewer, tmp_path)


def test_what_is_asked_for_is_drawn_with_its_settings(panel):
    shape = generator.Format(9, 32, 32)
    panel.prompt.value, panel.seed.value, panel.steps.value = "a blue 7 moves up", 5, 2
    panel.guidance.value, panel.shape.value = 1.5, shape
    panel.draw.click()
    (one,) = panel.drawn
    expected = panel.ready.draw(["a blue 7 moves up"], 5, 2, 1.5, shape)
    torch.testing.assert_close(one.video, expected)
    assert (one.said, one.seed, one.shape) == ("a blue 7 moves up", 5, shape)
    assert (panel.progress.value, panel.progress.max) == (2, 2)
    assert panel.player.value[4:8] == b"ftyp" and "seen by the judge" in panel.agreement.value


def test_a_clip_with_sound_is_heard(sounding, tmp_path):
    sounding.steps.value = 1
    sounding.draw.click()
    assert sounding.drawn[0].audio.shape == (1, 17 * 1024)
    sounding.save.click()
    (path,) = tmp_path.iterdir()
    with av.open(str(path)) as film:
        assert (len(film.streams.video), len(film.streams.audio)) == (1, 1)


def test_the_history_keeps_what_was_drawn_and_shows_it_again(panel):
    panel.steps.value, seen = 1, []
    for k in range(3):
        panel.seed.value = k
        panel.draw.click()
        seen.append(panel.player.value)
    assert [one.seed for one in panel.drawn] == [2, 1, 0]
    panel.history.value = panel.drawn[-1]
    assert panel.player.value == seen[0] != seen[2]
    assert len(panel.history.options) == 3


def test_saving_never_overwrites(panel, tmp_path):
    panel.steps.value = 1
    assert panel.save.disabled
    panel.draw.click()
    assert not panel.save.disabled
    for _ in range(3):
        panel.save.click()
    names = sorted(path.name for path in tmp_path.iterdir())
    name = "a_red_3_moves_right-0"
    assert names == [f"{name}-2.mp4", f"{name}-3.mp4", f"{name}.mp4"]
    assert f"{name}-3.mp4" in panel.told.value


@pytest.mark.parametrize(
    "said, why",
    [("a rde 3", "nearest: red"), ("", "names no digit|outside"), ("a red 3, <b>", "&lt;b&gt;")],
)
def test_what_cannot_be_parsed_is_said_plainly_and_nothing_is_lost(panel, said, why):
    panel.steps.value = 1
    panel.draw.click()
    panel.prompt.value = said
    panel.draw.click()
    assert any(part in panel.told.value for part in why.split("|"))
    assert len(panel.drawn) == 1
    panel.prompt.value = "a red 3"
    panel.draw.click()
    assert panel.told.value == "" and len(panel.drawn) == 2


def test_menus_write_the_sentence_and_the_prompt_offers_what_can_follow(panel):
    for key, value in (
        ("first digit", "8"), ("first colour", "cyan"), ("first heading", "left"),
        ("first hums", "humming"), ("second colour", "red"), ("all camera", "zoom in"),
        ("all light", "dims"), ("all style", "outlined"),
    ):  # fmt: skip
        panel.menus[key].value = value
    told = captions.parse(panel.prompt.value)
    assert told.subjects[0] == captions.Subject(8, "cyan", "left", True)
    assert told.subjects[1] == captions.Subject(None, "red")
    assert (told.camera, told.light, told.style) == ("zoom in", "dims", "outlined")
    panel.menus["second colour"].value = "cyan"
    assert "different colours" in panel.told.value
    panel.prompt.value = "a red 3 moves "
    assert "a red 3 moves upwards" in panel.prompt.options


def test_the_judge_marks_what_was_asked_for_only():
    asked = captions.parse("a red 3 and a blue 7, the light dims")
    seen = captions.parse("a blue 7 moves up and a red 5 moves left, the light dims, filled")
    rows = playground._agreement(asked, seen)
    assert "<td>digit</td><td>3, 7</td><td>7, 5</td><td>✗</td>" in rows
    assert "<td>colour</td><td>red, blue</td><td>blue, red</td><td>✓</td>" in rows
    assert "<td>light</td><td>dims</td><td>dims</td><td>✓</td>" in rows
    assert "<td>style</td><td>–</td><td>filled</td><td></td>" in rows
    assert "<td>heading</td><td>–</td><td>up, left</td><td></td>" in rows


def test_formats_are_those_of_what_the_model_learned_from(panel):
    assert panel.shape.options["17 frames of 48×32"] == generator.Format(17, 32, 48)
    large = replace(panel.ready, codec=codec.VideoCodec(*codec.SIZES[64], fine=8, coarse=8))
    shapes = playground.Playground(large, panel.viewer).shape.options
    assert shapes["17 frames of 96×64"] == generator.Format(17, 64, 96)
    assert len(shapes) == len(panel.shape.options) and not shapes.keys() & panel.shape.options
