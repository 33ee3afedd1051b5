"""Representation alignment: halfway through its blocks, each token also predicts what a teacher would see.

"Representation alignment for generation" (REPA, Yu et al. 2024, arXiv 2410.06940): hidden states of a
diffusion transformer are held against the features that a trained encoder has of the clean clip. Two targets
are used here. The clip encoder that learned captions gives features of what is where in a picture; an event
roll (a piano roll of strokes and hums) says what is heard while a token lasts.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from minivid.formats import AUDIO_LATENTS_PER_FRAME, FRAMES_PER_LATENT
from minivid.models.text import ClipEncoder

ALIGNMENT_DIM = 48  # numbers in which the shipped model's tokens predict what they will show
DIGITS = 10
# Numbers in which they predict what is heard: loudness, each digit's note and hum.
EVENT_DIM = 1 + 2 * DIGITS


def alignment_head(width: int, numbers: int) -> nn.Module:
    """What reads a prediction off hidden states: (..., width) -> (..., numbers)."""
    return nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, numbers))


def alignment_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """One less the cosine of the angle between them, in the mean: (b, n, d), (b, d, f, h, w) -> a scalar."""
    target = rearrange(target, "b d f h w -> b (f h w) d")
    return (1 - cosine_similarity(prediction.float(), target, dim=-1)).mean()


def event_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error; loudness, notes and hums count the same: (b, n, k, EVENT_DIM) each -> a scalar."""
    parts = (prediction - target).square().split([1, DIGITS, DIGITS], -1)
    return sum(part.mean() for part in parts) / len(parts)


def events_per_token(roll: Tensor, n: int, each: int) -> Tensor:
    """What n tokens should predict, `each` latents of audio a token: (b, s, k) -> (b, n, each, k).

    A token of audio predicts the latents that it holds. All tokens of video of one latent frame predict the
    same; the first lasts one frame, not four, so each of its latents of audio is there four times.
    """
    if n * each == roll.shape[1]:
        return roll.unflatten(1, (n, each))
    first, rest = roll.tensor_split([AUDIO_LATENTS_PER_FRAME], 1)
    frames = torch.cat([first.repeat_interleave(FRAMES_PER_LATENT, 1), rest], 1)
    frames = frames.unflatten(1, (-1, each))
    return frames.repeat_interleave(n // frames.shape[1], 1)


class AlignmentTarget(nn.Module):
    """A clip encoder's first layers, in the directions in which their features of clips differ most.

    These layers see each frame by itself; to match captions they had to find digits, colours and edges.
    clips: (b, 3, f, h, w), of whose features the principal directions are taken; dim: how many of them.
    """

    def __init__(self, encoder: ClipEncoder, clips: Tensor, dim: int):
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        features = rearrange(self._features(clips), "b c f h w -> (b f h w) c")
        self.register_buffer("mean", features.mean(0))
        directions = torch.linalg.svd(features - self.mean, full_matrices=False).Vh
        self.register_buffer("directions", directions[:dim])

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """(b, 3, 1 + 4k, h, w) -> (b, dim, 1 + k, h / 8, w / 8): of four frames, the second is seen."""
        features = self._features(video) - self.mean.view(-1, 1, 1, 1)
        return torch.einsum("b c f h w, d c -> b d f h w", features, self.directions).contiguous()

    def _features(self, video: Tensor) -> Tensor:
        frames = [0, *range(2, video.shape[2], FRAMES_PER_LATENT)]
        return self.encoder.frame_features(video[:, :, frames])
