"""Attention is what its formula says, in either precision; layers that start at zero add nothing."""

import pytest
import torch

from minivid.models.attention import Attention, TransformerLayer, attention


def _by_hand(layer: Attention, x: torch.Tensor, mask=None) -> torch.Tensor:
    """softmax(q kᵀ / √d) v, head by head (Vaswani et al. 2017, arXiv 1706.03762, eq. 1)."""
    b, n, width = x.shape
    q, k, v = layer.qkv(x).view(b, n, 3, layer.heads, -1).permute(2, 0, 3, 1, 4)
    fit = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if mask is not None:
        fit = fit.masked_fill(~mask, -torch.inf)
    return layer.out((fit.softmax(-1) @ v).transpose(1, 2).reshape(b, n, width))


def _opened(width: int = 16, heads: int = 4) -> Attention:
    torch.manual_seed(0)
    layer = Attention(width, heads)
    torch.nn.init.normal_(layer.out.weight, std=0.3)
    return layer


def test_attention_is_its_formula_with_and_without_a_mask():
    layer, x = _opened(), torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(layer(x), _by_hand(layer, x))
    mask = torch.tensor([True, True, False, True, False]).expand(2, 1, 1, 5)
    torch.testing.assert_close(layer(x, mask), _by_hand(layer, x, mask))
    assert not torch.allclose(layer(x, mask), layer(x), atol=1e-3)


def test_under_autocast_attention_stays_near_what_it_is_in_full_precision():
    layer, x = _opened(), torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        rough = layer(x)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), layer(x), atol=0.03, rtol=0.03)


@pytest.mark.parametrize("tokens", [7, 300])  # written out, and PyTorch's kernel
@pytest.mark.parametrize("masked", [False, True])
def test_in_bf16_short_and_long_lists_give_the_same(tokens, masked):
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 4, tokens, 8, generator=rng) for _ in range(3))
    mask = torch.rand(2, 1, 1, tokens, generator=rng) < 0.5 if masked else None
    if masked:
        mask[..., 0] = True
    exact = attention(q, k, v, mask, 0.5)
    coarse = attention(q.bfloat16(), k.bfloat16(), v.bfloat16(), mask, 0.5).float()
    torch.testing.assert_close(coarse, exact, atol=0.05, rtol=0.05)
    if masked:
        changed_values = v.masked_fill(~mask[:, :, 0, :, None], 100.0)
        changed = attention(q.bfloat16(), k.bfloat16(), changed_values.bfloat16(), mask, 0.5).float()
        torch.testing.assert_close(changed, coarse)


def test_a_transformer_layer_mixes_tokens_only_once_its_attention_has_opened():
    torch.manual_seed(0)
    layer, x = TransformerLayer(16, 4), torch.randn(2, 5, 16)
    changed = x.clone()
    changed[:, 3] = torch.randn(2, 16)
    assert torch.equal(layer(changed)[:, :3], layer(x)[:, :3])
    torch.nn.init.normal_(layer.attention.out.weight, std=0.3)
    assert not torch.allclose(layer(changed)[:, :3], layer(x)[:, :3], atol=1e-4)
