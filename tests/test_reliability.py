"""A training survives what happens to it: kills, full disks, damaged files, another one in its place."""

import errno
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from minivid import files, recipes, training, weights
from minivid.__main__ import main
from minivid.measure.stats import proportion_row
from minivid.recipes import flops, runs
from minivid.training import TrainConfig, checkpoint

CONFIG = TrainConfig(12, 4, 1e-2, warmup=2, muon_lr=0.02)


def _network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 8))


def _draw_batch(rng):
    return (torch.randn(CONFIG.batch_size, 8, generator=rng),)


def _loss(network, batch, rng):
    return (network(batch[0]) - batch[0].roll(1, 1)).square().mean()


def _steps(path=None, config=CONFIG, network=None, every=3):
    return training.train(network or _network(), _loss, _draw_batch, config, path, every)


def _losses(*arguments, **options):
    return [progress.loss for progress in _steps(*arguments, **options)]


SOAK = """
import itertools, os, random, signal, sys, time
from pathlib import Path
import torch
from torch import nn
from minivid.training import TrainConfig, train

EVERY, KILLS = 5, 20
torch.set_num_threads(1)
folder, chance = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
config = TrainConfig(4000, 4, 1e-3, muon_lr=0.02)

def steps(checkpoint):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 256), nn.SiLU(), nn.Linear(256, 64))
    draw_batch = lambda rng: (torch.randn(4, 64, generator=rng),)
    loss = lambda network, batch, rng: (network(batch[0]) - batch[0].roll(1, 1)).square().mean()
    return train(network, loss, draw_batch, config, checkpoint, EVERY)

def live(log):
    for progress in steps(folder / "c.pt"):
        os.write(log, f"{progress.step} {progress.loss!r}\\n".encode())

def read(path):
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(step), float(loss)) for step, loss in map(str.split, lines)]

next(steps(None))  # what has to be imported is, before the first is born
lives, torn = [], 0
for life in range(KILLS):
    path = folder / f"{life}.log"
    child = os.fork()
    if child == 0:
        live(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
        os._exit(0)
    wanted = chance.randint(1, 12)
    while len(read(path)) < wanted:
        assert os.waitpid(child, os.WNOHANG)[0] == 0, "it ended by itself"
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    torn += any(folder.glob(".c.pt.*.part"))
    lives.append(read(path))
end = lives[-1][-1][0] + 20
last = [(p.step, p.loss) for p in itertools.islice(steps(folder / "c.pt"), 40) if p.step <= end]
uninterrupted = {p.step: p.loss for p in itertools.islice(steps(None), end)}
for before, after in zip(lives, [*lives[1:], last]):
    reached, again = before[-1][0], after[0][0] - 1
    assert again >= reached - reached % EVERY, (reached, again)
    assert again % EVERY == 0, again
for life in [*lives, last]:
    assert life == [(step, uninterrupted[step]) for step, _ in life], "other losses than uninterrupted"
assert last[-1][0] == end
assert not list(folder.glob(".c.pt.*.part")), "half a file was left"
print(f"{KILLS} kills, {torn} of them while a checkpoint was written")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="kills processes that were forked")
def test_killed_twenty_times_it_loses_no_more_than_the_steps_since_its_last_checkpoint(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SOAK, str(tmp_path), "0"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("20 kills")


@pytest.mark.parametrize("at", [0.02, 0.3, 0.5, 0.7, 0.98])
def test_a_checkpoint_with_one_wrong_byte_is_refused_and_left_alone(at, tmp_path):
    path = tmp_path / "c.pt"
    list(_steps(path))
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match="torn.*Delete"):
        _losses(path)
    assert path.read_bytes() == bytes(content)


def test_a_checkpoint_of_another_version_says_so(tmp_path):
    path = tmp_path / "c.pt"
    list(_steps(path))
    checkpoint.write(path, {**checkpoint.read(path), "minivid": "7"})
    with pytest.raises(ValueError, match="version 7, this code reads 2. Delete"):
        _losses(path)


def test_weights_with_one_wrong_byte_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    path = weights.save("tiny", _network(), {})
    content = bytearray(path.read_bytes())
    content[-20] ^= 0x01
    path.write_bytes(content)
    with pytest.raises(ValueError, match="it was changed.*git checkout"):
        weights.load("tiny", _network())


def test_on_a_full_disk_it_stops_and_goes_on_where_it_was_once_there_is_room(tmp_path, monkeypatch):
    path, uninterrupted, sync = tmp_path / "c.pt", _losses(), os.fsync
    saved = []

    def full(file):
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(sync(file))

    monkeypatch.setattr(files.os, "fsync", full)
    losses, steps = [], _steps(path)
    with pytest.raises(OSError, match="No space left.*unchanged.*Free some space"):
        losses.extend(progress.loss for progress in steps)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == ["c.pt"]
    assert losses == uninterrupted[:8] and _losses(path) == uninterrupted[6:]


def test_a_folder_that_cannot_be_written_is_reported_before_the_first_step(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    drawn = []
    draw_batch = lambda rng: drawn.append(1) or _draw_batch(rng)  # noqa: E731
    with pytest.raises(OSError, match="cannot be written.*another folder"):
        next(training.train(_network(), _loss, draw_batch, CONFIG, tmp_path / "file" / "c.pt"))
    closed = tmp_path / "closed"
    closed.mkdir()

    def forbidden(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(checkpoint.filelock.FileLock, "acquire", forbidden)
    with pytest.raises(OSError, match="Permission denied.*Make it writable"):
        next(training.train(_network(), _loss, draw_batch, CONFIG, closed / "c.pt"))
    assert not drawn


HOLD = """
import sys
from pathlib import Path
from torch import nn, randn
from minivid.training import TrainConfig, train
config = TrainConfig(10, 4, 1e-3)
draw_batch = lambda rng: (randn(4, 8, generator=rng),)
loss = lambda network, batch, rng: network(batch[0]).square().mean()
steps = train(nn.Linear(8, 8), loss, draw_batch, config, Path(sys.argv[1]))
next(steps)
print("going", flush=True)
sys.stdin.read()
"""


def test_a_second_training_into_one_place_is_refused_until_the_first_has_ended(tmp_path):
    path, uninterrupted = tmp_path / "c.pt", _losses()
    steps = _steps(path)
    next(steps)
    with pytest.raises(ValueError, match="another training is writing.*Wait.*--runs"):
        _losses(path)
    assert next(steps).loss == uninterrupted[1]  # the first is not disturbed
    steps.close()
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().strip() == b"going"
        with pytest.raises(ValueError, match="another training"):
            _losses(path)
        other.kill()  # a lock does not outlive its process
    assert _losses(path) == uninterrupted


def test_half_a_file_of_a_killed_training_is_taken_away(tmp_path):
    left, others = tmp_path / ".c.pt.123.part", tmp_path / ".d.pt.123.part"
    for path in (left, others):
        path.write_bytes(b"half")
    next(_steps(tmp_path / "c.pt"))
    assert not left.exists() and others.exists()


def test_stopped_before_its_weights_were_scored_it_ships_without_training_again(tmp_path, monkeypatch):
    trained, scored = [], []

    def loss(network, batch, rng):
        trained.append(1)
        return _loss(network, batch, rng)

    def draw_batch(config, rng):
        return _draw_batch(rng)

    def score(network, n, seed):
        scored.append((n, seed))
        if len(scored) == 1:
            raise KeyboardInterrupt
        return {"right": proportion_row([True])}

    recipe = recipes.Recipe("tiny", _network, draw_batch, loss, {"laptop": CONFIG}, score)
    monkeypatch.setitem(recipes.RECIPES, "tiny", recipe)
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path / "weights"))
    with pytest.raises(KeyboardInterrupt):
        list(runs.run("tiny", "laptop", tmp_path))
    assert not runs.is_done("tiny", "laptop", tmp_path)
    steps = len(trained)
    ended = list(runs.run("tiny", "laptop", tmp_path))
    assert [progress.step for progress in ended] == [CONFIG.steps] and scored[1] == (1000, 2)
    assert len(trained) - steps <= flops.BATCHES  # FLOPs are counted anew
    assert runs.is_done("tiny", "laptop", tmp_path)
    assert weights.card("tiny")["score"]["right"]["ours"] == 1.0
    with pytest.raises(ValueError, match="finished training. Delete"):
        list(runs.run("tiny", "laptop", tmp_path))
    runs.checkpoint_path("tiny", "laptop", tmp_path).unlink()
    assert next(runs.run("tiny", "laptop", tmp_path)).step == 1
    assert not runs.is_done("tiny", "laptop", tmp_path)


def test_what_is_in_the_way_of_a_folder_is_said(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"a file")
    with pytest.raises(OSError, match="could not write.*Choose another folder"):
        files.write(tmp_path / "clip.mp4" / "a.mp4", b"content")
    assert (tmp_path / "clip.mp4").read_bytes() == b"a file"


def test_a_batch_in_no_parts_or_in_more_than_it_has_is_refused():
    for n in (0, CONFIG.batch_size + 1):
        refused = f"{n} micro-batches of a batch of 4: allowed are 1 to 4"
        with pytest.raises(ValueError, match=refused):
            next(_steps(config=replace(CONFIG, micro_batches=n)))


COMMAND = [sys.executable, "-m", "minivid"]


def test_from_a_shell_a_sentence_becomes_a_file(tmp_path):
    out = tmp_path / "clips" / "x.mp4"
    ask = ["sample", "a red 3 moves right", "--steps", "2", "--out", str(out)]
    done = subprocess.run([*COMMAND, *ask], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert str(out) in done.stdout and "with sound" in done.stdout
    assert out.read_bytes()[4:8] == b"ftyp"  # as an MP4 begins


def test_from_a_shell_what_cannot_be_done_is_said_in_one_line_and_changes_nothing(tmp_path):
    done = subprocess.run(
        [*COMMAND, "score", "nosuch"], capture_output=True, text=True, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith("minivid: no model is called 'nosuch'. There are: ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [[], ["sample"], ["train"], ["score"], ["experiment"]])
def test_every_command_says_what_it_takes(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert left.value.code == 0
    assert "usage: python -m minivid" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "score", "experiment"])
def test_a_name_that_nothing_has_gets_a_plain_error_with_those_that_there_are(
    command, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main([command, "nosuch"]) == 1
    printed = capsys.readouterr()
    assert re.fullmatch(r"minivid: no \w+ is called 'nosuch'\. There are: .+\.\n", printed.err)
    assert not printed.out and not list(tmp_path.iterdir())


def test_a_model_that_there_is_not_cannot_be_sampled(tmp_path, capsys):
    out = tmp_path / "x.mp4"
    with pytest.raises(SystemExit) as left:
        main(["sample", "a red 3 moves right", "--model", "nosuch", "--out", str(out)])
    assert left.value.code == 2 and not out.exists()
    error = capsys.readouterr().err
    assert "invalid choice: 'nosuch'" in error and "joint" in error and "video" in error
