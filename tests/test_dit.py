"""The transformer as it is assembled: the identity at first, blind to what is masked, able to learn."""

import pytest
import torch
from torch import nn

from minivid.models import attention, dit, dit_av, patches
from minivid.models.dit import DiTConfig, Text
from minivid.models.dit_av import DiTAVConfig

WIDTH = 64


def network(seed: int = 0, stirred: bool = True) -> dit.DiT:
    """A small one; stirred: as if it had been trained, with nothing left at zero."""
    torch.manual_seed(seed)
    made = dit.DiT(DiTConfig(token_dim=12, width=WIDTH, depth=2, text_dim=16))
    if stirred:
        for parameter in made.parameters():
            nn.init.normal_(parameter, std=0.2)
    return made.eval()


def inputs(b: int = 2, grid=(2, 4, 4), seed: int = 1) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    at = patches.positions(grid, (1, 2, 2), 4)
    return {
        "x_t": torch.randn(b, len(at), 12, generator=rng),
        "positions": at.expand(b, -1, -1),
        "t": torch.rand(b, 1, generator=rng),
        "text": Text(torch.randn(b, 5, 16, generator=rng), torch.randn(b, 1, 16, generator=rng)),
    }


def test_the_assembled_transformer_is_the_identity_at_the_start():
    made = network(stirred=False)
    given = inputs()
    into, out = [], []
    made.blocks[0].register_forward_pre_hook(lambda _, args: into.append(args[0]))
    made.blocks[-1].register_forward_hook(lambda _, args, result: out.append(result))
    torch.testing.assert_close(made(**given), torch.zeros_like(given["x_t"]), rtol=0, atol=0)
    torch.testing.assert_close(out[0], into[0], rtol=0, atol=0)
    assert into[0].abs().max() > 0.1


def test_one_noise_level_for_all_is_the_same_one_for_each():
    made, given = network(), inputs()
    each = given | {"t": given["t"].expand(-1, given["x_t"].shape[1])}
    torch.testing.assert_close(made(**each), made(**given))


def test_a_token_at_noise_level_0_is_treated_otherwise():
    made, given = network(), inputs()
    level = given["t"].repeat(1, given["x_t"].shape[1])
    level[:, 0] = 0
    changed = (made(**(given | {"t": level})) - made(**given)).abs().amax(-1)
    assert (changed[:, 0] > 1e-3).all(), "the token itself"
    assert (changed[:, 1:] > 1e-6).all(), "and all that attend to it"


def test_tokens_are_a_set_their_positions_travel_with_them():
    made, given = network(), inputs()
    order = torch.randperm(given["x_t"].shape[1], generator=torch.Generator().manual_seed(3))
    moved = given | {"x_t": given["x_t"][:, order], "positions": given["positions"][:, order]}
    torch.testing.assert_close(made(**moved), made(**given)[:, order], rtol=1e-4, atol=1e-5)
    swapped = given | {"positions": given["positions"][:, order]}
    assert (made(**swapped) - made(**given)).abs().max() > 1e-2


def test_packed_clips_come_out_as_they_do_alone():
    made = network()
    alone = [inputs(1, grid, seed) for seed, grid in enumerate([(2, 4, 4), (1, 4, 6), (1, 2, 2)])]
    packed = patches.pack([a["x_t"][0] for a in alone], [a["positions"][0] for a in alone], 9)
    which = packed.clip_index.clamp(min=0)
    words = torch.stack([a["text"].embeddings[0] for a in alone]).flatten(0, 1)
    whose = torch.arange(3).repeat_interleave(5).expand(len(which), -1)
    text_mask = patches.same_clip_mask(packed.clip_index, whose)
    text_mask[..., 0] |= packed.clip_index < 0
    given = {
        "x_t": packed.tokens,
        "positions": packed.positions,
        "t": torch.cat([a["t"] for a in alone])[which, 0],
        "text": Text(
            words.expand(len(which), -1, -1),
            torch.cat([a["text"].pooled for a in alone])[which, 0],
            text_mask,
        ),
        "attention_mask": patches.same_clip_mask(packed.clip_index, packed.clip_index),
    }
    found = patches.unpack(made(**given), packed.clip_index)
    for one, other in zip(alone, found, strict=True):
        expected = made(**one)[0]
        size = expected.abs().max().item()  # 10 and more: to 1e-5 of it, as rounding goes with size
        torch.testing.assert_close(other, expected, rtol=0, atol=1e-5 * size)
    mingled = patches.unpack(
        made(**(given | {"attention_mask": None, "text": given["text"]._replace(mask=None)})),
        packed.clip_index,
    )
    assert (mingled[0] - found[0]).abs().max() > 1e-2, "without the mask they do see each other"


