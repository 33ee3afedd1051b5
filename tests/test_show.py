"""What is shown is what was given: encoders read back, figures with words for those who cannot see."""

import io
import re

import av
import numpy as np
import pytest
import torch
from PIL import Image

from minivid import show
from minivid.formats import SAMPLE_RATE
from minivid.show import figures, media
from minivid.world import random_scenes, render


@pytest.fixture(scope="module")
def clip():
    return render.video(random_scenes.draw_scenes(1, 3, random_scenes.FULL))[0]


def _click(second: float, seconds: float) -> torch.Tensor:
    sound = torch.zeros(round(seconds * SAMPLE_RATE))
    start = round(second * SAMPLE_RATE)
    tone = torch.sin(torch.arange(800) * 2 * np.pi * 880 / SAMPLE_RATE)
    sound[start : start + 800] = 0.8 * tone
    return sound


def _decode(data: bytes) -> tuple[np.ndarray, np.ndarray, int]:
    with av.open(io.BytesIO(data)) as file:
        frames = np.stack([f.to_ndarray(format="rgb24") for f in file.decode(video=0)])
    with av.open(io.BytesIO(data)) as file:
        if not file.streams.audio:
            return frames, np.zeros(0), 0
        resampler = av.AudioResampler("flt", "mono")
        pieces = [
            (float(one.time), one.to_ndarray()[0], one.sample_rate)
            for packet in file.decode(audio=0)
            for one in resampler.resample(packet)
        ]
    rate = pieces[0][2]
    sound = np.zeros(round((pieces[-1][0] + 1) * rate), np.float32)
    for time, part, _ in pieces:
        at = max(0, round(time * rate))
        sound[at : at + len(part)] = part
    return frames, sound, rate


