"""Latents that are made once and kept, so that a diffusion model trains without its codec.

A file holds the latents of certain scenes by a certain codec, and says so in its name: with another codec,
or other scenes, it is not found, and is made anew.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from minivid import files, folders, pipeline, weights
from minivid.formats import DEFAULT_FORMAT
from minivid.models import codec, text
from minivid.models.alignment import ALIGNMENT_DIM, AlignmentTarget
from minivid.pipeline import TOKENIZER
from minivid.world import random_scenes, render, scene

Render = Callable[[list[scene.Scene]], Tensor]  # scenes -> clips (b, 3, f, h, w), or sounds (b, n)


class Encoder(Protocol):
    """What makes latents of clips: a codec, or a target of alignment."""

    def encode(self, clips: Tensor) -> Tensor: ...


def latents(
    name: str,
    network: nn.Module,
    scenes: list[scene.Scene],
    render: Render,
    folder: Path | None = None,
    batch_size: int = 50,
) -> Tensor:
    """The latents of what `render` makes of the scenes: (n, channels, …), half precision.

    name: what the file is called, with a fingerprint of the codec's weights and of the scenes behind it;
    one of another codec or of other scenes is deleted. Shows progress where it has to encode. A torn file
    is made again. folder: `folders.runs`/latents where none is given. Raises OSError where it cannot be
    written, before anything is encoded.
    """
    source = weights.digest(network) + repr(scenes)
    shown = render(scenes[:1]).numpy().tobytes()  # differs where the simulator was changed
    mark = hashlib.sha256(source.encode() + shown).hexdigest()[:16]
    folder = folder or folders.runs() / "latents"
    path = folder / f"{name}-{mark}.safetensors"
    if path.exists():
        try:
            return safetensors.torch.load_file(path)["latents"]
        except (safetensors.SafetensorError, KeyError):
            path.unlink(missing_ok=True)  # another process may have been first
    files.require_writable(folder, "MINIVID_RUNS")
    encoded = encode(name, network, scenes, render, batch_size).half()
    files.write(path, safetensors.torch.save({"latents": encoded}))
    for other in folder.glob(f"{name}-{'?' * len(mark)}.safetensors"):
        if other != path:
            other.unlink(missing_ok=True)
    return encoded


@torch.no_grad()
def encode(
    name: str, network: Encoder, scenes: list[scene.Scene], render: Render, batch_size: int = 50
) -> Tensor:
    """As `latents`, but made now and not kept, in full precision: (n, channels, …) on the CPU."""
    parts = [scenes[k : k + batch_size] for k in range(0, len(scenes), batch_size)]
    where = next(network.parameters()).device
    bar = tqdm(parts, f"latents of {name}, once", unit=f"{batch_size} clips", leave=False)
    return torch.cat([network.encode(render(part).to(where)).cpu() for part in bar])


# The shipped encoders, each loaded once ------------------------------------------------------------


def video_codec(size: int = DEFAULT_FORMAT.width) -> codec.VideoCodec:
    """The autoencoder of clips of that size."""
    return _video_codec(size)


_video_codec = functools.cache(pipeline.load_video_codec)
audio_codec = functools.cache(pipeline.load_audio_codec)


@torch.no_grad()
def copies(video: Tensor) -> Tensor:
    """The shipped codec's copies of square clips."""
    network = video_codec(video.shape[-1])
    return torch.cat([network.decode(network.encode(part)).clamp(-1, 1) for part in video.split(50)])


@functools.cache
def alignment_target(dim: int = ALIGNMENT_DIM) -> AlignmentTarget:
    """The clip encoder of `words`, as a target of representation alignment."""
    pair = weights.load("words", text.ContrastiveEncoders(len(TOKENIZER.words)))
    scenes = random_scenes.draw_scenes(100, 0, random_scenes.FULL)
    with torch.no_grad():
        return AlignmentTarget(pair.clip, render.video(scenes), dim)
