"""Trained weights and the card that says how they came to be.

`data/weights/NAME.safetensors` holds the averaged weights in half precision, or most models' matrices and
kernels as whole numbers in [-127, 127] with a scale for each row (absmax, as in LLM.int8(), Dettmers et al.
2022, arXiv 2208.07339); `NAME.json` beside it the recipe, steps, seconds, machine and metrics. Files are
written by `python -m minivid train NAME`, scores on cards by `score`, too.
"""

import hashlib
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from minivid import files, folders
from minivid.folders import weights as folder

VERSION = "3"  # tensors are named as the networks of the second edition name them
SCALE = ":scale"  # after the name of what it belongs to
FINGERPRINT = "sha256"  # on a card: the weights' fingerprint


def save(name: str, network: nn.Module, card: dict, int8: bool = False) -> Path:
    """Write a network's weights, rounded, and its card, which gets their fingerprint.

    int8: matrices and kernels as whole numbers, in half the space; a codec loses 0.7 dB by that.
    Raises OSError on a full disk. A file that could not be written stays as it was; where that is the card,
    `load` says so.
    """
    content = safetensors.torch.save(
        _quantized(network.state_dict(), int8), {"minivid": VERSION, "model": name}
    )
    path = folder() / f"{name}.safetensors"
    files.write(path, content)
    write_card(name, {**card, FINGERPRINT: hashlib.sha256(content).hexdigest()})
    return path


def write_card(name: str, card: dict) -> None:
    """Write the card of the weights of that name. Raises OSError on a full disk; the old one stays."""
    files.write_json(folder() / f"{name}.json", card)


def matches_card(name: str, card: dict) -> bool:
    """Whether the weights of that name are those that a card describes."""
    path = folder() / f"{name}.safetensors"
    if FINGERPRINT not in card or not path.exists():
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == card[FINGERPRINT]


def load(name: str, network: nn.Module) -> nn.Module:
    """Fill a network with the weights of that name, ready to use; it keeps their vocabulary, if shorter.

    Raises ValueError for weights that are missing, torn, changed since their card was written, of another
    model or of another version, and where PyTorch's default is not float32.
    """
    path = folder() / f"{name}.safetensors"
    advice = how_to_restore(name)
    if torch.get_default_dtype() != torch.float32:
        raise ValueError(
            f"PyTorch's default is {torch.get_default_dtype()}, and the course's models compute in float32: "
            "call torch.set_default_dtype(torch.float32)."
        )
    if not path.exists():
        there = ", ".join(sorted(p.stem for p in folder().glob("*.safetensors"))) or "none"
        raise ValueError(f"there are no weights called {name!r} in {folder()} (found: {there}). {advice}")
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = _dequantized({key: file.get_tensor(key) for key in file.keys()})
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is torn or no weights file ({error}). {advice}") from error
    if metadata.get("minivid") != VERSION:
        raise ValueError(f"{path} has version {metadata.get('minivid')}, this code reads {VERSION}. {advice}")
    if metadata.get("model") != name:
        raise ValueError(f"{path} holds the model {metadata.get('model')!r}, not {name!r}. {advice}")
    shorten_vocabulary(network, state)
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    if expected != given:
        differ = sorted(key for key in expected.keys() | given.keys() if expected.get(key) != given.get(key))
        raise ValueError(
            f"{path} does not fit this {type(network).__name__}: {len(differ)} tensors differ, first "
            f"{differ[0]} (file {given.get(differ[0])}, network {expected.get(differ[0])}). {advice}"
        )
    own = card(name) if path.with_suffix(".json").exists() else {}
    if FINGERPRINT in own and not matches_card(name, own):
        raise ValueError(
            f"{path} is not the file that its card tells of: it was changed, or the card was not written. "
            f"{advice}"
        )
    network.load_state_dict(state)
    return network.eval()


def shorten_vocabulary(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Leave out the words that came after a model was trained: they stand last in the vocabulary."""
    for name, module in network.named_modules():
        rows = state.get(f"{name}.weight")
        if name.endswith("token_embedding") and rows is not None and len(rows) < len(module.weight):
            module.weight = nn.Parameter(module.weight[: len(rows)].detach().clone())
            module.num_embeddings = len(rows)


def how_to_restore(name: str) -> str:
    """What to do where weights are missing or damaged."""
    restore = "download the course again"
    if (folders.ROOT / ".git").exists():
        restore = "restore it with `git checkout -- data/weights`"
    return f"Make it with `python -m minivid train {name}`; if it came with the course, {restore}."


def _quantized(state: dict[str, Tensor], int8: bool) -> dict[str, Tensor]:
    """Weights as they are stored."""
    stored = {}
    for key, value in state.items():
        value = value.detach().cpu()
        if int8 and value.is_floating_point() and value.ndim > 1:
            scale = value.float().flatten(1).abs().amax(1).clamp(min=1e-12) / 127
            stored[key + SCALE] = scale
            stored[key] = (value.float() / _per_row(scale, value)).round().to(torch.int8)
        else:
            stored[key] = value.half() if value.is_floating_point() else value
    return stored


def _dequantized(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as a network takes them, from what was stored."""
    state = {}
    for key, value in stored.items():
        if key + SCALE in stored:
            state[key] = value.float() * _per_row(stored[key + SCALE], value)
        elif not key.endswith(SCALE):
            state[key] = value.float() if value.is_floating_point() else value
    return state


def _per_row(scale: Tensor, value: Tensor) -> Tensor:
    """One number a row, so that it broadcasts: (n,) -> (n, 1, …)."""
    return scale.view(-1, *[1] * (value.ndim - 1))


def digest(network: nn.Module) -> str:
    """A fingerprint of a network's numbers: equal for equal weights, and only for those."""
    state = {key: value.detach().cpu().contiguous().clone() for key, value in network.state_dict().items()}
    return hashlib.sha256(safetensors.torch.save(state)).hexdigest()


def card(name: str) -> dict:
    """How the weights of that name were made. Raises ValueError where there is no card."""
    path = folder() / f"{name}.json"
    if not path.exists():
        raise ValueError(
            f"there is no card at {path}: weights travel with the card that says how they were made."
        )
    return files.read_json(path)
