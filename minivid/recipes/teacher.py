"""What is seen where in a clip: the clip encoder of `words` as a teacher of other networks.

It learned from captions alone, and its first layers, which look at each frame by itself, had to find digits,
colours and edges. What they find at a place is many numbers, of which few directions hold nearly all.
"""

import functools

import torch
from einops import rearrange
from torch import Tensor, nn

from minivid import patches, text, weights
from minivid.recipes.words import TOKENISER
from minivid.world import render, scene


class Teacher(nn.Module):
    """A clip encoder's first layers, in the directions in which what they see of clips differs most.

    clips: (b, 3, f, h, w), to find the directions by; numbers: how many directions.
    """

    def __init__(self, encoder: text.ClipEncoder, clips: Tensor, numbers: int):
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        seen = rearrange(self._look(clips), "b c f h w -> (b f h w) c")
        self.register_buffer("mean", seen.mean(0))
        directions = torch.linalg.svd(seen - self.mean, full_matrices=False).Vh
        self.register_buffer("directions", directions[:numbers])

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """(b, 3, 1 + 4k, h, w) -> (b, numbers, 1 + k, h / 8, w / 8): of four frames, the second is seen."""
        seen = self._look(video) - self.mean.view(-1, 1, 1, 1)
        return torch.einsum("b c f h w, d c -> b d f h w", seen, self.directions).contiguous()

    def _look(self, video: Tensor) -> Tensor:
        moments = [0, *range(2, video.shape[2], patches.FRAMES)]
        return self.encoder.look(video[:, :, moments])


@functools.cache
def teacher(numbers: int) -> Teacher:
    """The shipped clip encoder, ready to teach."""
    pair = weights.load("words", text.Pair(len(TOKENISER.words)))
    with torch.no_grad():
        return Teacher(pair.clip, render.video(scene.draw_scenes(100, 0, scene.FULL)), numbers)
