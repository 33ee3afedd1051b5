"""The state of a training on disk: written atomically, checksummed, locked to one run."""

import contextlib
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import filelock
import torch

from minivid import files

VERSION = "2"
DIGEST = 32  # bytes of fingerprint at the end


def write(path: Path, state: dict) -> None:
    """Write a state, and behind it what tells whether it was damaged. Raises OSError as `files.write`."""
    buffer = io.BytesIO()
    torch.save({"minivid": VERSION, **state}, buffer)
    content = buffer.getvalue()
    files.write(path, content + hashlib.sha256(content).digest())


def read(path: Path) -> dict:
    """What was written there, on the CPU. Raises ValueError for what is damaged, or of another version."""
    stored = path.read_bytes()
    content, digest = stored[:-DIGEST], stored[-DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError(
            f"{path} is torn, of an earlier edition, or no checkpoint of ours. {start_anew(path)}"
        )
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        ours = f"PyTorch {torch.__version__} ({type(error).__name__})"
        raise ValueError(f"{path} cannot be read by {ours}. {start_anew(path)}") from error
    if state["minivid"] != VERSION:
        raise ValueError(
            f"{path} has version {state['minivid']}, this code reads {VERSION}. {start_anew(path)}"
        )
    return state


def start_anew(path: Path) -> str:
    """What to do where a checkpoint is of no use."""
    return f"Delete {path} to begin anew."


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Keep other trainings away from a checkpoint, and take away what a killed one left half written.

    Asks before the first step whether the folder can be written. The lock ends with its process, however
    that ends.
    """
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise ValueError(
            f"another training is writing {path}. Wait until it has ended (in a notebook: close() its "
            "generator), or name another folder for this one (--runs)."
        ) from None
    except OSError as error:
        raise OSError(
            error.errno,
            f"checkpoints cannot be written to {path.parent}, or files not be locked there "
            f"({error.strerror}). Make it writable, or name another folder (--runs)",
        ) from error
    try:
        files.sweep(path)
        yield
    finally:
        lock.release()
