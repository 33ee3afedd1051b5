"""From a sentence to a clip: text encoder, diffusion transformer, sampler and codec, joined.

Words become vectors; the transformer turns static into latents that fit them, step by step, each seen twice,
with the sentence and without ("classifier-free guidance"); the codec's decoder makes frames of the latents.
Any format the codec takes will do: stills, tall, wide and long clips. A joint model makes sound beside the
picture, or the one for the other.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minivid import codec, diffusion, dit, patches, text, weights
from minivid.world import captions

PATH = diffusion.RectifiedFlow()
# Of the noise levels: fewer numbers than in pixels say the same, so it takes less noise to hide it.
SHIFT = 2.0
# Noise that is added on the way mends what was drawn wrong (Karras et al. 2022, arXiv 2206.00364, section 4):
# DDPM's own sampler draws more as asked than Heun's does with as many looks; see the experiment `samplers`.
MOVE = diffusion.ancestral
STEPS = 32
GUIDANCE = 4.0
WIDTH, DEPTH = 128, 8  # of the transformer
WRITTEN = 21  # numbers in which a token says what is heard: loudness, each digit's note and hum
TAUGHT = 48  # numbers in which the shipped model's tokens say what they will show
# Sound is made a little behind the picture: where that is at t, sound is at shift(t, LEAD). What is seen then
# tells what is to be heard; see the notebook on audio and video.
LEAD = 6.0
# A clip's sound has static from another seed than its picture, and noise that a sampler adds from a third.
SOUND_SEED, ADDED_SEED = 2**20, 2**21


class TextToVideo(nn.Module):
    """A text encoder and a transformer that learn together to see latents through noise.

    words: in the vocabulary; channels, stride: of the codec's latents, in a clip of 32×32; patch: latents in
    a token; taught: in how many numbers a token says halfway what it will show, where a teacher wants to hear
    it; see `both`.
    """

    def __init__(
        self,
        words: int,
        channels: int = 8,
        stride: int = 4,
        patch: patches.Patch = (1, 2, 2),
        width: int = WIDTH,
        depth: int = DEPTH,
        taught: int = 0,
    ):
        super().__init__()
        self.patch, self.stride, self.channels = patch, stride, channels
        self.text = text.TextEncoder(words)
        numbers = channels * patch[0] * patch[1] * patch[2]
        self.dit = dit.DiT(numbers, width, depth, self.text.width)
        if taught:
            self.guess = _guesser(width, taught)

    def forward(self, x_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        """x_t: (b, c, f, h, w), tokens: (b, m) -> velocity (b, c, f, h, w).

        t: (b,), or one for each latent (b, f, h, w), of which a token takes the mean of its own.
        Raises ValueError where the sides are no multiples of the patch's.
        """
        y = self.dit(**self._cut(x_t, t, tokens))
        return patches.unpatchify(y, x_t.shape[2:], self.patch)

    def both(self, x_t: Tensor, t: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The velocity, and what each token guesses, halfway, that it will show: (b, n, taught)."""
        y, halfway = self.dit.both(**self._cut(x_t, t, tokens))
        return patches.unpatchify(y, x_t.shape[2:], self.patch), self.guess(halfway)

    def _cut(self, x_t: Tensor, t: Tensor, tokens: Tensor) -> dict[str, Tensor]:
        """What the transformer is given."""
        words, whole = self.text(tokens)
        return {
            "x_t": patches.patchify(x_t, self.patch),
            "places": self.places(x_t.shape[2:]).to(x_t.device),
            "t": _levels(t, lambda levels: patches.patchify(levels, self.patch)),
            "words": words,
            "whole": whole[:, None],
            "heard": text.heard(tokens)[:, None],
        }

    def places(self, grid: Sequence[int]) -> Tensor:
        """Where and when each token of latents (f, h, w) is: (n, 5)."""
        return patches.places(grid, self.patch, self.stride)