def test_pixels_go_from_black_to_white():
    assert show.pixels(torch.tensor([-1.0, 0.0, 1.0, 7.0, -7.0])).tolist() == [0, 128, 255, 255, 0]
    for wrong, message in (
        (torch.arange(4), "floats.*divide by 127.5"),
        (torch.tensor([0.0, 255.0]), "0 to 255: divide by 127.5"),
        (torch.tensor([0.0, float("nan")]), "1 of 2 values are NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            show.pixels(wrong)


def test_an_animated_png_loses_nothing_and_keeps_time(clip):
    with Image.open(io.BytesIO(show.encode_apng(clip, scale=2))) as picture:
        assert picture.n_frames == 17 and picture.info["loop"] == 0
        frames, times = [], []
        for k in range(17):
            picture.seek(k)
            frames.append(np.asarray(picture.convert("RGB")))
            times.append(picture.info["duration"])
    assert times == [125] * 17
    wanted = show.pixels(clip).transpose(1, 2, 3, 0).repeat(2, 1).repeat(2, 2)
    assert (np.stack(frames) == wanted).all()


@pytest.mark.parametrize("encode", [show.encode_mp4, show.encode_webm], ids=["mp4", "webm"])
def test_a_video_comes_back_in_its_colours_with_its_click_in_time(encode, clip):
    frames, sound, rate = _decode(encode(clip, _click(1.3, 17 / 8), scale=8))
    assert frames.shape == (17, 256, 256, 3)
    wanted = show.pixels(clip).transpose(1, 2, 3, 0)
    shown = frames.reshape(17, 32, 8, 32, 8, 3).mean((2, 4))
    assert np.abs(shown - wanted).mean() < 4 and np.abs(shown - wanted).max() < 80
    onset = (np.abs(sound) > 0.2).argmax() / rate
    assert abs(onset - 1.3) < 0.01


def test_the_same_clip_gives_the_same_bytes(clip):
    sound = _click(0.5, 17 / 8)
    for encode in (show.encode_webm, show.encode_mp4):
        assert encode(clip, sound) == encode(clip, sound)


def test_sound_of_another_length_is_refused_with_the_right_one(clip):
    with pytest.raises(ValueError, match="s = 17408 for 2.125 seconds"):
        show.encode_mp4(clip, torch.zeros(8192))


def test_a_mosaic_keeps_each_clip_and_pads_with_white():
    small, tall = torch.full((3, 2, 4, 4), -1.0), torch.full((1, 3, 6, 4), 0.0)
    joined = show.mosaic([small, tall], columns=2)
    assert joined.shape == (3, 3, 6, 9)
    assert (joined[:, :, :4, :4] == -1).all() and (joined[:, :, 4:, :5] == 1).all()
    torch.testing.assert_close(joined[:, :, :, 5:], torch.zeros(3, 3, 6, 4), atol=0.01, rtol=0)


def test_a_player_shows_the_animation_first_and_then_both_videos(clip, monkeypatch):
    shown = []
    monkeypatch.setattr(media, "display", shown.append)
    show.play(clip, _click(0.5, 17 / 8), 'a red 3, <said> & "done"')
    picture, player = shown
    data, about = picture._repr_mimebundle_()
    assert "image/png" in data and "red 3" in about["image/png"]["alt"]
    text = player.data
    types = re.findall(r"<source type='(.*?)' src=\"data:(.*?);base64,", text)
    kinds = ["video/mp4", "video/webm", "video/mp4"]
    assert [kind for _, kind in types] == kinds
    h264 = 'video/mp4; codecs="avc1.[0-9a-f]{6}'
    wanted = [h264 + ', mp4a.40.2"', 'video/webm; codecs="vp9, opus"', h264 + ', mp4a.6B"']
    assert all(re.fullmatch(*pair) for pair in zip(wanted, (kind for kind, _ in types), strict=True))
    assert "&lt;said&gt; &amp;" in text and "<said>" not in text
    assert "muted" not in text and "loop" in text


def test_saving_writes_the_whole_file_or_leaves_the_old_one(clip, tmp_path, monkeypatch):
    path = tmp_path / "clip.webm"
    show.save(path, clip)
    old = path.read_bytes()
    assert old == show.encode_webm(clip)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(media.files.os, "fsync", full)
    with pytest.raises(OSError, match="unchanged"):
        show.save(path, -clip)
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]
    with pytest.raises(ValueError, match=r"must end in .mp4, .webm"):
        show.save(tmp_path / "clip.gif", clip)
    with pytest.raises(ValueError, match="cannot hold sound"):
        show.save(tmp_path / "clip.png", clip, _click(0.5, 17 / 8))


def test_figures_carry_their_words(clip):
    figures = {
        "strip": show.film_strip(clip, "a clip", alt="strip"),
        "grid": show.grid(clip.transpose(0, 1), alt="grid"),
        "curve": show.curve({"a": [3, 2, 1], "b": [1, 2, 3]}, alt="curve"),
        "wave": show.waveform(_click(0.5, 1.0), [0.5], alt="wave"),
        "empty": show.figure("A finding", alt="empty")[0],
    }
    for alt, picture in figures.items():
        data, about = picture._repr_mimebundle_()
        assert about["image/png"]["alt"] == alt and data["text/plain"] == alt
        assert picture.png().startswith(b"\x89PNG")
    assert show.grid(clip.transpose(0, 1), title="The finding").alt == "The finding"


def test_shapes_that_do_not_fit_are_refused_with_the_way_out(clip):
    for wrong, message in (
        (lambda: show.film_strip([clip, clip[:, :5]]), "one shape.*play"),
        (lambda: show.film_strip(clip[0]), r"\(c, f, h, w\).*grid"),
        (lambda: show.grid(clip[None]), "film_strip"),
        (lambda: show.grid(clip.transpose(0, 1), ["one"]), "1 captions for 17"),
        (lambda: show.curve([[1, 2]]), "list of numbers"),
        (lambda: show.waveform(torch.zeros(2, 100), [0.5]), "2 lists|1 lists"),
        (lambda: show.source(3), "no Python source"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()


def test_a_table_writes_intervals_texts_and_gaps():
    text = show.table({"a|b": {"x": (0.5, 0.25, 0.75), "n": 3}, "c": {"x": 1.0}}, digits=1).data
    assert text.splitlines() == [
        "|  | x | n |",
        "| --- | ---: | ---: |",
        "| a\\|b | 0.5 [0.2, 0.8] | 3 |",
        "| c | 1.0 |  |",
    ]
    assert "def pixels" in show.source(show.pixels).data


def test_many_lines_of_a_plot_all_look_different():
    styles = [show.line_style(k) for k in range(36)]
    assert len(set(styles)) == 36
    assert styles[:6] == list(zip(show.COLOURS, figures.DASHES))
