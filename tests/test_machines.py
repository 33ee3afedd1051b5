"""On other people's machines: moved folders, closed folders, strange terminals, odd settings, odd
arguments."""

import errno
import functools
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib
import nbconvert
import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import nn
from tqdm import tqdm

from minivid import __main__ as command
from minivid import doctor, files, folders, pipeline, processors, recipes, show, training, weights
from minivid.models.codec import VideoCodec
from minivid.models.text_to_video import TextToVideo, TextToVideoConfig
from minivid.pipeline import TOKENIZER, Pipeline
from minivid.recipes import cache, progress, publish
from minivid.recipes.recipe import Recipe
from minivid.training import TrainConfig, checkpoint, precision
from minivid.world import captions, random_scenes, render

ROOT = folders.ROOT
RED = "a red 3 moves right"


def python(*arguments, cwd=None, **environment) -> subprocess.CompletedProcess:
    """Run this Python in an environment of which some variables are changed, or removed where None."""
    changed = {**os.environ, **{k: v for k, v in environment.items() if v is not None}}
    for name in (k for k, v in environment.items() if v is None):
        changed.pop(name, None)
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=changed, capture_output=True, timeout=300)


@pytest.fixture
def tiny(tiny_recipe, tmp_path, monkeypatch) -> Recipe:
    """A recipe of a small network, whose weights and runs are kept in a folder of the test's."""
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setitem(recipes.RECIPES, "tiny", tiny_recipe)
    return tiny_recipe


@pytest.fixture
def small(monkeypatch) -> Pipeline:
    """A pipeline that generates in no time, in the place of the shipped ones; it counts its prompts."""
    torch.manual_seed(0)
    network = TextToVideo(TextToVideoConfig(len(TOKENIZER.words), width=32, depth=1))
    ready = Pipeline(network, VideoCodec())
    monkeypatch.setattr(pipeline, "load", lambda name: ready)
    return ready


# A: a folder that was moved or copied --------------------------------------------------------------


@pytest.fixture
def working_copy(tmp_path):
    """A small working copy with an environment, installed by the Makefile's own rule."""
    home = tmp_path / "here"
    (home / "minivid").mkdir(parents=True)
    for name in ("Makefile", "minivid/__init__.py", "minivid/processors.py"):
        shutil.copy(ROOT / name, home / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / ".venv"], check=True)
    (home / ".venv" / ".made").touch()
    script = home / ".venv" / "bin" / "jupyter"
    script.write_text(f"#!{home}/.venv/bin/python\nimport minivid\nprint(minivid.__file__)\n")
    script.chmod(0o755)
    install(home)
    return home


def install(home: Path) -> None:
    subprocess.run(["make", "-s", ".venv/.here"], cwd=home, check=True)


