"""The assembled U-Net: what it gives before training, what it depends on, what it refuses."""

import pytest
import torch

from minivid import recipes
from minivid.models.unet import ResBlock, SpacetimeTransformer, UNet, UNetConfig, VideoUNet, VideoUNetConfig


def _net(**changes) -> UNet:
    torch.manual_seed(0)
    return UNet(UNetConfig(**{"width": 16, "blocks": 1} | changes))


def _batch(size: int = 16):
    fresh = torch.Generator().manual_seed(0)
    x_t = torch.randn(4, 3, size, size, generator=fresh)
    return x_t, torch.rand(4, generator=fresh), torch.tensor([0, 3, 9, 10])


def test_the_untrained_network_gives_exactly_zero():
    assert (UNet(UNetConfig(width=32))(*_batch(24)) == 0).all()


def test_after_one_step_it_depends_on_the_picture_the_level_and_the_label():
    """Zero at the start is no dead end: one step opens it to all three of its inputs."""
    network, (x_t, t, label) = _net(), _batch()
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    for _ in range(3):
        optimizer.zero_grad()
        (network(x_t, t, label) - torch.randn_like(x_t)).square().mean().backward()
        optimizer.step()
    output = network(x_t, t, label)
    assert not torch.allclose(output, network(x_t.flip(0), t, label), atol=1e-4)
    assert not torch.allclose(output, network(x_t, t.flip(0), label), atol=1e-6)
    assert not torch.allclose(output, network(x_t, t, label.flip(0)), atol=1e-6)


