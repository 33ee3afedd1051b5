"""Text encoders, bias, codecs, crops, binding and transformers: parts of experiments do what they say."""

import math
from dataclasses import replace

import pytest
import torch

from minivid.experiments import (
    alignment,
    bias,
    binding,
    blocks,
    compression,
    crops,
    encoders,
    h264,
    records,
    small_task,
    stills,
    swapped_captions,
    text_encoders,
)
from minivid.experiments.classic_blocks import ClassicBlock, PlainBlock
from minivid.experiments.classic_dit import ClassicDiT, ClassicDiTConfig
from minivid.measure import fidelity
from minivid.measure.adherence import read_clips
from minivid.measure.judge import load_judge
from minivid.models.codec import VideoCodec, VideoCodecConfig
from minivid.models.dit import Text
from minivid.pipeline import TOKENIZER
from minivid.recipes import formats
from minivid.recipes.captioning import captions_fit
from minivid.training import TrainConfig
from minivid.world import captions, random_scenes, render, scene


def _quiet(steps, total, what):
    return steps


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    return tmp_path


# Text encoders and bias --------------------------------------------------------------------------


SWAPPED = ("a red 3 moves left, the camera pans up", "a red 3 moves up, the camera pans left")


def test_a_bag_of_words_cannot_tell_swapped_words_apart_and_transformers_can():
    torch.manual_seed(0)
    tokens = TOKENIZER(SWAPPED)
    for name, build in text_encoders.ENCODERS.items():
        straight, swapped = build()(tokens)
        told_apart = not torch.allclose(straight, swapped, atol=1e-6)
        assert told_apart == (name not in ("no text", "bag of words"))
    empty = TOKENIZER(["", ""])
    assert all((build()(empty) == 0).all() for build in text_encoders.ENCODERS.values())
    bag = text_encoders.BagOfWords()
    assert torch.allclose(bag(tokens), bag(torch.nn.functional.pad(tokens, (0, 3))), atol=1e-6)


def test_words_and_binding_are_told_apart():
    asked = [captions.parse(SWAPPED[0])] * 4
    observed = [
        captions.parse(sentence)
        for sentence in (
            *SWAPPED,
            "a red 3 moves left, the camera pans down",
            "a blue 3 moves left, the camera pans up",
        )
    ]
    found = encoders.binding_rows(asked, observed)
    assert found["words"].tolist() == [True, True, False, True]
    assert found["bound"].tolist() == [True, False, False, True]
    assert found["plain"].tolist() == [True, True, True, False]


def test_a_swapped_description_has_the_same_words_in_another_order():
    swap = swapped_captions.swap_directions
    for one in encoders.draw_crossed_scenes(20, 0):
        straight, swapped = (captions.write(d) for d in (one.describe(), swap(one.describe())))
        assert straight != swapped and sorted(straight.split()) == sorted(swapped.split())
        assert swap(swap(one.describe())) == one.describe()


def test_swapped_captions_stand_behind_the_clips_and_fit_none_but_by_chance():
    config = TrainConfig(steps=1, batch_size=12, learning_rate=1e-3)
    rng = torch.Generator().manual_seed(0)
    tokens, video, *codes = swapped_captions.draw_batch(config, rng)
    fits = captions_fit(*codes)
    assert tokens.shape[0] == 20 and video.shape == (12, 3, 9, 32, 32) and fits.shape == (20, 12)
    assert fits[:12].diagonal().all()
    same = (tokens[:8] == tokens[12:]).all(1)  # digit and camera go the same way
    assert torch.equal(fits[12:, :8].diagonal(), same) and not same.all()


