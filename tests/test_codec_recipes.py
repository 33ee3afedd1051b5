"""The recipes of the codecs: what loses nothing reaches every ceiling, and what is lost is what falls."""

import pytest
import torch
from torch import nn

from minivid.models.codec import AudioCodec, AudioCodecConfig, VideoCodec, VideoCodecConfig
from minivid.recipes import audio_codec, video_codec, video_codec_64
from minivid.training import TrainConfig
from minivid.world import random_scenes, sound

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
    found = video_codec.score(Changed(lambda clip: clip), N, 3)
    assert all(found[key]["ours"] == 100 for key in ("psnr", "wider_psnr", "larger_psnr"))
    assert found["displacement"]["ours"] == 0
    for key in ("digit", "colour", "heading", "camera", "light", "style", "all_attributes"):
        assert found[key]["ours"] == found[key]["ceiling"] > 0.9
        assert found[key]["floor"] < 0.7


def test_grey_clips_lose_their_colours_and_keep_the_camera():
    grey = Changed(lambda clip: clip.mean(1, keepdim=True).expand_as(clip) * 0.9)
    found = video_codec.score(grey, N, 3)
    assert found["psnr"]["floor"] < found["psnr"]["ours"] < 40
    assert found["colour"]["ours"] < 0.5 < found["camera"]["ours"]


def test_a_clip_displaced_by_two_pixels_is_found_displaced_by_as_much():
    right = Changed(lambda clip: torch.cat([clip[..., :1], clip[..., :1], clip[..., :-2]], -1))
    displacement = video_codec.score(right, N, 3)["displacement"]["ours"]
    assert displacement == pytest.approx(2 / 32 * 1.08, abs=0.02)


def test_sound_that_loses_nothing_reaches_every_ceiling():
    found = audio_codec.score(Changed(lambda clip: clip), N, 3)
    assert found["psnr"]["ours"] == 100 and found["onset_recall"]["ours"] == 1
    assert found["onset_error_ms"]["ours"] == 0 and found["onset_error_ms"]["floor"] > 50
    assert found["envelope_correlation"]["ours"] == pytest.approx(1) and found["hums"]["ours"] == 1
    assert found["onset_recall"]["floor"] < 0.3


def test_sound_that_is_delayed_is_found_off_by_as_much():
    found = audio_codec.score(Changed(lambda clip: clip.roll(128, 1)), N, 3)
    assert found["onset_error_ms"]["ours"] == pytest.approx(1000 * 128 / 8192, abs=0.3)


def test_muted_strokes_are_missed_and_the_hum_is_kept():
    found = audio_codec.score(Changed(lambda clip: clip.clamp(-0.06, 0.06)), N, 3)
    assert found["onset_recall"]["ours"] < 0.5 and found["psnr"]["ours"] < 60


def test_both_losses_fall_when_a_small_codec_learns():
    rng = torch.Generator().manual_seed(0)
    clips = video_codec.draw_clips(4, rng, 16, 16, 5)
    sounds = sound.audio(random_scenes.draw_scenes(4, rng, random_scenes.FULL), 5)
    for network, loss, shown in (
        (VideoCodec(VideoCodecConfig(fine=16, coarse=16)), video_codec.loss, clips),
        (AudioCodec(AudioCodecConfig(width=32, blocks=1)), audio_codec.loss, sounds),
    ):
        optimizer, losses = torch.optim.AdamW(network.parameters(), 3e-3), []
        for _ in range(60):
            value = loss(network, (shown,), rng)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.item())
        assert losses[-1] < 0.7 * losses[0]


def test_both_video_codecs_save_what_their_recipes_say():
    config = TrainConfig(1, 2, 1e-3)
    for recipe, side, saved in ((video_codec.RECIPE, 32, 20), (video_codec_64.RECIPE, 64, 48)):
        (clips,) = recipe.draw_batch(config, torch.Generator().manual_seed(3))
        network = recipe.build()
        with torch.no_grad():
            assert network.decode(network.encode(clips)).shape == clips.shape
            usual = torch.zeros(1, 3, 17, side, side)
            assert usual.numel() > saved * network.encode(usual).numel()


def test_a_codec_for_larger_clips_is_trained_and_scored_on_larger_ones():
    small, large = (
        made.RECIPE.draw_batch(TrainConfig(1, 2, 1e-3), torch.Generator().manual_seed(4))[0]
        for made in (video_codec, video_codec_64)
    )
    assert large.shape[3] == 2 * small.shape[3] and large.shape[4] == 2 * small.shape[4]
    sizes = []
    watched = Changed(lambda clip: (sizes.append(clip.shape[3:]), clip)[1])
    video_codec_64.RECIPE.score(watched, 4, 0)
    assert sizes == [(64, 64), (80, 112), (96, 96)]
