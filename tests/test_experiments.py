"""Experiments save what they found, seed by seed; their parts do what they say."""

import inspect
import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from einops import rearrange
from torch import nn

from minivid import diffusion, experiments, pipeline, recipes, weights
from minivid.experiments import (
    flows,
    frames,
    guidance,
    hour,
    optimizers,
    prediction,
    prompts,
    race,
    records,
    samplers,
    sizes,
    small_task,
    speeds,
    step_flops,
)
from minivid.formats import FRAMES_PER_SECOND, frame_times
from minivid.models.unet import VideoUNet, VideoUNetConfig
from minivid.recipes import cache, clips, features, formats, words
from minivid.training import TrainConfig
from minivid.world import captions, held_out, random_scenes, render, scene


def _quiet(steps, total, what):
    return steps


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for module in (experiments, records):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    return tmp_path


def test_a_seed_that_is_done_is_not_done_again(folder, monkeypatch):
    done, stopped = [], []

    class Tiny:
        WHAT, SEEDS = "nothing", (0, 1)

        @staticmethod
        def run(seed, bar):
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
    with pytest.raises(ValueError, match="There are: alignment, .*frames"):
        experiments.load("frame")


def test_saved_clips_come_back_to_half_a_grey_level(folder):
    video = render.video(random_scenes.draw_scenes(2, 0), 5)
    records.save_clips("some", "a", video)
    records.save_clips("some", "b", -video)
    loaded = records.load_clips("some")
    assert set(loaded) == {"a", "b"}
    assert (loaded["a"] - video).abs().max() <= 0.5 / 127.5 + 1e-6


def test_over_seeds_gives_the_mean_the_lowest_and_the_highest():
    found = {"0": {"a": {"x": [1.0, 0.0, 2.0], "n": 3}}, "1": {"a": {"x": [4.0, 3.0, 9.0], "n": 5}}}
    assert records.over_seeds(found, "a", "x") == (2.5, 1.0, 4.0)
    assert records.over_seeds(found, "a", "n") == (4.0, 3, 5)


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
    for key, every in (("digit", scene.DIGITS), ("colour", scene.COLOURS), ("heading", scene.HEADINGS)):
        counts = [sum(getattr(one, key) == word for one in held_out.UNSEEN) for word in every]
        assert min(counts) >= 2 and max(counts) - min(counts) <= 1


def test_the_video_models_batches_never_show_what_is_held_out():
    config = clips.RECIPE.configs["laptop"]
    unseen = {(one.digit, one.colour, one.heading) for one in held_out.UNSEEN}
    shown = set()
    for seed in range(12):
        scenes = held_out.draw_scenes(config.batch_size, seed)
        shown |= {(one.bodies[0].digit, one.bodies[0].colour, one.bodies[0].heading) for one in scenes}
    assert len(shown) > 150 and not shown & unseen
    video, pooled_text = clips.draw_batch(config, torch.Generator().manual_seed(5))
    scenes = held_out.draw_scenes(config.batch_size, torch.Generator().manual_seed(5))
    assert torch.equal(video, render.video(scenes))
    assert pooled_text.shape == (config.batch_size, 128)


# Frames ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", frames.SHARED)
def test_shared_noise_is_standard_normal_in_every_frame_and_shared_as_much_as_it_says(shared):
    noise = frames.noise(200, 0, shared)
    assert noise.std((0, 1, 3, 4)).sub(1).abs().max() < 0.01
    alike = (noise[:, :, 0] * noise[:, :, 5]).mean().item()
    assert alike == pytest.approx(shared, abs=0.01)


@pytest.fixture
def unet() -> VideoUNet:
    torch.manual_seed(0)
    network = VideoUNet(VideoUNetConfig(text_dim=8, width=8, blocks=1)).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05)
    return network


def test_one_by_one_means_that_no_frame_knows_another(unet):
    start = frames.noise(2, 1)
    changed = start.clone()
    changed[:, :, 4] = 0
    for together in (False, True):
        before, after = (frames.generate(unet, x, together) for x in (start, changed))
        others = [k for k in range(frames.FRAMES) if k != 4]
        assert torch.equal(before[:, :, others], after[:, :, others]) == (not together)