def found_by(*command: object) -> str:
    """The package that a command finds, from another folder."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    run = subprocess.run(
        list(map(str, command)), cwd="/", env=environment, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("original", ["stays", "goes"])
def test_a_copy_runs_its_own_package_wherever_the_original_is(working_copy, original, tmp_path):
    there = tmp_path / "there"
    (shutil.copytree if original == "stays" else shutil.move)(
        working_copy, there, **({"symlinks": True} if original == "stays" else {})
    )
    asked = "import minivid; print(minivid.__file__)"
    wanted = str(there / "minivid" / "__init__.py")
    assert found_by(there / ".venv/bin/python", "-c", asked) == wanted, "without make"
    install(there)
    assert found_by(there / ".venv/bin/python", "-c", asked) == wanted
    assert found_by(there / ".venv/bin/jupyter") == wanted
    activated = f'. {there}/.venv/bin/activate && command -v python && python -c "{asked}"'
    assert found_by("bash", "-c", activated).split("\n") == [f"{there}/.venv/bin/python", wanted]


# B: folders that cannot be written ---------------------------------------------------------------


def test_runs_are_kept_where_they_can_be(monkeypatch, tmp_path):
    monkeypatch.delenv("MINIVID_RUNS")
    monkeypatch.setattr(folders, "_cache", lambda: tmp_path / "cache" / "minivid")
    ours, cached = ROOT / "runs", tmp_path / "cache" / "minivid" / "runs"
    assert folders.runs() == ours
    closed = {ours}
    monkeypatch.setattr(folders.files, "is_writable", lambda folder: folder not in closed)
    assert folders.runs() == cached
    closed.add(cached)
    assert folders.runs().name == "runs" and folders.runs() not in closed
    monkeypatch.setenv("MINIVID_RUNS", str(tmp_path / "mine"))
    assert folders.runs() == tmp_path / "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs users")
def test_a_closed_folder_is_found_closed(tmp_path):
    inside = tmp_path / "a" / "b"
    assert files.is_writable(inside) and not inside.exists()
    (tmp_path / "file").write_text("no folder")
    assert not files.is_writable(tmp_path / "file" / "b")
    if os.geteuid() == 0:
        os.seteuid(65534)  # nobody
        try:
            assert not files.is_writable(tmp_path / "a")
        finally:
            os.seteuid(0)


def test_nothing_is_encoded_for_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MINIVID_RUNS", str(tmp_path / "file"))
    encoded, network = [], VideoCodec()
    monkeypatch.setattr(network, "encode", lambda clips: encoded.append(clips))
    with pytest.raises(OSError, match="cannot be written.*MINIVID_RUNS"):
        scenes = random_scenes.draw_scenes(2, 0)
        cache.latents("x", network, scenes, lambda part: render.video(part, 5))
    assert not encoded


def test_nothing_is_trained_whose_weights_cannot_be_written(tiny, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "file"))
    drawn = []
    broken = replace(tiny, draw_batch=lambda config, rng: drawn.append(1))
    monkeypatch.setitem(recipes.RECIPES, "tiny", broken)
    assert command.main(["train", "tiny", "--scale", "laptop", "--runs", str(tmp_path)]) == 1
    assert "MINIVID_WEIGHTS" in capsys.readouterr().err and not drawn


def test_latents_go_where_the_runs_go(tiny, tmp_path, monkeypatch):
    codec = VideoCodec()

    def draw_batch(config, rng):
        scenes = random_scenes.draw_scenes(2, rng)
        return (cache.latents("clips", codec, scenes, render.video).flatten(1)[:, :3].float(),)

    monkeypatch.setitem(recipes.RECIPES, "tiny", replace(tiny, draw_batch=draw_batch))
    elsewhere = tmp_path / "elsewhere"
    assert command.main(["train", "tiny", "--scale", "laptop", "--runs", str(elsewhere)]) == 0
    kept = {path.name.split("-")[0] for path in elsewhere.rglob("*") if path.is_file()}
    assert {"clips", "tiny"} <= kept and list((elsewhere / "latents").iterdir())


# C: what a terminal can show ---------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "cp1251"])
def test_help_is_printed_in_any_encoding(encoding):
    for words in ([], ["sample"], ["train"], ["score"], ["experiment"]):
        done = python("-m", "minivid", *words, "--help", PYTHONIOENCODING=encoding)
        assert done.returncode == 0 and b"usage" in done.stdout, done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1251"])
def test_clips_are_saved_whatever_a_terminal_shows(encoding, tmp_path):
    words = ["sample", RED, "a blue 7", "--steps", "1", "--frames", "1", "--model", "video"]
    done = python("-m", "minivid", *words, cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"clip-1.mp4", "clip-2.mp4"}


# D: without progress bars ------------------------------------------------------------------------


def test_a_bar_that_is_switched_off_holds_nothing_up(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "tqdm", functools.partial(tqdm, disable=True))
    assert command.main(["train", "tiny", "--scale", "laptop", "--runs", str(tmp_path)]) == 0
    assert weights.card("tiny")["score"]


# E: errors that are told -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["sample", RED, "--frames", "-3"], "-3 frames.*1, 5, 9"),
        (["sample", RED, "--width", "16400"], "16,400 pixels.*at most 16,383"),
        (["sample", RED, "--seed", str(2**64)], "seed 18446744073709551616: allowed are 0 to"),
        (["sample", RED, "--seed", "-1"], "seed -1: allowed are 0 to"),
        (["sample", RED, "--guidance", "nan"], "guidance nan: give a number"),
        (["sample", RED, "--steps", "0"], "0 steps"),
        (["sample", *RED.split()], '5 prompts of one word each.*quotes: "a red 3 moves right"'),
        (["sample", "a red 3 " * 2000], "6000 words"),
        (["sample", "x" * 10_000], "is not known"),
        (["score", "pixels", "--n", "0"], "--n 0.*at least 50"),
        (["score", "pixels", "--n", "1"], "--n 1.*at least 50"),
        (["score", "pixels", "--seed", "-1"], "seed -1: allowed are 0 to"),
        (["train", "pixels", "--scale", "laptop", "--micro-batches", "0"], "0 micro-batches.*1 to"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said_in_a_line(arguments, message, small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Pipeline, "decode", lambda *_: pytest.fail("it was drawn, and then refused"))
    assert command.main(arguments) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.search(f"minivid: .*({message})", said) and len(said) < 400
    assert not list(tmp_path.glob("*.mp4"))


def test_many_prompts_take_the_memory_of_few(small, tmp_path, monkeypatch, capsys):
    sizes, steps = [], Pipeline.steps

    def counted(self, prompts, *settings):
        sizes.append(len(prompts))
        return steps(self, prompts, *settings)

    monkeypatch.setattr(Pipeline, "steps", counted)
    out, few = tmp_path / "c.png", ["--steps", "1", "--frames", "1"]
    prompts = [f"a red {k % 10}" for k in range(40)]
    assert command.main(["sample", *prompts, "--out", str(out), *few]) == 0
    assert sizes == [16, 16, 8] and len(list(tmp_path.glob("c-*.png"))) == 40
    alone = tmp_path / "alone.png"
    assert command.main(["sample", prompts[20], "--out", str(alone), "--seed", "20", *few]) == 0
    one, other = (np.asarray(Pillow.open(path)) for path in (alone, tmp_path / "c-21.png"))
    assert abs(one.astype(int) - other).max() <= 1  # a rounding, in a batch of another size


def test_too_little_memory_is_said(small, tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 1 TB")

    monkeypatch.setattr(Pipeline, "steps", full)
    assert command.main(["sample", RED, "--out", str(tmp_path / "c.mp4")]) == 1
    assert "out of memory" in capsys.readouterr().err
    monkeypatch.setattr(Pipeline, "steps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # a bug is not hidden
        command.main(["sample", RED, "--out", str(tmp_path / "c.mp4")])


# F: a compiler that fails ------------------------------------------------------------------------


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(3, 3), nn.SiLU()) for _ in range(2))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


def test_a_layer_that_cannot_be_compiled_runs_as_it_is(monkeypatch):
    """The probe was small enough; the first real layer finds the compiler's cache full."""

    def full(layer, **options):
        def call(*arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

        layer._compiled_call_impl = call

    def losses(config):
        torch.manual_seed(0)
        loss = lambda network, batch, rng: network(batch[0]).square().mean()  # noqa: E731
        draw_batch = lambda rng: (torch.randn(2, 3, generator=rng),)  # noqa: E731
        return [done.loss for done in training.train(Blocks(), loss, draw_batch, config)]

    config = TrainConfig(3, 2, 1e-3)
    plain = losses(config)
    monkeypatch.setattr(precision, "compiles", lambda where: True)
    monkeypatch.setattr(nn.Module, "compile", full)
    with pytest.warns(UserWarning, match="Sequential is not compiled.*No space left") as warned:
        assert losses(replace(config, compile=True)) == plain
    assert len(warned) == 2, "once a layer"


# H: an installed package -------------------------------------------------------------------------


def test_a_wheel_holds_its_weights_and_works_from_anywhere(tmp_path):
    pytest.importorskip("setuptools", minversion="77")  # what the build needs; nothing is fetched
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    built, site = tmp_path / "built", tmp_path / "site"
    source = tmp_path / "opt" / "minivid"
    image = (ROOT / "docs" / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (.*)$", image, re.MULTILINE):  # built from what the image copies
        *names, into = line.split()
        for name in names:
            at = tmp_path / into.strip("/") / (name if into.endswith("/") else "")
            at.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, at)
    assert "pip install -r /opt/minivid/requirements.txt" in image
    order = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", built, source]
    subprocess.run([*pip, *map(str, order)], check=True, capture_output=True)
    (wheel,) = built.iterdir()
    with zipfile.ZipFile(wheel) as content:
        content.extractall(site)
        names = set(content.namelist())
    for folder in ("weights", "experiments", "labels"):
        ours = {path.name for path in (ROOT / "data" / folder).iterdir()}
        assert {f"minivid/data/{folder}/{name}" for name in ours} <= names
    asked = (
        "from minivid import folders, pipeline, experiments; "
        "from minivid.recipes import scorecard; "
        "print(folders.data()); print(folders.runs()); "
        "scorecard.load(); experiments.load('speeds'); pipeline.load('video')"
    )
    done = python("-c", asked, cwd="/", PYTHONPATH=str(site), MINIVID_RUNS=None)
    assert done.returncode == 0, done.stderr
    data, runs = done.stdout.decode().split()
    assert data == str(site / "minivid" / "data") and not runs.startswith((str(site), str(ROOT)))
    done = python("-m", "minivid", "doctor", cwd="/", PYTHONPATH=str(site), MINIVID_RUNS=None)
    assert done.returncode == 0, done.stdout


def test_without_git_the_course_is_to_be_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match="git checkout" if (ROOT / ".git").exists() else "ownload"):
        weights.load("pixels", nn.Linear(1, 1))
    monkeypatch.setattr(folders, "ROOT", tmp_path)
    with pytest.raises(ValueError, match="download the course again") as told:
        weights.load("pixels", nn.Linear(1, 1))
    assert "git checkout" not in str(told.value)