def test_one_picture_cannot_change_the_output_for_another():
    network, (x_t, t, label) = _net(), _batch()
    torch.nn.init.normal_(network.out.weight, std=0.1)
    alone = torch.cat([network(x_t[i : i + 1], t[i : i + 1], label[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(network(x_t, t, label), alone)


def test_sizes_that_do_not_halve_are_refused_with_the_unit():
    for multiples, size, unit in (((1, 2), 18, 4), ((1, 2, 2), 20, 8)):
        with pytest.raises(ValueError, match=f"{size}×{size}.*multiples of {unit}"):
            _net(multiples=multiples)(*_batch(size))
        assert _net(multiples=multiples)(*_batch(unit * 3)).shape[-1] == unit * 3


def test_parameter_counts_are_those_that_are_quoted():
    count = {
        name: sum(p.numel() for p in recipes.recipe(name).build().parameters())
        for name in [*recipes.shipped(), "video_64"]
    }
    assert count == {
        "judge": 214_860,
        "second_judge": 892_443,
        "features": 197_860,
        "pixels": 4_000_460,
        "words": 1_436_769,
        "reader": 634_532,
        "clips": 4_241_568,
        "video_codec": 1_232_256,
        "video_codec_64": 1_412_120,
        "audio_codec": 1_505_952,
        "latents": 1_078_824,
        "video": 3_011_728,
        "joint": 4_366_074,
        "video_64": 3_015_840,
    }
    assert sum(p.numel() for p in UNet(UNetConfig(width=32)).parameters()) == 1_015_148


# Clips


def _video_net() -> VideoUNet:
    torch.manual_seed(0)
    network = VideoUNet(VideoUNetConfig(text_dim=8, width=16, blocks=1))
    torch.nn.init.normal_(network.out.weight, std=0.1)
    for layer in network.modules():
        if isinstance(layer, ResBlock):
            torch.nn.init.normal_(layer.conv2.weight, std=0.05)
    return network


def _clips():
    fresh = torch.Generator().manual_seed(0)
    x_t = torch.randn(2, 3, 5, 16, 16, generator=fresh)
    return x_t, torch.rand(2, generator=fresh), torch.randn(2, 8, generator=fresh)


def test_the_untrained_video_network_gives_exactly_zero():
    assert (VideoUNet(VideoUNetConfig(text_dim=8, width=16))(*_clips()) == 0).all()


def _open(network: VideoUNet) -> None:
    """As if the layers along time had been trained."""
    for layer in network.temporal:
        torch.nn.init.normal_(layer.conv.weight, std=0.1)
        if layer.transformer is not None:
            for attending in layer.transformer.layers:
                torch.nn.init.normal_(attending.attention.out.weight, std=0.1)


def _notice(network: VideoUNet, x_t, t, pooled_text, frame: int) -> torch.Tensor:
    """How much each frame's prediction changes with one frame: (f,)."""
    changed = x_t.clone()
    changed[:, :, frame] += 1
    return (network(changed, t, pooled_text) - network(x_t, t, pooled_text)).abs().amax((0, 1, 3, 4))


def test_before_it_learns_about_time_each_temporal_patch_is_alone():
    network, given = _video_net(), _clips()
    before = _notice(network, *given, frame=3)
    assert (before[3:] > 1e-3).all() and (before[:3] == 0).all()
    first = _notice(network, *given, frame=0)
    assert first[0] > 1e-3 and (first[1:] == 0).all()
    single = VideoUNet(VideoUNetConfig(text_dim=8, width=16, blocks=1, temporal_patch=1))
    single.load_state_dict(
        {k: v for k, v in network.state_dict().items() if "stem" not in k and "out." not in k}, strict=False
    )
    torch.nn.init.normal_(single.out.weight, std=0.1)
    lone = _notice(single, *given, frame=3)
    assert lone[3] > 1e-3 and (lone[[0, 1, 2, 4]] == 0).all()
    for each in (network, single):
        _open(each)
        assert (_notice(each, *given, frame=3) > 1e-4).all()


def test_in_the_middle_every_position_of_every_frame_attends_to_every_other():
    torch.manual_seed(0)
    network, anything = SpacetimeTransformer(16, 2), torch.randn(1, 16, 3, 4, 4)
    assert torch.equal(network(anything), anything)  # at first it adds nothing
    for layer in network.layers:
        torch.nn.init.normal_(layer.attention.out.weight, std=0.3)
    x = torch.randn(1, 16, 3, 4, 4)
    changed = x.clone()
    changed[:, :, 0, 0, 0] += 1
    assert ((network(changed) - network(x)).abs().amax(1) > 0).all()
    for axis in network.axes:
        torch.nn.init.normal_(axis.outer.weight, std=0.3)
    for axis in (2, 3, 4):  # and it knows where it is, along each axis
        assert not torch.allclose(network(x.flip(axis)).flip(axis), network(x), atol=1e-4)


def test_each_frame_may_have_a_noise_level_of_its_own():
    network, (x_t, t, pooled_text) = _video_net(), _clips()
    each = t[:, None, None, None, None].repeat(1, 1, 5, 1, 1)
    torch.testing.assert_close(network(x_t, each, pooled_text), network(x_t, t, pooled_text))
    each[:, :, 0] = 0
    other = network(x_t, each, pooled_text)
    assert not torch.allclose(other[:, :, :1], network(x_t, t, pooled_text)[:, :, :1], atol=1e-5)
    torch.testing.assert_close(other[:, :, 1:], network(x_t, t, pooled_text)[:, :, 1:])  # alone as yet


@pytest.mark.parametrize("size", [(2, 1, 5, 16, 16), (2, 1, 5, 1, 1, 1), (2, 1, 3, 1, 1)])
def test_noise_levels_within_a_frame_are_refused(size):
    network, (x_t, _, pooled_text) = _video_net(), _clips()
    with pytest.raises(ValueError, match=r"noise levels of .*\(b, 1, f, 1, 1\)"):
        network(x_t, torch.rand(size), pooled_text)


def test_the_video_network_depends_on_the_text_and_takes_1_plus_2k_frames():
    network, (x_t, t, pooled_text) = _video_net(), _clips()
    output = network(x_t, t, pooled_text)
    assert not torch.allclose(output, network(x_t, t, pooled_text.flip(0)), atol=1e-4)
    torch.testing.assert_close(output[:1], network(x_t[:1], t[:1], pooled_text[:1]))
    short = network(x_t[:, :, :1], t, pooled_text)  # one frame: a picture
    torch.testing.assert_close(short, output[:, :, :1])  # nothing has been learned along time yet
    with pytest.raises(ValueError, match="4 frames.*1, 3, 5"):
        network(x_t[:, :, :4], t, pooled_text)
