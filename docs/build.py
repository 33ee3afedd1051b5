"""The course as a site: executed notebooks and pages, by Sphinx and MyST-NB, without a network.

    python docs/build.py [FOLDER]        # build/site where none is given; open index.html in it

Nothing is run: the notebooks are shown as they were committed. A warning is an error.
"""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURES = ("static_to_digits.png", "race.png", "race_clips.png")


def gather(into: Path) -> None:
    """Lay out what Sphinx reads: pages, notebooks and solutions beside one another."""
    for path in (ROOT / "docs").glob("*.md"):
        shutil.copy(path, into)
    for name in ("conf.py", *PICTURES):
        shutil.copy(ROOT / "docs" / name, into)
    shutil.copytree(ROOT / "notebooks", into / "notebooks", ignore=shutil.ignore_patterns("*.py"))
    mathjax = Path(importlib.util.find_spec("jupyter_server_mathjax").origin).parent / "static"
    shutil.copytree(mathjax, into / "_static" / "mathjax")


def main() -> int:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"
    with tempfile.TemporaryDirectory() as folder:
        gather(Path(folder))
        options = ["--fail-on-warning", "--keep-going", "-q", "--builder", "html"]
        command = [sys.executable, "-m", "sphinx", *options, folder, str(target)]
        return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
