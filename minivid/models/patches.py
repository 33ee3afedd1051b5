"""Spacetime patches: a clip's latents cut into tokens, and joined again.

A transformer reads a list. A clip becomes one when its latents are cut into little blocks of time, height
and width, each a token (ViViT, Arnab et al. 2021, arXiv 2103.15691); where and when a token was travels
beside it, in seconds and in pixels, so that a still, a tall clip and a long one are lists of one kind
("Video generation models as world simulators", OpenAI 2024; NaViT, Dehghani et al. 2023, arXiv
2307.06304). Several clips may even share one list, if none attends to another.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from minivid.formats import AUDIO_LATENTS_PER_FRAME, FRAMES_PER_LATENT, FRAMES_PER_SECOND

Patch = tuple[int, int, int]  # latent frames, rows and columns of a token


def patchify(latents: Tensor, patch: Patch) -> Tensor:
    """Latents to tokens: (b, c, f, h, w) -> (b, n, d), n = f/pf · h/ph · w/pw and d = c · pf · ph · pw.

    Tokens go through time, then down, then right. Raises ValueError where a side is no multiple of the
    patch's.
    """
    _check(latents.shape[2:], patch)
    pf, ph, pw = patch
    return rearrange(latents, "b c (f p) (h q) (w r) -> b (f h w) (c p q r)", p=pf, q=ph, r=pw)


def unpatchify(tokens: Tensor, grid: Sequence[int], patch: Patch) -> Tensor:
    """Tokens to latents, the exact inverse: (b, n, d) -> (b, c, f, h, w), `grid` being (f, h, w).

    Raises ValueError where the number of tokens, or their width, does not fit.
    """
    f, h, w = (side // size for side, size in zip(grid, patch, strict=True))
    pf, ph, pw = patch
    _check(grid, patch)
    if tokens.shape[1] != f * h * w:
        raise ValueError(
            f"{tokens.shape[1]} tokens for latents of {_sides(grid)}: cut into {_sides(patch)} patches "
            f"these are {f * h * w} tokens."
        )
    if tokens.shape[2] % (pf * ph * pw):
        raise ValueError(
            f"tokens of {tokens.shape[2]} numbers: a patch of {_sides(patch)} holds {pf * ph * pw} latents, "
            "so their width is a multiple of that."
        )
    return rearrange(tokens, "b (f h w) (c p q r) -> b c (f p) (h q) (w r)", f=f, h=h, p=pf, q=ph, r=pw)


def positions(grid: Sequence[int], patch: Patch, stride: int) -> Tensor:
    """Where and when each token of latents (f, h, w) is: (n, 5), in the order of `patchify`.

    Columns: seconds from the clip's beginning; pixels below, and to the right of, the frame's centre;
    the frame's height and width in pixels. All at the middle of what the token covers: latent frame 0 is
    one frame, every other one four. stride: pixels a latent is wide.
    """
    _check(grid, patch)
    first = torch.arange(grid[0])
    begins = (FRAMES_PER_LATENT * (first - 1) + 1).clamp(min=0) / FRAMES_PER_SECOND
    ends = (FRAMES_PER_LATENT * first + 1) / FRAMES_PER_SECOND
    seconds = ((begins + ends) / 2).view(-1, patch[0]).mean(1)
    down, right = (
        stride * size * (torch.arange(side // size) + 0.5) - stride * side / 2
        for side, size in zip(grid[1:], patch[1:], strict=True)
    )
    at = torch.stack(torch.meshgrid(seconds, down, right, indexing="ij"), -1).flatten(0, 2)
    frame = stride * torch.tensor([grid[1], grid[2]], dtype=at.dtype)
    return torch.cat([at, frame.expand(len(at), 2)], 1)


def patchify_audio(latents: Tensor, patch: int) -> Tensor:
    """Latents of audio to tokens: (b, c, n) -> (b, n / patch, c · patch).

    Raises ValueError where n is no multiple of the patch.
    """
    n = latents.shape[2]
    if n % patch:
        raise ValueError(
            f"{n} latents of audio do not divide into patches of {patch}: their number must be a multiple. "
            f"Try {max(patch, n // patch * patch)}."
        )
    return rearrange(latents, "b c (n patch) -> b n (c patch)", patch=patch)


def unpatchify_audio(tokens: Tensor, patch: int) -> Tensor:
    """Tokens to latents of audio, the exact inverse: (b, n, d) -> (b, d / patch, n · patch)."""
    return rearrange(tokens, "b n (c patch) -> b c (n patch)", patch=patch)


def audio_positions(n: int, patch: int) -> Tensor:
    """When each token of n latents of audio is: (n / patch, 5), columns as in `positions`.

    A sound is nowhere: all but the seconds are 0.
    """
    seconds = (torch.arange(n // patch) + 0.5) * patch / (AUDIO_LATENTS_PER_FRAME * FRAMES_PER_SECOND)
    return torch.nn.functional.pad(seconds[:, None], (0, 4))


class Packed(NamedTuple):
    """Clips of any formats, side by side in rows of equal length.

    tokens: (rows, n, d), zeros where nothing is; positions: (rows, n, 5); clip_index: (rows, n), the number
    of the clip a token belongs to, -1 where nothing is.
    """

    tokens: Tensor
    positions: Tensor
    clip_index: Tensor


def pack(clips: Sequence[Tensor], positions: Sequence[Tensor], length: int) -> Packed:
    """Lists of tokens (n, d), and their positions (n, 5), into as few rows of `length` as first-fit finds.

    The longest first, each into the first row with room for it. Raises ValueError for a clip of more
    tokens than a row has.
    """
    rows: list[list[int]] = []
    free: list[int] = []
    for k in sorted(range(len(clips)), key=lambda k: -len(clips[k])):
        n = len(clips[k])
        if n > length:
            raise ValueError(
                f"a clip of {n} tokens does not fit a row of {length}: make rows at least that long."
            )
        row = next((r for r, left in enumerate(free) if left >= n), None)
        if row is None:
            rows.append([])
            free.append(length)
            row = len(rows) - 1
        rows[row].append(k)
        free[row] -= n
    tokens = clips[0].new_zeros(len(rows), length, clips[0].shape[1])
    where = positions[0].new_zeros(len(rows), length, positions[0].shape[1])
    clip_index = torch.full((len(rows), length), -1)
    for row, held in enumerate(rows):
        start = 0
        for k in held:
            end = start + len(clips[k])
            tokens[row, start:end], where[row, start:end] = clips[k], positions[k]
            clip_index[row, start:end] = k
            start = end
    return Packed(tokens, where, clip_index)


def unpack(tokens: Tensor, clip_index: Tensor) -> list[Tensor]:
    """The clips of packed rows again, in their order: (rows, n, d) and (rows, n) -> lists of (n, d)."""
    return [tokens[clip_index == k] for k in range(int(clip_index.max()) + 1)]


def same_clip_mask(one: Tensor, other: Tensor) -> Tensor:
    """An attention mask: (rows, n) and (rows, m), numbers of clips -> (rows, n, m), block-diagonal.

    An empty place attends to empty places, so that it attends to something.
    """
    return one[..., :, None] == other[..., None, :]


def _check(grid: Sequence[int], patch: Patch) -> None:
    if len(grid) != 3:
        raise ValueError(f"latents with {len(grid)} sides: give (b, c, f, h, w), three sides after c.")
    if any(side % size for side, size in zip(grid, patch, strict=True)):
        near = [max(size, side // size * size) for side, size in zip(grid, patch, strict=True)]
        raise ValueError(
            f"latents of {_sides(grid)} do not divide into patches of {_sides(patch)} (frames × rows × "
            f"columns): each side must be a multiple. Try {_sides(near)}."
        )


def _sides(sides: Sequence[int]) -> str:
    return "×".join(str(int(side)) for side in sides)
