"""Experiments keep what they found, seed by seed; their parts do what they say."""

import inspect
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from einops import rearrange
from minivid.recipes.judging import referee
from minivid.unet import VideoUNet

from minivid import codec, diffusion, experiments, generator, metrics, recipes, train, weights
from minivid.experiments import (
    flows,
    frames,
    guidance,
    hour,
    keeping,
    optimizers,
    prediction,
    prompts,
    race,
    samplers,
    sizes,
    speeds,
    task,
)
from minivid.recipes import cache, clips, held_out, latents, teacher, video, words
from minivid.world import captions, render, scene


def _quiet(steps, total, what):
    return steps


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for module in (experiments, keeping):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    return tmp_path


def test_a_seed_that_is_done_is_not_done_again(folder, monkeypatch):
    done, stopped = [], []

    class Tiny:
        WHAT, SEEDS = "nothing", (0, 1)

        @staticmethod
        def run(seed, follow):
            if seed == 1 and not stopped:
                stopped.append(seed)
                raise KeyboardInterrupt
            done.append(seed)
            return {"seed": seed}

    monkeypatch.setitem(experiments.EXPERIMENTS, "tiny", Tiny)
    with pytest.raises(ValueError, match="experiment tiny makes it"):
        experiments.load("tiny")
    with pytest.raises(KeyboardInterrupt):
        experiments.run("tiny", _quiet)
    found = experiments.run("tiny", _quiet)
    assert done == [0, 1] and found["results"] == {"0": {"seed": 0}, "1": {"seed": 1}}
    assert experiments.load("tiny") == found and set(found["seconds"]) == {"0", "1"}
    with pytest.raises(ValueError, match="There are: frames"):
        experiments.load("frame")


def test_kept_clips_come_back_to_half_a_grey_level(folder):
    video = render.video(scene.draw_scenes(2, 0), 5)
    keeping.keep("some", "a", video)
    keeping.keep("some", "b", -video)
    kept = keeping.clips("some")
    assert set(kept) == {"a", "b"}
    assert (kept["a"] - video).abs().max() <= 0.5 / 127.5 + 1e-6


def test_over_seeds_gives_the_mean_the_lowest_and_the_highest():
    found = {"0": {"a": {"x": [1.0, 0.0, 2.0], "n": 3}}, "1": {"a": {"x": [4.0, 3.0, 9.0], "n": 5}}}
    assert keeping.over_seeds(found, "a", "x") == (2.5, 1.0, 4.0)
    assert keeping.over_seeds(found, "a", "n") == (4.0, 3, 5)


def test_every_experiment_is_committed_with_all_its_seeds():
    for name, module in experiments.EXPERIMENTS.items():
        found = experiments.load(name)
        assert set(found["results"]) == {str(seed) for seed in module.SEEDS}
        assert found["what"] == module.WHAT and found["made_by"].endswith(name)
        numbers = json.dumps(found["results"])
        assert "NaN" not in numbers and "Infinity" not in numbers


# Held out ----------------------------------------------------------------------------------------


def test_one_combination_in_ten_is_held_out_and_every_word_about_equally_often():
    assert len(held_out.SEEN) == 216 and len(held_out.UNSEEN) == 24
    for key, every in (
        ("digit", scene.DIGITS),
        ("colour", scene.COLOURS),
        ("heading", scene.HEADINGS),
    ):
        counts = [sum(getattr(one, key) == word for one in held_out.UNSEEN) for word in every]
        assert min(counts) >= 2 and max(counts) - min(counts) <= 1


def test_the_video_models_batches_never_show_what_is_held_out():
    plan = clips.RECIPE.plans["laptop"]
    unseen = {(one.digit, one.colour, one.heading) for one in held_out.UNSEEN}
    shown = set()
    for seed in range(12):
        scenes = held_out.draw_scenes(plan.batch, seed)
        shown |= {
            (one.bodies[0].digit, one.bodies[0].colour, one.bodies[0].heading) for one in scenes
        }
    assert len(shown) > 150 and not shown & unseen
    video, asked = clips.batch(plan, torch.Generator().manual_seed(5))
    again = render.video(held_out.draw_scenes(plan.batch, torch.Generator().manual_seed(5)))
    assert torch.equal(video, again) and asked.shape == (plan.batch, 128)


