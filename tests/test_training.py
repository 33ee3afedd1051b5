"""Training learns, resumes to the bit, and says what went wrong; weights come back as they were."""

import errno
import functools
import itertools
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from minivid import diffusion, files, recipes, training, weights
from minivid.models.codec import VideoCodec
from minivid.models.text_to_video import (
    TextToAudioVideo,
    TextToAudioVideoConfig,
    TextToVideo,
    TextToVideoConfig,
)
from minivid.models.unet import UNet, UNetConfig
from minivid.recipes import pixels, runs, scorecard
from minivid.training import TrainConfig, loop, optimizer, precision


def _small():
    torch.manual_seed(0)
    return UNet(UNetConfig(width=16, blocks=1))


def _config(steps, **options):
    return TrainConfig(steps=steps, batch_size=4, learning_rate=2e-3, warmup=5, **options)


def _run(network, config, checkpoint=None, stop=None, every=3):
    losses = []
    for progress in training.train(
        network, pixels.loss, lambda g: pixels.draw_batch(config, g), config, checkpoint, every
    ):
        losses.append(progress.loss)
        if progress.step == stop:
            break
    return losses, progress


def test_bf16_is_used_where_the_hardware_has_it(monkeypatch):
    autocasts = []

    def loss(network, batch, rng):
        autocasts.append(torch.is_autocast_enabled("cpu"))
        return pixels.loss(network, batch, rng)

    def one_step():
        config = _config(1, precision="bf16")
        next(training.train(_small(), loss, lambda g: pixels.draw_batch(config, g), config))

    for has in (False, True):
        monkeypatch.setattr(precision, "has_bf16", lambda where, has=has: has)
        one_step()
    assert autocasts == [False, True]


@pytest.mark.parametrize(
    ("names", "has"),
    [({"avx2": True, "avx512_bf16": False}, False), ({"amx_bf16": True, "avx2": True}, True)],
)
def test_a_processor_says_whether_it_has_bf16(names, has, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: names, raising=False)
    training.has_bf16.cache_clear()
    try:
        assert training.has_bf16(torch.device("cpu")) == has
    finally:
        training.has_bf16.cache_clear()


@pytest.mark.parametrize("muon_lr", [0.0, 0.02])
def test_a_killed_run_resumes_to_the_bit(muon_lr, tmp_path):
    config = _config(12, muon_lr=muon_lr)
    uninterrupted, end = _run(_small(), config)
    before, _ = _run(_small(), config, tmp_path / "c.pt", stop=8)  # the last save was at step 6
    after, resumed = _run(_small(), config, tmp_path / "c.pt")
    assert before == uninterrupted[:8] and after == uninterrupted[6:]
    for ours, again in zip(end.network.parameters(), resumed.network.parameters(), strict=True):
        assert (ours == again).all()


def test_muon_moves_kernels_alike_in_all_directions_and_leaves_tables_to_adamw():
    torch.manual_seed(0)
    layers = {"table": nn.Embedding(9, 8), "linear": nn.Linear(8, 6), "conv": nn.Conv1d(1, 4, 3)}
    network = nn.ModuleList([nn.ModuleDict(layers)])
    before = [p.detach().clone() for p in network.parameters()]
    muon = optimizer.Optimizer(network, _config(9, muon_lr=0.1, weight_decay=0.0))
    assert [m.shape for m in muon.matrices] == [(6, 8), (4, 3)]
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    muon.step(0.5)
    moved = [b - p.detach() for b, p in zip(before, network.parameters(), strict=True)]
    for kernel in (moved[1], moved[3].flatten(1)):
        sizes = torch.linalg.svdvals(kernel)
        assert sizes[0] < 2 * sizes[-1]
    assert torch.allclose(moved[0].abs(), torch.full((9, 8), 1e-3), rtol=1e-3)  # Adam's first step
    still = [p.detach().clone() for p in network.parameters()]
    muon.step(0.0)
    assert all(map(torch.equal, still, network.parameters()))


