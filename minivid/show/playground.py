"""The playground: type a prompt, get a clip, and read what the judge sees in it.

The prompt is typed, with what can come next offered as it grows, or put together from menus. Seed, steps,
guidance and format are knobs. Clips made before stay in a list and can be saved. All of it can be reached by
Tab, the arrow keys and Enter.
"""

import html
import itertools
from dataclasses import dataclass
from pathlib import Path

import ipywidgets
from torch import Tensor

from minivid import pipeline, show
from minivid.formats import DEFAULT_FORMAT, Format
from minivid.measure import adherence
from minivid.measure.judge import Judge
from minivid.pipeline import Pipeline
from minivid.world import captions, completion, scene

FORMATS = (DEFAULT_FORMAT, Format(17, 32, 48), Format(17, 48, 32), Format(33, 32, 32), Format(9, 32, 32))
NOT_SAID = "–"
ROWS = captions.ORDINALS  # of menus: of the first digit, and of the second
FOLLOW, SLOW = "follow the ", "in slow motion"
WIDE = {"width": "46em"}


@dataclass(frozen=True, eq=False)
class Generated:
    """A clip: what was asked for, and what the judge read in it."""

    prompt: str
    seed: int
    shape: Format
    video: Tensor
    audio: Tensor | None
    observed: scene.Description


class Playground(ipywidgets.VBox):
    """The panel: a pipeline, of clips or of clips with sound, and the judge.

    `generated` holds what was made, the latest first; clips are saved into `folder`.
    """

    def __init__(self, ready: Pipeline, judge: Judge, folder: str | Path = "."):
        self.pipeline, self.judge, self.folder = ready, judge, Path(folder)
        shapes = [shape.scaled(ready.format.width) for shape in FORMATS]
        self.generated: list[Generated] = []
        self.prompt = ipywidgets.Combobox(
            value="a red 3 moves right", description="prompt", ensure_option=False, layout=WIDE
        )
        self.menus = _menus()
        self.seed = ipywidgets.BoundedIntText(0, 0, 2**31 - 1, description="seed")
        self.steps = ipywidgets.IntSlider(pipeline.STEPS, 1, 64, description="steps")
        self.guidance = ipywidgets.FloatSlider(
            pipeline.GUIDANCE, min=0, max=8, step=0.5, description="guidance"
        )
        self.shape = ipywidgets.Dropdown(
            options={str(shape): shape for shape in shapes}, description="format"
        )
        self.generate = ipywidgets.Button(description="Generate", button_style="primary")
        self.save = ipywidgets.Button(description="Save as mp4", disabled=True)
        self.progress = ipywidgets.IntProgress(0, 0, 1, layout=WIDE)
        self.message = ipywidgets.HTML()  # what went wrong, and what was saved
        self.player = ipywidgets.Video(format="mp4", autoplay=True, loop=True, width="320")
        self.agreement = ipywidgets.HTML()
        self.history = ipywidgets.Select(options=[], description="history", rows=5, layout=WIDE)
        self.prompt.observe(self._complete, names="value")
        self._writes = False  # a sentence from the menus, or the menus from a sentence
        for menu in self.menus.values():
            menu.observe(self._write, names="value")
        self.history.observe(self._show, names="value")
        self.generate.on_click(self._generate)
        self.save.on_click(self._save)
        self._complete()
        super().__init__(self._rows())

    def _rows(self) -> list[ipywidgets.Widget]:
        """The panel's rows, from top to bottom."""
        lines = [
            ipywidgets.HBox([menu for key, menu in self.menus.items() if key.startswith(row)])
            for row in ("first", "second", "all")
        ]
        menus = ipywidgets.Accordion([ipywidgets.VBox(lines)])
        menus.set_title(0, "or put the sentence together from menus")
        return [
            self.prompt,
            menus,
            ipywidgets.HBox([self.seed, self.shape]),
            ipywidgets.HBox([self.steps, self.guidance]),
            ipywidgets.HBox([self.generate, self.save]),
            self.progress,
            self.message,
            ipywidgets.HBox([self.player, self.agreement]),
            self.history,
        ]

    def _complete(self, change=None) -> None:
        """Offer what can come next, and have the menus say what the sentence says."""
        self.prompt.options = completion.completions(self.prompt.value)
        try:
            choices = _choices(captions.parse(self.prompt.value))
        except ValueError:
            return  # it is not finished, or it is wrong
        if not self._writes:
            self._writes = True
            for key, menu in self.menus.items():
                menu.value = choices.get(key, NOT_SAID)
            self._writes = False

    def _write(self, change=None) -> None:
        """Write the sentence that the menus say."""
        if self._writes:
            return
        self._writes = True
        try:
            self.prompt.value = captions.write(_described(self.menus))
        except ValueError as error:
            self._tell(error)
        else:
            self._tell("")
        finally:
            self._writes = False

    def _generate(self, button=None) -> None:
        """Generate what the prompt asks for, or say why that cannot be."""
        prompt, shape = " ".join(self.prompt.value.split()), self.shape.value
        self.progress.value, self.progress.max = 0, self.steps.value
        try:
            captions.parse(prompt)
            settings = self.seed.value, self.steps.value, self.guidance.value, shape
            for step in self.pipeline.steps([prompt], *settings):
                self.progress.value, last = self.progress.value + 1, step
            video, audio = self.pipeline.decode(last.x_t)
            (observed,) = self.judge.read(video)
        except (ValueError, MemoryError, RuntimeError) as error:  # the last: torch lacks memory
            self._tell(error)
            return
        self._tell("")
        made = Generated(prompt, self.seed.value, shape, video, audio, observed.description)
        self.generated.insert(0, made)
        n = len(self.generated)
        names = [f"{n - k}: {one.prompt}" for k, one in enumerate(self.generated)]
        self.history.options = list(zip(names, self.generated, strict=True))
        self.history.value = made

    def _show(self, change=None) -> None:
        """Show the clip that is chosen in the history."""
        one = self.history.value
        if one is not None:
            self.player.value = show.encode_mp4(one.video, one.audio, audio_codec="mp3")
            self.agreement.value = _agreement(captions.parse(one.prompt), one.observed)
            self.save.disabled = False

    def _save(self, button=None) -> None:
        """Save the clip that is chosen, under a name that is free."""
        one = self.history.value
        name = one.prompt.replace(",", "").replace(" ", "_")[:100]
        path = self.folder / f"{name}-{one.seed}.mp4"
        for k in itertools.count(2):
            if not path.exists():
                break
            path = path.with_stem(f"{name}-{one.seed}-{k}")
        try:
            show.save(path, one.video, one.audio)
        except OSError as error:
            self._tell(error)
        else:
            self._tell(f"saved as {path}")

    def _tell(self, what: object) -> None:
        self.message.value = f"<p role='status'>{html.escape(str(what))}</p>" if what else ""


