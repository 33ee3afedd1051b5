"""The committed notebooks are as a reader needs them, and the check of their outputs bites."""

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

LANGUAGE = {"name": "python", "file_extension": ".py"}  # without it, nbconvert writes a script as .txt

ROOT = Path(__file__).parents[1]
COURSE = sorted(ROOT.glob("notebooks/*.ipynb"))
SOLUTIONS = sorted(ROOT.glob("notebooks/solutions/*.ipynb"))
MEGABYTES = 2
CHECKED_CELLS = 5
CHECKED = "nbval-check-output"
WIDGET = "application/vnd.jupyter.widget-view+json"

# A path that only exists where the notebook was run.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|tmp|Users|work|mnt|var)/[\w./-]+|[A-Z]:\\Users")
SECTION = re.compile(r"^## (\d+) ·", re.M)
EMBEDDED = re.compile(r"base64,[A-Za-z0-9+/=\s]+")  # a picture's bytes may spell anything


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def is_checked(cell: NotebookNode) -> bool:
    """Does nbval compare this cell's output with the stored one?"""
    tagged = CHECKED in cell.metadata.get("tags", [])
    return cell.cell_type == "code" and (tagged or "NBVAL_CHECK_OUTPUT" in cell.source)


def problems(notebook: NotebookNode, exercise: bool = True) -> Iterator[str]:
    """What a reader would stumble over. Solutions check themselves: `exercise=False`."""
    code = code_cells(notebook)
    outputs = [output for cell in code for output in cell.outputs]
    checked = [cell for cell in code if is_checked(cell)]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "execution counts are not 1, 2, 3, ...: it was not run top to bottom"
    if exercise and len(checked) < CHECKED_CELLS:
        yield f"{len(checked)} checked cells, {CHECKED_CELLS} wanted"
    if any(not cell.outputs for cell in checked):
        yield "a checked cell prints nothing, so nothing is compared"
    if any(output.output_type == "error" for output in outputs):
        yield "an error is stored"
    if any(output.get("name") == "stderr" for output in outputs):
        yield "something on stderr is stored: a warning, or a progress bar"
    if path := MACHINE_PATH.search(EMBEDDED.sub("", "\n".join(texts(outputs)))):
        yield f"a path of one machine is stored: {path.group()}"
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    sections = [int(number) for number in SECTION.findall(words)]
    if sections != list(range(1, len(sections) + 1)):
        yield f"sections are numbered {sections}: one was lost, or added"
    left = {"widgets"} & set(notebook.metadata)
    if notebook.metadata.get("language_info") != LANGUAGE:
        left |= {"language_info"}
    left |= {"execution"} & {key for cell in notebook.cells for key in cell.metadata}
    left |= {WIDGET} & {kind for output in outputs for kind in output.get("data", {})}
    if left:
        yield f"one run's {', '.join(sorted(left))} is stored: use notebooks/execute.py"
    size = len(nbformat.writes(notebook).encode())
    if size > MEGABYTES * 1_000_000:
        yield f"{size / 1e6:.1f} MB, {MEGABYTES} allowed"


def texts(outputs: list[NotebookNode]) -> Iterator[str]:
    """Everything in the outputs that is text: printed, returned, or raised."""
    for output in outputs:
        yield output.get("text", "")
        yield "\n".join(output.get("traceback", []))
        for kind, value in output.get("data", {}).items():
            if not kind.startswith(("image/png", "image/jpeg", "image/gif", "video/", "audio/")):
                yield value if isinstance(value, str) else json.dumps(value)


def run_nbval(notebook: NotebookNode, path: Path) -> subprocess.CompletedProcess[str]:
    """Write the notebook to `path` and run it as `make test` does, in its own folder."""
    nbformat.write(notebook, path)
    options = ["--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "--rootdir=."]
    command = [sys.executable, "-m", "pytest", *options, path.name]
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True, timeout=600)


def with_first_output_altered(notebook: NotebookNode) -> NotebookNode:
    """A copy whose first checked cell claims to have printed something else."""
    notebook = copy.deepcopy(notebook)
    cell = next(cell for cell in notebook.cells if is_checked(cell))
    for output in cell.outputs:
        if "text" in output:
            output.text = "altered\n" + output.text
        else:
            output.data["text/plain"] = "altered " + output.data["text/plain"]
    return notebook


