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

from minivid import diffusion, files, recipes, train, weights
from minivid.recipes import pixels
from minivid.unet import UNet


def _small():
    torch.manual_seed(0)
    return UNet(width=16, blocks=1)


def _plan(steps, **options):
    return train.Plan(steps=steps, batch=4, learning_rate=2e-3, warmup=5, **options)


def _run(network, plan, checkpoint=None, stop=None, every=3):
    losses = []
    for progress in train.train(
        network,
        pixels.loss,
        lambda g: pixels.batch(plan, g),
        plan,
        checkpoint,
        every,
    ):
        losses.append(progress.loss)
        if progress.step == stop:
            break
    return losses, progress


def test_bf16_is_used_where_the_hardware_has_it(monkeypatch):
    seen = []

    def loss(network, batch, generator):
        seen.append(torch.is_autocast_enabled("cpu"))
        return pixels.loss(network, batch, generator)

    def one_step():
        plan = _plan(1, precision="bf16")
        next(train.train(_small(), loss, lambda g: pixels.batch(plan, g), plan))

    for has in (False, True):
        monkeypatch.setattr(train, "has_bf16", lambda where, has=has: has)
        one_step()
    assert seen == [False, True]


@pytest.mark.parametrize(
    ("names", "has"),
    [({"avx2": True, "avx512_bf16": False}, False), ({"amx_bf16": True, "avx2": True}, True)],
)
def test_a_processor_says_whether_it_has_bf16(names, has, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: names, raising=False)
    train.has_bf16.cache_clear()
    try:
        assert train.has_bf16(torch.device("cpu")) == has
    finally:
        train.has_bf16.cache_clear()


@pytest.mark.parametrize("muon", [0.0, 0.02])
def test_a_killed_run_resumes_to_the_bit(muon, tmp_path):
    plan = _plan(12, muon=muon)
    whole, end = _run(_small(), plan)
    before, _ = _run(_small(), plan, tmp_path / "c.pt", stop=8)  # the last save was at step 6
    after, resumed = _run(_small(), plan, tmp_path / "c.pt")
    assert before == whole[:8] and after == whole[6:]
    for kept, again in zip(end.network.parameters(), resumed.network.parameters(), strict=True):
        assert (kept == again).all()


def test_muon_moves_kernels_alike_in_all_directions_and_leaves_tables_to_adamw():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 6), nn.Conv1d(1, 4, 3))
    before = [p.detach().clone() for p in network.parameters()]
    optimizer = train.Optimizer(network, _plan(9, muon=0.1, weight_decay=0.0))
    assert [m.shape for m in optimizer.matrices] == [(6, 8), (4, 3)]
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step(0.5)
    moved = [b - p.detach() for b, p in zip(before, network.parameters(), strict=True)]
    for kernel in (moved[1], moved[3].flatten(1)):
        sizes = torch.linalg.svdvals(kernel)
        assert sizes[0] < 2 * sizes[-1]
    assert torch.allclose(moved[0].abs(), torch.full((9, 8), 1e-3), rtol=1e-3)  # Adam's first step
    still = [p.detach().clone() for p in network.parameters()]
    optimizer.step(0.0)
    assert all(map(torch.equal, still, network.parameters()))


def test_a_longer_plan_goes_on_while_the_rate_holds_and_not_after(tmp_path):
    whole, _ = _run(_small(), _plan(18))
    _run(
        _small(), _plan(12), tmp_path / "c.pt", stop=7
    )  # saved at step 6; the rate falls from step 8
    on, _ = _run(_small(), _plan(18), tmp_path / "c.pt")
    assert on == whole[6:]
    _run(_small(), _plan(12), tmp_path / "d.pt", stop=11)  # saved at step 9
    with pytest.raises(ValueError, match="another plan.*'steps': \\(12, 18\\)"):
        _run(_small(), _plan(18), tmp_path / "d.pt")
    with pytest.raises(ValueError, match="another plan"):
        _run(_small(), _plan(5), tmp_path / "c.pt")  # shorter than what is done


