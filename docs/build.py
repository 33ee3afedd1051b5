"""The course as a site: executed notebooks and pages, by Sphinx and MyST-NB, without a network.

    python docs/build.py [FOLDER]        # build/site where none is given; open index.html in it

Nothing is run: the notebooks are shown as they were committed. A warning is an error.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHOWN = {".png", ".gif", ".mp4", ".webm"}  # what pages show
# In the repository pages stand in docs/, on the site beside notebooks/: there links are one folder shorter.
TO_NOTEBOOKS, TO_PAGES = re.compile(r"\]\(\.\./notebooks/"), re.compile(r"\]\(((?:\.\./)+)docs/")


def gather(into: Path) -> None:
    """Lay out what Sphinx reads: pages, notebooks and solutions beside one another."""
    for path in (ROOT / "docs").iterdir():
        if path.suffix in SHOWN or path.name == "conf.py":
            shutil.copy(path, into)
    shutil.copytree(ROOT / "notebooks", into / "notebooks", ignore=shutil.ignore_patterns("*.py"))
    for page in (ROOT / "docs").glob("*.md"):
        text = TO_NOTEBOOKS.sub("](notebooks/", page.read_text(encoding="utf-8"))
        (into / page.name).write_text(text, encoding="utf-8")
    for notebook in (into / "notebooks").rglob("*.ipynb"):
        text = TO_PAGES.sub(r"](\1", notebook.read_text(encoding="utf-8"))
        notebook.write_text(text, encoding="utf-8")
    mathjax = Path(importlib.util.find_spec("jupyter_server_mathjax").origin).parent / "static"
    shutil.copytree(mathjax, into / "_static" / "mathjax")
    shutil.copy(ROOT / "docs" / "site.css", into / "_static")


def main() -> int:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "site"
    with tempfile.TemporaryDirectory() as folder:
        gather(Path(folder))
        options = ["--fail-on-warning", "--keep-going", "-q", "--builder", "html"]
        command = [sys.executable, "-m", "sphinx", *options, folder, str(target)]
        return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
