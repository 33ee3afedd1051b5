"""Trained weights and the card that says how they came to be.

`data/weights/NAME.safetensors` holds the averaged weights in half precision; `NAME.json` beside it the
recipe, steps, seconds, machine and metrics. Files are written only by `python -m minivid train NAME`.
"""

import hashlib
import json
import os
from pathlib import Path

import safetensors
import safetensors.torch
from torch import nn

from minivid import files

VERSION = "1"


def folder() -> Path:
    """Where weights live: data/weights beside the package, or $MINIVID_WEIGHTS."""
    default = Path(__file__).parents[1] / "data" / "weights"
    return Path(os.environ.get("MINIVID_WEIGHTS", default))


def save(name: str, network: nn.Module, card: dict) -> Path:
    """Write a network's weights (fp16) and its card. Raises OSError on a full disk; old files stay."""
    state = {
        key: value.detach().cpu().half() if value.is_floating_point() else value.detach().cpu()
        for key, value in network.state_dict().items()
    }
    content = safetensors.torch.save(state, {"minivid": VERSION, "model": name})
    path = folder() / f"{name}.safetensors"
    files.write(path, content)
    files.write(path.with_suffix(".json"), (json.dumps(card, indent=1) + "\n").encode())
    return path


def load(name: str, network: nn.Module) -> nn.Module:
    """Fill a network with the weights of that name, ready to use.

    Raises ValueError for weights that are missing, torn, of another model or of another version.
    """
    path = folder() / f"{name}.safetensors"
    again = (
        "Restore it with `git checkout -- data/weights`, "
        f"or make it with `python -m minivid train {name}`."
    )
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in folder().glob("*.safetensors"))) or "none"
        raise ValueError(
            f"there are no weights called {name!r} in {folder()} (found: {there}). {again}"
        )
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is torn or no weights file ({error}). {again}") from error
    if metadata.get("minivid") != VERSION:
        raise ValueError(
            f"{path} has version {metadata.get('minivid')}, this code reads {VERSION}. {again}"
        )
    if metadata.get("model") != name:
        raise ValueError(f"{path} holds the model {metadata.get('model')!r}, not {name!r}. {again}")
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    if expected != given:
        odd = sorted(
            key for key in expected.keys() | given.keys() if expected.get(key) != given.get(key)
        )
        raise ValueError(
            f"{path} does not fit this {type(network).__name__}: {len(odd)} tensors differ, first {odd[0]} "
            f"(file {given.get(odd[0])}, network {expected.get(odd[0])}). {again}"
        )
    network.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    )
    return network.eval()


def digest(network: nn.Module) -> str:
    """A fingerprint of a network's numbers: equal for equal weights, and only for those."""
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    return hashlib.sha256(safetensors.torch.save(state)).hexdigest()


def card(name: str) -> dict:
    """How the weights of that name were made. Raises ValueError where there is no card."""
    path = folder() / f"{name}.json"
    if not path.exists():
        raise ValueError(
            f"there is no card at {path}: weights travel with the card that says how they were made."
        )
    return json.loads(path.read_text())