@pytest.mark.parametrize("together", [False, True])
def test_a_clip_follows_its_own_prompt_in_every_frame_and_no_other(unet, together):
    start, pooled_text = frames.noise(2, 1), torch.randn(2, 8)
    other = torch.stack([pooled_text[0], -pooled_text[1]])
    one, two = (frames.generate(unet, start, together, text) for text in (pooled_text, other))
    assert torch.equal(one[0], two[0])
    assert ((one[1] != two[1]).flatten(2).any(-1)).any(0).all()
    assert not torch.equal(one, frames.generate(unet, start, together))
    last = frames.predictions(unet, start[:1], together, pooled_text[:1])[-1]
    assert last.shape == one[0].shape and torch.allclose(last.clamp(-1, 1), one[0], atol=1e-4)


def test_lone_frames_are_those_of_the_clips_and_have_their_captions():
    (lone, each), (video, pooled_text) = (
        frames.draw_batch(frames.CONFIG, torch.Generator().manual_seed(3), together)
        for together in (False, True)
    )
    assert torch.equal(lone, rearrange(video[:, :, ::2], "b c f h w -> (b f) c 1 h w"))
    assert torch.equal(each.unflatten(0, (-1, 5)), pooled_text[:, None].expand(-1, 5, -1))
    assert 0 < (pooled_text == 0).all(1).sum() < len(pooled_text)


def test_real_clips_pass_and_shuffled_or_standing_ones_do_not():
    judge = recipes.load("judge")
    real = render.video(random_scenes.draw_scenes(20, 1), frames.FRAMES)
    order = torch.randperm(frames.FRAMES, generator=torch.Generator().manual_seed(0))
    found = frames.measure(real, judge)
    assert found["passes"].mean() == 1 and found["frame_agreement"].min() == 1
    shuffled = frames.measure(real[:, :, order], judge)
    assert shuffled["passes"].mean() < 0.1 and shuffled["identity"].mean() == 1
    still = frames.measure(real[:, :, :1].expand_as(real), judge)
    assert still["passes"].mean() == 0 and still["flicker"].max() == 0
    mixed = real[torch.arange(20).roll(1)].clone()
    mixed[:, :, ::2] = real[:, :, ::2]
    assert frames.measure(mixed, judge)["identity"].mean() < 0.4


# Speeds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", speeds.SPEEDS)
def test_the_judge_can_tell_every_speed_and_no_wall_is_hit_while_frames_are_given(speed):
    scenes = speeds.draw_scenes(12, 2, speed)
    assert all(one.hits(speeds.GIVEN / FRAMES_PER_SECOND) == [] for one in scenes)
    observed = speeds.speed_after(render.video(scenes), recipes.load("judge"))
    assert (observed - speed).abs().max() < 0.03


def test_frames_that_are_replaced_come_out_as_given_whatever_the_field():
    given, noise = torch.rand(2, 3, 4, 8, 8), torch.randn(2, 3, 17, 8, 8)
    field = speeds.replacement(lambda x_t, t: torch.sin(x_t * 3), given, noise[:, :, :4])
    for solver in (diffusion.euler, diffusion.heun):
        trajectory = diffusion.sample(field, noise, diffusion.schedule(5), clips.PATH, solver)
        x = diffusion.last_step(trajectory).x_t
        assert torch.allclose(x[:, :, :4], given, atol=1e-5)
        assert not torch.allclose(x[:, :, 4:8], given, atol=0.1)


class Watched(nn.Module):
    """A video U-Net in name: it notes the first five frames it is given, and every noise level."""

    def __init__(self):
        super().__init__()
        self.config, self.unit = VideoUNetConfig(), (8, 8)
        self.weight = nn.Parameter(torch.zeros(()))
        self.inputs = []

    def forward(self, x_t, t, pooled_text):
        self.inputs.append((x_t[:, :, :5].clone(), t))
        return torch.sin(x_t * 3)


@pytest.mark.parametrize("conditioned", [False, True])
def test_given_frames_stay_as_they_are_and_the_network_is_told_only_where_conditioned(conditioned):
    scenes, network = speeds.draw_scenes(2, 0, 0.4), Watched()
    video = speeds.complete(network, scenes, 0, conditioned)
    real = render.video(scenes)
    assert torch.allclose(video[:, :, :5], real[:, :, :5], atol=1e-5)
    assert not torch.allclose(video[:, :, 5:], real[:, :, 5:], atol=0.1)
    assert all(torch.equal(x, real[:, :, :5]) for x, _ in network.inputs) == conditioned
    for _, t in network.inputs:
        assert t.shape == ((2, 1, 17, 1, 1) if conditioned else (2,))
        if conditioned:
            assert (t[:, :, :5] == 0).all() and (t[:, :, 5:] > 0).all()


