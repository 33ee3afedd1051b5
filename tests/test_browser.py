"""A reader's afternoon: open a notebook in JupyterLab, run all of it, move a slider, see it answer.

Everything runs on this machine: a JupyterLab of its own on a free loopback port, with a copy of the
notebooks, and a Chromium without a window. MINIVID_CHROMIUM names another browser than the one on
the PATH, MINIVID_SCREENSHOTS a folder that keeps the pictures. What is looked at is the page: trainings
end after FEW steps, the others teach nothing, and what should be learned is for nbval to say.
"""

import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import torch

from minivid import show
from minivid.models.codec import VideoCodec
from minivid.models.text_to_video import TextToVideo, TextToVideoConfig
from minivid.pipeline import TOKENIZER, Pipeline
from minivid.show import media, playground
from minivid.world import random_scenes, render, sound

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
from playwright.sync_api import Browser, Locator, Page  # noqa: E402

ROOT = Path(__file__).parents[1]
FIRST, *NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
# The first has a playground, and a test of its own.
RUN_SECONDS = 360  # for all cells of one notebook
SLIDER_SECONDS = 60  # for one answer to a slider
FEW = 10  # steps of each training

CHROMIUM_NAMES = ["chromium", "chromium-browser", "google-chrome"]
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LAB_SETTINGS = {
    # No pop-up about news, which would look for them in the network; every cell in the page.
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    "notebook-extension/tracker": '{"windowingMode": "none"}',
}
IN_HASTE = f"""
def hasten():
    import functools, sys
    from dataclasses import replace
    from minivid.training import loop

    train = loop.train

    @functools.wraps(train)
    def train_a_little(network, loss, draw_batch, config, *rest, **more):
        few = replace(config, steps=min(config.steps, {FEW}))
        for last in train(network, loss, draw_batch, few, *rest, **more):
            yield last
        for step in range(last.step, config.steps):
            yield last._replace(step=step + 1)

    for name, module in list(sys.modules.items()):  # the loop's own, and those that re-export it
        if name.startswith("minivid.") and getattr(module, "train", None) is train:
            module.train = train_a_little

hasten()
del hasten
"""  # what each kernel runs first


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    address: str
    token: str

    def url(self, notebook: str) -> str:
        return f"{self.address}/lab/tree/{notebook}?token={self.token}&reset"


