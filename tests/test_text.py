"""Words to numbers without loss, an encoder that reads order and not padding, a loss with known values."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minivid import text
from minivid.judge import agreement
from minivid.recipes import words
from minivid.world import captions, scene

TOKENISER = words.TOKENISER


def _encoder() -> text.TextEncoder:
    torch.manual_seed(0)
    network = text.TextEncoder(len(TOKENISER.words), width=32, layers=2).eval()
    for layer in network.layers:  # a trained one: its looks are not zero
        torch.nn.init.normal_(layer.attention.out.weight, std=0.2)
    return network


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=100, deadline=None)
def test_every_caption_can_be_read_from_its_tokens(seed):
    generator = torch.Generator().manual_seed(seed)
    sentence = captions.write(scene.draw_scenes(1, seed, scene.FULL)[0].describe(), generator)
    numbers = TOKENISER([sentence])[0]
    said = " ".join(TOKENISER.words[k] for k in numbers if k != text.PADDING)
    assert said.replace(" ,", ",") == sentence


def test_unknown_words_and_long_sentences_are_refused():
    with pytest.raises(ValueError, match="'pruple'.*nearest: purple"):
        TOKENISER(["a pruple 3"])
    with pytest.raises(ValueError, match="41 words.*at most 40"):
        TOKENISER(["a " * 41])


def test_the_encoder_hears_order_and_not_padding():
    network = _encoder()
    there, back = TOKENISER(["a red 3 and a blue 7", "a blue 3 and a red 7"])
    words, whole = network(torch.stack([there, back]))
    assert not torch.allclose(whole[0], whole[1], atol=1e-3)
    n = int((there != 0).sum())
    assert (words[0, n:] == 0).all()
    torch.testing.assert_close(words[0, :n].mean(0), whole[0])
    network.place.data[n:] += 7  # where there is only padding
    torch.testing.assert_close(network(there[None])[1], whole[:1])


def test_a_sentence_does_not_change_its_neighbours_and_an_empty_one_is_zero():
    network = _encoder()
    tokens = TOKENISER(["a red 3", "", "a humming digit moves up, the light dims"])
    together = network(tokens)[1]
    alone = torch.cat([network(tokens[k : k + 1])[1] for k in range(3)])
    torch.testing.assert_close(together, alone)
    assert (together[1] == 0).all() and (together[0] != 0).any()


def test_the_loss_of_guessing_is_the_logarithm_of_the_batch():
    none = torch.zeros(8, 8, dtype=torch.bool)
    assert text.contrastive_loss(torch.zeros(8, 8), none).item() == pytest.approx(math.log(8))
    assert text.contrastive_loss(50 * torch.eye(8), none).item() < 1e-6
    logits = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    turned = text.contrastive_loss(logits.T, none)
    torch.testing.assert_close(text.contrastive_loss(logits, none), turned)


def test_a_clip_that_also_fits_is_no_counter_example():
    logits, fits = torch.zeros(4, 4), torch.zeros(4, 4, dtype=torch.bool)
    fits[0, 1] = fits[1, 0] = fits[0, 0] = True
    logits[0, 1] = logits[1, 0] = 30  # twins: each looks like the other's
    assert text.contrastive_loss(logits, fits).item() == pytest.approx(
        (2 * math.log(3) + 2 * math.log(4)) / 4
    )


def test_captions_without_a_clip_are_wrong_answers_for_clips_only():
    logits, none = torch.zeros(6, 4), torch.zeros(6, 4, dtype=torch.bool)
    even = (math.log(4) + math.log(6)) / 2
    assert text.contrastive_loss(logits, none).item() == pytest.approx(even)
    logits[4:] = -50
    assert text.contrastive_loss(logits, none).item() == pytest.approx(math.log(4))


def test_what_fits_a_clip_is_what_the_judge_calls_agreement():
    generator = torch.Generator().manual_seed(3)
    scenes = scene.draw_scenes(30, generator, scene.FULL) + scene.draw_scenes(20, generator)
    said = [captions.parse(s) for s in words.write_captions(scenes, generator)]
    shown = [one.describe() for one in scenes]
    slowly = [[agreement(a, b)["all_attributes"] for b in shown] for a in said]
    assert words.fitting(said, shown).tolist() == slowly
    assert sum(map(sum, slowly)) > len(scenes)  # some captions fit more than their own clip
