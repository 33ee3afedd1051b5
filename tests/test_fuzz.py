"""Whatever is typed or found in a file: an answer, or an error in a sentence; never a trace, never half a
file.

What is generated is a stand-in here, so that each entry meets 2,000 cases in seconds.
"""

import contextlib
import io
import json
import string
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from minivid import __main__ as command
from minivid import diffusion, experiments, folders, pipeline, recipes, weights
from minivid.experiments import records
from minivid.formats import Format
from minivid.models.codec import VideoCodec
from minivid.pipeline import TOKENIZER, Pipeline
from minivid.recipes import cache, scorecard
from minivid.training import checkpoint
from minivid.world import captions, random_scenes, render
from minivid.world.scene import Description

MANY = settings(
    max_examples=2000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TOLD = (ValueError, OSError)  # what a reader can cause


def is_a_sentence(error: BaseException) -> bool:
    """Whether an error says what was given, in words, and not a page of it."""
    return 10 < len(str(error)) < 1200 and " " in str(error)


# Prompts -----------------------------------------------------------------------------------------

WORDS = st.sampled_from([*captions.VOCABULARY, ",", ", ", ".", "", "red3", "ten", "\n", "é", "😀", "10"])
SENTENCES = st.one_of(
    st.text(max_size=60),
    st.lists(WORDS, max_size=14).map(" ".join),
    st.integers(0, 2**32 - 1).map(
        lambda seed: captions.write(
            random_scenes.draw_scenes(1, seed, random_scenes.FULL)[0].describe(),
            torch.Generator().manual_seed(seed),
            0.7,
        )
    ),
)


@MANY
@given(SENTENCES)
def test_any_sentence_is_read_or_refused(sentence):
    try:
        found = captions.parse(sentence)
    except ValueError as error:
        assert is_a_sentence(error)
    else:
        assert isinstance(found, Description) and captions.parse(captions.write(found)) == found
        assert TOKENIZER([sentence]).shape == (1, 40)


@MANY
@given(st.one_of(SENTENCES, st.lists(st.one_of(SENTENCES, st.none(), st.integers()), max_size=4)))
def test_any_prompts_are_tokenised_or_refused(prompts):
    try:
        tokens = pipeline.tokenize(prompts)
    except ValueError as error:
        assert is_a_sentence(error)
    else:
        assert len(tokens) == len(prompts) and not isinstance(prompts, str)


# Generating --------------------------------------------------------------------------------------


@dataclass
class Config:
    channels: int = 3


class Grey(nn.Module):
    """A network that predicts nothing, in no time."""

    unit = (2, 2)
    config = Config()

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x_t, t, conditioning):
        return torch.zeros_like(x_t)


GREY = Pipeline(Grey(), num_steps=1, shift=1.0, solver=diffusion.euler)
NUMBERS = st.one_of(st.integers(-3, 40), st.sampled_from([2**31, 2**32, 2**64, -(2**63)]))
REALS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@MANY
@given(
    st.lists(st.sampled_from(["a red 3", "", "a blue 7 moves up", "a cat"]), max_size=3),
    NUMBERS,
    st.integers(-2, 3),
    REALS,
    st.builds(Format, *[st.integers(-9, 20)] * 3),
)
def test_any_settings_give_finite_clips_or_an_error(prompts, seed, steps, guidance, shape):
    try:
        clip = GREY.generate(prompts, seed, steps, guidance, shape)
    except ValueError as error:
        assert is_a_sentence(error)
    else:
        assert clip.video.shape == (len(prompts), 3, shape.frames, shape.height, shape.width)
        assert clip.video.isfinite().all()


# The command line --------------------------------------------------------------------------------