def _menus() -> dict[str, ipywidgets.Dropdown]:
    """A menu for each attribute a caption may give to the first digit, the second, and to all."""
    subjects = {
        "digit": [str(digit) for digit in scene.DIGITS],
        "colour": list(scene.COLOURS),
        "heading": list(scene.HEADINGS),
        "hums": ["humming"],
    }
    cameras = [word for word in scene.CAMERAS if word != "track"]
    everything = {
        "camera": [*cameras, *(FOLLOW + row for row in ROWS)],
        "light": scene.LIGHTS,
        "style": scene.STYLES,
        "slow_motion": [SLOW],
    }
    rows = {f"{row} {key}": ways for row in ROWS for key, ways in subjects.items()}
    rows |= {f"all {key}": list(ways) for key, ways in everything.items()}
    return {
        key: ipywidgets.Dropdown(
            options=[NOT_SAID, *ways], description=key.removeprefix("all ").replace("_", " ")
        )
        for key, ways in rows.items()
    }


def _described(menus: dict[str, ipywidgets.Dropdown]) -> scene.Description:
    """What the menus say. A second digit is there where anything is said of it."""
    values = {key: None if menu.value == NOT_SAID else menu.value for key, menu in menus.items()}
    camera, subjects = values["all camera"] or "", []
    for row in ROWS:
        digit, colour, heading, hums = (values[f"{row} {key}"] for key in adherence.SUBJECT_ATTRIBUTES)
        followed = camera == FOLLOW + row or None
        if row == ROWS[0] or any((digit, colour, heading, hums, followed)):
            number = None if digit is None else int(digit)
            subjects.append(scene.Subject(number, colour, heading, bool(hums) or None, followed))
    return scene.Description(
        tuple(subjects),
        "track" if camera.startswith(FOLLOW) else values["all camera"],
        values["all light"],
        values["all style"],
        values["all slow_motion"] == SLOW or None,
    )


def _choices(description: scene.Description) -> dict[str, str]:
    """What the menus show for a description, but for what it leaves unsaid."""
    found = {"all camera": description.camera, "all light": description.light, "all style": description.style}
    found["all slow_motion"] = SLOW if description.slow_motion else None
    if description.camera == "track":
        found["all camera"] = FOLLOW + ROWS[0]
    for row, one in zip(ROWS, description.subjects, strict=False):
        found[f"{row} digit"] = None if one.digit is None else str(one.digit)
        found |= {f"{row} colour": one.colour, f"{row} heading": one.heading}
        found[f"{row} hums"] = "humming" if one.hums else None
        if one.followed:
            found["all camera"] = FOLLOW + row
    return {key: value for key, value in found.items() if value is not None}


def _agreement(asked: scene.Description, observed: scene.Description) -> str:
    """A table, in HTML: what was asked for, what is read, and whether they agree."""
    right, lines = adherence.agreement(asked, observed), []
    observed = adherence.in_order(asked, observed)
    for key in (*adherence.SUBJECT_ATTRIBUTES, *captions.CLAUSES):
        wanted, found = (_words(one, key) for one in (asked, observed))
        mark = "" if wanted == NOT_SAID else "✓" if right[key] else "✗"
        lines.append(f"<tr><td>{key}</td><td>{wanted}</td><td>{found}</td><td>{mark}</td></tr>")
    head = "<tr><th></th><th>asked for</th><th>read by the judge</th><th></th></tr>"
    return f"<table>{head}{''.join(lines)}</table>"


def _words(described: scene.Description, key: str) -> str:
    """What a description says of an attribute, of one digit or of both."""
    owners = [described] if key in captions.CLAUSES else described.subjects
    values = [getattr(one, key) for one in owners]
    if all(value is None for value in values):
        return NOT_SAID
    if key == "camera" and values == ["track"]:
        followed = [row for row, one in zip(ROWS, described.subjects, strict=False) if one.followed]
        values = [FOLLOW + row for row in followed] or values
    if any(value is None or isinstance(value, bool) for value in values):
        names = {None: NOT_SAID, True: "yes", False: "no"}
        values = [names.get(value, value) for value in values]
    return ", ".join(map(str, values))