def _guesser(width: int, numbers: int) -> nn.Module:
    """What a token's guess is read off with: (..., width) -> (..., numbers)."""
    return nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, numbers))


class TextToClip(TextToVideo):
    """The same for picture and sound, which are denoised in one list and hear each other.

    sounds: channels of the sound codec's latents; beat: how many of these a token holds; the others as in
    `TextToVideo` and `dit.JointDiT`. Tokens guess, halfway, what is heard; see `both`.
    """

    def __init__(
        self,
        words: int,
        channels: int = 8,
        stride: int = 4,
        patch: patches.Patch = (1, 2, 2),
        sounds: int = 16,
        beat: int = 2,
        width: int = WIDTH,
        depth: int = DEPTH,
        apart: bool = True,
    ):
        super().__init__(words, channels, stride, patch, width, depth)
        self.sounds, self.beat = sounds, beat
        numbers = self.dit.stem.in_features
        self.dit = dit.JointDiT(numbers, sounds * beat, width, depth, self.text.width, apart)
        counts = patch[0] * patches.FRAMES * patches.SOUNDS, beat
        self.listen = nn.ModuleList(_guesser(width, n * WRITTEN) for n in counts)

    def forward(self, x_t: dit.Pair, t: dit.Pair, tokens: Tensor) -> dit.Pair:
        """x_t: of picture (b, c, f, h, w) and of sound (b, sounds, s) -> their velocities.

        t: of each, (b,), or one for each latent, (b, f, h, w) and (b, s), of which a token takes the mean.
        """
        return self._velocities(x_t, t, tokens)[0]

    def both(self, x_t: dit.Pair, t: dit.Pair, tokens: Tensor) -> tuple[dit.Pair, dit.Pair]:
        """The velocities, and what each token guesses, halfway, is heard in the moments that it lasts.

        Of picture (b, n, 16, WRITTEN), of sound (b, m, beat, WRITTEN): a moment is one latent of sound. The
        guess is held against numbers, not against a direction as in `TextToVideo`: the tokens' size is left
        out.
        """
        velocities, halfway = self._velocities(x_t, t, tokens)
        guesses = [ear(dit.normed(x)) for ear, x in zip(self.listen, halfway, strict=True)]
        return velocities, tuple(guess.unflatten(-1, (-1, WRITTEN)) for guess in guesses)

    def _velocities(self, x_t: dit.Pair, t: dit.Pair, tokens: Tensor) -> tuple[dit.Pair, dit.Pair]:
        """The velocities, and the tokens of both halfway."""
        picture, sound = x_t
        grid, n = picture.shape[2:], sound.shape[2]
        levels = (
            _levels(t[0], lambda levels: patches.patchify(levels, self.patch)),
            _levels(t[1], lambda levels: patches.patchify_sound(levels, self.beat)),
        )
        words, whole = self.text(tokens)
        cut = patches.patchify(picture, self.patch), patches.patchify_sound(sound, self.beat)
        at = self.places(grid).to(sound.device), self.moments(n).to(sound.device)
        heard = text.heard(tokens)[:, None]
        seen = self.seen(*map(len, at))
        (picture, sound), halfway = self.dit.both(
            cut, at, levels, words, whole[:, None], seen, heard
        )
        picture = patches.unpatchify(picture, grid, self.patch)
        return (picture, patches.unpatchify_sound(sound, self.beat)), halfway

    def seen(self, n: int, m: int) -> Tensor | None:
        """Who may look at whom, n tokens of picture and m of sound: (1, n + m, n + m); here everyone."""
        return None

    def moments(self, n: int) -> Tensor:
        """When each token of n latents of sound is: (n / beat, 5)."""
        return patches.sound_places(n, self.beat)


def _levels(t: Tensor, cut: Callable[[Tensor], Tensor]) -> Tensor:
    """Noise levels as the transformer takes them: (b,) -> (b, 1), one for each latent -> (b, n)."""
    return t[:, None] if t.ndim == 1 else cut(t[:, None]).mean(-1)


