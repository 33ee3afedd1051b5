"""Video in latents: what it trains on, what it draws, and the numbers that reach a reader's clip."""

import pytest
import torch

from minivid import diffusion
from minivid.recipes import cache, clips, held_out, latents
from minivid.world import captions, render


@pytest.fixture
def few(tmp_path, monkeypatch):
    """The recipe's training set, but small, and kept where the test can see it."""
    monkeypatch.setattr(cache, "FOLDER", tmp_path)
    monkeypatch.setattr(latents, "KEPT", 40)
    latents.training_set.cache_clear()
    yield tmp_path
    latents.training_set.cache_clear()


def test_batches_are_latents_of_clips_that_the_captions_describe(few):
    plan = latents.RECIPE.plans["laptop"]
    clean, asked = latents.batch(plan, torch.Generator().manual_seed(0))
    assert clean.shape == (plan.batch, 8, 5, 8, 8) and clean.dtype == torch.float32
    assert asked.shape == (plan.batch, 128)
    assert len(list(few.iterdir())) == 1
    kept, scenes = latents.training_set(40)
    with torch.no_grad():
        expected = latents.video_codec().encode(render.video(scenes[:4]))
    torch.testing.assert_close(kept[:4].float(), expected, atol=5e-3, rtol=5e-3)
    assert not {one.describe().subjects[0] for one in scenes} & set(held_out.UNSEEN)
    again = latents.batch(plan, torch.Generator().manual_seed(0))
    assert torch.equal(clean, again[0]) and torch.equal(asked, again[1])


def test_a_perfect_network_leads_to_the_clip_and_the_same_seed_to_the_same_clip():
    """A network that knows the latents of one clip draws that clip, as the codec has it."""
    one = held_out.draw_scenes(1, 3)
    with torch.no_grad():
        clean = latents.video_codec().encode(render.video(one))
        copy = latents.video_codec().decode(clean).clamp(-1, 1)

    class Knows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x_t, t, asked):
            return (x_t - clean) / t.view(-1, 1, 1, 1, 1).clamp(min=1e-3)

    sentence = captions.write(one[0].describe())
    drawn = latents.draw(Knows(), [sentence], seed=1)
    torch.testing.assert_close(drawn, copy, atol=1e-3, rtol=1e-3)
    assert drawn.shape == (1, 3, 17, 32, 32) and drawn.abs().max() <= 1


def test_the_loss_is_the_velocitys_and_zero_for_who_knows_it():
    clean = torch.randn(6, 8, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    asked = torch.zeros(6, 128)

    def knows(x_t, t, asked):
        return (x_t - clean) / t.view(-1, 1, 1, 1, 1)

    found = latents.loss(knows, (clean, asked), torch.Generator().manual_seed(1))
    assert found.item() < 1e-6
    silent = latents.loss(
        lambda *given: 0 * clean, (clean, asked), torch.Generator().manual_seed(1)
    )
    assert silent.item() == pytest.approx(2, rel=0.05)  # noise - clean, both of variance 1


def test_guidance_1_follows_the_network_as_it_is():
    asked = clips.understand(["a red 3 moves right", "a blue 7 moves up"])
    network = latents.RECIPE.build().eval()
    torch.manual_seed(0)
    for parameter in network.parameters():  # untrained, it listens to nothing
        torch.nn.init.normal_(parameter, std=0.1)
    x_t = torch.randn(2, 8, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    t = torch.full((2,), 0.5)
    with torch.no_grad():
        expected = diffusion.views(clips.PATH, "velocity", network(x_t, t, asked), x_t, t).velocity
        plain = latents.field(network, asked)(x_t, t)
        further = latents.field(network, asked, 3.0)(x_t, t)
    torch.testing.assert_close(plain, expected)
    assert not torch.allclose(further, plain, atol=1e-3)
