"""The scores of the codecs: what loses nothing reaches every ceiling, and what is lost is what falls."""

import pytest
import torch
from torch import nn

from minivid import codec, metrics, train
from minivid.recipes import codecs
from minivid.world import scene, sound

N = 24


class Changed(nn.Module):
    """Stands for a codec that does one thing to a clip."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def encode(self, clip: torch.Tensor) -> torch.Tensor:
        return clip

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.change(latents)


def test_clips_that_lose_nothing_reach_every_ceiling():
    found = codecs.score(Changed(lambda clip: clip), N, 3)
    assert all(found[key]["ours"] == 100 for key in ("psnr", "wider_psnr", "larger_psnr"))
    assert found["moved"]["ours"] == 0
    for key in ("digit", "colour", "heading", "camera", "light", "style", "all_attributes"):
        assert found[key]["ours"] == found[key]["ceiling"] > 0.9
        assert found[key]["floor"] < 0.7


def test_grey_clips_lose_their_colours_and_keep_the_camera():
    grey = Changed(lambda clip: clip.mean(1, keepdim=True).expand_as(clip) * 0.9)
    found = codecs.score(grey, N, 3)
    assert found["psnr"]["floor"] < found["psnr"]["ours"] < 40
    assert found["colour"]["ours"] < 0.5 < found["camera"]["ours"]


def test_a_clip_moved_by_two_pixels_is_found_moved_by_as_much():
    right = Changed(lambda clip: torch.cat([clip[..., :1], clip[..., :1], clip[..., :-2]], -1))
    moved = codecs.score(right, N, 3)["moved"]["ours"]
    assert moved == pytest.approx(2 / 32 * 1.08, abs=0.02)


def test_sound_that_loses_nothing_reaches_every_ceiling():
    found = codecs.audio_score(Changed(lambda clip: clip), N, 3)
    assert found["psnr"]["ours"] == 100 and found["strokes"]["ours"] == 1
    assert found["late"]["ours"] == 0 and found["late"]["floor"] > 50
    assert found["hum"]["ours"] == pytest.approx(1) and found["hums"]["ours"] == 1
    assert found["strokes"]["floor"] < 0.3


def test_sound_that_comes_late_is_found_late_by_as_much():
    late = codecs.audio_score(Changed(lambda clip: clip.roll(128, 1)), N, 3)["late"]["ours"]
    assert late == pytest.approx(1000 * 128 / 8192, abs=0.3)


def test_muted_strokes_are_missed_and_the_hum_is_kept():
    found = codecs.audio_score(Changed(lambda clip: clip.clamp(-0.06, 0.06)), N, 3)
    assert found["strokes"]["ours"] < 0.5 and found["psnr"]["ours"] < 60


def test_decibels_are_those_of_the_textbook():
    clip = torch.zeros(2, 3, 1, 4, 4)
    assert metrics.psnr(clip + 0.2, clip).tolist() == pytest.approx([20, 20])
    assert metrics.psnr(clip + 0.02, clip).tolist() == pytest.approx([40, 40])
    assert metrics.psnr(clip, clip).tolist() == [100, 100]


def test_both_losses_fall_when_a_small_codec_learns():
    generator = torch.Generator().manual_seed(0)
    clips = codecs.draw_clips(4, generator, 16, 16, 5)
    sounds = sound.audio(scene.draw_scenes(4, generator, scene.FULL), 5)
    for network, loss, shown in (
        (codec.VideoCodec(fine=16, coarse=16), codecs.loss, clips),
        (codec.AudioCodec(width=32, blocks=1), codecs.audio_loss, sounds),
    ):
        optimizer, losses = torch.optim.AdamW(network.parameters(), 3e-3), []
        for _ in range(60):
            value = loss(network, (shown,), generator)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.item())
        assert losses[-1] < 0.7 * losses[0]


def test_both_video_codecs_save_what_their_recipes_say():
    for recipe, side, saved in ((codecs.VIDEO, 32, 20), (codecs.VIDEO_64, 64, 48)):
        (clips,) = recipe.draw(train.Plan(1, 2, 1e-3), torch.Generator().manual_seed(3))
        network = recipe.build()
        with torch.no_grad():
            assert network.decode(network.encode(clips)).shape == clips.shape
            whole = torch.zeros(1, 3, 17, side, side)
            assert whole.numel() > saved * network.encode(whole).numel()


def test_a_codec_for_larger_clips_is_drawn_and_scored_larger():
    seeds = [torch.Generator().manual_seed(seed) for seed in (4, 4)]
    plan = train.Plan(1, 2, 1e-3)
    small, large = codecs.VIDEO.draw(plan, seeds[0])[0], codecs.VIDEO_64.draw(plan, seeds[1])[0]
    assert large.shape[3] == 2 * small.shape[3] and large.shape[4] == 2 * small.shape[4]
    seen = []
    codecs.VIDEO_64.score(Changed(lambda clip: (seen.append(clip.shape[3:]), clip)[1]), 4, 0)
    assert seen == [(64, 64), (80, 112), (96, 96)]
