"""Video in latents: what it trains on, what it generates, and the numbers that reach a reader's clip."""

import pytest
import torch

from minivid import diffusion
from minivid.recipes import cache, clips, latents, words
from minivid.world import captions, held_out, render


@pytest.fixture
def few(tmp_path, monkeypatch):
    """The recipe's training set, but small, and cached where the test can see it."""
    monkeypatch.setattr(latents, "DATASET_SIZE", 40)
    latents.training_set.cache_clear()
    yield tmp_path
    latents.training_set.cache_clear()


def test_batches_are_latents_of_clips_that_the_captions_describe(few):
    config = latents.RECIPE.configs["laptop"]
    clean, pooled_text = latents.draw_batch(config, torch.Generator().manual_seed(0))
    assert clean.shape == (config.batch_size, 8, 5, 8, 8) and clean.dtype == torch.float32
    assert pooled_text.shape == (config.batch_size, 128)
    assert len(list(few.iterdir())) == 1
    cached, scenes = latents.training_set(40)
    with torch.no_grad():
        expected = cache.video_codec().encode(render.video(scenes[:4]))
    torch.testing.assert_close(cached[:4].float(), expected, atol=5e-3, rtol=5e-3)
    assert not {one.describe().subjects[0] for one in scenes} & set(held_out.UNSEEN)
    again = latents.draw_batch(config, torch.Generator().manual_seed(0))
    assert torch.equal(clean, again[0]) and torch.equal(pooled_text, again[1])


def test_a_perfect_network_leads_to_the_clip_and_the_same_seed_to_the_same_clip():
    """A network that knows the latents of one clip generates that clip, as the codec has it."""
    one = held_out.draw_scenes(1, 3)
    with torch.no_grad():
        clean = cache.video_codec().encode(render.video(one))
        copy = cache.video_codec().decode(clean).clamp(-1, 1)

    network = latents.RECIPE.build()
    network.forward = lambda x_t, t, pooled_text: (x_t - clean) / t.view(-1, 1, 1, 1, 1).clamp(min=1e-3)
    prompt = captions.write(one[0].describe())
    generated = latents.generate(network, [prompt], seed=1)
    torch.testing.assert_close(generated, copy, atol=1e-3, rtol=1e-3)
    assert generated.shape == (1, 3, 17, 32, 32) and generated.abs().max() <= 1
    assert generated.equal(latents.generate(network, [prompt], seed=1))


def test_the_loss_is_the_velocitys_and_zero_for_who_knows_it():
    clean = torch.randn(6, 8, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    pooled_text = torch.zeros(6, 128)

    def oracle(x_t, t, pooled_text):
        return (x_t - clean) / t.view(-1, 1, 1, 1, 1)

    def zero(x_t, t, pooled_text):
        return 0 * clean

    found, nothing = (
        latents.loss(network, (clean, pooled_text), torch.Generator().manual_seed(1)).item()
        for network in (oracle, zero)
    )
    assert found < 1e-6
    assert nothing == pytest.approx(2, rel=0.05)  # noise - clean, both of variance 1


def test_guidance_1_follows_the_network_as_it_is():
    prompts = ["a red 3 moves right", "a blue 7 moves up"]
    network = latents.RECIPE.build().eval()
    torch.manual_seed(0)
    for parameter in network.parameters():  # untrained, it heeds nothing
        torch.nn.init.normal_(parameter, std=0.1)
    x_t = torch.randn(2, 8, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    t, ready = torch.full((2,), 0.5), latents.ready(network)
    with torch.no_grad():
        output = network(x_t, t, words.encode_prompts(prompts))
        forms = diffusion.convert_prediction(clips.PATH, "velocity", output, x_t, t)
        plain, further = (ready.field(prompts, scale)(x_t, t) for scale in (1.0, 3.0))
    torch.testing.assert_close(plain, forms.velocity)
    assert not torch.allclose(further, plain, atol=1e-3)


def test_an_empty_prompt_says_nothing_and_wordings_of_one_prompt_are_near():
    nothing, one, other, another = words.encode_prompts(
        ["", "a red 3 moves up", "a red three goes upwards", "a blue 8 moves left"]
    )
    assert (nothing == 0).all()
    near, far = (torch.cosine_similarity(one, x, dim=0) for x in (other, another))
    assert near > 0.9 > 0.7 > far


@pytest.mark.parametrize("recipe", [clips, latents], ids=["clips", "latents"])
def test_clips_of_a_batch_begin_with_noise_of_one_seed(recipe):
    """Scores are of this noise: another order of draws would be another score."""
    torch.manual_seed(0)
    network, started = recipe.RECIPE.build(), []
    network.register_forward_pre_hook(lambda _, args: started.append(args[0]))
    recipe.generate(network, ["a red 3", "a blue 7"], seed=5, num_steps=1, guidance=1.0)
    expected = torch.randn(started[0].shape, generator=torch.Generator().manual_seed(5))
    assert started[0].equal(expected)
