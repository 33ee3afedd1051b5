"""The assembled U-Net: what it says before training, what it listens to, what it refuses."""

import pytest
import torch

from minivid import recipes
from minivid.unet import UNet


def _net(**changes) -> UNet:
    torch.manual_seed(0)
    return UNet(**{"width": 16, "blocks": 1} | changes)


def _batch(size: int = 16):
    fresh = torch.Generator().manual_seed(0)
    x_t = torch.randn(4, 3, size, size, generator=fresh)
    return x_t, torch.rand(4, generator=fresh), torch.tensor([0, 3, 9, 10])


def test_the_untrained_network_says_exactly_nothing():
    assert (UNet(width=32)(*_batch(24)) == 0).all()


def test_after_one_step_it_listens_to_the_picture_the_level_and_the_label():
    """Zero at the start is no dead end: one step opens it to all three of its inputs."""
    network, (x_t, t, label) = _net(), _batch()
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    for _ in range(3):
        optimizer.zero_grad()
        (network(x_t, t, label) - torch.randn_like(x_t)).square().mean().backward()
        optimizer.step()
    said = network(x_t, t, label)
    assert not torch.allclose(said, network(x_t.flip(0), t, label), atol=1e-4)
    assert not torch.allclose(said, network(x_t, t.flip(0), label), atol=1e-6)
    assert not torch.allclose(said, network(x_t, t, label.flip(0)), atol=1e-6)


def test_one_picture_cannot_change_what_is_said_of_another():
    network, (x_t, t, label) = _net(), _batch()
    torch.nn.init.normal_(network.out.weight, std=0.1)
    alone = torch.cat([network(x_t[i : i + 1], t[i : i + 1], label[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(network(x_t, t, label), alone)


def test_sizes_that_do_not_halve_are_refused_with_the_unit():
    for multiples, size, unit in (((1, 2), 18, 4), ((1, 2, 2), 20, 8)):
        with pytest.raises(ValueError, match=f"{size}×{size}.*multiples of {unit}"):
            _net(multiples=multiples)(*_batch(size))
        assert _net(multiples=multiples)(*_batch(unit * 3)).shape[-1] == unit * 3


def test_parameter_counts_are_those_the_notebooks_quote():
    count = {
        name: sum(p.numel() for p in recipes.RECIPES[name].build("laptop").parameters())
        for name in ("judge", "pixels")
    }
    assert count == {"judge": 214_860, "pixels": 4_000_460}
    assert sum(p.numel() for p in UNet(width=32).parameters()) == 1_015_148
