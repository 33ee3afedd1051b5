"""Picture and sound learned together: what is trained on, how noisy, and what it begins with."""

import pytest
import torch
from torch import nn

from minivid import generator, train, weights
from minivid.recipes import cache, held_out, joint, video
from minivid.recipes.words import TOKENISER
from minivid.world import captions, render, scene, sound


@pytest.fixture
def few(tmp_path, monkeypatch):
    """The recipe's training sets, but small, and kept where the test can see them."""
    monkeypatch.setattr(cache, "FOLDER", tmp_path)
    formats = {at: (12, share) for at, (_, share) in joint.FORMATS.items()}
    monkeypatch.setattr(joint, "FORMATS", formats)
    for made in (video.training_set, joint.training_set):
        made.cache_clear()
    yield tmp_path
    for made in (video.training_set, joint.training_set):
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


def test_half_are_equally_noisy_and_some_are_given():
    first, second = joint.draw_levels(20_000, torch.Generator().manual_seed(0))
    same, seen, heard = first == second, first == 0, second == 0
    shares = [x.float().mean().item() for x in (same, seen, heard)]
    assert shares == pytest.approx([joint.SAME, joint.SEEN, joint.HEARD], abs=0.01)
    rest = ~(same | seen | heard)
    both = torch.stack([first[rest], second[rest]])
    assert abs(both.corrcoef()[0, 1]) < 0.05, "the rest have nothing to do with one another"


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


def test_it_begins_with_the_pictures_of_the_other_model(monkeypatch):
    torch.manual_seed(0)
    known = generator.TextToVideo(len(TOKENISER.words))
    for parameter in known.parameters():
        nn.init.normal_(parameter, std=0.1)
    monkeypatch.setattr(weights, "load", lambda name, network: known)
    made = joint.build("laptop")
    for name, value in known.state_dict().items():
        assert made.state_dict()[name].equal(value), name
    for ours, theirs in zip(made.dit.blocks, known.dit.blocks, strict=True):
        assert ours.sound_think.wide.weight.equal(theirs.think.wide.weight)
        assert ours.sound_offset.equal(theirs.offset)
    assert made.dit.sound_modulation.weight.equal(known.dit.modulation.weight)
    assert made.dit.sound_out.weight.eq(0).all(), "it says nothing of sound yet"
    assert not made.dit.sound_stem.weight.equal(known.dit.stem.weight), "other numbers"


def test_the_score_holds_each_sound_against_its_own_picture(monkeypatch):
    """Who draws what was asked for, rightly heard, but is mute where a picture is given."""
    real = held_out.draw_scenes(24, 5 + 5, held_out.SEEN, scene.FULL)

    def clip(scenes, mute=False):
        heard = sound.audio(scenes)
        return generator.Clip(render.video(scenes), heard * (not mute))

    class Given:
        def __init__(self, mute):
            self.mute = mute

        def draw(self, sentences, seed=0):
            assert sentences == [captions.write(one.describe()) for one in real]
            return clip(real, self.mute)

    class Knows:
        def draw(self, sentences, seed=0):
            asked = [captions.parse(sentence) for sentence in sentences]
            return clip(scene.draw_scenes(len(asked), seed, scene.EASY, descriptions=asked))

        def watching(self, video):
            assert video.equal(render.video(real))
            return Given(mute=True)

        def hearing(self, audio):
            assert audio.equal(sound.audio(real))
            return Given(mute=False)

    monkeypatch.setattr(joint, "generator_of", lambda network: Knows())
    table = joint.score(None, 24, 5)
    assert all(table[key]["ours"] >= 0.83 for key in ("all", "full_all_attributes")), table
    for key in ("onset_f1", "note_f1"):
        right, floor, ceiling = table[key]["ours"], table[key]["floor"], table[key]["ceiling"]
        assert right > 0.9 and floor < 0.6 and ceiling > 0.9
        assert table["sound_for_" + key]["ours"] == 0, "it was mute"
        assert table["picture_for_" + key]["ours"] == pytest.approx(ceiling)
    assert abs(table["late"]["ours"]) < 20 and table["pitch"]["ours"] > 0.9