def test_the_loss_of_continuing_is_that_of_the_frames_not_given():
    clean, pooled_text = torch.rand(2, 3, 17, 8, 8), torch.zeros(2, 8)

    def network(x_t, t, pooled_text):
        assert torch.equal(x_t[:, :, :5], clean[:, :, :5]) and (t[:, :, :5] == 0).all()
        assert (x_t[:, :, 5:] != clean[:, :, 5:]).any() and (t[:, :, 5:] > 0).all()
        output = clean.clone()
        output[:, :, :5] += 9  # costs nothing
        output[:, :, 5:] += 0.5
        return output

    found = speeds.loss(network, (clean, pooled_text), torch.Generator().manual_seed(0))
    assert found.item() == pytest.approx(0.25)


# Prompts and guidance ----------------------------------------------------------------------------


def test_wordings_say_the_same_in_known_words_and_those_called_unseen_are_never_written():
    rng = torch.Generator().manual_seed(0)
    scenes = random_scenes.draw_scenes(3000, 0)
    written = {captions.write(one.describe(), rng) for one in scenes}
    first = {sentence.split(",")[0] for sentence in written}
    for name, write in prompts.WORDINGS.items():
        for subject in held_out.SEEN[::9]:
            sentence = write(subject, random.Random(1))
            pipeline.TOKENIZER([sentence])
            if name == "as in training" or "other words" in name:
                assert captions.parse(sentence).subjects[0] == subject
        if "never" in name:
            sentences = {write(subject, random.Random(1)) for subject in held_out.SEEN}
            assert not sentences & (written | first)


def test_variety_is_the_spread_of_first_positions_and_saturation_counts_the_ends_of_the_range():
    judge = recipes.load("judge")
    one = random_scenes.draw_scenes(1, 3)[0]
    same = render.video([one] * guidance.EACH, 5)
    asked = [one.describe()] * guidance.EACH
    scenes = random_scenes.draw_scenes(guidance.EACH, 4, descriptions=asked)
    found = guidance.variety(judge.read(torch.cat([same, render.video(scenes, 5)])))
    starts = torch.stack([s.positions(frame_times(5))[0, 0] for s in scenes])
    assert found[0] < 1e-5 and found[1] == pytest.approx(starts.std(0).mean().item(), rel=0.05)
    video = torch.zeros(2, 3, 5, 8, 8)
    video[0, 0], video[1] = 1.0, 0.9
    assert guidance.saturation(video).tolist() == pytest.approx([1 / 3, 0])


# The race ----------------------------------------------------------------------------------------


def test_arrival_is_read_between_two_evaluations():
    curve = [{"seconds": s, "all": right} for s, right in ((100, 0.2), (200, 0.6), (300, 0.5))]
    assert race.arrival(curve, 0.4) == pytest.approx(150)
    assert race.arrival(curve, 0.1) == pytest.approx(50)
    assert race.arrival(curve, 0.7) is None and race.arrival([], 0.1) is None


def test_all_sides_of_the_race_run_in_turn_on_clocks_of_their_own(monkeypatch):
    for key, value in {"DATASET_SIZE": 60, "EVERY": 0.5, "LONGEST": 2.0, "TEST_SIZE": 4}.items():
        monkeypatch.setattr(race, key, value)
    found = race.run(0, _quiet, target=1.1)  # which none reaches
    assert set(found) == {"latents", "pixels, folded", "pixels"}
    counts = [side["parameters"] for side in found.values()]
    assert max(counts) < 1.1 * min(counts)
    for side in found.values():
        assert side["arrival"] is None and side["curve"]
        seconds = [point["seconds"] for point in side["curve"]]
        assert seconds == sorted(seconds) and 0.5 <= seconds[0]
        assert all(set(point) >= {"step", "digit", "all"} for point in side["curve"])


# Transformers ------------------------------------------------------------------------------------


