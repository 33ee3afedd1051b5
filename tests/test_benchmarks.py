"""The race against other libraries counts what it says, and the page of results shows what it found."""

import itertools
import runpy
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import contestants  # noqa: E402
import peers  # noqa: E402


@pytest.mark.parametrize("name", ["codec", "latents", "peers", "sample", "steps", "world"])
def test_a_benchmark_says_what_it_takes(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    assert left.value.code == 0 and "usage:" in capsys.readouterr().out


def _run(*proportions):
    points = [
        {"seconds": 100.0 * (k + 1), "step": k, "all": [proportion, 0, 1]}
        for k, proportion in enumerate(proportions)
    ]
    return {"curve": points}


def test_the_ratio_is_that_of_the_best_of_the_others_and_of_all_seeds_that_are_whole():
    theirs = {one.name: {"0": _run(0.0, 0.1)} for one in (*peers.MIXED, *peers.THEIRS)}
    theirs["Latte"] = {"0": _run(0.3, 0.2)}  # its end counts, not its best
    found = theirs | {"latent DiT": {"0": _run(0.1, 0.9), "1": _run(1.0)}}
    ratios = peers.ratios(found)
    assert list(ratios) == ["0"]
    assert ratios["0"]["best"] == "Latte" and ratios["0"]["all"] == 0.2
    assert ratios["0"]["arrival"] == pytest.approx(100 + 100 * (0.2 - 0.1) / (0.9 - 0.1))
    assert peers.ratios(theirs | {"latent DiT": {"0": _run(0.1)}})["0"]["arrival"] is None


def test_the_page_tells_after_which_share_of_its_seconds_each_of_ours_does_as_well():
    theirs = {one.name: {"0": _run(0.0, 0.1), "1": _run(0.05)} for one in (*peers.MIXED, *peers.THEIRS)}
    theirs["Latte"] = {"0": _run(0.3, 0.2), "1": _run(0.06)}
    found = theirs | {"latent DiT": {"0": _run(0.2), "1": _run(1.0)}, "pixel U-Net": {"0": _run(0.1)}}
    lines = peers.sooner(found)
    assert lines[0].endswith("| seed 0: Latte, 0.20 | seed 1: Latte, 0.06 |")
    assert lines[2:] == [
        f"| latent DiT | {100 / peers.SECONDS:.2f} |  |",
        "| latent DiT, not aligned |  |  |",
        "| latent U-Net |  |  |",
        "| pixel U-Net | more than 1.00 |  |",
        "",
        "Below 0.10 is hardly more than chance, and makes no ratio.",
    ]
    assert peers.sooner(theirs) == []


def test_who_raced_compiled_is_reported_beside_the_table():
    name = "Latte on our latents"
    slow, fast = _run(0.2) | {"steps": 1000}, _run(0.4) | {"steps": 1500}
    assert peers.with_compiler({name: {"1": slow}}) == []
    assert peers.with_compiler({name: {"1": slow}, name + peers.COMPILED: {"1": fast}}) == [
        "With its layers compiled, Latte on our latents takes 1,500 steps instead of 1,000, and ends at "
        "0.40 instead of 0.20 (seed 1)."
    ]
    one = peers.compiled(contestants.CONTESTANTS[name])
    assert one.name == name + peers.COMPILED and one.config.compile


def test_latents_are_held_against_pixels_seed_by_seed():
    found = {
        "latent U-Net": {"0": _run(0.8, 1.0), "1": _run(0.0, 0.8), "2": _run(1.0)},
        "pixel U-Net": {"0": _run(0.0, 0.0, 0.8), "1": _run(0.8), "2": _run(0.7)},
    }
    assert peers.in_latents(found) == pytest.approx([1 / 3, 2.0])


def test_the_page_of_results_shows_the_race_that_is_kept():
    page = (peers.DOCS / "results.md").read_text(encoding="utf-8")
    found = peers.load()
    assert peers.tables.between(page, "race", peers.section(found)) == page
    for name, runs in found.items():
        for run in runs.values() if name != "trials" else ():
            one = contestants.CONTESTANTS[name.removesuffix(peers.COMPILED)]
            assert run["settings"] == one.settings
            last = run["curve"][-1]
            assert last["seconds"] == pytest.approx(peers.SECONDS, rel=0.02)
            assert last["all"][1] <= last["all"][0] <= last["all"][2]


@pytest.mark.parametrize("name", ["latent U-Net", "pixel U-Net"])
def test_a_contestant_learns_until_its_seconds_are_spent_and_is_evaluated_on_the_way(name, monkeypatch):
    one = replace(contestants.CONTESTANTS[name], every=1.0)
    one = replace(one, config=replace(one.config, batch_size=2))
    ticks = itertools.count(0, 0.5)  # two a step, one before it and one after
    monkeypatch.setattr(peers, "cpu_seconds", lambda: next(ticks))
    monkeypatch.setattr(contestants, "DATASET_SIZE", 4)
    monkeypatch.setattr(peers, "TEST_SIZE", 2)
    monkeypatch.setattr(contestants, "STEPS", 2)
    found, generated = peers.race(one, 0, 3.0, n=3)
    assert [point["seconds"] for point in found["curve"]] == [1.0, 2.0, 3.0]
    assert [point["step"] for point in found["curve"]] == [2, 4, 6]
    assert found["steps"] == 6 and found["by"] == "minivid"
    assert generated.shape[1:] == (3, 17, 32, 32) and generated.abs().max() <= 1
    assert peers.race(one, 0, 0.1, n=3)[0]["steps"] == 1


NETWORKS = {
    "denoising_diffusion_pytorch": lambda: contestants.FramesAsChannels(8),
    "video_diffusion_pytorch": lambda: contestants.InSpaceAndTime(8),
    "diffusers": lambda: contestants.LatteOfText(1),
}


@pytest.mark.parametrize("library", NETWORKS)
def test_other_libraries_are_conditioned_on_the_prompt_and_the_noise_level(library):
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    torch.manual_seed(0)
    network = NETWORKS[library]()
    prompts = ["a red 3 moves up", "a blue 7 moves left"]
    tokens = library == "diffusers"
    encode_text = contestants.formats.tokenize if tokens else contestants.encode_prompts
    x_t, cond = torch.randn(2, 3, 17, 32, 32), encode_text(prompts)
    with torch.no_grad():
        y = network(x_t, torch.tensor([0.5, 0.5]), cond)
        of_another_prompt = network(x_t, torch.tensor([0.5, 0.5]), cond.flip(0))
        at_another_level = network(x_t, torch.tensor([0.6, 0.6]), cond)
    assert y.shape == x_t.shape
    assert not torch.allclose(y, of_another_prompt)
    assert not torch.allclose(y, at_another_level)