def test_the_seconds_of_all_runs_add_up(tmp_path, monkeypatch):
    ticks = functools.partial(next, itertools.count())  # a second each time one looks
    monkeypatch.setattr(train, "time", SimpleNamespace(monotonic=ticks))
    _, before = _run(_small(), _plan(12), tmp_path / "c.pt", stop=6)
    _, first = _run(_small(), _plan(12), tmp_path / "c.pt", stop=7)
    assert first.seconds >= before.seconds > 6, "step 6 was saved a tick before it was shown"


@pytest.mark.parametrize("batch", [4, 5])
def test_parts_of_a_batch_cover_it_and_have_noise_of_their_own(batch):
    draws = torch.Generator().manual_seed(0)
    given = torch.arange(batch), torch.randn(batch, 3)
    parts = train._parts(given, 3, draws)
    assert torch.cat([part[0] for part, _, _ in parts]).equal(given[0])
    assert torch.cat([part[1] for part, _, _ in parts]).equal(given[1])
    assert [share for _, share, _ in parts] == [len(p[0]) / batch for p, _, _ in parts]
    assert len({one.initial_seed() for _, _, one in parts}) == 3
    assert all(2**31 <= one.initial_seed() < 2**32 for _, _, one in parts)
    ((whole, share, same),) = train._parts(given, 1, draws)
    assert whole is given and share == 1 and same is draws


TOGETHER = """
import json, sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
import test_train
from minivid import train

steps, parts, stop, folder = int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5])
torch.set_num_threads(1)
with train.together() as rank:
    plan = test_train._plan(steps, parts=parts, muon=0.02)
    losses, end = test_train._run(test_train._small(), plan, folder / "c.pt", stop=stop or None)
    total = sum(p.double().abs().sum().item() for p in end.network.parameters())
    (folder / f"{rank}.json").write_text(json.dumps([losses, total]))
"""