def test_an_installed_package_publishes_nothing(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "RECIPES", {"tiny": tiny})
    weights.save("tiny", nn.Linear(3, 3), {})
    monkeypatch.setattr(folders, "IN_A_WORKING_COPY", False)
    monkeypatch.setattr(publish, "publish", lambda scores: pytest.fail("there is no README"))
    assert command.main(["score", "--runs", str(tmp_path)]) == 0


# I: the reader's own matplotlib ------------------------------------------------------------------


def _pictures() -> list[bytes]:
    return [
        show.figure("It costs $5, not $6", alt="a line")[0].png(),
        show.grid(torch.zeros(2, 3, 8, 8), ["$", "$x^2$"], "a $title").png(),
        show.waveform(torch.zeros(4096), [0.1], "a $caption$").png(),
        show.curve([3.0, 2.0, 1.0], "$").png(),
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"text.usetex": True},
        {"savefig.bbox": "tight", "savefig.dpi": 30, "savefig.transparent": True},
        {"figure.facecolor": "black", "axes.facecolor": "red", "font.size": 30},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_figures_are_the_same_whatever_the_readers_settings(settings):
    ours = _pictures()
    with matplotlib.rc_context(settings):
        assert _pictures() == ours
        picture, axes = show.figure()  # on which a notebook draws by itself
        axes.plot([0, 1], [1, 2], label="a_b $x$")
        axes.set_xlabel("time $t (seconds)")
        axes.legend()
        assert picture.png().startswith(b"\x89PNG")