# Frames ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", frames.SHARED)
def test_shared_noise_is_standard_normal_in_every_frame_and_shared_as_much_as_said(share):
    noise = frames.noise(200, 0, share)
    assert noise.std((0, 1, 3, 4)).sub(1).abs().max() < 0.01
    alike = (noise[:, :, 0] * noise[:, :, 5]).mean().item()
    assert alike == pytest.approx(share, abs=0.01)


def test_one_by_one_means_that_no_frame_knows_another():
    torch.manual_seed(0)
    network = VideoUNet(asked=8, width=8, blocks=1).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    start = frames.noise(2, 1)
    changed = start.clone()
    changed[:, :, 4] = 0
    for together in (False, True):
        before, after = (frames.draw(network, x, together) for x in (start, changed))
        others = [k for k in range(frames.FRAMES) if k != 4]
        assert torch.equal(before[:, :, others], after[:, :, others]) == (not together)


@pytest.mark.parametrize("together", [False, True])
def test_a_clip_hears_its_own_sentence_in_every_frame_and_no_other(together):
    torch.manual_seed(0)
    network = VideoUNet(asked=8, width=8, blocks=1).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    start, asked = frames.noise(2, 1), torch.randn(2, 8)
    other = torch.stack([asked[0], -asked[1]])
    one, two = (frames.draw(network, start, together, told) for told in (asked, other))
    assert torch.equal(one[0], two[0])
    assert ((one[1] != two[1]).flatten(2).any(-1)).any(0).all()
    assert not torch.equal(one, frames.draw(network, start, together))
    last = frames.guesses(network, start[:1], together, asked[:1])[-1]
    assert last.shape == one[0].shape and torch.allclose(last.clamp(-1, 1), one[0], atol=1e-4)


def test_lone_frames_are_those_of_the_clips_and_hear_their_sentence():
    (lone, told), (whole, asked) = (
        frames.batch(frames.PLAN, torch.Generator().manual_seed(3), way) for way in (False, True)
    )
    assert torch.equal(lone, rearrange(whole[:, :, ::2], "b c f h w -> (b f) c 1 h w"))
    assert torch.equal(told.unflatten(0, (-1, 5)), asked[:, None].expand(-1, 5, -1))
    assert 0 < (asked == 0).all(1).sum() < len(asked)


def test_real_clips_pass_and_shuffled_or_standing_ones_do_not():
    viewer = recipes.load("judge")
    real = render.video(scene.draw_scenes(20, 1), frames.FRAMES)
    order = torch.randperm(frames.FRAMES, generator=torch.Generator().manual_seed(0))
    found = frames.measure(real, viewer)
    assert found["passes"].mean() == 1 and found["identity"].min() == 1
    shuffled = frames.measure(real[:, :, order], viewer)
    assert shuffled["passes"].mean() < 0.1 and shuffled["one_digit"].mean() == 1
    still = frames.measure(real[:, :, :1].expand_as(real), viewer)
    assert still["passes"].mean() == 0 and still["flicker"].max() == 0
    mixed = real[torch.arange(20).roll(1)].clone()
    mixed[:, :, ::2] = real[:, :, ::2]
    assert frames.measure(mixed, viewer)["one_digit"].mean() < 0.4


# Speeds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", speeds.SPEEDS)
def test_the_judge_can_tell_every_speed_and_no_wall_is_hit_while_frames_are_given(speed):
    scenes = speeds.draw_scenes(12, 2, speed)
    assert all(one.hits(speeds.GIVEN / scene.FRAMES_PER_SECOND) == [] for one in scenes)
    seen = speeds.speed_after(render.video(scenes), recipes.load("judge"))
    assert (seen - speed).abs().max() < 0.03


def test_given_frames_come_out_as_they_were_whatever_the_field():
    clean, noise = torch.rand(2, 3, 4, 8, 8), torch.randn(2, 3, 17, 8, 8)
    field = speeds.replaced(lambda x_t, t: torch.sin(x_t * 3), clean, noise[:, :, :4])
    for move in (diffusion.euler, diffusion.heun):
        *_, last = diffusion.sample(field, noise, diffusion.schedule(5), clips.PATH, move)
        assert torch.allclose(last.x_t[:, :, :4], clean, atol=1e-5)
        assert not torch.allclose(last.x_t[:, :, 4:8], clean, atol=0.1)


