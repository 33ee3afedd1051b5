"""From a prompt to a clip: text, network, solver and codec, joined. Everything that samples calls it.

    pipeline = load("joint")
    clip = pipeline.generate(["a red 3 moves right"])
    clip = pipeline.generate(["a red 3 moves right"], condition=pipeline.video_to_audio(clip.video))

Any format the codec takes will do: stills, tall, wide and long clips. With an audio codec there is sound.
"""

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minivid import condition, diffusion, weights
from minivid.condition import Condition
from minivid.formats import AUDIO_LATENTS_PER_FRAME, DEFAULT_FORMAT, FRAMES_PER_LATENT, Format, require_values
from minivid.models import codec, text
from minivid.models.alignment import ALIGNMENT_DIM
from minivid.models.text_to_video import (
    TextToAudioVideo,
    TextToAudioVideoConfig,
    TextToVideo,
    TextToVideoConfig,
)
from minivid.prompts import TOKENIZER, require_known, tokenize

PATH = diffusion.RectifiedFlow()
SHIFT = 2.0  # of the noise levels: fewer numbers than pixels say the same, less noise hides it
# Noise that is added on the way corrects earlier errors (Karras et al. 2022, arXiv 2206.00364, section 4): at
# equal NFE more is as asked than by Heun's method; see the experiments `samplers`, `samplers_unguided`.
SOLVER = diffusion.ancestral
STEPS = 32
GUIDANCE = 4.0
# Audio is made well behind the video: where that is at t, audio is at time_shift(t, AUDIO_SHIFT), at 0.86 for
# 0.5. What is seen then tells what is to be heard; see the notebook on audio and video.
AUDIO_SHIFT = 6.0
# A clip's audio has noise from another seed than its video, and noise that a solver adds from a third.
AUDIO_SEED, SOLVER_SEED = 2**20, 2**21
MAX_SEED = 2**31 - 1

SIDE = 8  # latents along a usual clip


class Clip(NamedTuple):
    """Video (b, 3, f, h, w) and audio (b, n), both in [-1, 1]; audio is None where a model makes none."""

    video: Tensor
    audio: Tensor | None = None


