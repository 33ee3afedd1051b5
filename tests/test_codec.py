"""Autoencoders of clips and sound: exact folding, causality, one scale for every channel."""

import pytest
import torch

from minivid.models import codec
from minivid.models.codec import AudioCodecConfig, VideoCodecConfig


def _awake(network: codec.Codec) -> codec.Codec:
    """A codec whose every layer does something: freshly made, its residual blocks add nothing."""
    rng = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=rng)
    for name, buffer in network.named_buffers():
        buffer.data = 0.5 + torch.rand(buffer.shape, generator=rng) if name == "std" else buffer
    return network


@pytest.fixture(scope="module")
def small():
    return _awake(codec.VideoCodec(VideoCodecConfig(channels=3, patch=4, fine=6, coarse=8)))


def _noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("frames, size", [(1, (32, 32)), (17, (32, 32)), (5, (24, 40)), (9, (8, 4))])
def test_any_format_has_one_latent_frame_and_one_more_for_every_four(small, frames, size):
    clip = _noise(2, 3, frames, *size)
    latents = small.encode(clip)
    assert latents.shape == (2, 3, 1 + frames // 4, size[0] // 4, size[1] // 4)
    assert small.decode(latents).shape == clip.shape


@pytest.mark.parametrize("patch", [2, 4, 8])
def test_depth_to_space_undoes_space_to_depth(patch):
    network = codec.VideoCodec(VideoCodecConfig(patch=patch, fine=6, coarse=8))
    clip = _noise(2, 3, 9, 16, 24)
    assert torch.equal(network.from_grid(network.to_grid(clip)), clip)


def test_of_sound_too():
    network, sound = codec.AudioCodec(AudioCodecConfig(width=8, blocks=1)), _noise(2, 1024)
    assert torch.equal(network.from_grid(network.to_grid(sound)), sound)


@pytest.mark.parametrize("shape, message", [((1, 3, 16, 32, 32), "16 frames"), ((1, 3, 17, 30, 32), "32×30")])
def test_a_clip_that_does_not_fit_is_refused_in_words(small, shape, message):
    with pytest.raises(ValueError, match=message):
        small.encode(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 1000), (1, 1, 1024)])
def test_sound_that_does_not_fit_is_refused_in_words(shape):
    with pytest.raises(ValueError, match="multiple of 256"):
        codec.AudioCodec(AudioCodecConfig(width=8, blocks=1)).encode(torch.zeros(shape))


@pytest.mark.parametrize("frame", range(17))
def test_a_changed_frame_leaves_all_latents_before_it_as_they_were(small, frame):
    clip = _noise(1, 3, 17, 8, 8)
    changed = clip.clone()
    changed[:, :, frame] += 1
    before, after = small.encode(clip), small.encode(changed)
    own = (frame + 3) // 4  # the latent frame that this frame is in
    assert torch.equal(before[:, :, :own], after[:, :, :own])
    assert not torch.allclose(before[:, :, own], after[:, :, own])


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_first_latents_decode_to_the_first_frames(small, count):
    latents = _noise(1, 3, 5, 4, 4)
    clip, beginning = small.decode(latents), small.decode(latents[:, :, :count])
    torch.testing.assert_close(beginning, clip[:, :, : 1 + 4 * (count - 1)])


def test_a_picture_is_a_clip_of_one_frame(small):
    clip = _noise(2, 3, 17, 16, 16)
    torch.testing.assert_close(small.encode(clip[:, :, :1]), small.encode(clip)[:, :, :1])


def test_measured_latents_have_mean_0_and_deviation_1():
    network = _awake(codec.VideoCodec(VideoCodecConfig(4, fine=6, coarse=8)))
    clips = _noise(8, 3, 9, 16, 16)
    network.fit_normalization(clips)
    latents = network.encode(clips).transpose(0, 1).flatten(1)
    torch.testing.assert_close(latents.mean(1), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std(1), torch.ones(4), atol=1e-3, rtol=0)


def test_the_scale_of_latents_changes_no_clip():
    network = _awake(codec.VideoCodec(VideoCodecConfig(4, fine=6, coarse=8)))
    clip = _noise(2, 3, 5, 8, 8)
    before = network.decode(network.encode(clip))
    network.fit_normalization(_noise(8, 3, 5, 8, 8, seed=1))
    torch.testing.assert_close(network.decode(network.encode(clip)), before, atol=1e-4, rtol=1e-4)


def test_sound_and_picture_latents_cover_the_same_seconds():
    video = codec.VideoCodec(VideoCodecConfig(fine=6, coarse=8))
    audio = codec.AudioCodec(AudioCodecConfig(width=8, blocks=1))
    for frames in (1, 5, 17):
        pictures = video.encode(torch.zeros(1, 3, frames, 4, 4)).shape[2]
        sounds = audio.encode(torch.zeros(1, 1024 * frames)).shape[2]
        assert sounds == 4 * frames == 4 + 16 * (pictures - 1)


def test_sound_comes_back_as_long_as_it_was():
    network = _awake(codec.AudioCodec(AudioCodecConfig(channels=5, width=8, blocks=1)))
    latents = network.encode(_noise(2, 2048))
    assert latents.shape == (2, 5, 8)
    assert network.decode(latents).shape == (2, 2048)


def test_the_divergence_is_that_of_torch():
    mean, log_variance = _noise(4, 3), _noise(4, 3, seed=1)
    ours = torch.distributions.Normal(mean, (log_variance / 2).exp())
    wanted = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(codec.kl(mean, log_variance), wanted)


def test_samples_have_the_posteriors_mean_and_deviation():
    mean, log_variance = torch.full((20_000,), 2.0), torch.full((20_000,), 0.25).log()
    drawn = codec.sample(mean, log_variance, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(), torch.tensor(2.0), atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.std(), torch.tensor(0.5), atol=0.02, rtol=0)
