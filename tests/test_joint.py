"""Picture and sound learned together: what is trained on, how noisy, and what it begins with."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from minivid import pipeline, training, weights
from minivid.formats import DEFAULT_FORMAT, Format
from minivid.models import patches
from minivid.models.alignment import EVENT_DIM, events_per_token
from minivid.models.text_to_video import TextToVideo, TextToVideoConfig
from minivid.pipeline import TOKENIZER, Clip
from minivid.recipes import cache, formats, joint, joint_64, joint_data, joint_score, video_64
from minivid.training import TrainConfig
from minivid.world import captions, held_out, random_scenes, render, sound

CACHED = (formats.training_set, joint_data.training_set, joint_data._event_roll)


@pytest.fixture
def few(tmp_path, monkeypatch):
    """The recipe's training sets, but small, and cached where the test can see them."""
    small = {shape: (12, weight) for shape, (_, weight) in joint.FORMATS.items()}
    monkeypatch.setattr(joint, "FORMATS", small)
    for cached in CACHED:
        cached.cache_clear()
    yield tmp_path
    for cached in CACHED:
        cached.cache_clear()


def rng_of(step: int) -> torch.Generator:
    """What a step of a training of seed 0 draws from."""
    return torch.Generator().manual_seed(training.step_seed(0, step))


def shape_of(video: torch.Tensor) -> Format:
    """The format of a batch of latents of clips."""
    sides = video.shape[3] * 4, video.shape[4] * 4
    return next(s for s in joint.FORMATS if (s.height, s.width) == sides)


def test_pictures_come_with_their_own_sound(few):
    shape = Format(17, 48, 32)
    video, audio, _, scenes = joint_data.training_set(12, shape)
    assert video.shape[1:] == (8, 5, 12, 8) and audio.shape[1:] == (16, 68)
    with torch.no_grad():
        real = cache.audio_codec().encode(sound.audio(scenes[:3]))
    torch.testing.assert_close(audio[:3].float(), real, atol=5e-3, rtol=5e-3)
    cached, theirs = formats.training_set(12, shape)
    assert theirs == scenes and cached.equal(video)


def test_larger_pictures_have_the_same_sounds(few):
    config = TrainConfig(9, 12, 1e-3)
    for step in (0, 8):  # with events to predict, and without
        ours, theirs = (recipe.draw_batch(config, rng_of(step)) for recipe in (joint_64.RECIPE, joint.RECIPE))
        assert ours[0].shape[1] == 12 and ours[0].shape[2:] == theirs[0].shape[2:]
        assert all(one.equal(other) for one, other in zip(ours[1:], theirs[1:], strict=True))
    assert len(ours) == 3


def test_a_batch_picks_picture_sound_and_caption_of_one_scene(few):
    rng = torch.Generator().manual_seed(1)
    video, audio, tokens = joint.draw_batch(TrainConfig(1, 12, 1e-3), rng)
    all_video, all_audio, *_ = joint_data.training_set(12, shape_of(video))
    assert len(video) == len(audio) == len(tokens)
    for picture, own in zip(video, audio, strict=True):
        k = next(k for k in range(12) if all_video[k].float().equal(picture))
        assert all_audio[k].float().equal(own)


def test_a_training_on_large_batches_is_drawn_from_more_clips():
    shape = DEFAULT_FORMAT
    less, more = (joint.dataset_size(joint.RECIPE.configs[scale], shape) for scale in ("laptop", "gpu"))
    assert less == joint.FORMATS[shape][0] and more == 2 * less
    assert joint.dataset_size(TrainConfig(1, joint.LARGE_BATCH, 1e-3), shape) == less