def test_a_longer_training_goes_on_while_the_learning_rate_holds_and_not_after(tmp_path):
    uninterrupted, _ = _run(_small(), _config(18))
    _run(_small(), _config(12), tmp_path / "c.pt", stop=7)  # saved at step 6; the rate falls from step 8
    on, _ = _run(_small(), _config(18), tmp_path / "c.pt")
    assert on == uninterrupted[6:]
    _run(_small(), _config(12), tmp_path / "d.pt", stop=11)  # saved at step 9
    with pytest.raises(ValueError, match="another configuration.*'steps': \\(12, 18\\)"):
        _run(_small(), _config(18), tmp_path / "d.pt")
    with pytest.raises(ValueError, match="another configuration"):
        _run(_small(), _config(5), tmp_path / "c.pt")  # shorter than what is done


def test_the_seconds_of_all_runs_add_up(tmp_path, monkeypatch):
    ticks = functools.partial(next, itertools.count())  # a second each time one looks
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=ticks))
    _, before = _run(_small(), _config(12), tmp_path / "c.pt", stop=6)
    _, first = _run(_small(), _config(12), tmp_path / "c.pt", stop=7)
    assert first.seconds >= before.seconds > 6, "step 6 was saved a tick before it was shown"


@pytest.mark.parametrize("batch", [4, 5])
def test_micro_batches_cover_the_batch_and_have_noise_of_their_own(batch):
    rng = torch.Generator().manual_seed(0)
    tensors = torch.arange(batch), torch.randn(batch, 3)
    micro, fractions, rngs = zip(*loop.micro_batches(tensors, 3, rng), strict=True)
    assert torch.cat([numbers for numbers, _ in micro]).equal(tensors[0])
    assert torch.cat([rows for _, rows in micro]).equal(tensors[1])
    assert list(fractions) == [len(numbers) / batch for numbers, _ in micro]
    assert len({one.initial_seed() for one in rngs}) == 3
    assert all(2**31 <= one.initial_seed() < 2**32 for one in rngs)
    ((only, fraction, same),) = loop.micro_batches(tensors, 1, rng)
    assert only is tensors and fraction == 1 and same is rng


SCRIPT = """
import json, sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
import test_training
from minivid import training

steps, micro_batches, stop = map(int, sys.argv[2:5])
folder = Path(sys.argv[5])
torch.set_num_threads(1)
with training.init_distributed() as rank:
    config = test_training._config(steps, micro_batches=micro_batches, muon_lr=0.02)
    losses, end = test_training._run(test_training._small(), config, folder / "c.pt", stop=stop or None)
    total = sum(p.double().abs().sum().item() for p in end.network.parameters())
    (folder / f"{rank}.json").write_text(json.dumps([losses, total]))
"""


def _torchrun(processes, folder, steps=6, micro_batches=2, stop=0):
    """What each process found, when so many train together: (losses, a sum of the weights)."""
    folder.mkdir(exist_ok=True)
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    command += ["--master-port=0", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    arguments = [Path(__file__).parent, steps, micro_batches, stop, folder]
    made = subprocess.run(
        [*command, str(script), *map(str, arguments)],
        capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-2000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]


def test_two_processes_learn_what_one_does_and_one_goes_on_where_two_stopped(tmp_path):
    ((alone, weight),) = _torchrun(1, tmp_path / "one")
    pair = _torchrun(2, tmp_path / "two")
    for losses, total in pair:
        assert losses == pytest.approx(alone, rel=1e-4) and total == pytest.approx(weight, rel=1e-5)
    assert len(set(alone)) == 6
    _torchrun(2, tmp_path / "resumed", stop=4)  # the last save was at step 3
    ((rest, total),) = _torchrun(1, tmp_path / "resumed")
    assert rest == pytest.approx(alone[3:], rel=1e-4) and total == pytest.approx(weight, rel=1e-5)


def test_more_micro_batches_than_a_batch_holds_are_refused():
    batch = (torch.zeros(3, 2),)
    assert len(loop.micro_batches(batch, 3, torch.Generator())) == 3
    with pytest.raises(ValueError, match="4 micro-batches of a batch of 3"):
        loop.micro_batches(batch, 4, torch.Generator())


def test_a_precision_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"precision='bf61'.*'fp32', 'bf16'"):
        replace(_config(10), precision="bf61").check(1)


def test_the_learning_rate_may_hold_from_the_first_step():
    assert replace(_config(10), warmup=0).lr_scale(0) == 1