def test_a_new_encoder_learns_what_the_shipped_one_makes_of_easy_sentences(monkeypatch):
    config = TrainConfig(steps=150, batch_size=32, learning_rate=1e-2)
    monkeypatch.setattr(encoders, "DISTILLATION", config)
    monkeypatch.setattr(encoders, "CONFIG", TrainConfig(1, 2, learning_rate=1e-9))
    encoder = encoders.train("bag of words", 0, _quiet).encoder
    tokens, target = encoders.draw_easy_batch(config, torch.Generator().manual_seed(5))
    missed = (encoder(tokens) - target).square().mean() / (target - target.mean(0)).square().mean()
    assert missed < 0.1
    assert encoders.train("contrastive", 0, _quiet).encoder.state_dict() == {}


def test_the_biased_set_is_biased_as_much_as_it_says_and_only_there():
    for biased, expected in ((True, bias.RED), (False, 1 / 6)):
        scenes = bias.draw_scenes(6000, torch.Generator().manual_seed(0), biased)
        red = {
            digit: [one.bodies[0].colour == "red" for one in scenes if one.bodies[0].digit == digit]
            for digit in (3, 5)
        }
        assert sum(red[3]) / len(red[3]) == pytest.approx(expected, abs=0.05)
        assert sum(red[5]) / len(red[5]) == pytest.approx(1 / 6, abs=0.05)


# Compression -------------------------------------------------------------------------------------