def test_frames_told_to_be_clean_stay_as_they_are_and_are_seen_without_noise():
    clean, noise = torch.rand(2, 3, 5, 8, 8), torch.randn(2, 3, 17, 8, 8)
    told = []

    def network(x_t, levels, asked):
        told.append((x_t[:, :, :5].clone(), levels))
        return torch.sin(x_t * 3)

    start = torch.cat([clean, noise[:, :, 5:]], 2)
    field = speeds.continued(network, torch.zeros(2, 8))
    *_, last = diffusion.sample(field, start, diffusion.schedule(4), clips.PATH, diffusion.heun)
    assert torch.equal(last.x_t[:, :, :5], clean)
    assert not torch.allclose(last.x_t[:, :, 5:], start[:, :, 5:], atol=0.1)
    assert all(torch.equal(seen, clean) for seen, _ in told)
    assert all((levels[:, :3] == 0).all() and (levels[:, 3:] > 0).all() for _, levels in told)
    assert told[0][1].shape == (2, 9)


def test_the_loss_of_continuing_is_that_of_the_frames_not_given():
    clean, asked = torch.rand(2, 3, 17, 8, 8), torch.zeros(2, 8)

    def network(x_t, levels, asked):
        assert torch.equal(x_t[:, :, :5], clean[:, :, :5]) and (levels[:, :3] == 0).all()
        answer = clean.clone()
        answer[:, :, :5] += 9  # costs nothing
        answer[:, :, 5:] += 0.5
        return answer

    found = speeds.loss(network, (clean, asked), torch.Generator().manual_seed(0))
    assert found.item() == pytest.approx(0.25)


# Prompts -----------------------------------------------------------------------------------------


def test_wordings_say_the_same_in_known_words_and_those_called_unseen_are_never_written():
    import random

    generator = torch.Generator().manual_seed(0)
    written = {captions.write(one.describe(), generator) for one in scene.draw_scenes(3000, 0)}
    first = {sentence.split(",")[0] for sentence in written}
    for name, write in prompts.WORDINGS.items():
        for wish in held_out.SEEN[::9]:
            sentence = write(wish, random.Random(1))
            words.TOKENISER([sentence])
            if name == "as in training" or "other words" in name:
                assert captions.parse(sentence).subjects[0] == wish
        if "never" in name:
            assert not {write(wish, random.Random(1)) for wish in held_out.SEEN} & (written | first)


# Guidance ----------------------------------------------------------------------------------------


def test_variety_is_the_spread_of_first_places_and_garish_counts_the_ends_of_the_range():
    viewer = recipes.load("judge")
    one = scene.draw_scenes(1, 3)[0]
    same = render.video([one] * guidance.EACH, 5)
    asked = [one.describe()] * guidance.EACH
    scenes = scene.draw_scenes(guidance.EACH, 4, descriptions=asked)
    found = guidance.variety(viewer.read(torch.cat([same, render.video(scenes, 5)])))
    starts = torch.stack([s.positions(scene.frame_times(5))[0, 0] for s in scenes])
    assert found[0] < 1e-5 and found[1] == pytest.approx(starts.std(0).mean().item(), rel=0.05)
    video = torch.zeros(2, 3, 5, 8, 8)
    video[0, 0], video[1] = 1.0, 0.9
    assert guidance.garish(video).tolist() == pytest.approx([1 / 3, 0])


# The race ----------------------------------------------------------------------------------------


def test_arrival_is_read_between_two_looks():
    curve = [{"seconds": s, "all": share} for s, share in ((100, 0.2), (200, 0.6), (300, 0.5))]
    assert race.arrival(curve, 0.4) == pytest.approx(150)
    assert race.arrival(curve, 0.1) == pytest.approx(50)
    assert race.arrival(curve, 0.7) is None and race.arrival([], 0.1) is None


def test_all_sides_of_the_race_run_in_turn_on_clocks_of_their_own(monkeypatch):
    for key, value in {"KEPT": 60, "EVERY": 0.5, "LONGEST": 2.0, "ASKED": 4}.items():
        monkeypatch.setattr(race, key, value)
    found = race.run(0, _quiet, target=1.1)  # which nobody reaches
    assert set(found) == {"latents", "pixels, folded", "pixels"}
    counts = [side["parameters"] for side in found.values()]
    assert max(counts) < 1.1 * min(counts)
    for side in found.values():
        assert side["arrival"] is None and side["curve"]
        seconds = [point["seconds"] for point in side["curve"]]
        assert seconds == sorted(seconds) and 0.5 <= seconds[0]
        assert all(set(point) >= {"step", "digit", "all"} for point in side["curve"])


