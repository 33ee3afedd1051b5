"""Picture and sound learned together: what is trained on, how noisy, and what it begins with."""

import math

import pytest
import torch
from torch import nn

from minivid import generator, patches, train, weights
from minivid.recipes import cache, held_out, joint, latents, video
from minivid.recipes.words import TOKENISER
from minivid.world import captions, render, scene, sound


@pytest.fixture
def few(tmp_path, monkeypatch):
    """The recipe's training sets, but small, and kept where the test can see them."""
    monkeypatch.setattr(cache, "FOLDER", tmp_path)
    formats = {at: (12, share) for at, (_, share) in joint.FORMATS.items()}
    monkeypatch.setattr(joint, "FORMATS", formats)
    for made in (video.training_set, joint.training_set, joint.written):
        made.cache_clear()
    yield tmp_path
    for made in (video.training_set, joint.training_set, joint.written):
        made.cache_clear()


def test_pictures_come_with_their_own_sound(few):
    at = generator.Format(17, 48, 32)
    pictures, sounds, scenes = joint.training_set(12, at)
    assert pictures.shape[1:] == (8, 5, 12, 8) and sounds.shape[1:] == (16, 68)
    with torch.no_grad():
        real = joint.audio_codec().encode(sound.audio(scenes[:3]))
    torch.testing.assert_close(sounds[:3].float(), real, atol=5e-3, rtol=5e-3)
    kept, theirs = video.training_set(12, at)
    assert theirs == scenes and kept.equal(pictures)


def test_larger_pictures_have_the_same_sounds(few):
    plan = train.Plan(9, 12, 1e-3)
    for step in (0, 8):  # what is heard is told, and is told no more
        ours, theirs = (
            recipe.draw(plan, torch.Generator().manual_seed(train.step_seed(0, step)))
            for recipe in (joint.JOINT_64, joint.RECIPE)
        )
        assert ours[0].shape[1] == 12 and ours[0].shape[2:] == theirs[0].shape[2:]
        assert all(one.equal(other) for one, other in zip(ours[1:], theirs[1:], strict=True))
    assert len(ours) == 3


def test_a_batch_picks_picture_sound_and_caption_of_one_scene(few):
    pictures, sounds, asked = joint.batch(train.Plan(1, 12, 1e-3), torch.Generator().manual_seed(1))
    at = next(
        a
        for a in joint.FORMATS
        if a.height // 4 == pictures.shape[3] and a.width // 4 == pictures.shape[4]
    )
    all_pictures, all_sounds, _ = joint.training_set(12, at)
    assert len(pictures) == len(sounds) == len(asked)
    for picture, heard in zip(pictures, sounds, strict=True):
        k = next(k for k in range(12) if all_pictures[k].float().equal(picture))
        assert all_sounds[k].float().equal(heard)


def test_a_training_on_large_batches_is_drawn_from_more_clips():
    at = generator.USUAL
    few, many = (joint.count_kept(joint.RECIPE.plans[scale], at) for scale in ("laptop", "gpu"))
    assert few == joint.FORMATS[at][0] and many == 2 * few
    assert joint.count_kept(train.Plan(1, joint.ENOUGH_FOR, 1e-3), at) == few


def test_pictures_are_ahead_of_sounds_that_are_made_with_them_and_some_are_given():
    first, second = joint.draw_levels(20_000, torch.Generator().manual_seed(0))
    seen, heard = first == 0, second == 0
    shares = [x.float().mean().item() for x in (seen, heard)]
    assert shares == pytest.approx([joint.SEEN, joint.HEARD], abs=0.01)
    lead = second * (1 - first) / (first * (1 - second))
    rest = ~(seen | heard)
    ahead = rest & (lead >= 1) & (lead <= joint.MOST_AHEAD)
    free = 1 - joint.BOTH - joint.SEEN - joint.HEARD
    assert joint.BOTH < ahead.float().mean() < joint.BOTH + 0.8 * free, "some only happen to be"
    times = lead[ahead].log() / math.log(joint.MOST_AHEAD)
    assert abs(times.mean() - 0.5) < 0.05, "the lead is drawn evenly on a logarithmic scale"


def test_where_neither_is_given_nor_ahead_the_levels_have_nothing_to_do_with_one_another(
    monkeypatch,
):
    monkeypatch.setattr(joint, "BOTH", 0.0)
    both = torch.stack(joint.draw_levels(20_000, torch.Generator().manual_seed(0)))
    rest = both[:, (both > 0).all(0)]
    assert abs(rest.corrcoef()[0, 1]) < 0.05