@dataclass(frozen=True)
class Format:
    """How long and how large a clip is: frames, 8 a second, and pixels."""

    frames: int = 17
    height: int = 32
    width: int = 32

    def __str__(self) -> str:
        return f"{self.frames} frame{'s' * (self.frames != 1)} of {self.width}×{self.height}"

    def sized(self, size: int) -> "Format":
        """The same, where what is 32 pixels here is `size`."""
        scale = size // USUAL.width
        return Format(self.frames, scale * self.height, scale * self.width)


USUAL = Format()
SIDE = 8  # latents along a usual clip


@dataclass(frozen=True)
class Generator:
    """A model that is ready to be asked. Formats are `usual` where none is given."""

    network: TextToVideo
    codec: codec.VideoCodec
    tokeniser: text.Tokeniser

    def walk(
        self,
        sentences: Sequence[str],
        seed: int = 0,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        shape: Format | None = None,
        move: diffusion.Move = MOVE,
    ) -> Iterator[diffusion.Step]:
        """Latents (b, c, f, h, w) on their way from static to what is asked for; see `draw`."""
        noise, times = self.noise(len(sentences), seed, shape), self.times(steps, shape)
        field, added = self.field(sentences, guidance, shape), _draws(len(noise), seed + ADDED_SEED)
        return diffusion.sample(field, noise, times, PATH, self._keeping(move, shape), added)

    def draw(
        self,
        sentences: Sequence[str],
        seed: int = 0,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        shape: Format | None = None,
        move: diffusion.Move = MOVE,
    ) -> Tensor:
        """Clips of what the sentences ask for: (b, 3, frames, height, width) in [-1, 1].

        The k-th clip's static is drawn on the CPU from `seed` + k, and noise that the move adds from another
        seed of its own, however many clips are drawn beside it.
        Raises ValueError for a word that is not known, with the nearest that are, and for a format that
        the codec or the transformer cannot divide.
        """
        *_, last = self.walk(sentences, seed, steps, guidance, shape, move)
        return self.decode(last.x_t, shape)

    @torch.no_grad()
    def decode(self, latents: Tensor, shape: Format | None = None) -> Tensor:
        """The clips that latents, the states of a walk, stand for, in [-1, 1]."""
        return self.codec.decode(latents).clamp(-1, 1)

    def noise(self, n: int, seed: int, shape: Format | None = None) -> Tensor:
        """Static for n clips, each from a seed of its own: (n, c, f, h, w)."""
        shape = shape or self.usual
        down, right = (self.codec.patch * size for size in self.network.patch[1:])
        fits = shape.frames % patches.FRAMES == 1 and not (
            shape.height % down or shape.width % right
        )
        if not fits or min(shape.frames, shape.height, shape.width) < 1:
            raise ValueError(
                f"{shape}: this model draws 1 + {patches.FRAMES}k frames (1, 5, 9, 13, 17, …) whose height "
                f"is a multiple of {down} and whose width is one of {right}, like {self.usual}."
            )
        grid = self._grid(shape)
        return torch.stack(
            [torch.randn(self.network.channels, *grid, generator=one) for one in _draws(n, seed)]
        ).to(self._where)

    def field(
        self, sentences: Sequence[str], guidance: float = GUIDANCE, shape: Format | None = None
    ) -> diffusion.Field:
        """The velocity field that leads to latents of what the sentences ask for."""
        asked, unasked = self._told(sentences)
        return diffusion.conditional(self.network, asked, unasked, guidance, PATH, "velocity")

    def times(self, steps: int, shape: Format | None = None) -> Tensor:
        """The noise levels of a walk, from 1 to 0: (steps + 1,)."""
        return diffusion.schedule(steps, SHIFT)

    def _keeping(self, move: diffusion.Move, shape: Format | None) -> diffusion.Move:
        """The move, but that what is known stays; here nothing is."""
        return move

    def _told(self, sentences: Sequence[str]) -> list[Tensor]:
        """What the network is told, by the sentences and by none: tokens (b, n)."""
        self.network.eval()
        both = sentences, [""] * len(sentences)
        return [text.trimmed(self.tokeniser(said).to(self._where)) for said in both]

    def _grid(self, shape: Format | None) -> tuple[int, int, int]:
        """Latent frames, rows and columns of a format."""
        shape = shape or self.usual
        down, right = shape.height // self.codec.patch, shape.width // self.codec.patch
        return 1 + shape.frames // patches.FRAMES, down, right

    @property
    def usual(self) -> Format:
        """What most clips are that it learned from."""
        return USUAL.sized(SIDE * self.codec.patch)

    @property
    def _where(self) -> torch.device:
        return next(self.network.parameters()).device


