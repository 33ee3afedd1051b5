"""From a sentence to a clip: text encoder, diffusion transformer, sampler and codec, joined.

Words become vectors; the transformer turns static into latents that fit them, a few steps at a time,
each step seen twice, with the sentence and without ("classifier-free guidance"); the codec's decoder
makes frames of the latents. Any format the codec takes will do: stills, tall, wide and long clips.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minivid import codec, diffusion, dit, patches, text, weights
from minivid.world import captions

PATH = diffusion.RectifiedFlow()
# Of the noise levels: fewer numbers than in pixels say the same, so it takes less noise to hide it.
SHIFT = 2.0
STEPS = 8
GUIDANCE = 3.0


class TextToVideo(nn.Module):
    """A text encoder and a transformer that learn together to see latents through noise.

    words: in the vocabulary; channels, stride: of the codec's latents; patch: latents in a token.
    """

    def __init__(
        self,
        words: int,
        channels: int = 8,
        stride: int = 4,
        patch: patches.Patch = (1, 2, 2),
        width: int = 160,
        depth: int = 8,
    ):
        super().__init__()
        self.patch, self.stride, self.channels = patch, stride, channels
        self.text = text.TextEncoder(words)
        numbers = channels * patch[0] * patch[1] * patch[2]
        self.dit = dit.DiT(numbers, width, depth, self.text.width)

    def forward(self, x_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        """x_t: (b, c, f, h, w), tokens: (b, m) -> velocity (b, c, f, h, w).

        t: (b,), or one for each latent (b, f, h, w), of which a token takes the mean of its own.
        Raises ValueError where the sides are no multiples of the patch's.
        """
        grid = x_t.shape[2:]
        if t.ndim == 1:
            t = t[:, None]
        else:
            t = patches.patchify(t[:, None], self.patch).mean(-1)
        words, whole = self.text(tokens)
        at, heard = self.places(grid).to(x_t.device), text.heard(tokens)[:, None]
        cut = patches.patchify(x_t, self.patch)
        y = self.dit(cut, at, t, words, whole[:, None], heard=heard)
        return patches.unpatchify(y, grid, self.patch)

    def places(self, grid: Sequence[int]) -> Tensor:
        """Where and when each token of latents (f, h, w) is: (n, 5)."""
        return patches.places(grid, self.patch, self.stride)


@dataclass(frozen=True)
class Format:
    """How long and how large a clip is: frames, 8 a second, and pixels."""

    frames: int = 17
    height: int = 32
    width: int = 32

    def __str__(self) -> str:
        return f"{self.frames} frames of {self.width}×{self.height}"


USUAL = Format()


@dataclass(frozen=True)
class Generator:
    """A model that is ready to be asked."""

    network: TextToVideo
    codec: codec.VideoCodec
    tokeniser: text.Tokeniser

    def walk(
        self,
        sentences: Sequence[str],
        seed: int = 0,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        shape: Format = USUAL,
    ) -> Iterator[diffusion.Step]:
        """Latents (b, c, f, h, w) on their way from static to what is asked for; see `draw`."""
        noise, times = self.noise(len(sentences), seed, shape), diffusion.schedule(steps, SHIFT)
        field = self.field(sentences, guidance)
        return diffusion.sample(field, noise, times, PATH, diffusion.heun)

    def draw(
        self,
        sentences: Sequence[str],
        seed: int = 0,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        shape: Format = USUAL,
    ) -> Tensor:
        """Clips of what the sentences ask for: (b, 3, frames, height, width) in [-1, 1].

        The k-th clip's static is drawn on the CPU from `seed` + k, however many clips are drawn beside it.
        Raises ValueError for a word that is not known, with the nearest that are, and for a format that
        the codec or the transformer cannot divide.
        """
        *_, last = self.walk(sentences, seed, steps, guidance, shape)
        return self.decode(last.x_t)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """The clips that latents stand for, in [-1, 1]."""
        return self.codec.decode(latents).clamp(-1, 1)

    def noise(self, n: int, seed: int, shape: Format = USUAL) -> Tensor:
        """Static for n clips, each from a seed of its own: (n, c, f, h, w)."""
        down, right = (self.network.stride * size for size in self.network.patch[1:])
        if shape.frames % patches.FRAMES != 1 or shape.height % down or shape.width % right:
            raise ValueError(
                f"{shape}: this model draws 1 + {patches.FRAMES}k frames (1, 5, 9, 17, …) whose height is a "
                f"multiple of {down} and whose width is one of {right}, like 17 frames of 32×32."
            )
        grid = (
            1 + shape.frames // patches.FRAMES,
            shape.height // self.network.stride,
            shape.width // self.network.stride,
        )
        draws = [
            torch.randn(
                self.network.channels, *grid, generator=torch.Generator().manual_seed(seed + k)
            )
            for k in range(n)
        ]
        return torch.stack(draws).to(self._where)

    def field(self, sentences: Sequence[str], guidance: float = GUIDANCE) -> diffusion.Field:
        """The velocity field that leads to latents of what the sentences ask for."""
        self.network.eval()
        asked, unasked = (
            text.trimmed(self.tokeniser(said).to(self._where))
            for said in (sentences, [""] * len(sentences))
        )
        return diffusion.conditional(self.network, asked, unasked, guidance, PATH, "velocity")

    @property
    def _where(self) -> torch.device:
        return next(self.network.parameters()).device


def load(name: str = "video") -> Generator:
    """The shipped generator of that name, on the CPU."""
    tokeniser = text.Tokeniser(captions.WORDS)
    network = weights.load(name, TextToVideo(len(tokeniser.words)))
    return Generator(network, weights.load("video_codec", codec.VideoCodec()), tokeniser)