def test_video_is_ahead_of_audio_that_is_made_with_it_and_some_is_given():
    levels = joint.NOISE_LEVELS
    video, audio = levels.draw(20_000, torch.Generator().manual_seed(0))
    video_given, audio_given = video == 0, audio == 0
    proportions = [x.float().mean().item() for x in (video_given, audio_given)]
    assert proportions == pytest.approx([levels.video_given, levels.audio_given], abs=0.01)
    shift = audio * (1 - video) / (video * (1 - audio))
    rest = ~(video_given | audio_given)
    ahead = rest & (shift >= 1) & (shift <= levels.max_audio_shift)
    free = 1 - levels.both_generated - levels.video_given - levels.audio_given
    proportion = ahead.float().mean()
    assert levels.both_generated < proportion < levels.both_generated + 0.8 * free, "some only happen to be"
    times = shift[ahead].log() / math.log(levels.max_audio_shift)
    assert abs(times.mean() - 0.5) < 0.05, "the shift is drawn evenly on a logarithmic scale"


def test_where_neither_is_given_nor_ahead_the_levels_have_nothing_to_do_with_one_another():
    levels = replace(joint.NOISE_LEVELS, both_generated=0.0)
    pair = torch.stack(levels.draw(20_000, torch.Generator().manual_seed(0)))
    rest = pair[:, (pair > 0).all(0)]
    assert abs(rest.corrcoef()[0, 1]) < 0.05


def test_what_is_given_counts_for_nothing():
    batch = torch.randn(4, 8, 5, 8, 8), torch.randn(4, 16, 68), TOKENIZER(["a red 3"] * 4)

    class Wrong(nn.Module):
        def forward(self, x_t, t, tokens, return_alignment):
            for x, level, clean in zip(x_t, t, batch, strict=False):
                assert x[level == 0].equal(clean[level == 0]), "what is given is clean"
            return tuple(
                1e3 * (level == 0).view(-1, *[1] * (x.ndim - 1)) + 0 * x
                for x, level in zip(x_t, t, strict=True)
            )

    class Levels:
        def draw(self, n, rng):
            return torch.tensor([0.0, 0.5, 0.5, 0.0]), torch.tensor([0.5, 0.5, 0.0, 0.0])

    value = joint.loss(Wrong(), batch, torch.Generator().manual_seed(0), Levels())
    assert 1 < value < 3, "half of each, of variance 2 (noise, less clean)"


def test_who_knows_both_velocities_has_no_loss():
    batch = torch.randn(4, 8, 5, 8, 8), torch.randn(4, 16, 68), TOKENIZER(["a red 3"] * 4)

    def oracle(x_t, t, tokens, return_alignment):
        assert tokens is batch[2] and not return_alignment
        return tuple(
            (x - clean) / level.view(-1, *[1] * (x.ndim - 1)).clamp(min=1e-6)
            for x, level, clean in zip(x_t, t, batch, strict=False)
        )

    assert joint.loss(oracle, batch, torch.Generator().manual_seed(0)) < 1e-6


def test_tokens_are_to_predict_what_is_heard_while_they_last():
    roll = torch.zeros(1, 4 * 17, 3)
    roll[0, [2, 30], 1] = 1.0  # in the first frame, and 0.95 s after the beginning
    assert events_per_token(roll, 34, 2)[0].nonzero().tolist() == [[1, 0, 1], [15, 0, 1]]
    begins = patches.positions((5, 8, 8), (1, 2, 2), 4)[:, 0] - 0.25  # of the later latent frames
    for k, events in enumerate(events_per_token(roll, 80, 16)[0]):
        expected = [8, 9, 10, 11] if k < 16 else []
        if 0 <= (at := round(30 - 32 * begins[k].item())) < 16 <= k:
            expected = [at]
        assert events[:, 1].nonzero().flatten().tolist() == expected, k
        assert not events[:, [0, 2]].any()


