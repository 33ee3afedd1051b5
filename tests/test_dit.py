"""The transformer as it is assembled: what it is at the start, what it must not see, what it can learn."""

import pytest
import torch
from torch import nn

from minivid import dit, patches

WIDTH = 64


def network(seed: int = 0, stirred: bool = True) -> dit.DiT:
    """A small one; stirred: as if it had been trained, with nothing left at zero."""
    torch.manual_seed(seed)
    made = dit.DiT(numbers=12, width=WIDTH, depth=2, asked=16)
    if stirred:
        for parameter in made.parameters():
            nn.init.normal_(parameter, std=0.2)
    return made.eval()


def inputs(b: int = 2, grid=(2, 4, 4), seed: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    at = patches.places(grid, (1, 2, 2), 4)
    return {
        "x_t": torch.randn(b, len(at), 12, generator=generator),
        "places": at.expand(b, -1, -1),
        "t": torch.rand(b, 1, generator=generator),
        "words": torch.randn(b, 5, 16, generator=generator),
        "whole": torch.randn(b, 1, 16, generator=generator),
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


def test_a_token_that_is_said_to_be_clean_is_treated_otherwise():
    made, given = network(), inputs()
    level = given["t"].repeat(1, given["x_t"].shape[1])
    level[:, 0] = 0
    changed = (made(**(given | {"t": level})) - made(**given)).abs().amax(-1)
    assert (changed[:, 0] > 1e-3).all(), "the token itself"
    assert (changed[:, 1:] > 1e-6).all(), "and all who look at it"


def test_tokens_are_a_set_their_places_travel_with_them():
    made, given = network(), inputs()
    order = torch.randperm(given["x_t"].shape[1], generator=torch.Generator().manual_seed(3))
    moved = given | {"x_t": given["x_t"][:, order], "places": given["places"][:, order]}
    torch.testing.assert_close(made(**moved), made(**given)[:, order], rtol=1e-4, atol=1e-5)
    swapped = given | {"places": given["places"][:, order]}
    assert (made(**swapped) - made(**given)).abs().max() > 1e-2


def test_packed_clips_come_out_as_they_do_alone():
    made = network()
    alone = [inputs(1, grid, seed) for seed, grid in enumerate([(2, 4, 4), (1, 4, 6), (1, 2, 2)])]
    packed = patches.pack([a["x_t"][0] for a in alone], [a["places"][0] for a in alone], 9)
    which = packed.clip.clamp(min=0)
    said = torch.stack([a["words"][0] for a in alone]).flatten(0, 1)
    whose = torch.arange(3).repeat_interleave(5).expand(len(which), -1)
    heard = patches.same_clip(packed.clip, whose)
    heard[..., 0] |= packed.clip < 0
    given = {
        "x_t": packed.tokens,
        "places": packed.places,
        "t": torch.cat([a["t"] for a in alone])[which, 0],
        "words": said.expand(len(which), -1, -1),
        "whole": torch.cat([a["whole"] for a in alone])[which, 0],
        "seen": patches.same_clip(packed.clip, packed.clip),
        "heard": heard,
    }
    found = patches.unpack(made(**given), packed.clip)
    for one, other in zip(alone, found, strict=True):
        expected = made(**one)[0]
        size = expected.abs().max().item()  # 10 and more: to 1e-5 of it, as rounding goes with size
        torch.testing.assert_close(other, expected, rtol=0, atol=1e-5 * size)
    mingled = patches.unpack(made(**(given | {"seen": None, "heard": None})), packed.clip)
    assert (mingled[0] - found[0]).abs().max() > 1e-2, "without the mask they do see each other"


def test_words_that_are_not_heard_change_nothing():
    made, given = network(), inputs()
    heard = torch.ones(2, given["x_t"].shape[1], 5, dtype=torch.bool)
    heard[..., 3:] = False
    other = given | {"words": torch.cat([given["words"][:, :3], torch.randn(2, 2, 16)], 1)}
    torch.testing.assert_close(made(**given, heard=heard), made(**other, heard=heard))
    assert (made(**given) - made(**other)).abs().max() > 1e-3


# Picture and sound -------------------------------------------------------------------------------


def joint(depth: int = 2, apart: bool = True) -> dit.JointDiT:
    torch.manual_seed(0)
    made = dit.JointDiT(12, 6, WIDTH, depth, 16, apart)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.2)
    return made.eval()


def both(b: int = 2) -> dict:
    given = inputs(b)
    sound = torch.randn(b, 4, 6, generator=torch.Generator().manual_seed(5))
    return {
        "x_t": (given["x_t"], sound),
        "places": (given["places"][0], patches.sound_places(8, 2)),
        "t": (given["t"], given["t"].flip(0)),
        "words": given["words"],
        "whole": given["whole"],
    }


def test_sound_and_picture_of_one_kind_are_one_list():
    plain = network()
    made = dit.JointDiT(12, 12, WIDTH, 2, 16).eval()
    ours = plain.state_dict()
    for name in made.state_dict():
        if "sound_" in name:  # sound has the picture's weights for its own
            ours[name] = ours[name.replace("sound_", "")]
    missing, _ = made.load_state_dict(ours, strict=False)
    assert set(missing) == {"clock.weight", "clock.bias"}, "which stands still to begin with"
    for one in (made, plain):
        nn.init.zeros_(one.edges.weight)  # sound is told no walls
    given = inputs()
    at = given["places"][0]
    first, second = made(
        tuple(given["x_t"].split(5, 1)),
        tuple(at.split(5)),
        (given["t"], given["t"]),
        given["words"],
        given["whole"],
    )
    torch.testing.assert_close(torch.cat([first, second], 1), plain(**given), rtol=1e-4, atol=1e-5)


def test_the_time_is_told_to_both_kinds_and_comes_round_in_eight_seconds():
    made, given = joint(depth=0), both()  # no attention: what one is told does not reach the other
    before = made(**given)
    for seconds, changes in ((0.25, True), (8.0, False)):
        later = torch.tensor([seconds, 0, 0, 0, 0])
        after = made(**given | {"places": tuple(at + later for at in given["places"])})
        for one, other in zip(before, after, strict=True):
            assert ((one - other).abs().max() > 1e-2) == changes


def test_halfway_is_after_half_of_the_blocks():
    made, given, out = joint(3), both(), []
    made.blocks[1].register_forward_hook(lambda _, args, result: out.append(result))
    said, halfway = made.both(**given)
    assert torch.cat(halfway, 1).equal(out[0]) and halfway[0].shape[1] == 8
    for one, other in zip(said, made(**given), strict=True):
        assert one.equal(other)


def test_the_joint_transformer_is_the_identity_at_the_start():
    made, into, out = dit.JointDiT(12, 6, WIDTH, 2, 16), [], []
    made.blocks[0].register_forward_pre_hook(lambda _, args: into.append(args[0]))
    made.blocks[-1].register_forward_hook(lambda _, args, result: out.append(result))
    for said, x_t in zip(made(**both()), both()["x_t"], strict=True):
        torch.testing.assert_close(said, torch.zeros_like(x_t), rtol=0, atol=0)
    torch.testing.assert_close(out[0], into[0], rtol=0, atol=0)
    assert into[0].abs().max() > 0.1


@pytest.mark.parametrize("kind", ["stem", "modulation", "last", "out"])
def test_sound_has_its_own_way_in_and_out(kind):
    made, given = joint(depth=0 if kind in ("last", "out") else 1), both()
    before = made(**given)
    nn.init.normal_(getattr(made, f"sound_{kind}").weight)
    after = made(**given)
    assert (after[1] - before[1]).abs().max() > 1e-2
    if kind in ("last", "out"):
        torch.testing.assert_close(after[0], before[0], rtol=0, atol=0)
    nn.init.normal_(getattr(made, kind).weight)
    assert (made(**given)[0] - after[0]).abs().max() > 1e-2


def test_each_kind_takes_what_it_is_told_in_its_own_way():
    block = joint().blocks[0]
    told = block.told(torch.zeros(1, 3, 6 * WIDTH), 2)[0]
    expected = torch.stack([block.offset, block.offset, block.sound_offset])
    torch.testing.assert_close(told, expected)


def test_sound_thinks_for_itself_and_is_heard_by_the_picture_a_block_later():
    for depth, changes in ((1, False), (2, True)):
        made, given = joint(depth), both()
        before = made(**given)
        nn.init.normal_(made.blocks[0].sound_think.narrow.weight)
        after = made(**given)
        assert (after[1] - before[1]).abs().max() > 1e-2
        assert ((after[0] - before[0]).abs().max() > 1e-3) == changes


def test_each_kind_has_its_noise_level():
    made, given = joint(), both()
    each = given | {"t": (given["t"][0].expand(-1, 8), given["t"][1].expand(-1, 4))}
    for one, other in zip(made(**each), made(**given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    clean = given | {"t": (given["t"][0], torch.zeros(2, 1))}
    for one, other in zip(made(**clean), made(**given), strict=True):
        assert (one - other).abs().max() > 1e-3


def test_shared_thoughts_are_counted_once():
    def count(made: nn.Module) -> int:
        return sum(p.numel() for p in made.parameters())

    thoughts = sum(count(block.think) for block in joint().blocks)
    assert count(joint()) - count(joint(apart=False)) == thoughts


# Rotations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [(3.0, 0.0, 0.0), (0.0, 40.0, 0.0), (1.5, -8.0, 100.0)])
def test_only_differences_of_place_matter_to_attention(shift):
    torch.manual_seed(0)
    look, x = dit.Look(WIDTH), torch.randn(1, 8, WIDTH)
    at = patches.places((2, 4, 4), (1, 2, 2), 4)
    moved = at + torch.tensor([*shift, 0.0, 0.0])
    here, there, still = (dit.rotations(p) for p in (at, moved, torch.zeros_like(at)))
    torch.testing.assert_close(look(x, x, there), look(x, x, here), rtol=1e-4, atol=1e-5)
    assert (look(x, x, still) - look(x, x, here)).abs().max() > 1e-3


def test_a_rotation_keeps_lengths_and_a_whole_turn_is_none():
    x = torch.randn(1, 1, 3, dit.HEAD, dtype=torch.float64)
    at = torch.tensor([[0.3, 5.0, 9.0, 32.0, 32.0]], dtype=torch.float64)
    turned = dit.rotate(x, dit.rotations(at))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    fast = torch.tensor([[axis[0] for axis in dit.TURNS] + [0.0, 0.0]], dtype=torch.float64)
    whole = dit.rotations(fast) / (2 * torch.pi)
    firsts = torch.tensor(dit.PAIRS).cumsum(0) - torch.tensor(dit.PAIRS)
    torch.testing.assert_close(whole[0, firsts], torch.ones(3, dtype=torch.float64))


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


def test_bf16_says_what_fp32_says():
    made, given = network(stirred=False), inputs()
    nn.init.normal_(made.out.weight, std=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = made(**given).float()
    torch.testing.assert_close(coarse, made(**given), rtol=0.05, atol=0.05)


def test_all_blocks_are_given_one_kind_of_number_and_are_compiled_once():
    made, kinds = network(), []
    for block in made.blocks:
        block.register_forward_pre_hook(lambda _, args: kinds.append(args[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        made(**inputs())
    assert kinds == [torch.float32] * len(made.blocks)