def test_words_that_are_masked_change_nothing():
    made, given = network(), inputs()
    mask = torch.ones(2, given["x_t"].shape[1], 5, dtype=torch.bool)
    mask[..., 3:] = False
    text = given["text"]
    words = torch.cat([text.embeddings[:, :3], torch.randn(2, 2, 16)], 1)
    other = given | {"text": text._replace(embeddings=words)}
    masked = [g | {"text": g["text"]._replace(mask=mask)} for g in (given, other)]
    torch.testing.assert_close(made(**masked[0]), made(**masked[1]))
    assert (made(**given) - made(**other)).abs().max() > 1e-3


# Picture and sound -------------------------------------------------------------------------------


def joint(depth: int = 2, shared: bool = False) -> dit_av.DiTAV:
    torch.manual_seed(0)
    made = dit_av.DiTAV(DiTAVConfig(12, WIDTH, depth, 16, 6, shared))
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.2)
    return made.eval()


def pair(b: int = 2) -> dict:
    given = inputs(b)
    sound = torch.randn(b, 4, 6, generator=torch.Generator().manual_seed(5))
    return {
        "x_t": (given["x_t"], sound),
        "positions": (given["positions"][0], patches.audio_positions(8, 2)),
        "t": (given["t"], given["t"].flip(0)),
        "text": given["text"],
    }


def test_audio_and_video_of_one_kind_are_one_list():
    plain = network()
    made = dit_av.DiTAV(DiTAVConfig(12, WIDTH, 2, 16, 12)).eval()
    ours = plain.state_dict()
    for name in made.state_dict():
        if "audio_" in name:  # audio has the video's weights for its own
            ours[name] = ours[name.replace("audio_", "")]
    missing, _ = made.load_state_dict(ours, strict=False)
    assert set(missing) == {"absolute_time.weight", "absolute_time.bias"}, "which are zero to begin with"
    for one in (made, plain):
        nn.init.zeros_(one.border.weight)  # audio is told no walls
    given = inputs()
    at = given["positions"][0]
    first, second = made(
        tuple(given["x_t"].split(5, 1)), (given["t"], given["t"]), tuple(at.split(5)), given["text"]
    )
    torch.testing.assert_close(torch.cat([first, second], 1), plain(**given), rtol=1e-4, atol=1e-5)


def test_the_time_reaches_both_kinds_and_comes_round_in_eight_seconds():
    made, given = joint(depth=0), pair()  # no attention: nothing of one kind reaches the other
    before = made(**given)
    for seconds, changes in ((0.25, True), (8.0, False)):
        delay = torch.tensor([seconds, 0, 0, 0, 0])
        after = made(**given | {"positions": tuple(at + delay for at in given["positions"])})
        for one, other in zip(before, after, strict=True):
            assert ((one - other).abs().max() > 1e-2) == changes


def test_hidden_states_are_those_after_half_of_the_blocks():
    made, given, out = joint(3), pair(), []
    made.blocks[1].register_forward_hook(lambda _, args, result: out.append(result))
    output, hidden = made(**given, return_hidden=True)
    assert torch.cat(hidden, 1).equal(out[0]) and hidden[0].shape[1] == 8
    for one, other in zip(output, made(**given), strict=True):
        assert one.equal(other)


def test_the_joint_transformer_is_the_identity_at_the_start():
    made, into, out = dit_av.DiTAV(DiTAVConfig(12, WIDTH, 2, 16, 6)), [], []
    made.blocks[0].register_forward_pre_hook(lambda _, args: into.append(args[0]))
    made.blocks[-1].register_forward_hook(lambda _, args, result: out.append(result))
    for output, x_t in zip(made(**pair()), pair()["x_t"], strict=True):
        torch.testing.assert_close(output, torch.zeros_like(x_t), rtol=0, atol=0)
    torch.testing.assert_close(out[0], into[0], rtol=0, atol=0)
    assert into[0].abs().max() > 0.1


@pytest.mark.parametrize("kind", ["stem", "modulation", "final_modulation", "out"])
def test_audio_has_its_own_way_in_and_out(kind):
    made, given = joint(depth=0 if kind in ("final_modulation", "out") else 1), pair()
    before = made(**given)
    nn.init.normal_(getattr(made, f"audio_{kind}").weight)
    after = made(**given)
    assert (after[1] - before[1]).abs().max() > 1e-2
    if kind in ("final_modulation", "out"):
        torch.testing.assert_close(after[0], before[0], rtol=0, atol=0)
    nn.init.normal_(getattr(made, kind).weight)
    assert (made(**given)[0] - after[0]).abs().max() > 1e-2


