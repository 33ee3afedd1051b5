"""A file is whole or it is not there: write beside the target, then move.

A killed run or a full disk leaves the old file as it was.
"""

import contextlib
import errno
import json
import os
import tempfile
import threading
from pathlib import Path

PART = ".part"  # ends the name of a file that is being written


def write(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new, never a part.

    Raises OSError where it cannot be written, saying what was kept and what to do.
    """
    path = Path(path)
    path = path.resolve() if path.is_symlink() else path
    beside = path.with_name(f".{path.name[:100]}.{os.getpid()}-{threading.get_ident()}{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode if path.exists() else None
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            beside.chmod(mode)
        os.replace(beside, path)
    except OSError as error:
        before = "the file from before is unchanged" if path.exists() else "no partial file is left"
        full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", None))
        advice = "Free some space, or choose another folder" if full else "Choose another folder"
        raise OSError(
            error.errno,
            f"could not write {path}, {len(content):,} bytes ({error.strerror}); {before}. {advice}, then "
            "run the same again",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def write_json(path: Path, content: object) -> None:
    """Write what JSON can hold to a text file: all of it or none."""
    write(path, (json.dumps(content, indent=1) + "\n").encode())


def read_json(path: Path) -> dict:
    """What a JSON file holds. Raises ValueError, which names the file, where it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"it holds a {type(found).__name__}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}). Delete it, or restore it.") from error
    return found


def is_writable(folder: Path) -> bool:
    """Whether files can be written there, or the folder be made; it leaves nothing behind."""
    try:
        folder = folder.absolute()
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def require_file(path: Path) -> None:
    """Raise OSError before long work whose result could not be kept in that file."""
    if path.is_dir() or not is_writable(path.parent):
        raise OSError(
            errno.EACCES,
            f"{path} cannot be written: name a file in a folder that can be, or that can be made",
        )


def require_writable(folder: Path, variable: str) -> None:
    """Raise OSError before long work whose result could not be kept; variable: names another folder."""
    if not is_writable(folder):
        raise OSError(
            errno.EACCES,
            f"{folder} cannot be written, and what is made could not be kept there. Make it writable, or "
            f"name another folder by the environment variable {variable}",
        )


def sweep(path: Path) -> None:
    """Delete what was left beside a file by processes that were killed while they wrote it."""
    for part in path.parent.glob(f".{path.name[:100]}.*{PART}"):
        part.unlink(missing_ok=True)