def _torchrun(processes, folder, steps=6, parts=2, stop=0):
    """What each process found, when so many train together: (losses, a sum of the weights)."""
    folder.mkdir(exist_ok=True)
    script = folder / "script.py"
    script.write_text(TOGETHER)
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    command += ["--master-port=0", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    given = [Path(__file__).parent, steps, parts, stop, folder]
    made = subprocess.run(
        [*command, str(script), *map(str, given)],
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


def test_parts_that_processes_cannot_share_are_refused(monkeypatch):
    monkeypatch.setattr(train, "place", lambda: (0, 3))
    with pytest.raises(ValueError, match="Allowed are 1, 2, 4 processes"):
        _run(_small(), _plan(2, parts=4))


def test_one_batch_can_be_learned_by_heart():
    """The assembled U-Net, told the noise exactly once: its loss on one noised batch falls away."""
    network, plan = _small(), _plan(150)
    fresh = torch.Generator().manual_seed(0)
    clean, labels = pixels.batch(plan, fresh)
    t, noise = torch.full((4,), 0.5), torch.randn(clean.shape, generator=fresh)
    x_t = diffusion.mix(pixels.PATH, clean, noise, t)

    def by_heart(network, batch, generator):
        return (network(x_t, t, labels) - (noise - clean)).square().mean()

    losses = [p.loss for p in train.train(network, by_heart, lambda g: (clean,), plan)]
    assert losses[-1] < 0.1 * losses[0]


def test_the_average_follows_at_the_stated_pace():
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

    plan = train.Plan(
        steps=3, batch=1, learning_rate=0.1, warmup=1, decay=1e-9, ema=0.5, weight_decay=0
    )
    network, seen, expected = One(), [], torch.zeros(1)
    steps = train.train(network, lambda n, b, g: -n.weight.sum(), lambda g: (torch.zeros(1),), plan)
    for step, progress in enumerate(steps):
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * network.weight.detach()
        seen.append(progress.network.weight.detach().clone())
        torch.testing.assert_close(seen[-1], expected)
    assert 0 < seen[0] < network.weight  # behind, but on the way


def test_the_learning_rate_climbs_holds_and_falls():
    plan = train.Plan(steps=100, batch=1, learning_rate=1.0, warmup=10, decay=0.4)
    rates = [plan.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9:60] == [1.0] * 51
    assert rates[80] == pytest.approx(0.5) and rates[99] == pytest.approx(0.025)


def test_training_draws_from_seeds_that_evaluation_never_uses():
    seeds = {train.step_seed(seed, step) for seed in range(3) for step in range(1000)}
    assert len(seeds) == 3000 and min(seeds) >= 2**31 and max(seeds) < 2**32
    assert recipes.MAX_SEED < 2**31


def test_a_loss_that_is_not_finite_stops_with_the_seed_to_replay():
    plan = _plan(5)

    def breaks(network, batch, generator):
        return network.stem.weight.sum() * float("nan")

    with pytest.raises(FloatingPointError, match=str(train.step_seed(0, 0))):
        list(train.train(_small(), breaks, lambda g: pixels.batch(plan, g), plan))


def test_a_gradient_that_is_not_finite_stops_before_anything_is_spoilt():
    plan, seen = _plan(5), []

    def breaks(network, batch, generator):
        seen.append(step := len(seen))
        weight = network.stem.weight.sum()
        return torch.sqrt(0 * weight) if step == 2 else weight.square()  # 0, and infinitely steep

    with pytest.raises(
        FloatingPointError, match=f"loss is 0.0, its gradient nan.*{train.step_seed(0, 2)}"
    ):
        for progress in train.train(_small(), breaks, lambda g: pixels.batch(plan, g), plan):
            average = progress.network
    assert progress.step == 2 and all(p.isfinite().all() for p in average.parameters())


def test_seconds_are_those_of_training_alone(monkeypatch):
    plan, now = _plan(3), [0.0]
    monkeypatch.setattr(train, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def draw(generator):
        now[0] += 1
        return pixels.batch(plan, generator)

    for progress in train.train(_small(), pixels.loss, draw, plan):
        assert progress.seconds == progress.step
        now[0] += 1000  # whoever follows the training takes their time


def test_checkpoints_that_do_not_fit_say_so_and_are_left_alone(tmp_path):
    path = tmp_path / "c.pt"
    _run(_small(), _plan(3), path)
    whole = path.read_bytes()
    with pytest.raises(ValueError, match="another plan.*weight_decay"):
        _run(_small(), _plan(3, weight_decay=0.1), path)
    torch.manual_seed(0)
    with pytest.raises(ValueError, match="another network"):
        _run(UNet(width=24, blocks=1), _plan(3), path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="torn.*Delete"):
        _run(_small(), _plan(3), path)
    assert len(path.read_bytes()) == len(whole) // 2


def test_a_full_disk_keeps_the_file_from_before(tmp_path, monkeypatch):
    path = tmp_path / "kept"
    files.write(path, b"old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="unchanged.*Free some space"):
        files.write(path, b"new")
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("in_bytes", [False, True])
def test_weights_come_back_as_rounded_as_was_asked_and_no_more_when_kept_again(
    in_bytes, tmp_path, monkeypatch
):
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    network = _small()
    torch.nn.init.zeros_(network.out.weight[0])
    path = weights.save("tiny", network, {"steps": 1}, in_bytes)
    again = weights.load("tiny", UNet(width=16, blocks=1))
    for saved, loaded in zip(network.parameters(), again.parameters(), strict=True):
        if in_bytes and saved.ndim > 1:  # to a 255th of its row
            row = saved.flatten(1).abs().amax(1)
            assert ((saved - loaded).flatten(1).abs().amax(1) <= row / 254 * 1.001).all()
            assert torch.allclose(loaded.flatten(1).abs().amax(1), row)
        else:
            assert (saved.half().float() == loaded).all()
    assert weights.card("tiny")["steps"] == 1 and not again.training
    parameters = sum(p.numel() for p in network.parameters())
    assert path.stat().st_size < (1.3 if in_bytes else 2.1) * parameters
    weights.save("tiny", again, {"steps": 1}, in_bytes)
    for once, twice in zip(
        again.parameters(), weights.load("tiny", _small()).parameters(), strict=True
    ):
        torch.testing.assert_close(once, twice, atol=0, rtol=1e-6)


def test_weights_of_the_first_edition_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    network = _small()
    half = {key: value.half() for key, value in network.state_dict().items()}
    save_file(half, tmp_path / "tiny.safetensors", {"minivid": "1", "model": "tiny"})
    for key, value in weights.load("tiny", _small()).state_dict().items():
        assert (value == half[key].float()).all()


def test_wrong_weights_are_named_for_what_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match="no weights called 'tiny'.*train tiny"):
        weights.load("tiny", _small())
    path = weights.save("tiny", _small(), {})
    with pytest.raises(ValueError, match=r"does not fit this UNet.*file \(16,\), network \(24,\)"):
        weights.load("tiny", UNet(width=24, blocks=1))
    whole = path.read_bytes()
    (tmp_path / "other.safetensors").write_bytes(whole)
    with pytest.raises(ValueError, match="holds the model 'tiny', not 'other'"):
        weights.load("other", _small())
    for torn in (whole[:100], whole[:-5], b"", b"not weights at all"):
        path.write_bytes(torn)
        with pytest.raises(ValueError, match="torn"):
            weights.load("tiny", _small())
    save_file({"x": torch.zeros(1)}, path, {"minivid": "0"})
    with pytest.raises(ValueError, match="version 0"):
        weights.load("tiny", _small())
    with pytest.raises(ValueError, match="no card"):
        weights.card("nothing")


def test_shipped_cards_tell_how_the_weights_were_made():
    for name in recipes.in_the_box():
        recipe = recipes.RECIPES[name]
        card = weights.card(name)
        network = recipes.load(name)
        assert card["parameters"] == sum(p.numel() for p in network.parameters())
        assert train.Plan(**card["plan"]) == recipe.plans[card["scale"]], name
        with safe_open(weights.folder() / f"{name}.safetensors", "pt") as file:
            kept = {file.get_tensor(key).dtype for key in file.keys()}
        assert (torch.int8 in kept) == recipe.in_bytes, name
        assert card["seconds"] > 0 and card["score"] and json.dumps(card)


def test_no_model_is_made_before_one_that_it_begins_from(tmp_path, monkeypatch):
    """Whatever its network is built of was shipped before."""
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    begun = {"video": "reader", "joint": "video", "video_64": "reader", "joint_64": "video_64"}
    for name in recipes.trained_at("gpu"):
        made = recipes.recipe(name)
        if name in begun:
            kept = (tmp_path / f"{begun[name]}.safetensors").read_bytes()
            (tmp_path / f"{begun[name]}.safetensors").unlink()
            with pytest.raises(ValueError, match=f"called '{begun[name]}'"):
                made.build()
            (tmp_path / f"{begun[name]}.safetensors").write_bytes(kept)
        weights.save(name, made.build(), {})
    assert {"video_64", "joint_64"} == set(recipes.trained_at("gpu")) - set(recipes.in_the_box())


def test_the_readme_quotes_the_cards():
    readme = (weights.folder().parents[1] / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \|.*?\|(.*)\|$", readme, re.M)
    assert {name for name, _, _ in rows} == set(recipes.in_the_box())
    for name, key, quoted in rows:
        row = weights.card(name)["score"][key]
        low, high = row["interval"]
        floor, ceiling = ("–" if row[k] is None else f"{row[k]:.3f}" for k in ("floor", "ceiling"))
        wanted = f"{floor} | {row['ours']:.3f} [{low:.3f}, {high:.3f}] | {ceiling}"
        assert quoted.strip() == wanted, (name, key)


@pytest.mark.parametrize("name", ["judge", "pixels"])
def test_the_command_line_trains_and_scores(name, tmp_path, monkeypatch, capsys):
    """A tiny plan, start to end: weights, card and score file are there and hold together."""
    from minivid.__main__ import main

    recipe = recipes.RECIPES[name]
    tiny = train.Plan(steps=2, batch=4, learning_rate=1e-3)
    monkeypatch.setitem(
        recipes.RECIPES, name, recipes.Recipe(**{**vars(recipe), "plans": {"laptop": tiny}})
    )
    monkeypatch.setattr(recipes, "SCORED", 50)
    referee = recipes.load("judge")
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    weights.save("judge", referee, {})
    runs = ["--runs", str(tmp_path / "runs")]
    assert main(["train", name, "--scale", "laptop", *runs]) == 0
    assert (
        main(["score", name, "--n", "50", "--seed", "8", "--json", str(tmp_path / "s.json")]) == 0
    )
    found = json.loads((tmp_path / "s.json").read_text())
    assert found["n"] == 50 and found["seed"] == 8 and found["weights"] == name
    for row in found["metrics"].values():
        assert set(row) == {"floor", "ours", "ceiling", "interval"}
        assert row["interval"][0] <= row["ours"] <= row["interval"][1]
    assert main(["train", name, "--scale", "laptop", *runs]) == 1
    assert "Delete it to train" in capsys.readouterr().err
    assert main(["score", "nothing"]) == 1
    assert "There are: judge, pixels" in capsys.readouterr().err
    assert main(["score", name, "--seed", "-1"]) == 1


@pytest.mark.parametrize("at", recipes.SCALES)
def test_weights_of_any_scale_are_called_as_the_model_is(at, tmp_path, monkeypatch):
    """So what is trained after it begins from them."""
    plan = train.Plan(1, 2, 1e-3)
    recipe = recipes.Recipe(
        "a line",
        build=lambda: nn.Linear(3, 3),
        draw=lambda plan, draws: (torch.randn(plan.batch, 3, generator=draws),),
        loss=lambda network, made, draws: network(made[0]).square().mean(),
        plans={"laptop": plan, "gpu": plan},
        score=lambda network, n, seed: {},
    )
    monkeypatch.setitem(recipes.RECIPES, "tiny", recipe)
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    list(recipes.run("tiny", at, tmp_path))
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
    if not train.compiles(torch.device("cpu")):
        pytest.skip("torch.compile does not work on this machine")
    plan = train.Plan(5, 4, 1e-2, warmup=1)

    def run(plan):
        torch.manual_seed(0)
        network = Chain()

        def draw(g):
            return (torch.randn(plan.batch, 3, generator=g),)

        def loss(network, batch, generator):
            return (network(batch[0]) - batch[0]).square().mean()

        return list(
            train.train(network, loss, draw, plan, tmp_path / f"{plan.compiled}{plan.seed}.pt")
        )

    calls = []
    monkeypatch.setattr(nn.Linear, "compile", lambda *_, **how: calls.append(how))
    run(replace(plan, steps=1, compiled=True, seed=1))
    assert calls == 2 * [{"dynamic": False}]
    monkeypatch.undo()
    plain, compiled = run(plan), run(replace(plan, compiled=True))
    assert [p.loss for p in compiled] == pytest.approx([p.loss for p in plain], rel=1e-4)
    torch.testing.assert_close(
        compiled[-1].network(torch.ones(1, 3)),
        plain[-1].network(torch.ones(1, 3)),
        rtol=1e-3,
        atol=1e-4,
    )


def test_where_nothing_can_be_compiled_training_goes_on(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", broken)
    train.compiles.cache_clear()
    with pytest.warns(UserWarning, match="goes on without: no compiler"):
        assert not train.compiles(torch.device("cpu"))
    train.compiles.cache_clear()


def test_a_step_is_known_by_its_draws():
    for seed, step in ((0, 0), (0, 13_999), (3, 250), (2200, 5)):
        generator = torch.Generator().manual_seed(train.step_seed(seed, step))
        assert train.step_of(generator, seed) == step