def test_each_kind_has_a_modulation_table_of_its_own():
    block = joint().blocks[0]
    nothing = torch.zeros(0)
    context = dit_av.AVContext(nothing, nothing, video_tokens=2)
    found = block.modulations(torch.zeros(1, 3, 6 * WIDTH), context)
    video, audio = block.modulation_table, block.audio_modulation_table
    expected = dit.split_modulation(torch.stack([video, video, audio]))
    for branch, wanted in zip(found, expected, strict=True):
        for one, other in zip(branch, wanted, strict=True):
            torch.testing.assert_close(one[0], other)


def test_audios_feed_forward_reaches_the_video_in_the_next_block():
    for depth, changes in ((1, False), (2, True)):
        made, given = joint(depth), pair()
        before = made(**given)
        nn.init.normal_(made.blocks[0].audio_feed_forward.down.weight)
        after = made(**given)
        assert (after[1] - before[1]).abs().max() > 1e-2
        assert ((after[0] - before[0]).abs().max() > 1e-3) == changes


def test_each_kind_has_its_noise_level():
    made, given = joint(), pair()
    each = given | {"t": (given["t"][0].expand(-1, 8), given["t"][1].expand(-1, 4))}
    for one, other in zip(made(**each), made(**given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    clean = given | {"t": (given["t"][0], torch.zeros(2, 1))}
    for one, other in zip(made(**clean), made(**given), strict=True):
        assert (one - other).abs().max() > 1e-3


def test_a_shared_feed_forward_is_counted_once():
    def count(made: nn.Module) -> int:
        return sum(p.numel() for p in made.parameters())

    own = sum(count(block.feed_forward) for block in joint().blocks)
    assert count(joint()) - count(joint(shared=True)) == own


# Rotary positions --------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [(3.0, 0.0, 0.0), (0.0, 40.0, 0.0), (1.5, -8.0, 100.0)])
def test_only_differences_of_position_matter_to_attention(shift):
    torch.manual_seed(0)
    attend, x = attention.QKNormAttention(WIDTH), torch.randn(1, 8, WIDTH)
    at = patches.positions((2, 4, 4), (1, 2, 2), 4)
    moved = at + torch.tensor([*shift, 0.0, 0.0])
    here, there, still = (attention.rope_angles(p) for p in (at, moved, torch.zeros_like(at)))
    torch.testing.assert_close(attend(x, x, there), attend(x, x, here), rtol=1e-4, atol=1e-5)
    assert (attend(x, x, still) - attend(x, x, here)).abs().max() > 1e-3


def test_a_rotation_keeps_lengths_and_a_whole_turn_is_none():
    x = torch.randn(1, 1, 3, attention.HEAD_DIM, dtype=torch.float64)
    at = torch.tensor([[0.3, 5.0, 9.0, 32.0, 32.0]], dtype=torch.float64)
    turned = attention.apply_rope(x, attention.rope_angles(at))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    fast = torch.tensor([[axis[0] for axis in attention.AXES_PERIODS] + [0.0, 0.0]], dtype=torch.float64)
    full_turns = attention.rope_angles(fast) / (2 * torch.pi)
    firsts = torch.tensor(attention.AXES_PAIRS).cumsum(0) - torch.tensor(attention.AXES_PAIRS)
    torch.testing.assert_close(full_turns[0, firsts], torch.ones(3, dtype=torch.float64))


# Learning ----------------------------------------------------------------------------------------


def test_it_can_learn_one_batch_by_heart():
    made, given = network(stirred=False).train(), inputs(b=2)
    target = torch.randn(given["x_t"].shape, generator=torch.Generator().manual_seed(9))
    optimizer = torch.optim.AdamW(made.parameters(), 3e-3)
    for _ in range(100):
        loss = (made(**given) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1, "it began at 1"


def test_bf16_gives_what_fp32_gives():
    made, given = network(stirred=False), inputs()
    nn.init.normal_(made.out.weight, std=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = made(**given).float()
    torch.testing.assert_close(coarse, made(**given), rtol=0.05, atol=0.05)


def test_all_blocks_are_given_one_type_of_number_and_are_compiled_once():
    made, kinds = network(), []
    for block in made.blocks:
        block.register_forward_pre_hook(lambda _, args: kinds.append(args[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        made(**inputs())
    assert kinds == [torch.float32] * len(made.blocks)