def test_all_are_compared_on_the_same_clips_with_the_same_noise(tiny):
    network = small_task.network(0)
    first, again = small_task.eval_loss(network), small_task.eval_loss(network)
    assert torch.equal(first, again) and len(first) == 2
    scenes = small_task.training_set(small_task.DATASET_SIZE)[1]
    latents, sentences = small_task.eval_set()
    assert len(latents) == len(sentences) == 64
    assert not {repr(one) for one in scenes} & {repr(one) for one in held_out.draw_scenes(64, 0)}
    # What predicts nothing misses all of noise - clean.
    assert first.mean().item() == pytest.approx(2, rel=0.1)


def test_a_step_costs_what_its_products_cost(tiny):
    """Six FLOPs a weight and token; what is computed once a clip, and attention, come on top."""
    one, two = (step_flops.step_flops(small_task.network(0, 64, depth)) for depth in (1, 2))
    block = small_task.network(0, 64, 1).dit.blocks[0]
    _, text = small_task.draw_batch(TrainConfig(1, 1, 1e-3), torch.Generator().manual_seed(0))
    tokens, text_tokens = 32, text.shape[1]
    of_text = block.cross_attention.key_value.weight.numel()
    of_video = sum(p.numel() for p in block.parameters() if p.ndim == 2) - of_text
    expected = 6 * (of_video * tokens + of_text * text_tokens)
    expected += 12 * 64 * tokens * (tokens + text_tokens)
    assert two - one == pytest.approx(expected, rel=1e-6)
    small, large = (small_task.network(0, width, 1) for width in (32, 64))
    assert 0 < step_flops.text_flops(small) == step_flops.text_flops(large)
    assert step_flops.text_flops(large) < step_flops.step_flops(small)


@pytest.mark.parametrize("predicts", prediction.PREDICTS)
def test_the_exact_prediction_has_no_loss_and_leads_to_the_clip_whatever_is_predicted(predicts):
    """Sampling begins a little below 1, and ends at the clip all the same."""
    clean = torch.rand(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def exact(x_t, t, tokens):
        alpha, sigma = (s.view(-1, 1, 1, 1, 1) for s in clips.PATH.alpha_sigma(t))
        noise = (x_t - alpha * clean) / sigma
        return {"clean": clean.expand_as(x_t), "noise": noise, "velocity": noise - clean}[predicts]

    batch = clean.expand(6, -1, -1, -1, -1), formats.tokenize(["a red 3"] * 6)
    assert prediction.loss(exact, batch, torch.Generator().manual_seed(1), predicts) < 1e-4
    t = prediction.NOISE_LEVELS.draw(1000, torch.Generator().manual_seed(0))
    assert 0.05 <= t.min() and t.max() <= 0.95
    video = prediction.generate(exact, ["a red 3"], 0, predicts)
    torch.testing.assert_close(video[:, :, 1:], clean, atol=1e-2, rtol=0)


def test_each_comparison_of_transformers_runs(tiny, folder, monkeypatch):
    monkeypatch.setattr(sizes, "SIZES", ((32, 1), (64, 1)))
    monkeypatch.setattr(flows, "NUM_STEPS", (2,))
    configs = {name: replace(config, steps=2) for name, config in optimizers.CONFIGS.items()}
    monkeypatch.setattr(optimizers, "CONFIGS", configs)
    monkeypatch.setattr(flows.measure, "__defaults__", (4,))
    small, large = sizes.run(0, _quiet).values()
    assert small["flops"] < large["flops"] and small["curve"][-1]["step"] == 3
    assert set(optimizers.run(0, _quiet)) == set(configs)
    assert all(set(row) == {"2"} for row in flows.run(0, _quiet).values())
    assert set(prediction.run(0, _quiet, n=4)) == {"clean", "velocity", "noise"}
    assert set(records.load_clips("prediction")) == {"clean", "velocity", "noise"}


class Exact(nn.Module):
    """A network whose prediction is that of one clip's latents, whatever it is to predict."""

    def __init__(self, formulation: flows.Formulation, clean: torch.Tensor):
        super().__init__()
        self.formulation, self.clean = formulation, clean
        self.config, self.unit = small_task.config(), (2, 2)
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x_t, t, tokens):
        path, predicts = self.formulation.path, self.formulation.predicts
        alpha, sigma = (level.view(-1, 1, 1, 1, 1) for level in path.alpha_sigma(t))
        noise = (x_t - alpha * self.clean) / sigma
        return getattr(diffusion.convert_prediction(path, "noise", noise, x_t, t), predicts)