# Transformers ------------------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The task of the transformers, over in a moment."""
    monkeypatch.setattr(cache, "FOLDER", tmp_path)
    monkeypatch.setattr(task, "KEPT", 40)
    monkeypatch.setattr(task, "JUDGED", 64)
    monkeypatch.setattr(task, "PLAN", train.Plan(3, 4, 1e-3))
    kept = task.training_set, task.shown, task.judged
    for some in kept:
        some.cache_clear()
    yield
    for some in kept:
        some.cache_clear()


def test_all_are_compared_on_the_same_clips_with_the_same_noise(tiny):
    network = task.network(0)
    first, again = task.held_out_loss(network), task.held_out_loss(network)
    assert torch.equal(first, again) and len(first) == 2
    scenes, (judged, sentences) = task.training_set(task.KEPT)[1], task.judged()
    assert len(judged) == len(sentences) == 64
    assert not {repr(one) for one in scenes} & {repr(one) for one in held_out.draw_scenes(64, 0)}
    assert first.mean().item() == pytest.approx(2, rel=0.1)  # who says nothing: noise - clean


def test_a_step_costs_what_its_products_cost(tiny):
    """Six FLOPs a weight and token; what is told once a clip, and attention, come on top."""
    one, two = (task.flops(task.network(0, 64, depth)) for depth in (1, 2))
    block = task.network(0, 64, 1).dit.blocks[0]
    _, said = task.batch(train.Plan(1, 1, 1e-3), torch.Generator().manual_seed(0))
    tokens, words = 32, said.shape[1]
    read = block.read.key_value.weight.numel()
    weights = sum(p.numel() for p in block.parameters() if p.ndim == 2) - read
    expected = 6 * (weights * tokens + read * words) + 12 * 64 * tokens * (tokens + words)
    assert two - one == pytest.approx(expected, rel=1e-6)
    small, large = (task.network(0, width, 1) for width in (32, 64))
    assert 0 < task.reading(small) == task.reading(large) < task.flops(small)


