"""The race against other libraries counts what it says, and the page of results shows what it found."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import contestants  # noqa: E402
import peers  # noqa: E402


def _run(*shares):
    points = [
        {"seconds": 100.0 * (k + 1), "step": k, "all": [share, 0, 1]}
        for k, share in enumerate(shares)
    ]
    return {"curve": points}


def test_the_ratio_is_that_of_the_best_of_the_others_and_of_all_seeds_that_are_whole():
    theirs = {one.name: {"0": _run(0.0, 0.1)} for one in peers.THEIRS}
    theirs["Latte"] = {"0": _run(0.3, 0.2)}  # its end counts, not its best
    found = theirs | {"latent DiT": {"0": _run(0.1, 0.9), "1": _run(1.0)}}
    ratios = peers.ratios(found)
    assert list(ratios) == ["0"]
    assert ratios["0"]["best"] == "Latte" and ratios["0"]["all"] == 0.2
    assert ratios["0"]["arrival"] == pytest.approx(100 + 100 * (0.2 - 0.1) / (0.9 - 0.1))
    assert peers.ratios(theirs | {"latent DiT": {"0": _run(0.1)}})["0"]["arrival"] is None


def test_the_page_of_results_shows_the_race_that_is_kept():
    page = (peers.DOCS / "results.md").read_text(encoding="utf-8")
    found = peers.read()
    assert peers.results.between(page, "race", peers.section(found)) == page
    for name, runs in found.items():
        for run in runs.values() if name != "trials" else ():
            last = run["curve"][-1]
            assert last["seconds"] == pytest.approx(peers.SECONDS, rel=0.02)
            assert last["all"][1] <= last["all"][0] <= last["all"][2]


@pytest.mark.parametrize("name", ["latent U-Net", "pixel U-Net"])
def test_a_contestant_learns_and_draws_within_its_seconds(name, monkeypatch):
    one = replace(contestants.CONTESTANTS[name], every=1.0)
    one = replace(one, plan=replace(one.plan, batch=2))
    monkeypatch.setattr(contestants, "KEPT", 4)
    monkeypatch.setattr(peers, "ASKED", 2)
    monkeypatch.setattr(contestants, "STEPS", 2)
    contestants.kept_clips.cache_clear()
    found, drawn = peers.race(one, 0, 3.0, asked=3)
    contestants.kept_clips.cache_clear()
    assert found["steps"] == found["curve"][-1]["step"] > 0 and found["by"] == "minivid"
    assert found["curve"][-1]["seconds"] >= 3.0 and len(found["curve"]) >= 2
    assert drawn.shape[1:] == (3, 17, 32, 32) and drawn.abs().max() <= 1


def test_other_libraries_are_told_the_sentence_and_the_noise_level():
    pytest.importorskip("diffusers")
    torch.manual_seed(0)
    network = contestants.LatteOfText(1)
    torch.nn.init.normal_(network.latte.proj_out.weight)
    x_t, tokens = torch.randn(2, 3, 17, 32, 32), contestants.video.tokens(["a red 3", "a blue 7"])
    with torch.no_grad():
        y = network(x_t, torch.tensor([0.5, 0.5]), tokens)
        other = network(x_t, torch.tensor([0.5, 0.5]), tokens.flip(0))
        later = network(x_t, torch.tensor([0.6, 0.6]), tokens)
    assert y.shape == x_t.shape
    assert not torch.allclose(y, other) and not torch.allclose(y, later)