@pytest.fixture
def stubbed(tiny_recipe, tmp_path, monkeypatch):
    """A folder to work in, with one model that trains and scores in no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(pipeline, "load", lambda name: GREY)
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": tiny_recipe})
    monkeypatch.setattr(scorecard, "SCORECARD", tmp_path / "scorecard.json")
    scorecard.write([])
    monkeypatch.setattr(folders, "IN_A_WORKING_COPY", False)
    monkeypatch.setattr(experiments, "run", lambda name, bar: experiments.experiment(name) and 1 / 0)
    weights.save("tiny", nn.Linear(3, 3), {})
    return tmp_path


PIECES = st.one_of(
    st.sampled_from(
        ["sample", "train", "score", "experiment", "tiny", "all", "a red 3", "a", "red", "", "speeds"]
    ),
    st.sampled_from(["--out", "--seed", "--steps", "--guidance", "--frames", "--height", "--width"]),
    st.sampled_from(["--scale", "--micro-batches", "--runs", "--n", "--json", "--model", "--help"]),
    st.sampled_from(["c.png", "c.mp4", "c.txt", "no/where/c.png", "/dev/null/c.png", "runs", ".", "laptop"]),
    st.sampled_from(["0", "1", "-1", "5", "60", "nan", "inf", "1e9", str(2**64), "joint", "é😀", "--"]),
    st.text(string.printable, max_size=8),
)


@MANY
@given(st.sampled_from(["sample", "train", "score", "experiment"]), st.lists(PIECES, max_size=7))
def test_any_command_line_ends_in_a_sentence(stubbed, verb, pieces):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = command.main([verb, *pieces])
        except SystemExit as usage:  # argparse's own errors, and --help
            status = usage.code
        except ZeroDivisionError:
            status = 0  # an experiment would begin
    assert status in (0, 1, 2)
    said = err.getvalue()
    assert "Traceback" not in said and "Error:" not in said.replace("error:", "")
    if status == 1:
        assert said.splitlines()[-1] and "minivid: " in said
    assert not list(stubbed.rglob("*.part"))


# Files -------------------------------------------------------------------------------------------

# How a file is damaged: cut, a byte flipped, two parts swapped, or all of it something else.
DAMAGE = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1, exclude_max=True)),
    st.tuples(st.just("flip"), st.floats(0, 1, exclude_max=True), st.integers(0, 7)),
    st.tuples(st.just("swap"), st.floats(0, 1, exclude_max=True)),
    st.tuples(st.just("other"), st.binary(max_size=40)),
)


def damaged(content: bytes, damage: tuple) -> bytes:
    how, *where = damage
    if how == "other":
        return where[0]
    at = int(where[0] * len(content))
    if how == "cut":
        return content[:at]
    if how == "swap":
        return content[at:] + content[:at]
    return content[:at] + bytes([content[at] ^ 1 << where[1]]) + content[at + 1 :]


# Each gives the path of a whole file, what reads it, and whether any change at all must be found out.


def _weights(folder, monkeypatch) -> tuple:
    monkeypatch.setenv("MINIVID_WEIGHTS", str(folder))
    path = weights.save("tiny", nn.Linear(3, 3), {})
    return path, lambda: weights.load("tiny", nn.Linear(3, 3)), True


def _card(folder, monkeypatch) -> tuple:
    path, _, _ = _weights(folder, monkeypatch)
    return path.with_suffix(".json"), lambda: weights.load("tiny", nn.Linear(3, 3)), False


def _checkpoint(folder, monkeypatch) -> tuple:
    path = folder / "c.pt"
    checkpoint.write(path, {"config": {}, "step": 3, "network": nn.Linear(3, 3).state_dict()})
    return path, lambda: checkpoint.read(path), True


def _experiment(folder, monkeypatch) -> tuple:
    path = folder / "speeds.json"
    path.write_text(json.dumps({"experiment": "speeds", "results": {"0": {"a": [1, 0, 2]}}}))
    monkeypatch.setattr(experiments, "FOLDER", folder)
    return path, lambda: experiments.load("speeds"), False


def _clips(folder, monkeypatch) -> tuple:
    records.save_clips("x", "clip", torch.zeros(1, 3, 1, 4, 4), folder)
    return folder / "x.npz", lambda: records.load_clips("x", folder), False


def _latents(folder, monkeypatch) -> tuple:
    codec, scenes = VideoCodec(), random_scenes.draw_scenes(1, 0)

    def read():
        return cache.latents("x", codec, scenes, lambda some: render.video(some, 1, 8, 8), folder)

    read()
    (path,) = folder.glob("x-*.safetensors")
    monkeypatch.setattr(cache, "encode", lambda *_: torch.zeros(1, 8, 1, 2, 2))
    return path, read, False


@pytest.mark.parametrize("kind", [_weights, _card, _checkpoint, _experiment, _clips, _latents])
def test_a_damaged_file_is_told_or_made_again(kind, tmp_path, monkeypatch):
    path, read, checked = kind(tmp_path, monkeypatch)
    whole = path.read_bytes()
    read()

    @MANY
    @given(DAMAGE)
    def survives(damage):
        content = damaged(whole, damage)
        path.write_bytes(content)
        try:
            read()
        except TOLD as error:
            assert is_a_sentence(error) and path.name.split(".")[0] in str(error)
        else:
            assert not checked or content == whole, "a change was not found out"
        assert not list(tmp_path.rglob("*.part"))

    survives()


# Whole command lines -----------------------------------------------------------------------------

LINES = [
    (0, ["--help"]),
    (2, []),
    (2, ["dance"]),
    (2, ["sample"]),
    (0, ["sample", "a red 3", "--steps", "1", "--out", "c.mp4"]),
    (0, ["sample", "a red 3", "a blue 7 moves up", "--steps", "1", "--frames", "5", "--out", "c.webm"]),
    (0, ["sample", "a red 3", "--steps", "1", "--width", "48", "--out", "ein Ordner/c.png"]),
    (1, ["sample", "a red 3", "--width", "47"]),
    (1, ["sample", "a red 3", "--frames", "0"]),
    (1, ["sample", "a purple cow"]),
    (1, ["sample", "a", "red", "3"]),
    (1, ["sample", "a red 3", "--out", "clip.gif"]),
    (1, ["sample", "a red 3", "--steps", "1", "--out", "/dev/null/clip.mp4"]),
    (1, ["sample", "a red 3", "--seed", "-1"]),
    (2, ["sample", "a red 3", "--seed", "pi"]),
    (1, ["sample", "a red 3", "--model", "video_64"]),
    (1, ["train", "nothing"]),
    (1, ["train", "pixels", "--scale", "laptop", "--micro-batches", "0"]),
    (1, ["score", "pixels", "--n", "0"]),
    (1, ["experiment", "dance"]),
]


@pytest.mark.parametrize("status, line", LINES, ids=[" ".join(line)[:40] or "-" for _, line in LINES])
def test_a_whole_command_line_ends_as_it_should(status, line, tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "minivid", *line], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == status, run.stderr
    assert "Traceback" not in run.stderr and not list(tmp_path.rglob("*.part"))
    if status == 1:
        assert run.stderr.splitlines()[-1].startswith("minivid: ") and run.stdout == ""
    made = [path.suffix for path in tmp_path.rglob("*") if path.is_file()]
    assert bool(made) == (status == 0 and line[0] == "sample")