@pytest.mark.parametrize("name", flows.FORMULATIONS)
def test_the_exact_prediction_leads_to_the_clip_on_every_path(name):
    formulation, clean = flows.FORMULATIONS[name], torch.randn(1, 8, 2, 8, 8)
    video = formulation.generate(Exact(formulation, clean), ["a red 3"], 0, 6)
    real = cache.video_codec().decode(clean).clamp(-1, 1)
    torch.testing.assert_close(video, real, rtol=1e-2, atol=1e-2)


def test_each_solver_evaluates_the_field_as_often_as_its_row_says(monkeypatch):
    counts = []
    field = pipeline.Pipeline.field

    def counted(self, *args):
        inner = field(self, *args)
        return lambda x_t, t: (counts.append(len(x_t)), inner(x_t, t))[1]

    monkeypatch.setattr(pipeline.Pipeline, "field", counted)
    monkeypatch.setattr(samplers, "NFE", (2, 4))
    found = samplers.run(0, _quiet, n=6)
    assert counts == [6] * (2 + 4 + 1 + 3 + 2 + 4)  # Heun's last step evaluates once
    assert [list(rows) for rows in found.values()] == [["2", "4"]] * 3
    assert all(0 <= low <= value <= high <= 1 for value, low, high in found["Heun"]["4"].values())


def test_patches_of_pixels_become_pixels_again_and_have_positions_of_their_own():
    network = prediction.PixelTransformer(64, 1)
    nn.init.normal_(network.dit.out.weight, std=0.1)
    x_t, tokens = torch.randn(2, 3, 8, 32, 32), formats.tokenize(["a red 3", ""])
    assert network(x_t, torch.rand(2), tokens).shape == x_t.shape
    at = prediction.pixel_positions()
    assert at[0].tolist() == [2 / 8, -12.0, -12.0, 32.0, 32.0] and len(at) == 64
    shown = frame_times(9)[1:].view(4, 2).mean(1)
    assert at[::16, 0].tolist() == pytest.approx(shown.tolist())


def test_the_hour_uses_nothing_that_is_shipped_until_it_is_scored(folder, monkeypatch):
    small = TrainConfig(2, 4, 1e-3)
    for key in ("ENCODERS", "CODEC", "TRANSFORMER"):
        monkeypatch.setattr(hour, key, small)
    for key, value in {"DATASET_SIZE": 20, "WIDTH": 32, "DEPTH": 1}.items():
        monkeypatch.setattr(hour, key, value)
    loaded, before_scoring = [], []
    load, score = weights.load, hour.score_easy

    def scored(*args):
        before_scoring.extend(loaded)
        return score(*args)

    monkeypatch.setattr(weights, "load", lambda name, to: (loaded.append(name), load(name, to))[1])
    monkeypatch.setattr(hour, "score_easy", scored)
    for shipped in (cache._video_codec, words.encoders, cache.alignment_target, features.network):
        shipped.cache_clear()
    found = hour.run(0, _quiet, n=40)
    assert before_scoring == [] and set(loaded) == {"judge", "features"}
    assert found["seconds"]["in all"] >= found["seconds"]["codec"] + found["seconds"]["latents"]
    assert {"digit", "all", "identity"} <= found["score"].keys()
    assert records.load_clips("hour")["clips"].shape == (8, 3, 17, 32, 32)


# The page of findings ----------------------------------------------------------------------------

FINDINGS = Path(__file__).parents[1] / "docs" / "findings.md"


def test_the_findings_quote_the_experiments():
    rows = re.findall(r"\| `([^`]+)` \| (.+?) \|", FINDINGS.read_text(encoding="utf-8"))
    assert len(rows) > 20
    for path, quoted in rows:
        name, *way = path.split(" / ")
        mean, low, high = records.over_seeds(experiments.load(name)["results"], *way)
        assert quoted == f"{mean:.3f} [{low:.3f}, {high:.3f}]", path


def test_the_findings_say_how_many_were_judged():
    page = FINDINGS.read_text(encoding="utf-8")
    (judged,) = re.findall(r"judged in a seed: (.+?)\. Losses", page)
    counts = {}
    for part in re.split(r", (?=\d)", judged):
        counts |= dict.fromkeys(re.findall(r"`(\w+)`", part), int(re.match(r"\d+", part)[0]))
    assert len(counts) == 11
    for name in counts.keys() - {"binding", "guidance"}:  # where n is another number
        run = inspect.signature(experiments.experiment(name).run)
        assert run.parameters["n"].default == counts[name], name