def test_what_is_given_counts_for_nothing():
    made = torch.randn(4, 8, 5, 8, 8), torch.randn(4, 16, 68), TOKENISER(["a red 3"] * 4)

    class Wrong(nn.Module):
        def forward(self, x_t, t, tokens):
            for x, level, clean in zip(x_t, t, made, strict=False):
                assert x[level == 0].equal(clean[level == 0]), "what is given is clean"
            return tuple(
                1e3 * (level == 0).view(-1, *[1] * (x.ndim - 1)) + 0 * x
                for x, level in zip(x_t, t, strict=True)
            )

    levels = torch.tensor([0.0, 0.5, 0.5, 0.0]), torch.tensor([0.5, 0.5, 0.0, 0.0])
    value = joint.loss(Wrong(), made, torch.Generator().manual_seed(0), lambda n, draws: levels)
    assert 1 < value < 3, "half of each, of variance 2 (noise, less clean)"


def test_who_knows_both_velocities_has_no_loss():
    made = torch.randn(4, 8, 5, 8, 8), torch.randn(4, 16, 68), TOKENISER(["a red 3"] * 4)

    def knows(x_t, t, tokens):
        assert tokens is made[2]
        return tuple(
            (x - clean) / level.view(-1, *[1] * (x.ndim - 1)).clamp(min=1e-6)
            for x, level, clean in zip(x_t, t, made, strict=False)
        )

    assert joint.loss(knows, made, torch.Generator().manual_seed(0)) < 1e-6


def test_tokens_are_asked_what_is_heard_in_their_own_moments():
    heard = torch.zeros(1, 4 * 17, 3)
    heard[0, [2, 30], 1] = 1.0  # in the first frame, and 0.95 s after the beginning
    assert joint.moments(heard, 34, 2)[0].nonzero().tolist() == [[1, 0, 1], [15, 0, 1]]
    begins = patches.places((5, 8, 8), (1, 2, 2), 4)[:, 0] - 0.25  # of the later latent frames
    for k, hear in enumerate(joint.moments(heard, 80, 16)[0]):
        expected = [8, 9, 10, 11] if k < 16 else []
        if 0 <= (at := round(30 - 32 * begins[k].item())) < 16 <= k:
            expected = [at]
        assert hear[:, 1].nonzero().flatten().tolist() == expected, k
        assert not hear[:, [0, 2]].any()


def test_strokes_and_hums_are_written_down_when_and_as_strongly_as_they_sound():
    scenes = scene.draw_scenes(200, 3, scene.FULL)
    pages = joint.transcript(scenes, 17).float()
    assert pages.shape == (200, 68, 20)
    for one, page in zip(scenes, pages, strict=True):
        for hit in one.hits(17 / 8):
            at = min(67, int(hit.seconds * 32))
            digit = one.bodies[hit.body].digit
            near = page[max(0, at - 1) : at + 2, digit] * joint.STROKES
            assert near.max() > 0.85, "a stroke is highest where the wall is hit"
        struck = {one.bodies[hit.body].digit for hit in one.hits(17 / 8 + 0.2)}
        humming = {body.digit for body in one.bodies if body.hum}
        assert {d for d in range(10) if page[:, d].max() * joint.STROKES > 0.1} <= struck
        assert {d for d in range(10) if page[:, 10 + d].any()} == humming
        for body in one.bodies:
            if body.hum:
                loud = body.hum.loudness((torch.arange(68) + 0.5) / 32)
                written = page[:, 10 + body.digit] * joint.HUMS
                torch.testing.assert_close(written, loud, atol=0.01, rtol=0.01)
    for part in (pages[..., :10], pages[..., 10:]):
        assert 0.7 < part.std() < 1.4, "in units of their spread, about"


def test_a_note_is_louder_than_silence():
    one = scene.draw_scenes(40, 3, scene.FULL)
    heard = sound.audio(one)
    with torch.no_grad():
        loud = joint.loudness(joint.audio_codec().encode(heard))
    level = heard.unflatten(1, (68, -1)).square().mean(-1).sqrt()
    assert torch.stack([loud.flatten(), level.flatten()]).corrcoef()[0, 1] > 0.8
    assert abs(loud.mean()) < 0.5 and 0.5 < loud.std() < 2


