"""Pictures of clips, sounds and numbers: film strips, grids, curves, sound waves, tables.

Figures are returned, never drawn behind the reader's back: make one the last line of a cell, or pass it to
`display`, and it is shown once.

Shapes and ranges are those of `media`.
"""

import base64
import inspect
import io
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real

import matplotlib
import matplotlib.figure
import matplotlib.style
import numpy as np
from cycler import cycler
from einops import rearrange
from IPython.display import Markdown
from matplotlib.axes import Axes
from matplotlib.mlab import specgram
from matplotlib.text import Text

from minivid.formats import FRAMES_PER_SECOND, SAMPLE_RATE
from minivid.show.media import Array, Clips, as_clips, enlarge, require_counts, to_floats

# Okabe and Ito's colours, told apart by nearly all eyes; in grey, the dashes tell them apart.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000"]
DASHES = ["-", "--", "-.", ":", (0, (6, 1)), (0, (3, 1, 1, 1, 1, 1))]
STYLE = {
    "figure.dpi": 100,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLOURS, linestyle=DASHES),
    "grid.color": "0.92",
    "text.parse_math": False,  # a `$` in a caption is a `$`
}
in_our_style = matplotlib.style.context(["default", STYLE])  # and in none of a reader's settings


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure that shows itself, with alt text, where it is the last line of a cell.

    It is made without pyplot, which would draw it a second time at the end of the cell.
    """

    alt = ""

    @in_our_style
    def png(self) -> bytes:
        """The figure as a PNG file, whatever the reader's own settings of matplotlib; LaTeX is not asked."""
        file = io.BytesIO()
        for text in self.findobj(Text):
            text.set_usetex(False)
        self.savefig(file, format="png")
        return file.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        picture = base64.b64encode(self.png()).decode()
        return {"image/png": picture, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


@in_our_style
def figure(
    title: str = "", alt: str = "", rows: int = 1, columns: int = 1,
    size: tuple[float, float] = (7.0, 3.0),
) -> tuple[Figure, Axes | np.ndarray]:  # fmt: skip
    """Make an empty figure in the course's style, and its axes: one, or an array of them.

    title: the figure's finding, in a sentence. alt: what it shows, for a reader who cannot see it
    (else the title). size: width and height in inches.
    """
    picture = Figure(figsize=size, layout="constrained")
    picture.alt = alt or title or "A figure."
    if title:
        lines = textwrap.fill(title, int(size[0] * 12))
        picture.suptitle(lines, x=0.01, ha="left", fontsize=10.5, weight="bold")
    return picture, picture.subplots(rows, columns)


def film_strip(
    videos: Clips, captions: str | Sequence[str] = (), title: str = "", every: int = 0,
    alt: str = "", fps: int = FRAMES_PER_SECOND,
) -> Figure:  # fmt: skip
    """Lay clips out as rows of frames, the time of each frame on top.

    captions: one a clip. every: show each `every`-th frame, else so many that about nine are left.
    Raises ValueError for clips of different shapes.
    """
    clips = as_clips(videos)
    if len({clip.shape for clip in clips}) > 1:
        shapes = sorted({clip.shape[:3] for clip in clips})
        raise ValueError(
            f"the clips of one film strip need one shape, got (frames, height, width) {shapes}: "
            "draw a strip for each, or show them with play."
        )
    require_counts(every=every)
    every = every or math.ceil(len(clips[0]) / 9)
    clips = [clip[::every] for clip in clips]
    frames, _, w, _ = clips[0].shape
    gap = [(0, 0), (0, 0), (0, 4), (0, 0)]
    scaled = [np.pad(enlarge(c, _fitting(frames, w)), gap, constant_values=255) for c in clips]
    rows = [[rearrange(clip, "f h w c -> h (f w) c")] for clip in scaled]
    times = [f"{index * every / fps:g} s" for index in range(frames)]
    return _arrange(rows, _captions(captions, len(clips)), title, alt, times)


def grid(
    images: Array, captions: Sequence[str] = (), title: str = "", columns: int = 0, alt: str = ""
) -> Figure:
    """Lay images (b, c, h, w) out in rows, each below its own short caption."""
    if len(images.shape) != 4:
        raise ValueError(
            f"images need shape (b, c, h, w), got {tuple(images.shape)}: "
            "write image[None] for one image, use film_strip or play for video."
        )
    clips = as_clips(images[:, :, None])
    require_counts(columns=columns)
    columns = columns or min(len(clips), 8)
    tiles = [enlarge(clip, _fitting(columns, clip.shape[2]))[0] for clip in clips]
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    return _arrange(rows, _captions(captions, len(tiles)), title, alt)


@in_our_style
def _arrange(
    rows: list[list[np.ndarray]], captions: list[str], title: str, alt: str, labels: Sequence = ()
) -> Figure:
    """Set equal pictures out in rows, pixel for pixel, below captions; labels along the top."""
    margin, gap, line = 10, 12, 15
    high, tile_width = rows[0][0].shape[:2]
    width = max(360, 2 * margin + len(rows[0]) * (tile_width + gap) - gap)
    lines = textwrap.fill(title, int(width / 8.5))
    texts = [textwrap.fill(caption, max(4, int(tile_width / 6.5))) for caption in captions]
    room = max(line * (text.count("\n") + 1) * bool(text) for text in texts)
    top = margin + (18 * lines.count("\n") + 26) * bool(lines) + line * bool(labels)
    height = top + len(rows) * (room + high + gap) + margin - gap
    picture = Figure(figsize=(width / 100, height / 100))
    picture.alt = alt or title or "; ".join(captions)
    x, y = margin / width, 1 - margin / height
    picture.text(x, y, lines, va="top", fontsize=10.5, weight="bold")
    for index, label in enumerate(labels):
        x = (margin + (index + 0.5) * tile_width / len(labels)) / width
        picture.text(x, 1 - (top - line) / height, label, va="top", ha="center", color="0.35")
    tiles = [(i, j, tile) for i, row in enumerate(rows) for j, tile in enumerate(row)]
    for (i, j, tile), text in zip(tiles, texts, strict=True):
        x = (margin + j * (tile_width + gap)) / width
        y = 1 - (top + i * (room + high + gap) + room) / height
        picture.text(x, y + 3 / height, text, va="bottom")
        axes = picture.add_axes((x, y - high / height, tile_width / width, high / height))
        axes.imshow(tile, interpolation="nearest", aspect="auto")
        axes.axis("off")
    return picture


def line_style(index: int) -> tuple[str, str | tuple]:
    """Colour and dashes of a line in a plot of several: no two are alike among the first 36."""
    turn, k = divmod(index, len(COLOURS))
    return COLOURS[k], DASHES[(k + turn) % len(DASHES)]


@in_our_style
def curve(
    values: Sequence[float] | Mapping[str, Sequence[float]], title: str = "",
    steps: Sequence[float] | None = None, xlabel: str = "training step", ylabel: str = "loss",
    log: bool = False, window: int = 0, alt: str = "",
) -> Figure:  # fmt: skip
    """Plot a loss, or several by name: every value faintly, their running mean in front.

    steps: where the values were taken, else 0, 1, 2 ... window: how many values a mean spans, else
    a thirtieth of them. log: a logarithmic axis for the values.
    """
    picture, axes = figure(title, alt)
    named = values if isinstance(values, Mapping) else {"": values}
    for index, (name, series) in enumerate(named.items()):
        series = np.asarray(series, float)
        if series.ndim != 1 or not len(series):
            raise ValueError(f"a curve needs a list of numbers, got shape {series.shape} {name!r}.")
        span = np.ones(min(len(series), window or max(1, len(series) // 30)))
        counts = np.convolve(np.ones(len(series)), span, "same")  # fewer at both ends
        x = np.arange(len(series)) if steps is None else steps
        colour, dashes = line_style(index)
        axes.plot(x, series, color=colour, linestyle="-", linewidth=0.7, alpha=0.3)
        mean = np.convolve(series, span, "same") / counts
        axes.plot(x, mean, color=colour, linestyle=dashes, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
    if any(named):
        axes.legend(frameon=False)
    return picture


@in_our_style
def waveform(
    audio: Array, hits: Sequence = (), captions: str | Sequence[str] = (), title: str = "",
    spectrogram: bool = False, alt: str = "",
) -> Figure:  # fmt: skip
    """Plot sound over time, one row a clip, with the wall hits marked.

    hits: seconds, or a scene's `hits`; for several clips, a list of them for each. spectrogram: show which
    pitches sound when, in decibels below the loudest, in place of the wave.
    """
    waves = np.atleast_2d(to_floats(audio))
    of_one = len(hits) and all(hasattr(one, "seconds") or np.ndim(one) == 0 for one in hits)
    marks = [hits] if of_one else list(hits) or [()] * len(waves)
    if waves.ndim != 2 or not waves.size or len(marks) != len(waves):
        raise ValueError(
            "a waveform needs sound (s,) with a list of hits, or (b, s) with b lists of hits; "
            f"got {tuple(audio.shape)} and {len(marks)} lists."
        )
    texts = _captions(captions, len(waves))
    picture, axes = figure(title, alt, rows=len(waves), size=(7.0, 0.8 + 1.3 * len(waves)))
    for panel, wave, times, text in zip(np.atleast_1d(axes), waves, marks, texts, strict=True):
        if spectrogram:
            _draw_spectrogram(panel, wave)
        else:
            panel.plot(np.arange(len(wave)) / SAMPLE_RATE, wave, linewidth=0.6)
            panel.set(ylim=(-1.05, 1.05), ylabel="amplitude")
        for index, time in enumerate(getattr(time, "seconds", time) for time in times):
            label = "wall hit" if index == 0 else None
            panel.axvline(time, color=COLOURS[1], linestyle="--", linewidth=1.2, label=label)
        if len(times):
            panel.legend(loc="upper right")
        panel.set_xlim(0, len(wave) / SAMPLE_RATE)
        panel.set_title(text, loc="left")
    panel.set_xlabel("time (seconds)")
    return picture


def _draw_spectrogram(panel: Axes, wave: np.ndarray) -> None:
    power, pitches, times = specgram(wave, NFFT=512, noverlap=384, Fs=SAMPLE_RATE)
    decibels = 10 * np.log10(power / max(power.max(), 1e-12) + 1e-6)
    image = panel.pcolormesh(times, pitches, decibels, cmap="Greys", vmin=-60, vmax=0)
    panel.set(ylabel="pitch (Hz)", ylim=(0, 2000))
    panel.figure.colorbar(image, ax=panel, label="dB")


def table(rows: Mapping[str, Mapping[str, object]], corner: str = "", digits: int = 2) -> Markdown:
    """Lay measurements out as a table: rows[name][column] is a number, a text or an interval.

    An interval is (value, low, high), written 0.93 [0.90, 0.95]. A missing entry is left empty.
    """
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [[corner, *columns], ["---", *["---:"] * len(columns)]]
    lines += [[name, *(row.get(column, "") for column in columns)] for name, row in rows.items()]
    cells = [" | ".join(_cell(cell, digits) for cell in line) for line in lines]
    return Markdown("\n".join(f"| {line} |" for line in cells))


def _cell(cell: object, digits: int) -> str:
    if isinstance(cell, tuple | list):
        value, low, high = (_cell(number, digits) for number in cell)
        return f"{value} [{low}, {high}]"
    if isinstance(cell, Real) and not isinstance(cell, Integral):
        return f"{cell:.{digits}f}"
    return str(cell).replace("|", "\\|")


def source(function: Callable) -> Markdown:
    """Show the source of a function or class, coloured."""
    try:
        code = textwrap.dedent(inspect.getsource(function)).strip()
    except (TypeError, OSError) as error:
        raise ValueError(
            f"{function!r} has no Python source: give a function or class itself, not called."
        ) from error
    return Markdown(f"````python\n{code}\n````")


def _captions(captions: str | Sequence[str], count: int) -> list[str]:
    captions = [captions] if isinstance(captions, str) else list(captions)
    if captions and len(captions) != count:
        raise ValueError(f"got {len(captions)} captions for {count}: give one for each, or none.")
    return captions or [""] * count


def _fitting(columns: int, tile_width: int) -> int:
    """Find the whole scale that makes a row about 1000 pixels long, and no picture above 160."""
    return max(1, min(round(1000 / (columns * tile_width)), 160 // tile_width))