def test_strokes_and_hums_stand_in_the_event_roll_when_and_as_strongly_as_they_sound():
    scenes = random_scenes.draw_scenes(200, 3, random_scenes.FULL)
    rolls = sound.event_roll(scenes, 17).float()
    assert rolls.shape == (200, 68, 20)
    for one, roll in zip(scenes, rolls, strict=True):
        for hit in one.hits(17 / 8):
            at = min(67, int(hit.seconds * 32))
            digit = one.bodies[hit.body].digit
            near = roll[max(0, at - 1) : at + 2, digit] * sound.STROKE_SPREAD
            assert near.max() > 0.85, "a stroke is highest where the wall is hit"
        struck = {one.bodies[hit.body].digit for hit in one.hits(17 / 8 + 0.2)}
        humming = {body.digit for body in one.bodies if body.hum}
        assert {d for d in range(10) if roll[:, d].max() * sound.STROKE_SPREAD > 0.1} <= struck
        assert {d for d in range(10) if roll[:, 10 + d].any()} == humming
        for body in one.bodies:
            if body.hum:
                loudness = body.hum.loudness((torch.arange(68) + 0.5) / 32)
                found = roll[:, 10 + body.digit] * sound.HUM_SPREAD
                torch.testing.assert_close(found, loudness, atol=0.01, rtol=0.01)
    for part in (rolls[..., :10], rolls[..., 10:]):
        assert 0.7 < part.std() < 1.4, "in units of their spread, about"


def test_a_note_is_louder_than_silence():
    waves = sound.audio(random_scenes.draw_scenes(40, 3, random_scenes.FULL))
    with torch.no_grad():
        loudness = joint_data.loudness(cache.audio_codec().encode(waves))
    level = waves.unflatten(1, (68, -1)).square().mean(-1).sqrt()
    assert torch.stack([loudness.flatten(), level.flatten()]).corrcoef()[0, 1] > 0.8
    assert abs(loudness.mean()) < 0.5 and 0.5 < loudness.std() < 2


def test_events_are_to_be_predicted_until_late(few):
    config = TrainConfig(12, 4, 1e-3)
    for step in (0, 7, 8, 11):
        batch = joint.draw_batch(config, rng_of(step))
        assert len(batch) == (4 if step < 8 else 3)
        if step < 8:
            assert batch[2][..., 0].equal(joint_data.loudness(batch[1]))
            shape = shape_of(batch[0])
            _, audio, roll, scenes = joint_data.training_set(12, shape)
            k = next(k for k in range(12) if audio[k].float().equal(batch[1][0]))
            assert batch[2][0, :, 1:].equal(roll[k].float())
            assert roll[k].equal(sound.event_roll([scenes[k]], shape.frames)[0])


def test_a_wrong_prediction_of_events_costs_what_it_should():
    torch.manual_seed(0)
    audio = torch.randn(4, 16, 68)
    events = torch.randn(4, 68, EVENT_DIM)
    batch = torch.randn(4, 8, 5, 8, 8), audio, events, TOKENIZER(["a red 3"] * 4)

    class Off(nn.Module):
        def __init__(self, off):
            super().__init__()
            self.off = off

        def forward(self, x_t, t, tokens, return_alignment):
            assert return_alignment
            truth = events_per_token(events, 80, 16), events_per_token(events, 34, 2)
            return x_t, (truth[0] + self.off, truth[1] - self.off)

    right, wrong = (joint.loss(Off(off), batch, torch.Generator().manual_seed(0)) for off in (0, 2))
    assert wrong - right == pytest.approx(4 * joint.EVENT_WEIGHT, rel=1e-4)