# J: odd arguments --------------------------------------------------------------------------------


def test_one_sentence_instead_of_a_list_is_refused(small):
    with pytest.raises(ValueError, match=r"one sentence.*\[sentence\]"):
        small.generate(RED, num_steps=1)
    with pytest.raises(ValueError, match="no prompts"):
        small.generate([], num_steps=1)


def test_seeds_that_would_give_the_same_clip_are_refused(small):
    for seed in (-1, 2**31, 1 + 2**32, 2**64):
        with pytest.raises(ValueError, match=f"seed {seed}: allowed are 0 to 2147483647"):
            small.generate([RED], seed=seed, num_steps=1)
    for seed in (-1, 2**32, 2**64):
        with pytest.raises(ValueError, match=f"from seed {seed}"):
            random_scenes.draw_scenes(1, seed)
    with pytest.raises(ValueError, match="-1 scenes"):
        random_scenes.draw_scenes(-1, 0)


def test_another_default_of_torchs_numbers_is_told():
    torch.set_default_dtype(torch.float64)  # as a reader may have set it
    try:
        with pytest.raises(ValueError, match=r"float64.*set_default_dtype\(torch.float32\)"):
            pipeline.load("video")
    finally:
        torch.set_default_dtype(torch.float32)


# K, L: notebooks as scripts, checkpoints of another edition ----------------------------------------


def test_a_notebook_becomes_a_python_script():
    exporter = nbconvert.exporters.ScriptExporter()
    _, about = exporter.from_filename(str(ROOT / "notebooks" / "00_start_here.ipynb"))
    assert about["output_extension"] == ".py"


@pytest.mark.parametrize("change", [{"later": 1}, {"steps": None}, {"seed": None}])
def test_a_checkpoint_of_another_editions_configuration_is_told(change, tmp_path):
    config = TrainConfig(3, 2, 1e-3)
    other = {key: value for key, value in (asdict(config) | change).items() if value is not None}
    path = tmp_path / "c.pt"
    checkpoint.write(path, {"config": other, "step": 1})
    steps = training.train(nn.Linear(3, 3), lambda *_: None, lambda rng: (), config, path)
    with pytest.raises(ValueError, match=f"another configuration.*{next(iter(change))}.*begin anew"):
        next(steps)