def test_guesses_are_asked_for_until_late(few):
    plan = train.Plan(12, 4, 1e-3)
    for step in (0, 7, 8, 11):
        made = joint.batch(plan, torch.Generator().manual_seed(train.step_seed(0, step)))
        assert len(made) == (4 if step < 8 else 3)
        if step < 8:
            assert made[2][..., 0].equal(joint.loudness(made[1]))
            at = next(at for at in joint.FORMATS if at.height // 4 == made[0].shape[3])
            k = next(
                k for k in range(12) if joint.training_set(12, at)[1][k].float().equal(made[1][0])
            )
            assert made[2][0, :, 1:].equal(joint.written(12, at)[k].float())


def test_a_wrong_guess_costs_what_it_should():
    torch.manual_seed(0)
    sounds = torch.randn(4, 16, 68)
    heard = torch.randn(4, 68, generator.WRITTEN)
    made = torch.randn(4, 8, 5, 8, 8), sounds, heard, TOKENISER(["a red 3"] * 4)

    class Guesses(nn.Module):
        def __init__(self, off):
            super().__init__()
            self.off = off

        def both(self, x_t, t, tokens):
            right = joint.moments(heard, 80, 16), joint.moments(heard, 34, 2)
            return x_t, (right[0] + self.off, right[1] - self.off)

    right, wrong = (
        joint.loss(Guesses(off), made, torch.Generator().manual_seed(0)) for off in (0, 2)
    )
    assert wrong - right == pytest.approx(4 * joint.GUESS, rel=1e-4)


def test_it_begins_with_the_pictures_of_the_other_model(monkeypatch):
    torch.manual_seed(0)
    known = generator.TextToVideo(len(TOKENISER.words))
    for parameter in known.parameters():
        nn.init.normal_(parameter, std=0.1)
    monkeypatch.setattr(weights, "load", lambda name, network: known)
    made = joint.build()
    for name, value in known.state_dict().items():
        assert made.state_dict()[name].equal(value), name
    for ours, theirs in zip(made.dit.blocks, known.dit.blocks, strict=True):
        assert ours.sound_think.wide.weight.equal(theirs.think.wide.weight)
        assert ours.sound_offset.equal(theirs.offset)
    assert made.dit.sound_modulation.weight.equal(known.dit.modulation.weight)
    assert made.dit.sound_out.weight.eq(0).all(), "it says nothing of sound yet"
    assert not made.dit.sound_stem.weight.equal(known.dit.stem.weight), "other numbers"


def test_a_model_of_larger_clips_begins_with_what_that_of_silent_ones_knows(tmp_path, monkeypatch):
    silent, codecs = video.VIDEO_64.build(), (latents.video_codec(64), joint.audio_codec())
    monkeypatch.setenv("MINIVID_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match="'video_64'"):
        joint.JOINT_64.build()
    weights.save("video_64", silent, {})
    network = joint.JOINT_64.build()
    known = weights.load("video_64", silent).dit.stem.weight
    assert network.dit.stem.weight.equal(known)
    weights.save("joint_64", network, {})
    for name, one in zip(("video_codec_64", "audio_codec"), codecs, strict=True):
        weights.save(name, one, {})
    made = generator.load("joint_64").draw(["a red 3"], steps=1)
    alone = generator.load("video_64").draw(["a red 3"], steps=1)
    assert alone.shape == made.video.shape
    assert made.video.shape == (1, 3, 17, 64, 64) and made.audio.shape == (1, 17 * 1024)


@pytest.mark.parametrize("size", [32, 64])
def test_the_score_holds_each_sound_against_its_own_picture(monkeypatch, size):
    """Who draws what was asked for, rightly heard, but is mute where a picture is given."""
    real = held_out.draw_scenes(24, 5 + 5, held_out.SEEN, scene.FULL)

    def clip(scenes, mute=False):
        heard = sound.audio(scenes)
        return generator.Clip(render.video(scenes, 17, size, size), heard * (not mute))

    class Given:
        def __init__(self, mute):
            self.mute = mute

        def draw(self, sentences, seed=0):
            assert sentences == [captions.write(one.describe()) for one in real]
            return clip(real, self.mute)

    class Knows:
        usual = generator.USUAL.sized(size)

        def draw(self, sentences, seed=0):
            asked = [captions.parse(sentence) for sentence in sentences]
            return clip(scene.draw_scenes(len(asked), seed, scene.EASY, descriptions=asked))

        def watching(self, video):
            assert video.equal(render.video(real, 17, size, size))
            return Given(mute=True)

        def hearing(self, audio):
            assert audio.equal(sound.audio(real))
            return Given(mute=False)

    monkeypatch.setattr(joint, "generator_of", lambda network, size: Knows())
    table = joint.score(None, 24, 5, size)
    assert all(table[key]["ours"] >= 0.83 for key in ("all", "full_all_attributes")), table
    for key in ("onset_f1", "note_f1"):
        right, floor, ceiling = table[key]["ours"], table[key]["floor"], table[key]["ceiling"]
        assert right > 0.9 and floor < 0.6 and ceiling > 0.9
        assert table["sound_for_" + key]["ours"] == 0, "it was mute"
        assert table["picture_for_" + key]["ours"] == pytest.approx(ceiling)
    assert table["easy_onset_f1"]["ours"] > 0.9 and table["easy_onset_f1"]["ceiling"] > 0.9
    assert "easy_hum" not in table, "nobody hums there"
    assert abs(table["late"]["ours"]) < 20 and table["pitch"]["ours"] > 0.9