def test_micro_batches_that_do_not_divide_among_processes_are_refused(monkeypatch):
    monkeypatch.setattr(loop, "rank_and_world_size", lambda: (0, 3))
    with pytest.raises(ValueError, match="Allowed are 1, 2, 4 processes"):
        _run(_small(), _config(2, micro_batches=4))


def test_one_batch_can_be_learned_by_heart():
    """The assembled U-Net, told the noise exactly once: its loss on one noised batch falls away."""
    network, config = _small(), _config(150)
    fresh = torch.Generator().manual_seed(0)
    clean, labels = pixels.draw_batch(config, fresh)
    t, noise = torch.full((4,), 0.5), torch.randn(clean.shape, generator=fresh)
    x_t = diffusion.add_noise(pixels.PATH, clean, noise, t)

    def by_heart(network, batch, rng):
        return (network(x_t, t, labels) - (noise - clean)).square().mean()

    losses = [p.loss for p in training.train(network, by_heart, lambda g: (clean,), config)]
    assert losses[-1] < 0.1 * losses[0]


def test_the_averaged_weights_are_their_recurrence():
    """ema <- m ema + (1 - m) weights, m = min(0.2, (1 + step) / (10 + step)); buffers are copied."""

    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3))
            self.head = nn.Linear(3, 1)
            self.register_buffer("steps", torch.zeros(()))

    def loss(network, batch, rng):
        network.steps += 1
        return -network.head(network.weight + batch[0]).sum()

    config = TrainConfig(
        steps=5, batch_size=1, learning_rate=0.1, warmup=1, cooldown=1e-9, ema=0.2, weight_decay=0
    )
    network, averages = One(), []
    expected = {name: p.detach().clone() for name, p in network.named_parameters()}
    memories = [1 / 10, 2 / 11, 0.2, 0.2, 0.2]  # 3 / 12 would be longer than 0.2
    steps = training.train(network, loss, lambda rng: (torch.ones(1, 3),), config)
    for m, progress in zip(memories, steps, strict=True):
        for name, weights_now in network.named_parameters():
            expected[name] = m * expected[name] + (1 - m) * weights_now.detach()
            torch.testing.assert_close(progress.network.get_parameter(name), expected[name])
        assert progress.network.steps == network.steps == progress.step
        assert not progress.network.training and network.training
        averages.append(progress.network.head.bias.detach().clone())
    assert averages[0] < averages[-1] < network.head.bias  # behind, but on the way


def test_the_learning_rate_climbs_holds_and_falls():
    config = TrainConfig(steps=100, batch_size=1, learning_rate=1.0, warmup=10, cooldown=0.4)
    rates = [config.lr_scale(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9:60] == [1.0] * 51
    assert rates[80] == pytest.approx(0.5) and rates[99] == pytest.approx(0.025)


def test_training_draws_from_seeds_that_evaluation_never_uses():
    seeds = {training.step_seed(seed, step) for seed in range(3) for step in range(1000)}
    assert len(seeds) == 3000 and min(seeds) >= 2**31 and max(seeds) < 2**32
    assert scorecard.MAX_SEED < 2**31


def test_a_loss_that_is_not_finite_stops_with_the_seed_to_replay():
    config = _config(5)

    def breaks(network, batch, rng):
        return network.stem.weight.sum() * float("nan")

    with pytest.raises(FloatingPointError, match=str(training.step_seed(0, 0))):
        list(training.train(_small(), breaks, lambda g: pixels.draw_batch(config, g), config))


def test_a_gradient_that_is_not_finite_stops_before_anything_is_spoilt():
    config, evaluated = _config(5), []

    def breaks(network, batch, rng):
        evaluated.append(step := len(evaluated))
        weight = network.stem.weight.sum()
        return torch.sqrt(0 * weight) if step == 2 else weight.square()  # 0, and infinitely steep

    with pytest.raises(
        FloatingPointError, match=f"loss is 0.0, its gradient nan.*{training.step_seed(0, 2)}"
    ):
        for progress in training.train(_small(), breaks, lambda g: pixels.draw_batch(config, g), config):
            ema = progress.network
    assert progress.step == 2 and all(p.isfinite().all() for p in ema.parameters())


def test_seconds_are_those_of_training_alone(monkeypatch):
    config, seconds = _config(3), [0.0]
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: seconds[0]))

    def draw_batch(rng):
        seconds[0] += 1
        return pixels.draw_batch(config, rng)

    for progress in training.train(_small(), pixels.loss, draw_batch, config):
        assert progress.seconds == progress.step
        seconds[0] += 1000  # whoever watches the training takes their time