@dataclass(frozen=True)
class Pipeline:
    """A model that is ready to generate, in `format` where no other is asked for.

    network: (x_t, t, conditioning) -> its prediction, as `predicts` says; of its attributes `config.channels`
    (and `config.audio_channels`) and `unit` are read, see `TextToVideo`; video_codec: None where it works on
    pixels; audio_codec: where it makes sound too; encode_text: prompts -> conditioning (b, ...). shift: of
    the noise levels, see `diffusion.time_shift`; audio_shift: how far audio is behind video; solver,
    num_steps, guidance: unless others are asked for. name: what errors call it.
    """

    network: nn.Module
    video_codec: codec.VideoCodec | None = None
    audio_codec: codec.AudioCodec | None = None
    encode_text: Callable[[Sequence[str]], Tensor] = tokenize
    predicts: diffusion.Predicts = "velocity"
    path: diffusion.Path = PATH
    shift: float = SHIFT
    audio_shift: float = AUDIO_SHIFT
    solver: diffusion.Solver = SOLVER
    num_steps: int = STEPS
    guidance: float = GUIDANCE
    name: str = "this model"

    def generate(
        self,
        prompts: Sequence[str],
        seed: int = 0,
        num_steps: int | None = None,
        guidance: float | None = None,
        shape: Format | None = None,
        solver: diffusion.Solver | None = None,
        condition: Condition | None = None,
        noise: diffusion.State | None = None,
    ) -> Clip:
        """Clips of what the prompts ask for; see `steps`."""
        trajectory = self.steps(prompts, seed, num_steps, guidance, shape, solver, condition, noise)
        return self.decode(diffusion.last_step(trajectory).x_t)

    def steps(
        self,
        prompts: Sequence[str],
        seed: int = 0,
        num_steps: int | None = None,
        guidance: float | None = None,
        shape: Format | None = None,
        solver: diffusion.Solver | None = None,
        condition: Condition | None = None,
        noise: diffusion.State | None = None,
    ) -> Iterator[diffusion.Step]:
        """The sampling trajectory: from noise to latents of what the prompts ask for.

        condition: what is given beside the prompts, for as many clips, in that format. noise: where it is
        not to be drawn: else the k-th clip's is drawn on the CPU from `seed` + k, and noise that the solver
        adds from a seed of its own, however many clips are made beside it.
        Raises ValueError for no prompts, a word that the model does not know, a seed outside [0, 2³¹), and
        noise, guidance, a format or a condition that do not fit.
        """
        seed = check_seed(seed)
        noise = self.noise(len(prompts), seed, shape) if noise is None else noise
        self._check_noise(noise, len(prompts), shape)
        return diffusion.sample(
            self.field(prompts, guidance, condition),
            noise,
            self.timesteps(num_steps),
            self.path,
            solver or self.solver,
            _rngs(len(prompts), seed + SOLVER_SEED),
            condition,
        )

    def field(
        self, prompts: Sequence[str], guidance: float | None = None, condition: Condition | None = None
    ) -> diffusion.Field:
        """The velocity field that leads to latents of what the prompts ask for.

        Guidance exaggerates what is seen, not what is heard: of audio it is 1 at most. condition: read for
        the guidance scale alone; it is `diffusion.sample` that applies it.
        """
        self.network.eval()
        scale = self.guidance if guidance is None else guidance
        if not math.isfinite(scale):
            raise ValueError(f"guidance {scale}: give a number, such as {self.guidance:g}.")
        if self.audio_codec is not None:
            heard = min(scale, 1.0)
            given = condition is not None and condition.video is not None
            scale = (heard if given and condition.video.mask.all() else scale, heard)
        texts = prompts, [""] * len(prompts)
        cond, uncond = (self.encode_text(each).to(self._device) for each in texts)
        if isinstance(encoder := getattr(self.network, "text", None), text.TextEncoder):
            require_known(cond, encoder, self.name)
        return diffusion.guided_field(self.network, cond, uncond, scale, self.path, self.predicts)

    def timesteps(self, num_steps: int | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """The noise levels of a sampling trajectory, from 1 to 0: (steps + 1,); of video and of audio."""
        t = diffusion.schedule(self.num_steps if num_steps is None else num_steps, self.shift)
        if self.audio_codec is None:
            return t
        return t, diffusion.time_shift(t, self.audio_shift)

    def noise(self, n: int, seed: int, shape: Format | None = None) -> diffusion.State:
        """Noise for n clips, each from a seed of its own: (n, c, f, h, w), and (n, c, m) of audio."""
        if n < 1:
            raise ValueError("no prompts: give at least one, such as 'a red 3 moves right'.")
        made = [
            _randn(size, n, seed + offset).to(self._device)
            for size, offset in zip(self._sizes(shape or self.format), (0, AUDIO_SEED), strict=False)
        ]
        return made[0] if self.audio_codec is None else tuple(made)

    def _check_noise(self, noise: diffusion.State, n: int, shape: Format | None) -> None:
        """Raise ValueError for noise that is not for n clips, of that format if one is asked for."""
        parts = [require_values(part, "noise") for part in (noise if isinstance(noise, tuple) else (noise,))]
        if shape is None and parts[0].ndim == 5:
            frames, rows, columns = parts[0].shape[2:]
            frames = frames if self.video_codec is None else 1 + FRAMES_PER_LATENT * (frames - 1)
            shape = Format(frames, rows * self._pixels, columns * self._pixels)
        sizes, shape = [tuple(part.shape) for part in parts], shape or self.format
        if sizes != (expected := [(n, *size) for size in self._sizes(shape)]):
            raise ValueError(
                f"noise of sizes {sizes} for {n} prompts and {shape}: give {expected}, see `Pipeline.noise`."
            )

    def _sizes(self, shape: Format) -> list[tuple[int, ...]]:
        """The sizes of one clip's noise in a format: (c, f, h, w), and (c, m) of audio."""
        sizes = [(self.network.config.channels, *self._grid(shape))]
        if self.audio_codec is not None:
            sizes.append((self.network.config.audio_channels, AUDIO_LATENTS_PER_FRAME * shape.frames))
        return sizes

    @torch.no_grad()
    def decode(self, latents: diffusion.State) -> Clip:
        """The clips that states of a sampling trajectory stand for, in [-1, 1]."""
        if self.audio_codec is not None:
            video, audio = latents
            return Clip(self._frames(video), self.audio_codec.decode(audio).clamp(-1, 1))
        return Clip(self._frames(latents))

    def _frames(self, latents: Tensor) -> Tensor:
        video = latents if self.video_codec is None else self.video_codec.decode(latents)
        return video.clamp(-1, 1)

    @torch.no_grad()
    def video_to_audio(self, video: Tensor) -> Condition:
        """The condition under which sound is made for clips (b, 3, f, h, w); a silent model has none."""
        self._require_audio()
        return condition.all_video(self.video_codec.encode(require_values(video, "a clip").to(self._device)))

    @torch.no_grad()
    def audio_to_video(self, audio: Tensor) -> Condition:
        """The condition under which pictures are made for sounds (b, 1024 · frames), likewise."""
        self._require_audio()
        return condition.all_audio(self.audio_codec.encode(require_values(audio, "a sound").to(self._device)))

    def _require_audio(self) -> None:
        if self.audio_codec is None:
            raise ValueError('this model makes no sound; one that does is load("joint").')

    @property
    def format(self) -> Format:
        """That of most clips it learned from."""
        return DEFAULT_FORMAT.scaled(SIDE * self._pixels if self.video_codec else 32)

    @property
    def _pixels(self) -> int:  # along each side of a latent
        return 1 if self.video_codec is None else self.video_codec.patch

    def _grid(self, shape: Format) -> tuple[int, int, int]:
        """Latent frames, rows and columns of a format. Raises ValueError where it does not divide."""
        rows, columns = (self._pixels * unit for unit in self.network.unit)
        fits = shape.frames % FRAMES_PER_LATENT == 1 and not (shape.height % rows or shape.width % columns)
        if not fits or min(shape.frames, shape.height, shape.width) < 1:
            raise ValueError(
                f"{shape}: this model makes 1 + {FRAMES_PER_LATENT}k frames (1, 5, 9, 13, 17, …) whose "
                f"height is a multiple of {rows} and whose width is one of {columns}, like {self.format}."
            )
        frames = shape.frames
        if self.video_codec is not None:
            frames = 1 + frames // FRAMES_PER_LATENT
        return frames, shape.height // self._pixels, shape.width // self._pixels

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device


def check_seed(seed: int, most: int = MAX_SEED) -> int:
    """The seed. Raises ValueError outside [0, 2³¹): PyTorch would take another, which gives the same clip."""
    seed = operator.index(seed)
    if not 0 <= seed <= most:
        raise ValueError(f"seed {seed}: allowed are 0 to {most}.")
    return seed


def _rngs(n: int, seed: int) -> list[torch.Generator]:  # each clip has a seed of its own
    return [torch.Generator().manual_seed(seed + k) for k in range(n)]


def _randn(size: tuple[int, ...], n: int, seed: int) -> Tensor:
    return torch.stack([torch.randn(size, generator=rng) for rng in _rngs(n, seed)])


def sized_name(model: str, size: int) -> str:
    """The name of a model of clips of that size."""
    return model if size == DEFAULT_FORMAT.width else f"{model}_{size}"


MODELS = {sized_name(name, n): (name, n) for n in codec.VIDEO_CODECS for name in ("joint", "video")}


def video_config(size: int = DEFAULT_FORMAT.width) -> TextToVideoConfig:
    """How the model `video`, of clips of that size, is built."""
    channels = codec.VIDEO_CODECS[size].channels
    return TextToVideoConfig(len(TOKENIZER.words), channels, alignment_dim=ALIGNMENT_DIM)


def joint_config(size: int = DEFAULT_FORMAT.width) -> TextToAudioVideoConfig:
    """How the model `joint`, of clips of that size, is built."""
    return TextToAudioVideoConfig(len(TOKENIZER.words), codec.VIDEO_CODECS[size].channels)


def load(name: str = "joint") -> Pipeline:
    """The shipped model of that name, on the CPU: "joint", picture and sound, "video", or those of 64×64.

    Raises ValueError for another name, and where its weights are missing.
    """
    if name not in MODELS:
        raise ValueError(f"no model to generate with is called {name!r}. There are: {', '.join(MODELS)}.")
    model, size = MODELS[name]
    if model == "joint":
        network = weights.load(name, TextToAudioVideo(joint_config(size)))
        return Pipeline(network, load_video_codec(size), load_audio_codec(), name=name)
    network = weights.load(name, TextToVideo(video_config(size)))
    return Pipeline(network, load_video_codec(size), name=name)


def load_video_codec(size: int = DEFAULT_FORMAT.width) -> codec.VideoCodec:
    """The shipped autoencoder of clips of that size."""
    network = codec.VideoCodec(codec.VIDEO_CODECS[size])
    return weights.load(sized_name("video_codec", size), network).requires_grad_(False)


def load_audio_codec() -> codec.AudioCodec:
    """The shipped autoencoder of sound."""
    return weights.load("audio_codec", codec.AudioCodec()).requires_grad_(False)
