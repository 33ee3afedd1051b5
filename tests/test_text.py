"""Words to numbers without loss, an encoder that reads order and not padding, a loss with known values."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minivid import training, weights
from minivid.measure.adherence import agreement
from minivid.models import text
from minivid.pipeline import TOKENIZER
from minivid.recipes import captioning, reader, words
from minivid.training import TrainConfig
from minivid.world import captions, held_out, random_scenes, scene


def _encoder() -> text.TextEncoder:
    torch.manual_seed(0)
    network = text.TextEncoder(len(TOKENIZER.words), width=32, layers=2).eval()
    for layer in network.layers:  # a trained one: its attention is not zero
        torch.nn.init.normal_(layer.attention.out.weight, std=0.2)
    return network


@given(st.integers(0, 2**31 - 1))
@settings(max_examples=100, deadline=None)
def test_every_caption_can_be_read_from_its_tokens(seed):
    rng = torch.Generator().manual_seed(seed)
    sentence = captions.write(random_scenes.draw_scenes(1, seed, random_scenes.FULL)[0].describe(), rng)
    numbers = TOKENIZER([sentence])[0]
    read = " ".join(TOKENIZER.words[k] for k in numbers if k != text.PADDING)
    assert read.replace(" ,", ",") == sentence


def test_unknown_words_and_long_sentences_are_refused():
    with pytest.raises(ValueError, match="'pruple'.*nearest: purple"):
        TOKENIZER(["a pruple 3"])
    with pytest.raises(ValueError, match="41 words.*at most 40"):
        TOKENIZER(["a " * 41])


def test_the_encoder_depends_on_order_and_not_on_padding():
    network = _encoder()
    there, back = TOKENIZER(["a red 3 and a blue 7", "a blue 3 and a red 7"])
    embeddings, pooled = network(torch.stack([there, back]))
    assert not torch.allclose(pooled[0], pooled[1], atol=1e-3)
    n = int((there != 0).sum())
    assert (embeddings[0, n:] == 0).all()
    torch.testing.assert_close(embeddings[0, :n].mean(0), pooled[0])
    network.position_embedding.data[n:] += 7  # where there is only padding
    torch.testing.assert_close(network(there[None])[1], pooled[:1])


def test_a_sentence_does_not_change_its_neighbours_and_an_empty_one_is_zero():
    network = _encoder()
    tokens = TOKENIZER(["a red 3", "", "a humming digit moves up, the light dims"])
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


def test_captions_fit_a_clip_where_they_agree_with_it_as_the_judge_counts():
    rng = torch.Generator().manual_seed(3)
    scenes = random_scenes.draw_scenes(30, rng, random_scenes.FULL) + random_scenes.draw_scenes(20, rng)
    prompts = [captions.parse(s) for s in captioning.write_captions(scenes, rng)]
    clips = [one.describe() for one in scenes]
    slowly = [[agreement(a, b)["all_attributes"] for b in clips] for a in prompts]
    codes = (captioning.attribute_codes(some) for some in (prompts, clips))
    fits = captioning.captions_fit(*codes)
    assert fits.tolist() == slowly
    assert sum(map(sum, slowly)) > len(scenes)  # some captions fit more than their own clip


def test_captions_and_clips_can_be_learned_from_in_micro_batches():
    config = TrainConfig(1, 8, 1e-3, micro_batches=2)
    network = text.ContrastiveEncoders(len(TOKENIZER.words))

    def draw_batch(rng):
        return words.draw_batch(config, rng)

    for progress in training.train(network, words.loss, draw_batch, config):
        assert 0 < progress.loss < 3  # each finds its own among four: about ln 4


def test_each_question_means_one_digit_and_each_answer_is_in_the_sentence():
    scenes = held_out.draw_scenes(200, 3, world=random_scenes.FULL)
    tokens, questions, answers, sentence_answers = reader.quiz(scenes, torch.Generator().manual_seed(0))
    names = (*scene.COLOURS, *map(str, scene.DIGITS))
    two = 0
    for row, sentence in enumerate(tokens):
        read = " ".join(TOKENIZER.words[k] for k in sentence if k != text.PADDING)
        description = captions.parse(read.replace(" ,", ","))
        for k in range(2):
            digit, colour, heading, hums = answers[row, k].tolist()
            if hums == captioning.NOT_SAID:
                continue
            name = names[questions[row, k]]
            subjects = description.subjects
            (meant,) = [one for one in subjects if name in (one.colour, str(one.digit))]
            two += k
            assert digit == (captioning.NOT_SAID if meant.digit is None else meant.digit)
            for number, value, among in (
                (colour, meant.colour, reader.COLOURS),
                (heading, meant.heading, reader.HEADINGS),
            ):
                assert number == captioning.NOT_SAID if value is None else among[number] == value
            assert hums == bool(meant.hums)
        assert sentence_answers[row, 0] == len(description.subjects) - 1
        no_style = sentence_answers[row, 3] == captioning.NOT_SAID
        assert no_style == (description.style is None)
    assert two > 50


def test_no_question_names_a_digit_that_is_there_twice():
    red, blue = (scene.Subject(3, colour) for colour in ("red", "blue"))
    assert reader.names(red, scene.Description((red, blue))) == [0]
    assert reader.names(red, scene.Description((red,))) == [0, 6 + 3]
    nameless = scene.Subject(3)
    assert reader.names(nameless, scene.Description((nameless, nameless))) == []


def test_the_shipped_reader_knows_whose_word_is_whose_in_wordings_of_its_own():
    network = weights.load("reader", reader.build())
    prompts = ["a humming red three goes upwards and a cyan 7 drifts to the left, a zoom in"] * 2
    questions = torch.tensor([[reader.COLOURS.index("red"), 6 + 7], [6 + 3, 3]])
    subjects, sentence = network(TOKENIZER(prompts), questions)
    found = torch.stack([logits.argmax(-1) for logits in subjects], -1)
    red, cyan = [3, 0, reader.HEADINGS.index("up"), 1], [7, 3, reader.HEADINGS.index("left"), 0]
    assert found.tolist() == [[red, cyan], [red, cyan]]
    assert sentence[1].argmax(-1).tolist() == [scene.CAMERAS.index("zoom in")] * 2


def test_questions_change_nothing_but_their_own_answers():
    torch.manual_seed(0)
    network = reader.build().eval()
    tokens = TOKENIZER(["a red 3", "a blue 7 and a green 1, the light dims"])
    together = network(tokens, torch.tensor([[0, 1], [2, 8]]))[0][0]
    alone = network(tokens[1:], torch.tensor([[8]]))[0][0]
    torch.testing.assert_close(together[1:, 1:], alone)
    assert not torch.allclose(together[1, 0], together[1, 1])
