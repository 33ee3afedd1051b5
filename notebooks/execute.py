"""Run notebooks top to bottom, each in a fresh kernel, and store what they print.

    python notebooks/execute.py                                  # all of them, solutions too
    python notebooks/execute.py notebooks/01_toy_world.ipynb     # only these

What changes from run to run without meaning anything (timings, widget state, the kernel's exact
version) is left out, so that a diff shows only what a reader would see. A notebook that fails is
not written, and nothing after it is run.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from tqdm.auto import tqdm

HERE = Path(__file__).resolve().parent
CELL_SECONDS = 600  # as `make test` allows
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
LANGUAGE = {"name": "python", "file_extension": ".py"}  # without a version; nbconvert reads it
PROGRESS = re.compile(r"\d+%\|")
WIDGET = "application/vnd.jupyter.widget-view+json"  # points at a model that ends with the kernel


class NotebookError(Exception):
    """A cell raised, ran too long, or killed its kernel; the message names notebook and cell."""


def execute(path: Path) -> None:
    """Execute the notebook at `path` in its own directory and replace it with the result."""
    notebook = nbformat.read(path, as_version=4)
    strip(notebook)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=CRITICAL"],  # the kernel's own log would tear the bar
        record_timing=False,
        # Widget state is tracked, as `interact` needs it, and never stored: only execute() would.
        coalesce_streams=True,
    )
    with client.setup_kernel():
        for index, cell in enumerate(tqdm(notebook.cells, desc=path.name, unit="cell")):
            try:
                client.execute_cell(cell, index)
            except (CellControlSignal, DeadKernelError) as error:
                raise NotebookError(f"{path}, cell {index}:\n{error}") from error
    strip(notebook, outputs=False)
    partial = path.with_name(path.name + ".partial")
    nbformat.write(notebook, partial)
    partial.replace(path)


def strip(notebook: nbformat.NotebookNode, outputs: bool = True) -> None:
    """Remove what one machine or one run left behind; with `outputs`, what cells printed too."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = dict(LANGUAGE)
    notebook.metadata["kernelspec"] = dict(KERNEL)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if outputs and cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_progress_bar(output)]
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)  # its text stays


def is_progress_bar(output: nbformat.NotebookNode) -> bool:
    """A stored bar would stand at 0 % forever."""
    data = output.get("data", {})
    return WIDGET in data and PROGRESS.search(data.get("text/plain", "")) is not None


def course() -> list[Path]:
    """Every notebook of the course in reading order, solutions last."""
    found = HERE.rglob("*.ipynb")
    return sorted(path for path in found if ".ipynb_checkpoints" not in path.parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run notebooks and store their outputs.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of them")
    paths = [path.resolve() for path in parser.parse_args().notebooks] or course()
    for path in paths:
        try:
            execute(path)
        except NotebookError as failed:
            sys.exit(f"\n{failed}\nStopped here; this notebook is left as it was.")


if __name__ == "__main__":
    main()