def test_it_begins_with_the_pictures_of_the_silent_model(monkeypatch):
    torch.manual_seed(0)
    video_only = TextToVideo(TextToVideoConfig(len(TOKENIZER.words)))
    for parameter in video_only.parameters():
        nn.init.normal_(parameter, std=0.1)
    monkeypatch.setattr(weights, "load", lambda name, network: video_only)
    network = joint.build()
    for name, value in video_only.state_dict().items():
        assert network.state_dict()[name].equal(value), name
    for ours, theirs in zip(network.dit.blocks, video_only.dit.blocks, strict=True):
        assert ours.audio_feed_forward.up.weight.equal(theirs.feed_forward.up.weight)
        assert ours.audio_modulation_table.equal(theirs.modulation_table)
    assert network.dit.audio_modulation.weight.equal(video_only.dit.modulation.weight)
    assert network.dit.audio_out.weight.eq(0).all(), "it says nothing of audio yet"
    assert not network.dit.audio_stem.weight.equal(video_only.dit.stem.weight), "of other numbers"
    network.dit.another = nn.Linear(2, 2, bias=False)
    with pytest.raises(ValueError, match="no weights for dit.another.weight"):
        joint.init_from_video(network)


def test_a_model_of_larger_clips_begins_with_what_the_silent_one_knows(tmp_path, monkeypatch):
    video_only, codecs = video_64.RECIPE.build(), (cache.video_codec(64), cache.audio_codec())
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match="'video_64'"):
        joint_64.RECIPE.build()
    weights.save("video_64", video_only, {})
    network = joint_64.RECIPE.build()
    stem = weights.load("video_64", video_only).dit.stem.weight
    assert network.dit.stem.weight.equal(stem)
    weights.save("joint_64", network, {})
    for name, one in zip(("video_codec_64", "audio_codec"), codecs, strict=True):
        weights.save(name, one, {})
    clip = pipeline.load("joint_64").generate(["a red 3"], num_steps=1)
    alone = pipeline.load("video_64").generate(["a red 3"], num_steps=1)
    assert alone.video.shape == clip.video.shape and alone.audio is None
    assert clip.video.shape == (1, 3, 17, 64, 64) and clip.audio.shape == (1, 17 * 1024)


@pytest.mark.parametrize("recipe, size", [(joint.RECIPE, 32), (joint_64.RECIPE, 64)], ids=["32", "64"])
def test_the_score_holds_each_sound_against_its_own_picture(monkeypatch, recipe, size):
    """Who makes what was asked for, rightly heard, but is mute where a picture is given."""
    real = held_out.draw_scenes(24, 5 + 5, held_out.SEEN, random_scenes.FULL)

    def clip(scenes, mute=False):
        return Clip(render.video(scenes, 17, size, size), sound.audio(scenes) * (not mute))

    class Oracle:
        format = DEFAULT_FORMAT.scaled(size)

        def generate(self, prompts, seed=0, condition=None):
            if condition is not None:
                assert prompts == [captions.write(one.describe()) for one in real]
                return clip(real, mute=condition == "video")
            asked = [captions.parse(prompt) for prompt in prompts]
            scenes = random_scenes.draw_scenes(len(asked), seed, random_scenes.EASY, descriptions=asked)
            return clip(scenes)

        def video_to_audio(self, video):
            assert video.equal(render.video(real, 17, size, size))
            return "video"

        def audio_to_video(self, audio):
            assert audio.equal(sound.audio(real))
            return "audio"

    monkeypatch.setattr(joint_score, "ready", lambda network, size: Oracle())
    table = recipe.score(None, 24, 5)
    assert all(table[key]["ours"] >= 0.83 for key in ("all", "full_all_attributes")), table
    for key in ("onset_f1", "note_f1"):
        right, floor, ceiling = table[key]["ours"], table[key]["floor"], table[key]["ceiling"]
        assert right > 0.9 and floor < 0.6 and ceiling > 0.9
        assert table["video_to_audio_" + key]["ours"] == 0, "it was mute"
        assert table["audio_to_video_" + key]["ours"] == pytest.approx(ceiling)
    assert table["easy_onset_f1"]["ours"] > 0.9 and table["easy_onset_f1"]["ceiling"] > 0.9
    assert "easy_envelope_correlation" not in table, "nobody hums there"
    assert abs(table["onset_error_ms"]["ours"]) < 20 and table["pitch"]["ours"] > 0.9