# M: processors -----------------------------------------------------------------------------------


def test_threads_wait_briefly_unless_the_reader_chose():
    asked = "import minivid, os; print(os.environ['GOMP_SPINCOUNT'])"
    assert python("-c", asked, GOMP_SPINCOUNT=None).stdout.strip() == b"1000"
    assert python("-c", asked, GOMP_SPINCOUNT="7").stdout.strip() == b"7"


@pytest.mark.parametrize(
    "found, cores",
    [
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu.max": "nonsense"}, 8),
        ({}, 8),
    ],
)
def test_a_containers_share_of_the_processor_is_known(found, cores, tmp_path, monkeypatch):
    monkeypatch.setattr(processors.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name, text in found.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert processors.granted(tmp_path) == cores
    monkeypatch.setattr(processors, "granted", lambda: cores)
    monkeypatch.setattr(processors.os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    processors.set_environment()
    assert os.environ.pop("OMP_NUM_THREADS", "8") == str(cores)


# Messages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sentence", ["a red 3,", "a red 3,, the light dims", ", a red 3"])
def test_a_comma_too_many_is_said(sentence):
    with pytest.raises(ValueError, match="a comma in .* has nothing before or behind it"):
        captions.parse(sentence)


def test_a_folder_that_is_missing_is_not_taken_for_a_full_disk(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError) as told:
        files.write(tmp_path / "file" / "clip.mp4", b"12345")
    assert "Choose another folder" in str(told.value) and "Free some space" not in str(told.value)
    assert "5 bytes" in str(told.value)


# The doctor --------------------------------------------------------------------------------------


def findings() -> dict[str, doctor.Finding]:
    return {one.what: one for one in doctor.examine()}


def test_the_doctor_finds_nothing_broken_here(capsys):
    assert doctor.run() == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) <= 24 and all(len(line) < 120 for line in said), "one screen"


def test_the_doctor_finds_weights_that_are_damaged_or_missing(tmp_path, monkeypatch, capsys):
    shutil.copytree(folders.weights(), tmp_path / "weights")
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "weights"))
    cut, missing = (tmp_path / "weights" / f"{name}.safetensors" for name in ("joint", "words"))
    cut.write_bytes(cut.read_bytes()[:-1])
    missing.unlink()
    assert command.main(["doctor"]) == 1
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if line.startswith("weights"))
    assert "BROKEN" in line and re.search(r"missing or damaged: (joint, words|words, joint)$", line)
    assert "python -m minivid train" in said and "1 broken" in said


def test_the_doctor_finds_a_missing_package_instead_of_ending_by_it(tmp_path):
    (tmp_path / "safetensors").mkdir()
    (tmp_path / "safetensors" / "__init__.py").write_text("raise ImportError('no such wheel')")
    done = python("-m", "minivid", "sample", RED, PYTHONPATH=str(tmp_path), cwd=tmp_path)
    said = done.stdout.decode()
    assert done.returncode == 1 and "Traceback" not in done.stderr.decode()
    assert "safetensors (no such wheel)" in said and "pip install -r requirements.txt" in said


def test_the_doctor_finds_folders_that_cannot_be_written_and_another_package(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MINIVID_RUNS", str(tmp_path / "file"))
    (tmp_path / "minivid").mkdir()
    (tmp_path / "minivid" / "pipeline.py").write_text("")
    monkeypatch.chdir(tmp_path)
    found = findings()
    assert found["runs"].how == doctor.BROKEN and "MINIVID_RUNS" in found["runs"].advice
    assert found["minivid"].how == doctor.BROKEN and str(tmp_path) in found["minivid"].found
    assert found["PyTorch"].how == doctor.FINE


def test_the_doctor_says_what_is_slow(monkeypatch):
    monkeypatch.setattr(processors, "granted", lambda: 1)
    monkeypatch.setattr(training, "has_bf16", lambda where: False)
    monkeypatch.setattr(training, "compiles", lambda where: False)
    found = findings()
    assert [found[what].how for what in ("threads", "bf16", "compiler")] == [doctor.SLOW] * 3
    assert not any(one.how == doctor.BROKEN for one in found.values())
