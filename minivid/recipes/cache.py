"""Latents that are made once and kept, so that a diffusion model trains without its codec.

A file holds the latents of certain scenes by a certain codec, and says so in its name: with another codec,
or other scenes, it is not found, and is made anew.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from tqdm.auto import tqdm

from minivid import codec, files, weights
from minivid.world import scene

FOLDER = Path(__file__).parents[2] / "runs" / "latents"


def latents(
    name: str,
    network: codec.Codec,
    scenes: list[scene.Scene],
    make: Callable[[list[scene.Scene]], Tensor],
    folder: Path | None = None,
    at_once: int = 50,
) -> Tensor:
    """The latents of what `make` renders of the scenes: (n, channels, …), half precision.

    name: what the file is called, with a fingerprint of the codec's weights and of the scenes behind it;
    one of another codec or of other scenes is deleted. Shows progress where it has to encode. A torn file
    is made again. folder: runs/latents where none is given. Raises OSError where it cannot be written.
    """
    made_of = weights.digest(network) + repr(scenes)
    mark = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    folder = folder or FOLDER
    path = folder / f"{name}-{mark}.safetensors"
    if path.exists():
        try:
            return safetensors.torch.load_file(path)["latents"]
        except safetensors.SafetensorError:
            path.unlink(missing_ok=True)  # another process may have been first
    made = encode(name, network, scenes, make, at_once).half()
    files.write(path, safetensors.torch.save({"latents": made}))
    for other in folder.glob(f"{name}-{'?' * len(mark)}.safetensors"):
        if other != path:
            other.unlink(missing_ok=True)
    return made


@torch.no_grad()
def encode(
    name: str,
    network: codec.Codec,
    scenes: list[scene.Scene],
    make: Callable[[list[scene.Scene]], Tensor],
    at_once: int = 50,
) -> Tensor:
    """As `latents`, but made now and not kept, in full precision: (n, channels, …) on the CPU."""
    parts = [scenes[k : k + at_once] for k in range(0, len(scenes), at_once)]
    where = next(network.parameters()).device
    bar = tqdm(parts, f"latents of {name}, once", unit=f"{at_once} clips", leave=False)
    return torch.cat([network.encode(make(part).to(where)).cpu() for part in bar])