def test_checkpoints_that_do_not_fit_say_so_and_are_left_alone(tmp_path):
    path = tmp_path / "c.pt"
    _run(_small(), _config(3), path)
    content = path.read_bytes()
    with pytest.raises(ValueError, match="another configuration.*weight_decay"):
        _run(_small(), _config(3, weight_decay=0.1), path)
    torch.manual_seed(0)
    with pytest.raises(ValueError, match="another network"):
        _run(UNet(UNetConfig(width=24, blocks=1)), _config(3), path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="torn.*Delete"):
        _run(_small(), _config(3), path)
    assert len(path.read_bytes()) == len(content) // 2


def test_a_full_disk_keeps_the_file_from_before(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    files.write(path, b"old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="unchanged.*Free some space"):
        files.write(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("int8", [False, True])
def test_weights_come_back_as_rounded_as_was_asked_and_no_more_when_saved_again(int8, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    network = _small()
    torch.nn.init.zeros_(network.out.weight[0])
    path = weights.save("tiny", network, {"steps": 1}, int8)
    again = weights.load("tiny", UNet(UNetConfig(width=16, blocks=1)))
    for saved, loaded in zip(network.parameters(), again.parameters(), strict=True):
        if int8 and saved.ndim > 1:  # to a 255th of its row
            row = saved.flatten(1).abs().amax(1)
            assert ((saved - loaded).flatten(1).abs().amax(1) <= row / 254 * 1.001).all()
            assert torch.allclose(loaded.flatten(1).abs().amax(1), row)
        else:
            assert (saved.half().float() == loaded).all()
    assert weights.card("tiny")["steps"] == 1 and not again.training
    parameters = sum(p.numel() for p in network.parameters())
    assert path.stat().st_size < (1.3 if int8 else 2.1) * parameters
    weights.save("tiny", again, {"steps": 1}, int8)
    for once, twice in zip(again.parameters(), weights.load("tiny", _small()).parameters(), strict=True):
        torch.testing.assert_close(once, twice, atol=0, rtol=1e-6)


def test_weights_of_the_first_edition_are_refused_their_tensors_had_other_names(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    half = {key: value.half() for key, value in _small().state_dict().items()}
    for version in ("1", "2"):
        save_file(half, tmp_path / "tiny.safetensors", {"minivid": version, "model": "tiny"})
        with pytest.raises(ValueError, match=f"version {version}, this code reads 3.*train tiny"):
            weights.load("tiny", _small())


def test_wrong_weights_are_named_for_what_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match="no weights called 'tiny'.*train tiny"):
        weights.load("tiny", _small())
    path = weights.save("tiny", _small(), {})
    with pytest.raises(ValueError, match=r"does not fit this UNet.*file \(16,\), network \(24,\)"):
        weights.load("tiny", UNet(UNetConfig(width=24, blocks=1)))
    content = path.read_bytes()
    (tmp_path / "other.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="holds the model 'tiny', not 'other'"):
        weights.load("other", _small())
    for torn in (content[:100], content[:-5], b"", b"not weights at all"):
        path.write_bytes(torn)
        with pytest.raises(ValueError, match="torn"):
            weights.load("tiny", _small())
    save_file({"x": torch.zeros(1)}, path, {"minivid": "0"})
    with pytest.raises(ValueError, match="version 0"):
        weights.load("tiny", _small())
    with pytest.raises(ValueError, match="no card"):
        weights.card("nothing")


def test_shipped_cards_tell_how_the_weights_were_made():
    for name in recipes.shipped():
        recipe = recipes.RECIPES[name]
        card = weights.card(name)
        network = recipes.load(name)
        assert card["parameters"] == sum(p.numel() for p in network.parameters())
        assert TrainConfig(**card["config"]) == recipe.configs[card["scale"]], name
        with safe_open(weights.folder() / f"{name}.safetensors", "pt") as file:
            kinds = {file.get_tensor(key).dtype for key in file.keys()}
        assert (torch.int8 in kinds) == recipe.int8, name
        assert card["seconds"] > 0 and card["score"] and json.dumps(card)


def test_no_model_is_made_before_one_that_it_begins_from(tmp_path, monkeypatch):
    """Whatever its network is built of was shipped before."""
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    begins_from = {"video": "reader", "joint": "video", "video_64": "reader", "joint_64": "video_64"}
    for name in recipes.trained_at("gpu"):
        made = recipes.recipe(name)
        if name in begins_from:
            content = (tmp_path / f"{begins_from[name]}.safetensors").read_bytes()
            (tmp_path / f"{begins_from[name]}.safetensors").unlink()
            with pytest.raises(ValueError, match=f"called '{begins_from[name]}'"):
                made.build()
            (tmp_path / f"{begins_from[name]}.safetensors").write_bytes(content)
        weights.save(name, made.build(), {})
    assert {"video_64", "joint_64"} == set(recipes.trained_at("gpu")) - set(recipes.shipped())


def test_the_page_of_results_quotes_the_cards():
    page = (weights.folder().parents[1] / "docs" / "results.md").read_text(encoding="utf-8")
    page = page[page.index("<!-- score -->") : page.index("<!-- /score -->")]
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \|.*?\|(.*)\|$", page, re.M)
    assert {name for name, _, _ in rows} == set(recipes.shipped())
    for name, key, quoted in rows:
        row = weights.card(name)["score"][key]
        low, high = row["interval"]
        floor, ceiling = ("–" if row[k] is None else f"{row[k]:.3f}" for k in ("floor", "ceiling"))
        wanted = f"{floor} | {row['ours']:.3f} [{low:.3f}, {high:.3f}] | {ceiling}"
        assert quoted.strip() == wanted, (name, key)


@pytest.mark.parametrize("name", ["judge", "pixels"])
def test_the_command_line_trains_and_scores(name, tmp_path, monkeypatch, capsys):
    """A tiny training, start to end: weights, card and score file are there and hold together."""
    from minivid.__main__ import main

    recipe = recipes.RECIPES[name]
    tiny = TrainConfig(steps=2, batch_size=4, learning_rate=1e-3)
    monkeypatch.setitem(recipes.RECIPES, name, replace(recipe, configs={"laptop": tiny}))
    monkeypatch.setattr(runs, "N", 50)
    judge = recipes.load("judge")
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    weights.save("judge", judge, {})
    folder = ["--runs", str(tmp_path / "runs")]
    assert main(["train", name, "--scale", "laptop", *folder]) == 0
    assert main(["score", name, "--n", "50", "--seed", "8", "--json", str(tmp_path / "s.json")]) == 0
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["n"] == 50 and found["seed"] == 8 and found["weights"] == name
    for row in found["metrics"].values():
        assert set(row) == {"floor", "ours", "ceiling", "interval"}
        assert row["interval"][0] <= row["ours"] <= row["interval"][1]
    assert main(["train", name, "--scale", "laptop", *folder]) == 1
    assert "Delete it to train" in capsys.readouterr().err
    assert main(["score", "nothing"]) == 1
    assert "There are: audio_codec, judge" in capsys.readouterr().err
    assert main(["score", name, "--seed", "-1"]) == 1


@pytest.mark.parametrize("at", recipes.SCALES)
def test_weights_of_any_scale_are_called_as_the_model_is(at, tmp_path, monkeypatch):
    """So what is trained after it begins from them."""
    config = TrainConfig(1, 2, 1e-3)
    recipe = recipes.Recipe(
        "a line",
        build=lambda: nn.Linear(3, 3),
        draw_batch=lambda config, rng: (torch.randn(config.batch_size, 3, generator=rng),),
        loss=lambda network, batch, rng: network(batch[0]).square().mean(),
        configs={"laptop": config, "gpu": config},
        score=lambda network, n, seed: {},
    )
    monkeypatch.setitem(recipes.RECIPES, "tiny", recipe)
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    list(runs.run("tiny", at, tmp_path))
    assert [path.stem for path in tmp_path.glob("*.safetensors")] == ["tiny"]
    assert weights.card("tiny")["scale"] == at


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).sin()
        return x


def test_a_compiled_training_learns_the_same(tmp_path, monkeypatch):
    """The losses of a compiled run are those of a plain one, and its average is as usable."""
    if not training.compiles(torch.device("cpu")):
        pytest.skip("torch.compile does not work on this machine")
    config = TrainConfig(5, 4, 1e-2, warmup=1)

    def run(config):
        torch.manual_seed(0)
        network = Chain()

        def draw_batch(rng):
            return (torch.randn(config.batch_size, 3, generator=rng),)

        def loss(network, batch, rng):
            return (network(batch[0]) - batch[0]).square().mean()

        return list(
            training.train(network, loss, draw_batch, config, tmp_path / f"{config.compile}{config.seed}.pt")
        )

    compiled_with = []
    monkeypatch.setattr(nn.Linear, "compile", lambda *_, **how: compiled_with.append(how))
    run(replace(config, steps=1, compile=True, seed=1))
    assert compiled_with == 2 * [{"dynamic": False}]
    monkeypatch.undo()
    plain, compiled = run(config), run(replace(config, compile=True))
    assert [p.loss for p in compiled] == pytest.approx([p.loss for p in plain], rel=1e-4)
    torch.testing.assert_close(
        compiled[-1].network(torch.ones(1, 3)), plain[-1].network(torch.ones(1, 3)), rtol=1e-3, atol=1e-4
    )


def test_where_nothing_can_be_compiled_training_goes_on(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", broken)
    training.compiles.cache_clear()
    with pytest.warns(UserWarning, match="goes on without: no compiler"):
        assert not training.compiles(torch.device("cpu"))
    training.compiles.cache_clear()


def test_the_step_of_a_generator_is_found_from_its_seed():
    for seed, step in ((0, 0), (0, 13_999), (3, 250), (2200, 5)):
        rng = torch.Generator().manual_seed(training.step_seed(seed, step))
        assert training.step_of_rng(rng, seed) == step


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (TextToVideo, TextToVideoConfig(20, width=64, depth=2, alignment_dim=8)),
        (TextToAudioVideo, TextToAudioVideoConfig(20, width=64, depth=2)),
    ],
    ids=["video", "audio and video"],
)
def test_muon_takes_the_matrices_of_blocks_alone(kind, config):
    """Not the first and last layers, modulation, noise level, text projections, heads and tables."""
    network = kind(config)
    names = {id(p): name for name, p in network.named_parameters()}
    hidden = [names[id(p)] for p in optimizer.hidden_matrices(network)]
    matrices = {name for name, p in network.named_parameters() if optimizer.is_matrix(p)}
    blocks = {name for name in matrices if name.startswith("dit.blocks.")}
    layers = {name for name in matrices if name.startswith("text.layers.")}
    assert len(hidden) == len(set(hidden)) and set(hidden) == blocks | layers
    kinds = {name.split(".")[3] for name in blocks}
    own = {"self_attention", "cross_attention", "feed_forward"}
    assert own <= kinds <= own | {"audio_feed_forward"}
    outside = {name.split(".")[1] for name in matrices - set(hidden) if name.startswith("dit.")}
    assert outside >= {"stem", "border", "time", "pooled_text", "text", "modulation", "out"}
    assert {name.split(".")[0] for name in matrices - set(hidden)} >= {"dit", "text"}


def test_muon_leaves_the_ends_of_a_codec_to_adamw():
    codec = VideoCodec()
    names = {id(p): name for name, p in codec.named_parameters()}
    hidden = {names[id(p)] for p in optimizer.hidden_matrices(codec)}
    matrices = {name for name, p in codec.named_parameters() if optimizer.is_matrix(p)}
    blocks = {name for name in matrices if name.split(".")[2] in ("space", "time")}
    assert hidden == blocks and len(blocks) == 2 * (4 + 6)
    ends = {"encoder.0.weight", "encoder.7.weight", "decoder.0.weight", "decoder.9.weight"}
    assert ends <= matrices - hidden


def test_weights_decay_and_gains_biases_and_gates_do_not():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    network.gain = nn.Parameter(torch.ones(4, 1, 1))
    one = optimizer.Optimizer(network, TrainConfig(9, 1, 0.1, weight_decay=0.5))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = [p.detach().clone() for p in network.parameters()]
    one.step(1.0)
    for was, parameter in zip(before, network.parameters(), strict=True):
        factor = 1 - 0.1 * 0.5 if parameter.shape == (4, 4) else 1.0
        torch.testing.assert_close(parameter.detach(), factor * was)