class Clip(NamedTuple):
    """Picture (b, 3, f, h, w) and sound (b, s), both in [-1, 1]."""

    video: Tensor
    audio: Tensor


def seen_and_heard(made: Tensor | Clip) -> tuple[Tensor, Tensor | None]:
    """The picture and the sound, if there is one, of what any generator has drawn."""
    return made if isinstance(made, Clip) else (made, None)


@dataclass(frozen=True)
class JointGenerator(Generator):
    """A model that makes picture and sound at once, or one of them for the other.

    ear: the autoencoder of sound; known: latents of a picture or of a sound that is given, which stay as they
    are; lead: how far ahead of its sound a picture is. Guidance exaggerates what is seen, not what is heard.
    The states of a walk are flat, (b, n), picture first; see `apart`. `draw` gives a `Clip`.
    """

    network: TextToClip
    ear: codec.AudioCodec
    known: tuple[Tensor | None, Tensor | None] = (None, None)
    lead: float = LEAD

    @torch.no_grad()
    def watching(self, video: Tensor) -> "JointGenerator":
        """The same model, making sound for clips (b, 3, f, h, w): ask for as many, of that format."""
        return replace(self, known=(self.codec.encode(video.to(self._where)), None))

    @torch.no_grad()
    def hearing(self, audio: Tensor) -> "JointGenerator":
        """The same model, making pictures for sounds (b, 1024 · frames): ask for as many, as long."""
        return replace(self, known=(None, self.ear.encode(audio.to(self._where))))

    @torch.no_grad()
    def decode(self, latents: Tensor, shape: Format | None = None) -> Clip:
        """The clips and sounds that flat states stand for."""
        picture, sound = self.apart(latents, shape)
        return Clip(super().decode(picture), self.ear.decode(sound).clamp(-1, 1))

    def noise(self, n: int, seed: int, shape: Format | None = None) -> Tensor:
        """Static for n clips and their sounds, (b, n); a picture's is that of `Generator.noise`.

        What is known takes its place. Raises ValueError where that is of another number or format.
        """
        shape = shape or self.usual
        long = patches.SOUNDS * shape.frames
        draws = [
            torch.randn(self.network.sounds, long, generator=one)
            for one in _draws(n, seed + SOUND_SEED)
        ]
        parts = [super().noise(n, seed, shape), torch.stack(draws).to(self._where)]
        for k, (known, what) in enumerate(zip(self.known, ("picture", "sound"), strict=True)):
            if known is not None and known.shape != parts[k].shape:
                raise ValueError(
                    f"a {what} is given whose latents are {tuple(known.shape)}; {n} clips of {shape} have "
                    f"{tuple(parts[k].shape)}."
                )
            parts[k] = parts[k] if known is None else known
        return _flat(parts)

    def apart(self, latents: Tensor, shape: Format | None = None) -> dit.Pair:
        """Flat states as latents of picture (b, c, f, h, w) and of sound (b, sounds, s)."""
        picture, sound = latents.split(self._counts(shape), 1)
        return picture.unflatten(1, (-1, *self._grid(shape))), sound.unflatten(
            1, (self.network.sounds, -1)
        )

    def field(
        self, sentences: Sequence[str], guidance: float = GUIDANCE, shape: Format | None = None
    ) -> diffusion.Field:
        """The velocity field over flat states, t: (b, n), one level for each number; 0 for what is known."""
        given = [known is not None for known in self.known]

        def velocity(x_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
            each = zip((t[:, 0], t[:, -1]), given, strict=True)
            levels = [level * (not known) for level, known in each]
            speeds = self.network(self.apart(x_t, shape), levels, tokens)
            return _flat([v * (not known) for v, known in zip(speeds, given, strict=True)])

        asked, unasked = self._told(sentences)
        scale = min(guidance, 1.0)
        if guidance > 1 and not given[0]:
            scale = self._each(*torch.tensor([[guidance], [scale]], device=self._where), shape)
        return diffusion.conditional(velocity, asked, unasked, scale, PATH, "velocity")

    def times(self, steps: int, shape: Format | None = None) -> Tensor:
        """The noise levels of a walk, those of sound behind the picture's: (steps + 1, n), one a number."""
        t = super().times(steps, shape)[:, None]
        return self._each(t, diffusion.shift(t, self.lead), shape)

    def _each(self, picture: Tensor, sound: Tensor, shape: Format | None) -> Tensor:
        """What is so of a picture and of its sound, (..., 1), for each number of a state: (..., n)."""
        each = zip((picture, sound), self._counts(shape), strict=True)
        return torch.cat([what.expand(*what.shape[:-1], n) for what, n in each], -1)

    def _counts(self, shape: Format | None) -> tuple[int, int]:
        """How many numbers of a state are the picture's, and how many the sound's."""
        shape = shape or self.usual
        pictures = self.network.channels * math.prod(self._grid(shape))
        return pictures, self.network.sounds * patches.SOUNDS * shape.frames

    def _keeping(self, move: diffusion.Move, shape: Format | None) -> diffusion.Move:
        def kept(field, path, x_t, *rest) -> tuple[Tensor, Tensor]:
            moved, clean = move(field, path, x_t, *rest)
            parts = zip(self.known, *(self.apart(x, shape) for x in (x_t, moved)), strict=True)
            return _flat([new if known is None else old for known, old, new in parts]), clean

        return kept


def _draws(n: int, seed: int) -> list[torch.Generator]:
    """What n clips draw their noise from, each from a seed of its own."""
    return [torch.Generator().manual_seed(seed + k) for k in range(n)]


def _flat(latents: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten(1) for part in latents], 1)


