"""Where the course is read from, and where what is made on the way is kept.

In a working copy, data and runs are folders beside the package. In an installed package the data is inside
it, and runs go to the user's own cache, as they do where a working copy cannot be written.
"""

import os
import tempfile
from pathlib import Path

from minivid import files

PACKAGE = Path(__file__).parent
ROOT = PACKAGE.parent
IN_A_WORKING_COPY = (ROOT / "pyproject.toml").exists() and (ROOT / "data" / "weights").is_dir()


def data() -> Path:
    """The shipped weights, experiments and scorecard."""
    return (ROOT if IN_A_WORKING_COPY else PACKAGE) / "data"


def weights() -> Path:
    """Where weights live: $MINIVID_WEIGHTS, or what is shipped."""
    return Path(os.environ.get("MINIVID_WEIGHTS") or data() / "weights")


def runs() -> Path:
    """Where checkpoints and latents are kept: $MINIVID_RUNS, or the first of these that can be written.

    runs of a working copy, the user's cache, the folder of temporary files.
    """
    if chosen := os.environ.get("MINIVID_RUNS"):
        return Path(chosen)
    ways = [ROOT / "runs"] if IN_A_WORKING_COPY else []
    ways += [_cache() / "runs", Path(tempfile.gettempdir()) / "minivid" / "runs"]
    return next((way for way in ways if files.is_writable(way)), ways[-1])


def _cache() -> Path:
    """The user's own cache of this course."""
    import pooch  # here, so that where it is missing the doctor still runs

    return Path(pooch.os_cache("minivid"))