def test_every_autoencoder_has_the_numbers_its_name_says():
    video = render.video(random_scenes.draw_scenes(1, 0), compression.FRAMES)
    for name, (patch, channels, kl_weight) in compression.ways().items():
        latents = VideoCodec(VideoCodecConfig(channels, patch)).encode(video)
        assert latents.shape == (1, channels, 3, 32 // patch, 32 // patch), name
        assert name in (f"{patch}×{patch}, {channels}", f"KL {kl_weight:g}")


def test_what_loses_nothing_is_measured_as_lossless_and_noise_costs_the_more_the_more_there_is():
    class Nothing(VideoCodec):
        def posterior(self, clip):
            return clip, torch.zeros_like(clip)

        def reconstruct(self, unscaled):
            return unscaled

    network = Nothing(VideoCodecConfig(3))
    network.std.fill_(0.2)
    found, copies = compression.measure(network, 5, 20)
    video = render.video(random_scenes.draw_scenes(20, 5), compression.FRAMES)
    assert torch.allclose(copies, video, atol=1e-6)
    assert found["digit"][0] == found["colour"][0] == found["heading"][0] == 1
    assert found["numbers"] == video[0].numel() and found["psnr"][0] == 100
    assert found["nats"] == pytest.approx(video[0].square().sum().item() / 2, rel=0.1)
    for amount in compression.LATENT_NOISE:  # outside [-1, 1] it is clamped away: a little above
        expected = 10 * math.log10(4 / (0.2 * amount) ** 2)
        assert found[f"shaken {amount:g}"][0] == pytest.approx(expected, abs=1)


def test_an_ideal_coder_needs_as_many_bits_as_there_are_choices():
    even = torch.arange(4.0).repeat(6, 2, 4).view(6, 2, 4, 4)  # 32 numbers a clip, four values
    assert h264.entropy(even) == pytest.approx(64)
    assert h264.entropy(torch.zeros(6, 2, 4, 4)) == 0
    even[:, 1] = 7.0  # a channel that never changes costs nothing
    assert h264.entropy(even) == pytest.approx(32)


def test_h264_spends_bits_on_quality_and_its_copy_is_the_clip():
    clip = render.video(random_scenes.draw_scenes(1, 0), 9)[0]
    (many, fine), (few, coarse) = (h264.compress(clip, crf) for crf in (5, 35))
    assert fine.shape == coarse.shape == clip.shape and many > 3 * few > 0
    assert fidelity.psnr(fine[None], clip[None]) > 40 > fidelity.psnr(coarse[None], clip[None]) > 20
    assert few < 8 * 9 * 200  # the 675 bytes of comments are not counted


# Crops and binding -------------------------------------------------------------------------------


def test_a_digit_is_cut_off_where_it_reaches_over_the_frame():
    scenes = crops.draw_scenes(120, 0, crops.WIDE)
    full = crops.render_stills(scenes, crops.WIDE, False)
    squares = crops.render_stills(scenes, crops.WIDE, True)
    assert full.shape[3:] == (32, 48) and squares.shape[3:] == (32, 32)
    assert torch.equal(squares, full[..., 8:40])
    assert not crops.cut_off(full).any()
    reach = torch.tensor([abs(one.bodies[0].start[0]) + one.bodies[0].width / 2 for one in scenes])
    outside = reach > render.VIEW / 2  # of what the middle square shows, short sides from its centre
    sure = (reach - render.VIEW / 2).abs() > 0.06
    assert 20 < outside.sum() < 70
    assert torch.equal(crops.cut_off(squares)[sure], outside[sure] & ~_gone(scenes)[sure])


def _gone(scenes) -> torch.Tensor:
    """Whether nothing of the digit is left in the middle square."""
    near = [abs(one.bodies[0].start[0]) - one.bodies[0].width / 2 for one in scenes]
    return torch.tensor(near) > render.VIEW / 2


def test_a_still_is_asked_for_in_words_that_can_be_seen_in_it():
    (one,) = crops.draw_scenes(1, 0, crops.TALL)
    asked = captions.parse(stills.write_prompt(one))
    body = one.bodies[0]
    assert asked.subjects == (scene.Subject(body.digit, body.colour),)


def test_the_digit_of_a_still_is_read():
    scenes = crops.draw_scenes(12, 1, crops.TALL)
    real = crops.render_stills(scenes, crops.TALL, False)
    prompts = [stills.write_prompt(one) for one in scenes]
    assert crops.digit_as_asked(prompts, real).float().mean() > 0.9
    assert crops.digit_as_asked(prompts[1:] + prompts[:1], real).float().mean() < 0.6


def _two(*digits: tuple[str, int]) -> scene.Description:
    return scene.Description(tuple(scene.Subject(digit, colour) for colour, digit in digits))


def test_two_digits_are_as_asked_or_exchanged_or_something_else():
    asked = _two(("red", 3), ("blue", 7))
    for observed, became in (
        (_two(("blue", 7), ("red", 3)), "as asked"),
        (_two(("red", 7), ("blue", 3)), "exchanged"),
        (_two(("red", 3), ("green", 7)), "other"),
        (_two(("red", 7), ("blue", 7)), "other"),
        (_two(("red", 3)), "other"),
    ):
        assert binding.outcome(asked, observed) == became


def test_real_pictures_of_two_digits_are_as_asked_and_real_exchanges_are_seen():
    scenes = binding.draw_scenes(300, 2, False)
    assert all(len({body.digit for body in one.bodies}) == 2 for one in scenes)
    observed = [one.description for one in read_clips(load_judge(), render.video(scenes, 1))]
    pairs = zip(scenes, observed, strict=True)
    found = [binding.outcome(one.describe(), read) for one, read in pairs]
    assert found.count("as asked") > 0.8 * len(scenes)
    turned = [
        scene.Description(tuple(replace(a, digit=b.digit) for a, b in zip(two, two[::-1], strict=True)))
        for two in (one.describe().subjects for one in scenes)
    ]
    found = [binding.outcome(one, read) for one, read in zip(turned, observed, strict=True)]
    assert found.count("exchanged") > 0.8 * len(scenes)


def test_pairs_asked_for_are_never_trained_on_whichever_is_in_front():
    trained, asked = (
        {
            frozenset((body.colour, body.digit) for body in one.bodies)
            for one in binding.draw_scenes(2000, 0, train)
        }
        for train in (True, False)
    )
    assert not trained & asked and len(asked) > 100
    assert 0.15 < len(asked) / len(trained | asked) < 0.25
    scenes = binding.draw_scenes(200, 1, True)
    prompts, plainest = binding.write_prompts(scenes, 1), [*map(stills.write_prompt, scenes)]
    assert prompts != plainest, "in other words, too"
    assert [captions.parse(one) for one in prompts] == [captions.parse(one) for one in plainest]


def test_three_text_encoders_are_compared_and_two_of_them_stay(folder, monkeypatch):
    monkeypatch.setattr(binding, "DATASET_SIZE", 60)
    monkeypatch.setattr(binding, "CONFIG", TrainConfig(2, 4, 1e-3))
    binding.training_set.cache_clear()
    learned = {}
    train = stills.train

    def spy(sets, network, config, bar, what):
        before = {k: v.clone() for k, v in network.text.state_dict().items()}
        ready = train(sets, network, config, bar, what)
        after = network.text.state_dict()
        learned[what] = any(not before[key].equal(after[key]) for key in before)
        return ready

    monkeypatch.setattr(stills, "train", spy)
    found = binding.run(0, _quiet, n=60)
    binding.training_set.cache_clear()
    assert [*learned.values()] == [True, False, False]
    assert found["real"]["as asked"][0] > 0.5
    for row in found.values():
        assert sum(value for value, _, _ in row.values()) == pytest.approx(1, abs=1e-4)
    assert set(records.load_clips("binding")) == set(binding.WAYS)


def test_crops_and_native_formats_are_trained_on_the_same_scenes():
    sets = {cropped: crops.training_sets(0, cropped, 20) for cropped in (False, True)}
    assert [encoded.shape[2:] for encoded, _, _ in sets[False]] == [(1, 8, 12), (1, 12, 8)]
    assert [encoded.shape[2:] for encoded, _, _ in sets[True]] == [(1, 8, 8), (1, 8, 8)]
    for encoded, targets, _ in (*sets[False], *sets[True]):
        assert [2 * side for side in targets.shape[3:]] == list(encoded.shape[3:])
    assert [prompts for *_, prompts in sets[False]] == [prompts for *_, prompts in sets[True]]
    ready = crops.train(True, 0, _quiet, TrainConfig(2, 4, 1e-3), n=20)
    video = ready.generate(["a red 3"], 0, num_steps=1, shape=crops.WIDE).video
    assert video.shape == (1, 3, 1, 32, 48)


# Transformers ------------------------------------------------------------------------------------


def test_the_published_transformer_has_the_published_number_of_parameters():
    """DiT-S/2 (arXiv 2212.09748, table 1) on 32×32×4 latents, with its table of 256 positions."""
    config = ClassicDiTConfig(16, 384, 12, 6, out_dim=32)
    network = ClassicDiT(config, torch.nn.Embedding(1001, 384))
    assert sum(p.numel() for p in network.parameters()) + 256 * 384 == 32_963_360


def test_a_published_block_is_diffusers_with_the_same_weights():
    from diffusers.models.attention import BasicTransformerBlock

    torch.manual_seed(0)
    theirs = BasicTransformerBlock(
        48, 4, 12, attention_bias=True, activation_fn="gelu-approximate", num_embeds_ada_norm=10,
        norm_type="ada_norm_zero", norm_elementwise_affine=False,
    ).eval()  # fmt: skip
    ours = ClassicBlock(48, 4)
    attention, (up, _, down) = theirs.attn1, theirs.ff.net
    pairs = {
        ours.out: attention.to_out[0],
        ours.up: up.proj,
        ours.down: down,
        ours.modulation: theirs.norm1.linear,
    }
    for mine, other in pairs.items():
        mine.load_state_dict(other.state_dict())
    qkv = (attention.to_q, attention.to_k, attention.to_v)
    with torch.no_grad():
        ours.qkv.weight.copy_(torch.cat([one.weight for one in qkv]))
        ours.qkv.bias.copy_(torch.cat([one.bias for one in qkv]))
        x, t, label = torch.randn(3, 7, 48), torch.tensor([1.0, 400.0, 999.0]), torch.arange(3)
        conditioning = theirs.norm1.emb(t, label, hidden_dtype=torch.float32)
        expected = theirs(x, timestep=t, class_labels=label)
        torch.testing.assert_close(ours(x, conditioning), expected, rtol=1e-5, atol=1e-5)


def test_every_network_of_the_race_answers_and_begins_with_zeros():
    x_t, tokens = torch.randn(2, 8, 3, 8, 8), formats.tokenize(["a red 3", "a blue 7 moves up"])
    for name, network in blocks.networks(0).items():
        with torch.no_grad():
            assert network(x_t, torch.tensor([0.2, 0.9]), tokens).abs().max() == 0, name
            for parameter in network.dit.parameters():
                torch.nn.init.normal_(parameter, std=0.1)
            one, other = (network(x_t, torch.tensor([0.2, t]), tokens) for t in (0.9, 0.5))
        torch.testing.assert_close(one[0], other[0], msg=f"{name}: clips of a batch are strangers")
        assert (one[1] - other[1]).abs().max() > 1e-3, f"{name} knows the noise level"


@pytest.mark.parametrize("way", blocks.WAYS)
def test_hidden_states_of_the_published_transformer_know_half_of_its_blocks(way):
    torch.manual_seed(0)
    network = ClassicDiT(ClassicDiTConfig(8, 48, 4, 2, way=way), torch.nn.Linear(16, 48))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x_t, t, text = torch.randn(2, 5, 8), torch.rand(2, 1), Text(None, torch.randn(2, 1, 16))
    states = []
    with torch.no_grad():
        for k in (None, 3, 2, 1):
            if k is not None:
                network.blocks[k].down.bias += 1
            y, hidden = network(x_t, t, torch.zeros(5, 5), text, return_hidden=True)
            assert torch.equal(y, network(x_t, t, torch.zeros(5, 5), text))
            states.append(hidden)
    assert states[0].shape == (2, 5, 48)
    assert torch.equal(states[0], states[1]) and torch.equal(states[0], states[2])
    assert not torch.equal(states[0], states[3])


def test_a_block_without_gates_is_conditioned_by_its_norms_alone():
    torch.manual_seed(0)
    gated, ungated = (ClassicBlock(64, 2, zero) for zero in (True, False))
    x, conditioning = torch.randn(2, 5, 64), torch.randn(2, 64)
    assert torch.equal(gated(x, conditioning), x)
    torch.nn.init.zeros_(ungated.modulation.weight)
    torch.nn.init.zeros_(ungated.modulation.bias)
    plain = PlainBlock(64, 2)
    plain.load_state_dict({key: v for key, v in ungated.state_dict().items() if "modulation" not in key})
    torch.testing.assert_close(ungated(x, conditioning), plain(x, conditioning))


def test_a_network_that_costs_more_takes_fewer_steps(tiny, monkeypatch):
    monkeypatch.setattr(small_task, "CONFIG", TrainConfig(40, 2, 1e-3))
    monkeypatch.setattr(small_task, "train_on_task", lambda network, *_: (network, {}))
    found = blocks.run(0, _quiet)
    assert set(found) == {"library", *blocks.WAYS}
    spent = [row["flops"] * row["steps"] for row in found.values()]
    assert max(spent) < 1.03 * min(spent)
    assert found["adaln-zero"]["steps"] == 40 > found["library"]["steps"]


def test_the_comparison_with_and_without_alignment_runs(tiny, monkeypatch):
    monkeypatch.setattr(alignment, "STEPS", (1, 2))
    found = alignment.run(0, _quiet, n=4)
    assert found.keys() == {"alone", "aligned"} and set(found["aligned"]) == {"1", "2"}


def test_both_ways_of_the_alignment_race_see_the_same_clips(tiny):
    config = TrainConfig(1, 6, 1e-3)
    aligned, alone = (
        draw(config, torch.Generator().manual_seed(3))
        for draw in (alignment.draw_batch, small_task.draw_batch)
    )
    assert torch.equal(aligned[0], alone[0]) and torch.equal(aligned[2], alone[1])
    assert aligned[1].shape == (6, 48, 2, 4, 4)