def called(model: str, size: int) -> str:
    """The name of a model of clips of that size."""
    return model if size == USUAL.width else f"{model}_{size}"


MODELS = {
    called(model, size): (model, size) for size in codec.SIZES for model in ("joint", "video")
}


def load(name: str = "joint") -> Generator:
    """The generator of that name, on the CPU: "joint", a `JointGenerator`, or "video", or those of 64×64.

    Raises ValueError for another name, and where its weights are missing.
    """
    if name not in MODELS:
        raise ValueError(f"no generator is called {name!r}. There are: {', '.join(MODELS)}.")
    model, size = MODELS[name]
    tokeniser, channels = text.Tokeniser(captions.WORDS), codec.SIZES[size][0]
    network = {"joint": TextToClip, "video": functools.partial(TextToVideo, taught=TAUGHT)}[model]
    known = weights.load(name, network(len(tokeniser.words), channels))
    if model == "joint":
        ear = weights.load("audio_codec", codec.AudioCodec())
        return JointGenerator(known, video_codec(size), tokeniser, ear)
    return Generator(known, video_codec(size), tokeniser)


def video_codec(size: int) -> codec.VideoCodec:
    """The shipped autoencoder of clips of that size."""
    return weights.load(called("video_codec", size), codec.VideoCodec(*codec.SIZES[size]))