def assert_nbval_bites(notebook: NotebookNode, folder: Path) -> None:
    """nbval passes the notebook as it is, and fails it, for the right reason, once altered."""
    untouched = run_nbval(notebook, folder / "untouched.ipynb")
    assert untouched.returncode == 0, untouched.stdout
    altered = run_nbval(with_first_output_altered(notebook), folder / "altered.ipynb")
    assert altered.returncode == 1, altered.stdout
    assert "Cell outputs differ" in altered.stdout
    assert "altered" in altered.stdout


def test_the_course_is_there():
    assert COURSE, "no notebooks: every test below would pass without looking at anything"


@pytest.mark.parametrize("path", COURSE + SOLUTIONS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_as_a_reader_needs_it(path):
    notebook = nbformat.read(path, as_version=4)
    assert list(problems(notebook, exercise=path in COURSE)) == []


def test_nbval_bites_on_a_tiny_notebook(tmp_path):
    notebook = new_notebook(cells=[new_code_cell("1 + 2", metadata={"tags": [CHECKED]})])
    NotebookClient(notebook, kernel_name="python3", record_timing=False).execute()
    assert_nbval_bites(notebook, tmp_path)


def test_nbval_bites_on_the_course(tmp_path):
    """The first notebook, as far as its first checked cell: the rest would only take longer."""
    notebook = nbformat.read(COURSE[0], as_version=4)
    first = next(i for i, cell in enumerate(notebook.cells) if is_checked(cell))
    notebook.cells = notebook.cells[: first + 1]
    assert_nbval_bites(notebook, tmp_path)


# The rules above, seen to bite.


def sound_notebook() -> NotebookNode:
    cells = [new_markdown_cell("A question.")]
    for count in range(1, CHECKED_CELLS + 1):
        printed = new_output("stream", name="stdout", text="2\n")
        cell = new_code_cell("print(2)", execution_count=count, outputs=[printed])
        cell.metadata.tags = [CHECKED]
        cells.append(cell)
    return new_notebook(cells=cells, metadata={"language_info": dict(LANGUAGE)})


def test_a_sound_notebook_has_no_problems():
    notebook = sound_notebook()
    picture = new_output("display_data", data={"image/png": "/tmp/looks/like/a/path"})
    video = new_output("display_data", data={"text/html": "<video src='data:;base64,ab/tmp/cd'>"})
    notebook.cells[1].outputs += [picture, video]
    assert list(problems(notebook)) == []


def never_run(notebook, cell):
    cell.execution_count = None


def run_twice(notebook, cell):
    cell.execution_count = 7


def unchecked(notebook, cell):
    cell.metadata.tags = []


def silent(notebook, cell):
    cell.outputs = []


def raised(notebook, cell):
    cell.outputs += [new_output("error", ename="ValueError", evalue="no", traceback=["no"])]


def warned(notebook, cell):
    cell.outputs += [new_output("stream", name="stderr", text="a warning")]


def printed_a_path(notebook, cell):
    cell.outputs[0].text = "saved to /home/somebody/clip.mp4"


def returned_a_path(notebook, cell):
    cell.outputs += [new_output("display_data", data={"text/html": "<a href='/tmp/clip.mp4'>"})]


def timed(notebook, cell):
    cell.metadata.execution = {"iopub.execute_input": "2026-01-01"}


def kept_widgets(notebook, cell):
    notebook.metadata.widgets = {}


def kept_a_dead_slider(notebook, cell):
    cell.outputs += [new_output("display_data", data={WIDGET: {"model_id": "a"}})]


def lost_a_section(notebook, cell):
    notebook.cells[0].source += "\n\n## 1 · Begin\n\n## 3 · End"


def grew(notebook, cell):
    cell.outputs += [new_output("display_data", data={"image/png": "A" * 2_000_000})]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (never_run, "execution counts"),
        (run_twice, "execution counts"),
        (unchecked, "4 checked cells"),
        (silent, "prints nothing"),
        (raised, "an error"),
        (warned, "stderr"),
        (printed_a_path, "/home/somebody/clip.mp4"),
        (returned_a_path, "/tmp/clip.mp4"),
        (timed, "one run's execution"),
        (kept_widgets, "one run's widgets"),
        (kept_a_dead_slider, "widget-view"),
        (lost_a_section, "numbered [1, 3]"),
        (grew, "2.0 MB"),
    ],
)
def test_a_spoilt_notebook_is_caught(spoil, problem):
    notebook = sound_notebook()
    spoil(notebook, notebook.cells[-1])
    [found] = problems(notebook)
    assert problem in found


def test_solutions_need_no_checked_cells():
    notebook = sound_notebook()
    for cell in code_cells(notebook):
        unchecked(notebook, cell)
    assert list(problems(notebook, exercise=False)) == []
