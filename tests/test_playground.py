"""The playground: what is typed is generated, or it is said why not; what was generated stays."""

from dataclasses import replace

import av
import pytest
import torch
from torch import nn

from minivid import pipeline
from minivid.formats import Format
from minivid.measure.judge import Judge, load_judge
from minivid.models.codec import VIDEO_CODECS, AudioCodec, AudioCodecConfig, VideoCodec
from minivid.models.text_to_video import (
    TextToAudioVideo,
    TextToAudioVideoConfig,
    TextToVideo,
    TextToVideoConfig,
)
from minivid.pipeline import TOKENIZER, Pipeline
from minivid.show import playground
from minivid.world import captions
from minivid.world.scene import Subject

SMALL = {"width": 32, "depth": 1}


def shaken(network: nn.Module) -> nn.Module:
    """A network that has learned nothing, but in which nothing is zero either."""
    for parameter in network.dit.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge()


@pytest.fixture
def panel(judge, tmp_path) -> playground.Playground:
    torch.manual_seed(0)
    network = shaken(TextToVideo(TextToVideoConfig(len(TOKENIZER.words), **SMALL)))
    ready = Pipeline(network, pipeline.load_video_codec())
    return playground.Playground(ready, judge, tmp_path)


@pytest.fixture
def with_sound(judge, tmp_path) -> playground.Playground:
    torch.manual_seed(0)
    config = TextToAudioVideoConfig(len(TOKENIZER.words), **SMALL)
    audio_codec = AudioCodec(AudioCodecConfig(width=16, blocks=1))
    ready = Pipeline(shaken(TextToAudioVideo(config)), pipeline.load_video_codec(), audio_codec)
    return playground.Playground(ready, judge, tmp_path)


def test_what_is_asked_for_is_generated_with_its_settings(panel):
    shape = Format(9, 32, 32)
    panel.prompt.value, panel.seed.value, panel.steps.value = "a blue 7 moves up", 5, 2
    panel.guidance.value, panel.shape.value = 1.5, shape
    panel.generate.click()
    (one,) = panel.generated
    expected = panel.pipeline.generate(["a blue 7 moves up"], 5, 2, 1.5, shape)
    torch.testing.assert_close(one.video, expected.video)
    assert one.audio is None
    assert (one.prompt, one.seed, one.shape) == ("a blue 7 moves up", 5, shape)
    assert (panel.progress.value, panel.progress.max) == (2, 2)
    assert panel.player.value[4:8] == b"ftyp" and "read by the judge" in panel.agreement.value


def test_a_clip_with_sound_is_heard(with_sound, tmp_path):
    with_sound.steps.value = 1
    with_sound.generate.click()
    assert with_sound.generated[0].audio.shape == (1, 17 * 1024)
    with_sound.save.click()
    (path,) = tmp_path.iterdir()
    with av.open(str(path)) as film:
        assert (len(film.streams.video), len(film.streams.audio)) == (1, 1)


def test_the_history_keeps_what_was_generated_and_shows_it_again(panel):
    panel.steps.value, shown = 1, []
    for k in range(3):
        panel.seed.value = k
        panel.generate.click()
        shown.append(panel.player.value)
    assert [one.seed for one in panel.generated] == [2, 1, 0]
    panel.history.value = panel.generated[-1]
    assert panel.player.value == shown[0] != shown[2]
    assert len(panel.history.options) == 3


def test_saving_never_overwrites(panel, tmp_path):
    panel.steps.value = 1
    assert panel.save.disabled
    panel.generate.click()
    assert not panel.save.disabled
    for _ in range(3):
        panel.save.click()
    names = sorted(path.name for path in tmp_path.iterdir())
    name = "a_red_3_moves_right-0"
    assert names == [f"{name}-2.mp4", f"{name}-3.mp4", f"{name}.mp4"]
    assert f"{name}-3.mp4" in panel.message.value


@pytest.mark.parametrize(
    "prompt, why",
    [("a rde 3", "nearest: red"), ("", "names no digit|outside"), ("a red 3, <b>", "&lt;b&gt;")],
)
def test_what_cannot_be_parsed_is_said_plainly_and_nothing_is_lost(panel, prompt, why):
    panel.steps.value = 1
    panel.generate.click()
    panel.prompt.value = prompt
    panel.generate.click()
    assert any(part in panel.message.value for part in why.split("|"))
    assert len(panel.generated) == 1
    panel.prompt.value = "a red 3"
    panel.generate.click()
    assert panel.message.value == "" and len(panel.generated) == 2


def test_menus_write_the_sentence_and_the_prompt_offers_what_can_follow(panel):
    for key, value in (
        ("first digit", "8"), ("first colour", "cyan"), ("first heading", "left"),
        ("first hums", "humming"), ("second colour", "red"), ("all camera", "zoom in"),
        ("all light", "dims"), ("all style", "outlined"),
    ):  # fmt: skip
        panel.menus[key].value = value
    described = captions.parse(panel.prompt.value)
    assert described.subjects[0] == Subject(8, "cyan", "left", True)
    assert described.subjects[1] == Subject(None, "red")
    assert (described.camera, described.light, described.style) == ("zoom in", "dims", "outlined")
    panel.menus["second colour"].value = "cyan"
    assert "different colours" in panel.message.value
    panel.menus["second colour"].value, panel.menus["all camera"].value = "red", "follow the second"
    assert "the camera follows the red digit" in panel.prompt.value
    panel.menus["all slow_motion"].value = "in slow motion"
    assert captions.parse(panel.prompt.value).slow_motion
    panel.prompt.value = "a red 3 moves "
    assert "a red 3 moves upwards" in panel.prompt.options


def test_the_menus_follow_what_is_typed_so_that_nothing_typed_is_lost(panel):
    panel.prompt.value = "a blue 5 moves up and a red 3, a tracking shot of the blue 5, it gets darker"
    said = {key: menu.value for key, menu in panel.menus.items() if menu.value != playground.NOT_SAID}
    assert said == {"first digit": "5", "first colour": "blue", "first heading": "up",
                    "second digit": "3", "second colour": "red", "all light": "dims",
                    "all camera": "follow the first"}  # fmt: skip
    panel.menus["all style"].value = "outlined"
    assert captions.parse(panel.prompt.value) == captions.parse(
        "a blue 5 moves up and a red 3, the camera follows the blue 5, the light dims, outlined"
    )


def test_the_judge_marks_what_was_asked_for_only():
    asked = captions.parse("a red 3 and a blue 7, the light dims")
    observed = captions.parse("a blue 7 moves up and a red 5 moves left, the light dims, filled")
    rows = playground._agreement(asked, observed)
    assert "<td>digit</td><td>3, 7</td><td>5, 7</td><td>✗</td>" in rows
    assert "<td>colour</td><td>red, blue</td><td>red, blue</td><td>✓</td>" in rows
    assert "<td>light</td><td>dims</td><td>dims</td><td>✓</td>" in rows
    assert "<td>style</td><td>–</td><td>filled</td><td></td>" in rows
    assert "<td>heading</td><td>–</td><td>left, up</td><td></td>" in rows


def test_formats_are_those_of_what_the_model_learned_from(panel):
    assert panel.shape.options["17 frames of 48×32"] == Format(17, 32, 48)
    large = VideoCodec(replace(VIDEO_CODECS[64], fine=8, coarse=8))
    ready = replace(panel.pipeline, video_codec=large)
    shapes = playground.Playground(ready, panel.judge).shape.options
    assert shapes["17 frames of 96×64"] == Format(17, 64, 96)
    assert len(shapes) == len(panel.shape.options) and not shapes.keys() & panel.shape.options