@contextmanager
def running_lab(folder: Path, state: Path) -> Iterator[Lab]:
    """Serve `folder` until the block ends; JupyterLab's settings, log and traces go to `state`."""
    for name, text in LAB_SETTINGS.items():
        path = state / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    startup = state / "ipython" / "profile_default" / "startup" / "in_haste.py"
    startup.parent.mkdir(parents=True)
    startup.write_text(IN_HASTE, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lab = Lab(f"http://127.0.0.1:{port}", secrets.token_hex(16))
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += [f"--IdentityProvider.token={lab.token}", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.expose_app_in_browser=True"]
    folders = {
        "JUPYTERLAB_SETTINGS_DIR": state / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": state / "workspaces",
        "JUPYTER_CONFIG_DIR": state / "config",
        "JUPYTER_RUNTIME_DIR": state / "runtime",
        "IPYTHONDIR": state / "ipython",
    }
    environment = os.environ | {name: str(path) for name, path in folders.items()}
    log = state / "lab.log"
    with log.open("w") as out:
        server = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_until_it_answers(lab, server, log)
        yield lab
    finally:
        server.terminate()  # and it ends its kernels
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_until_it_answers(lab: Lab, server: subprocess.Popen, log: Path) -> None:
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{lab.address}/api/status?token={lab.token}", timeout=5)
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if server.poll() is not None:
                break
            time.sleep(0.5)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    """A notebook's page, its kernel ready; the kernel ends with the block."""
    page = browser.new_page(viewport={"width": 1400, "height": 1100})
    page.goto(url)
    page.wait_for_function(
        """() => {
            const current = window.jupyterapp?.shell?.currentWidget;
            const kernel = current?.context?.sessionContext?.session?.kernel;
            return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
        }""",
        timeout=60_000,  # the toolbar's "idle" would not do: it shows before there is a kernel
    )
    try:
        yield page
    finally:
        page.evaluate("jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")
        page.close()


def run_all_cells(page: Page) -> list[dict]:
    """Run the notebook; return its cells, outputs included, as they would be saved."""
    page.evaluate(
        """() => {
            window.finished = false;
            jupyterapp.commands.execute('notebook:run-all-cells')
                .finally(() => { window.finished = true; });
        }"""
    )
    page.wait_for_function("window.finished", timeout=RUN_SECONDS * 1000)
    return page.evaluate("jupyterapp.shell.currentWidget.content.model.toJSON().cells")


def errors(cells: list[dict]) -> list[str]:
    """The errors stored in the cells, and the code cells that never ran."""
    found = []
    for index, cell in enumerate(cells):
        if cell["cell_type"] != "code" or not "".join(cell["source"]).strip():
            continue
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                found.append(f"cell {index}: {output['ename']}: {output['evalue']}")
        if cell["execution_count"] is None:
            found.append(f"cell {index} was not run")
    return found


def red_boxes(page: Page) -> list[str]:
    """Errors and warnings as the reader sees them, those inside a widget too."""
    boxes = page.locator("[data-mime-type='application/vnd.jupyter.stderr']:visible")
    return [text.strip()[-500:] for text in boxes.all_inner_texts()]


def cells_with_sliders(page: Page) -> list[Locator]:
    """The cells whose output holds a slider; widgets appear a moment after their cell has run."""
    with suppress(sync_api.TimeoutError):
        page.locator(".noUi-handle").first.wait_for(timeout=10_000)
        page.wait_for_timeout(1000)
    cells = page.locator(".jp-CodeCell", has=page.locator(".noUi-handle"))
    return [cells.nth(i) for i in range(cells.count())]


def pictures(cell: Locator) -> list[str]:
    """A digest of what each picture and clip in the cell's output shows, whatever its address."""
    return cell.evaluate(
        """async (cell) => {
            const shown = cell.querySelectorAll('img[src], video[src], source[src]');
            return Promise.all([...shown].map(async (element) => {
                const bytes = await (await fetch(element.src)).arrayBuffer();
                const digest = await crypto.subtle.digest('SHA-256', bytes);
                return Array.from(new Uint8Array(digest)).join(' ');
            }));
        }"""
    )


def press_until_it_answers(page: Page, cell: Locator, keys: str = "ArrowRight") -> bool:
    """Move the cell's first slider by keyboard; did its picture become another one in time?"""
    before = pictures(cell)
    assert before, "a slider without a picture beside it"
    handle, readout = (cell.locator(name).first for name in (".noUi-handle", ".widget-readout"))
    value = readout.inner_text()  # the handle's own value is rounded
    handle.focus()
    page.keyboard.press(keys)
    page.wait_for_timeout(200)
    if readout.inner_text() == value:  # it stood at its right end
        page.keyboard.press("ArrowLeft")
    deadline = time.monotonic() + SLIDER_SECONDS
    while time.monotonic() < deadline:
        after = pictures(cell)
        if len(after) == len(before) and after != before and is_idle(page):
            return True
        page.wait_for_timeout(200)
    return False


def is_idle(page: Page) -> bool:
    session = "jupyterapp.shell.currentWidget.context.sessionContext.session"
    return page.evaluate(f"{session}.kernel.status") == "idle"


def screenshot(page: Page, cell: Locator, path: Path) -> bytes:
    cell.locator(".noUi-handle").first.scroll_into_view_if_needed()
    return page.screenshot(path=path)


def assert_sliders_answer(page: Page, name: str, folder: Path) -> None:
    """Each cell's first slider changes the picture beside it; `folder` gets before and after."""
    cells = cells_with_sliders(page)
    assert cells, f"{name} has no slider"
    for number, cell in enumerate(cells, start=1):
        before = screenshot(page, cell, folder / f"{name}_slider{number}_before.png")
        answered = press_until_it_answers(page, cell)
        after = screenshot(page, cell, folder / f"{name}_slider{number}_after.png")
        assert answered, f"slider {number} of {name} moved and its picture stayed the same"
        assert before != after


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    names = [os.environ.get("MINIVID_CHROMIUM"), *CHROMIUM_NAMES]
    path = next((found for name in names if name and (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on this machine: nothing was tried in a browser")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory, browser) -> Iterator[Lab]:  # browser: where there is none, start nothing
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    for name, source in MADE_UP.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    with running_lab(folder / "notebooks", folder / "state") as lab:
        yield lab


@pytest.fixture
def screenshots(tmp_path) -> Path:
    folder = Path(os.environ.get("MINIVID_SCREENSHOTS", tmp_path / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_reader_runs_the_notebook_and_moves_its_sliders(notebook, lab, browser, screenshots):
    with opened(browser, lab.url(notebook)) as page:
        assert errors(run_all_cells(page)) == []
        assert_sliders_answer(page, notebook.removesuffix(".ipynb"), screenshots)
        assert red_boxes(page) == []


PLAYER = """
async (video) => {
    const bytes = await (await fetch(video.src)).arrayBuffer();
    const sound = await new OfflineAudioContext(1, 8192, 8192).decodeAudioData(bytes);
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    return {
        width: video.videoWidth,
        seconds: video.duration,
        played: video.currentTime > 0,
        colours: new Set(new Uint32Array(pixels.buffer)).size,
        sounds: sound.duration,
        loudest: sound.getChannelData(0).reduce((most, x) => Math.max(most, Math.abs(x)), 0),
    };
}
"""  # what a video element shows and sounds like


def ask(page: Page, panel: Locator, prompt: str) -> None:
    """Type a prompt into the playground and press Generate, by keyboard alone."""
    panel.locator("input[list]").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type(prompt)
    generate = panel.get_by_role("button", name="Generate", exact=True)
    for _ in range(20):
        page.keyboard.press("Tab")
        if generate.evaluate("button => button === document.activeElement"):
            page.keyboard.press("Enter")
            return
    pytest.fail("Tab does not lead from the prompt to the button")


def test_a_reader_asks_the_playground_and_sees_and_hears_the_answer(lab, browser, screenshots):
    with opened(browser, lab.url(FIRST)) as page:
        assert errors(run_all_cells(page)) == []
        sliders = cells_with_sliders(page)[0]
        screenshot(page, sliders, screenshots / "00_slider.png")
        assert press_until_it_answers(page, sliders), "the slider moved, what it shows stayed"
        panel = page.locator(".jp-CodeCell", has=page.locator("input[list]"))
        ask(page, panel, "a pruple 3 moves right")
        panel.get_by_role("status").filter(has_text="purple").wait_for(timeout=10_000)
        ask(page, panel, "a green 5 moves left")
        panel.locator("select option").filter(has_text="1: a green 5 moves left").wait_for(
            state="attached", timeout=60_000
        )
        video = panel.locator("video")
        video.scroll_into_view_if_needed()
        page.wait_for_timeout(1500)
        found = video.evaluate(PLAYER)
        page.screenshot(path=screenshots / "00_playground.png")
        assert found["width"] >= 32 and found["colours"] > 100 and found["played"], found
        assert found["seconds"] > 2 and found["sounds"] > 2 and found["loudest"] > 0.05, found
        assert panel.get_by_text("read by the judge").is_visible()
        assert red_boxes(page) == []


# The checks above, seen to bite: on made-up notebooks of one cell.

SLIDER = """
import matplotlib.pyplot as plt
from ipywidgets import interact

@interact(x=(0, 5))
def draw(x=2):
    {first}
    plt.plot([0, {end}])
    plt.show()
"""
MADE_UP = {
    "answers": SLIDER.format(first="", end="x"),
    "at_its_end": SLIDER.format(first="", end="x").replace("x=2", "x=5"),
    "stays_the_same": SLIDER.format(first="", end="1"),
    "raises_when_moved": SLIDER.format(first="assert x == 2, 'moved'", end="x"),
    "warns_when_moved": SLIDER.format(first="import sys; x == 2 or print(x, file=sys.stderr)", end="x"),
    "raises": "1 / 0",
    "trains": """
import inspect, torch
from minivid import training
from minivid.training import loop
from minivid.training.loop import train

config, drawn = training.TrainConfig(1000, 1, 1e-3), []
network, loss = torch.nn.Linear(1, 1), lambda network, x, rng: network(*x).sum()

def draw_batch(rng):
    drawn.append(rng)
    return [torch.ones(1, 1)]

steps = [p.step for p in training.train(network, loss, draw_batch, config)]
print(len(drawn), steps == list(range(1, 1001)), inspect.getsource(training.train).splitlines()[0])
print(training.train is loop.train is train)
""",
}


@pytest.mark.parametrize("name", ["answers", "at_its_end"])
def test_a_sound_slider_passes(name, lab, browser, tmp_path):
    with opened(browser, lab.url(f"{name}.ipynb")) as page:
        assert errors(run_all_cells(page)) == []
        assert_sliders_answer(page, name, tmp_path)
        assert red_boxes(page) == []


def test_trainings_are_cut_short(lab, browser):
    with opened(browser, lab.url("trains.ipynb")) as page:
        cells = run_all_cells(page)
        assert errors(cells) == []
        assert cells[0]["outputs"][0]["text"] == f"{FEW} True def train(\nTrue\n"


@pytest.mark.parametrize("name", ["stays_the_same", "raises_when_moved"])
def test_a_dead_slider_is_caught(name, lab, browser, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "SLIDER_SECONDS", 3)
    with opened(browser, lab.url(f"{name}.ipynb")) as page:
        run_all_cells(page)
        with pytest.raises(AssertionError, match="stayed the same"):
            assert_sliders_answer(page, name, tmp_path)


def test_a_warning_inside_a_widget_is_caught(lab, browser):
    with opened(browser, lab.url("warns_when_moved.ipynb")) as page:
        run_all_cells(page)
        assert red_boxes(page) == []
        assert press_until_it_answers(page, cells_with_sliders(page)[0])
        assert red_boxes(page) == ["3"]


def test_an_error_is_caught(lab, browser):
    with opened(browser, lab.url("raises.ipynb")) as page:
        assert errors(run_all_cells(page)) == ["cell 0: ZeroDivisionError: division by zero"]


MARKUP = '<img src=x onerror="window.ran = 1"> & "quotes" <script>window.ran = 1</script>'


def test_what_a_reader_types_stays_text(browser, tmp_path, monkeypatch):
    """In a player, in the playground's answers, and as a name of a file."""
    shown = []
    monkeypatch.setattr(media, "display", shown.append)
    show.play(torch.zeros(3, 5, 8, 8), torch.zeros(5 * 1024), MARKUP, alt=MARKUP)
    network = TextToVideo(TextToVideoConfig(len(TOKENIZER.words), width=32, depth=1))
    panel = playground.Playground(Pipeline(network, VideoCodec()), None, tmp_path / MARKUP.replace("/", ""))
    panel.prompt.value = MARKUP
    panel.generate.click()
    parts = [shown[1].data, panel.message.value]
    panel._tell(f"saved as {panel.folder}")
    with contextlib.closing(browser.new_page()) as page:
        page.set_content("\n".join([*parts, panel.message.value]))
        page.wait_for_timeout(300)
        assert page.evaluate("window.ran") is None
        said = page.inner_text("body")
        assert MARKUP in said and "<img src=x" in said.split("saved as")[1]
        assert page.locator("img").count() == 0


def test_each_source_of_a_player_plays_with_its_sound_where_its_codecs_are_known(browser, monkeypatch):
    shown = []
    monkeypatch.setattr(media, "display", shown.append)
    scenes = random_scenes.draw_scenes(1, 0)
    show.play(render.video(scenes), sound.audio(scenes))
    sources = re.findall(r"<source type='(.*?)' src=\"(.*?)\">", shown[1].data)
    assert len(sources) == 3
    with contextlib.closing(browser.new_page()) as page:
        for kind, data in sources:
            page.set_content(f"<video muted autoplay src='{data}'></video>")
            found = page.evaluate(
                """async (kind) => {
                    const video = document.querySelector('video');
                    await new Promise(done => setTimeout(done, 1500));
                    return [video.canPlayType(kind), video.videoWidth, video.currentTime,
                            video.webkitAudioDecodedByteCount];
                }""",
                kind,
            )
            assert found[0] == "probably" and min(found[1:]) > 0, (kind, found)
