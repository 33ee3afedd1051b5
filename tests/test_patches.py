"""Cut and joined again, nothing is lost; a token has its position in seconds and pixels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minivid import formats
from minivid.models import patches

sides = st.integers(1, 4)
three = st.tuples(sides, sides, sides)


def latents_of(b: int, c: int, grid, seed: int = 0) -> torch.Tensor:
    return torch.randn(b, c, *grid, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), three, three)
def test_any_latents_cut_into_any_patches_are_whole_again(b, c, counts, patch):
    grid = [n * size for n, size in zip(counts, patch, strict=True)]
    latents = latents_of(b, c, grid)
    tokens = patches.patchify(latents, patch)
    assert tokens.shape == (b, torch.tensor(counts).prod(), c * torch.tensor(patch).prod())
    torch.testing.assert_close(patches.unpatchify(tokens, grid, patch), latents, rtol=0, atol=0)
    again = patches.patchify(patches.unpatchify(tokens.flip(1), grid, patch), patch)
    torch.testing.assert_close(again, tokens.flip(1), rtol=0, atol=0)


def test_a_token_holds_one_block_and_they_go_through_time_then_down_then_right():
    latents = latents_of(1, 3, (2, 4, 6))
    tokens = patches.patchify(latents, (1, 2, 3))
    blocks = [
        latents[0, :, f : f + 1, y : y + 2, x : x + 3].flatten()
        for f in (0, 1)
        for y in (0, 2)
        for x in (0, 3)
    ]
    torch.testing.assert_close(tokens[0], torch.stack(blocks), rtol=0, atol=0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: patches.patchify(torch.zeros(1, 8, 5, 9, 8), (1, 2, 2)), "5×9×8.*1×2×2.*5×8×8"),
        (lambda: patches.patchify(torch.zeros(1, 8, 5, 8, 8), (2, 2, 2)), "5×8×8.*2×2×2.*4×8×8"),
        (lambda: patches.positions((5, 8, 9), (1, 2, 2), 4), "5×8×9.*1×2×2"),
        (lambda: patches.unpatchify(torch.zeros(1, 81, 32), (5, 8, 8), (1, 2, 2)), "81 tokens.*80 tokens"),
        (lambda: patches.unpatchify(torch.zeros(1, 80, 30), (5, 8, 8), (1, 2, 2)), "30 numbers.*holds 4"),
        (lambda: patches.pack([torch.zeros(9, 2)], [torch.zeros(9, 5)], 8), "9 tokens.*8"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Where and when ----------------------------------------------------------------------------------


def test_the_seconds_of_tokens_are_the_worlds():
    times = formats.frame_times(17)
    middles = torch.cat([times[:1], times[1:].view(4, 4).mean(1)])
    seconds = patches.positions((5, 8, 8), (1, 8, 8), 4)[:, 0]
    torch.testing.assert_close(seconds.double(), middles)


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), three)
def test_a_patch_is_where_the_middle_of_its_latents_is(f, h, w, patch):
    grid = (f * patch[0], h * patch[1], w * patch[2])
    fine = patches.positions(grid, (1, 1, 1), 4).T.view(1, 5, *grid)
    middles = patches.patchify(fine, patch)[0].unflatten(1, (5, -1)).mean(2)
    torch.testing.assert_close(patches.positions(grid, patch, 4), middles)


def test_positions_are_pixels_from_the_middle_of_the_frame():
    positions = patches.positions((1, 8, 12), (1, 2, 2), 4)
    assert positions[0].tolist() == [1 / 16, -12.0, -20.0, 32.0, 48.0]
    assert positions[-1].tolist() == [1 / 16, 12.0, 20.0, 32.0, 48.0]
    torch.testing.assert_close(positions[:, 1:3].mean(0), torch.zeros(2))


def test_a_still_is_where_a_clips_first_frame_is():
    still, clip = (patches.positions((f, 8, 8), (1, 2, 2), 4) for f in (1, 5))
    torch.testing.assert_close(clip[:16], still, rtol=0, atol=0)


# Packing -----------------------------------------------------------------------------------------


def lists_of(lengths: list[int]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    rng = torch.Generator().manual_seed(len(lengths))
    clips = [torch.randn(n, 3, generator=rng) for n in lengths]
    return clips, [torch.randn(n, 5, generator=rng) for n in lengths]


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(40, 90))
def test_every_clip_is_packed_once_and_comes_out_as_it_went_in(lengths, row):
    clips, positions = lists_of(lengths)
    packed = patches.pack(clips, positions, row)
    for given_, found in (
        (clips, patches.unpack(packed.tokens, packed.clip_index)),
        (positions, patches.unpack(packed.positions, packed.clip_index)),
    ):
        assert len(given_) == len(found)
        for one, other in zip(given_, found, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    full = (packed.clip_index >= 0).sum(1)
    assert full.sum() == sum(lengths) and packed.clip_index.shape[1] == row
    assert len(full) < 2 or full.sort().values[:2].sum() > row, "two rows would have fitted in one"


def test_no_token_attends_to_another_clip_or_to_emptiness():
    clips, positions = lists_of([3, 2])
    clip_index = patches.pack(clips, positions, 6).clip_index
    blocks = torch.block_diag(torch.ones(3, 3), torch.ones(2, 2), torch.ones(1, 1)).bool()
    assert torch.equal(patches.same_clip_mask(clip_index, clip_index)[0], blocks)


# Sound -------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6), st.integers(1, 4))
def test_sound_cut_into_any_patches_is_whole_again(b, c, count, patch):
    latents = torch.randn(b, c, count * patch, generator=torch.Generator().manual_seed(0))
    tokens = patches.patchify_audio(latents, patch)
    assert tokens.shape == (b, count, c * patch)
    torch.testing.assert_close(patches.unpatchify_audio(tokens, patch), latents, rtol=0, atol=0)
    assert tokens[0, 0].equal(latents[0, :, :patch].flatten()), "a token holds neighbours"


def test_video_and_audio_of_one_time_have_the_same_seconds():
    picture = patches.positions((5, 8, 8), (1, 2, 2), 4)[:, 0].unique()
    for patch in (1, 2, 4):
        sound = patches.audio_positions(68, patch)
        assert len(sound) == 68 // patch and not sound[:, 1:].any()
        begin, end = sound[:, 0] - patch / 64, sound[:, 0] + patch / 64
        assert (begin[0], end[-1]) == (0, 17 / 8)  # as long as 17 frames
        torch.testing.assert_close(begin[1:], end[:-1])
        # the first picture token covers a frame, as long as four latents; the next, four frames
        assert sound[: 4 // patch, 0].mean() == picture[0]
        assert sound[4 // patch : 20 // patch, 0].mean() == picture[1]


def test_sound_that_does_not_divide_is_said_in_a_sentence():
    with pytest.raises(ValueError, match="67 latents of audio.*patches of 2.*66"):
        patches.patchify_audio(torch.zeros(1, 16, 67), 2)