@pytest.mark.parametrize("predicts", prediction.PREDICTS)
def test_who_knows_is_forgiven_whatever_is_predicted_and_draws_the_clip(predicts):
    """The exact answer has no loss, and its walk, that begins a little below 1, ends at the clip."""
    clean = torch.rand(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    path = clips.PATH

    def knows(x_t, t, tokens):
        alpha, sigma = (s.view(-1, 1, 1, 1, 1) for s in path.levels(t))
        noise = (x_t - alpha * clean) / sigma
        return {"clean": clean.expand_as(x_t), "noise": noise, "velocity": noise - clean}[predicts]

    made = clean.expand(6, -1, -1, -1, -1), video.tokens(["a red 3"] * 6)
    assert prediction.loss(knows, made, torch.Generator().manual_seed(1), predicts) < 1e-4
    t = prediction.levels(1000, torch.Generator().manual_seed(0))
    assert 0.05 <= t.min() and t.max() <= 0.95
    drawn = prediction.draw(knows, ["a red 3"], 0, predicts)
    torch.testing.assert_close(drawn[:, :, 1:], clean, atol=1e-2, rtol=0)


def test_each_comparison_of_transformers_runs(tiny, folder, monkeypatch):
    monkeypatch.setattr(sizes, "SIZES", ((32, 1), (64, 1)))
    monkeypatch.setattr(flows, "LOOKS", (2,))
    plans = {name: replace(plan, steps=2) for name, plan in optimizers.PLANS.items()}
    monkeypatch.setattr(optimizers, "PLANS", plans)
    monkeypatch.setattr(flows.measure, "__defaults__", (4,))
    small, large = sizes.run(0, _quiet).values()
    assert small["flops"] < large["flops"] and small["curve"][-1]["step"] == 3
    assert set(optimizers.run(0, _quiet)) == set(plans)
    assert all(set(row) == {"2"} for row in flows.run(0, _quiet).values())
    monkeypatch.setattr(prediction, "keep", lambda *_: None)
    assert set(prediction.run(0, _quiet, n=4)) == {"clean", "velocity", "noise"}


@pytest.mark.parametrize("name", flows.WAYS)
def test_who_knows_the_clip_draws_it_on_every_path(name):
    """The exact prediction, walked its own way, ends on the clip."""
    way, clean = flows.WAYS[name], torch.randn(1, 8, 2, 8, 8)

    def knows(x_t, t, tokens):
        alpha, sigma = (level.view(-1, 1, 1, 1, 1) for level in way.path.levels(t))
        noise = (x_t - alpha * clean) / sigma
        return getattr(diffusion.views(way.path, "noise", noise, x_t, t), way.predicts)

    drawn = way.draw(knows, ["a red 3"], 0, 6)
    real = latents.video_codec().decode(clean).clamp(-1, 1)
    torch.testing.assert_close(drawn, real, rtol=1e-2, atol=1e-2)


def test_each_method_looks_as_often_as_its_row_says(monkeypatch):
    looks = []
    field = generator.Generator.field

    def counted(self, *args):
        inner = field(self, *args)
        return lambda x_t, t: (looks.append(len(x_t)), inner(x_t, t))[1]

    monkeypatch.setattr(generator.Generator, "field", counted)
    monkeypatch.setattr(samplers, "LOOKS", (2, 4))
    found = samplers.run(0, _quiet, n=6)
    assert looks == [6] * (2 + 4 + 1 + 3 + 2 + 4)  # Heun's last step looks once
    assert [list(rows) for rows in found.values()] == [["2", "4"]] * 3
    assert all(0 <= low <= value <= high <= 1 for value, low, high in found["Heun"]["4"].values())


def test_patches_of_pixels_are_whole_again_and_have_their_places():
    network = prediction.Pixels(64, 1)
    torch.nn.init.normal_(network.dit.out.weight, std=0.1)
    x_t, said = torch.randn(2, 3, 8, 32, 32), video.tokens(["a red 3", ""])
    assert network(x_t, torch.rand(2), said).shape == x_t.shape
    at = prediction._places()
    assert at[0].tolist() == [2 / 8, -12.0, -12.0, 32.0, 32.0] and len(at) == 64
    shown = scene.frame_times(9)[1:].view(4, 2).mean(1)
    assert at[::16, 0].tolist() == pytest.approx(shown.tolist())


def test_the_hour_uses_nothing_that_is_shipped_but_the_judge(folder, monkeypatch):
    small = train.Plan(2, 4, 1e-3)
    for key, value in {
        "WORDS": small,
        "CODEC": small,
        "PLAN": small,
        "KEPT": 20,
        "WIDTH": 32,
        "DEPTH": 1,
    }.items():
        monkeypatch.setattr(hour, key, value)
    loaded = []
    load = weights.load
    monkeypatch.setattr(weights, "load", lambda name, to: (loaded.append(name), load(name, to))[1])
    for shipped in (latents._video_codec, clips._words, teacher.teacher):
        shipped.cache_clear()
    found = hour.run(0, _quiet, n=40)
    assert set(loaded) <= {"judge"}
    assert found["seconds"]["in all"] >= found["seconds"]["codec"] + found["seconds"]["latents"]
    assert {"digit", "all", "identity"} <= found["score"].keys()
    assert keeping.clips("hour")["clips"].shape == (8, 3, 17, 32, 32)


def test_the_findings_quote_the_experiments():
    page = Path(__file__).parents[1] / "docs" / "findings.md"
    rows = re.findall(r"\| `([^`]+)` \| (.+?) \|", page.read_text(encoding="utf-8"))
    assert len(rows) > 20
    for path, quoted in rows:
        name, *way = path.split(" / ")
        mean, low, high = keeping.over_seeds(experiments.load(name)["results"], *way)
        assert quoted == f"{mean:.3f} [{low:.3f}, {high:.3f}]", path


def test_the_findings_say_how_many_were_judged():
    page = Path(__file__).parents[1] / "docs" / "findings.md"
    (told,) = re.findall(r"judged in a seed: (.+?)\. Losses", page.read_text(encoding="utf-8"))
    said = {}
    for part in re.split(r", (?=\d)", told):
        said |= dict.fromkeys(re.findall(r"`(\w+)`", part), int(re.match(r"\d+", part)[0]))
    assert len(said) == 11
    for name in said.keys() - {"binding", "guidance"}:  # where n is another number
        run = inspect.signature(experiments.experiment(name).run)
        assert run.parameters["n"].default == said[name], name
