"""Looking at clips, and hearing them.

Every picture in the course comes from here: strips of frames, grids, curves, sound waves, and a
player with sound. Figures are returned, never drawn behind the reader's back: make one the last
line of a cell, or pass it to `display`, and it is shown once. Only `play` shows what it makes.

Everywhere: video (c, f, h, w) or (b, c, f, h, w) and images (b, c, h, w), of 1 or 3 channels, in
[-1, 1]; audio (s,) or (b, s) in [-1, 1], 8192 samples a second; tensors or arrays, on any device.
"""

import base64
import html
import inspect
import io
import math
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path

import av
import matplotlib
import matplotlib.figure
import numpy as np
import torch
from cycler import cycler
from einops import rearrange, repeat
from IPython.display import HTML, Image, Markdown, display
from matplotlib.axes import Axes
from matplotlib.mlab import specgram
from PIL import Image as Pillow
from torch import Tensor

from minivid import files

FRAME_RATE, SAMPLE_RATE = 8, 8192  # a second

Array = Tensor | np.ndarray
Clips = Array | Sequence[Array]  # one clip, a batch of clips, or a list of either

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
}


def play(
    video: Clips, audio: Array | None = None, caption: str | Sequence[str] = (), alt: str = "",
    columns: int = 0, scale: int = 0, fps: int = FRAME_RATE,
) -> None:  # fmt: skip
    """Show clips moving, and sounding, in a notebook; several run side by side, as one `mosaic`.

    audio: (s,), or (b, s) to be mixed; as long as the video. caption: a sentence, or one a clip.
    alt: what it shows, for a reader who cannot see it (else the caption). scale: screen pixels for
    each pixel of the clip, else what makes its short side about 256.

    Two outputs follow one another. First an animated PNG, which moves even in a notebook that is
    not trusted to play media (a fresh clone, a code host). Then a player: where it works it takes
    the animation's place, where it does not, only its caption is seen.
    """
    clip = mosaic(video, columns)
    captions = [caption] if isinstance(caption, str) else list(caption)
    alt = alt or "; ".join(captions) or f"A clip of {clip.shape[1] / fps:g} seconds."
    mp4, webm = encode_mp4(clip, audio, scale, fps), encode_webm(clip, audio, scale, fps)
    display(Image(data=encode_apng(clip, scale, fps), format="png", alt=alt))
    display(HTML(_player(mp4, webm, captions, alt, autoplay=audio is None)))


def _player(mp4: bytes, webm: bytes, captions: list[str], alt: str, autoplay: bool) -> str:
    """Write a <video> that is hidden unless its sources and the style sheet survive.

    A notebook that is not trusted is stripped of both, and would show an empty player.
    """
    working = 'video.minivid:has(> source[src^="data:"])'
    animation = f".jp-OutputArea-child:has(> .jp-RenderedImage):has(+ * {working})"
    sources = "\n".join(
        f'<source type="{kind}" src="data:{kind};base64,{base64.b64encode(data).decode()}">'
        for kind, data in [("video/mp4", mp4), ("video/webm", webm)]
    )
    lines = "\n".join(f"<div>{html.escape(caption)}</div>" for caption in captions)
    return f"""<style>
{working} {{ display: block !important; }}
{animation} {{ display: none; }}
</style>
<video class="minivid" style="display: none; max-width: 100%" aria-label="{html.escape(alt)}"
       controls loop playsinline {"autoplay muted" if autoplay else ""}>
{sources}
</video>
{lines}"""


def mosaic(videos: Clips, columns: int = 0) -> Tensor:
    """Tile clips into one, (3, f, h, w): row by row, one white pixel apart.

    Smaller clips are padded with white, and shorter ones stand still on their last frame.
    """
    clips = _clips(videos)
    columns = columns or math.ceil(len(clips) / max(1, round(math.sqrt(len(clips) / 2))))
    rows = math.ceil(len(clips) / columns)
    f, h, w = (max(clip.shape[axis] for clip in clips) for axis in (0, 1, 2))
    canvas = np.full((f, rows * (h + 1) - 1, columns * (w + 1) - 1, 3), 255, np.uint8)
    for index, clip in enumerate(clips):
        top, left = index // columns * (h + 1), index % columns * (w + 1)
        clip = np.pad(clip, [(0, f - len(clip)), (0, 0), (0, 0), (0, 0)], mode="edge")
        canvas[:, top : top + clip.shape[1], left : left + clip.shape[2]] = clip
    return rearrange(torch.from_numpy(canvas) / 127.5 - 1, "f h w c -> c f h w")


def encode_mp4(
    video: Clips, audio: Array | None = None, scale: int = 0, fps: int = FRAME_RATE
) -> bytes:
    """Encode clips, as one `mosaic`, with H.264 and AAC: what every browser but a few plays."""
    frames = _enlarged_mosaic(video, scale)
    quality = {"crf": "18", "preset": "veryfast"}  # half the time, files 4 % larger
    return _encode(frames, audio, fps, "mp4", "libx264", quality, "aac")


def encode_webm(
    video: Clips, audio: Array | None = None, scale: int = 0, fps: int = FRAME_RATE
) -> bytes:
    """Encode clips, as one `mosaic`, with VP9 and Opus: free formats, which those few play."""
    frames, quality = _enlarged_mosaic(video, scale), {"crf": "24", "b": "0", "cpu-used": "5"}
    return _encode(frames, audio, fps, "webm", "libvpx-vp9", quality, "libopus")


def encode_apng(video: Clips, scale: int = 0, fps: int = FRAME_RATE) -> bytes:
    """Encode clips, as one `mosaic`, without loss and without sound; equal frames are merged."""
    first, *rest = [Pillow.fromarray(frame) for frame in _enlarged_mosaic(video, scale)]
    file = io.BytesIO()
    first.save(file, "PNG", save_all=True, append_images=rest, duration=1000 / fps, loop=0)
    return file.getvalue()


def _encode(
    frames: np.ndarray, audio: Array | None, fps: int,
    container: str, codec: str, quality: dict[str, str], audio_codec: str,
) -> bytes:  # fmt: skip
    sound = None if audio is None else _sound(audio, seconds=len(frames) / fps)
    # Both codecs store colour for squares of 2 by 2 pixels, so the sides must be even.
    frames = np.pad(
        frames, [(0, 0), *((0, side % 2) for side in frames.shape[1:3]), (0, 0)], "edge"
    )
    file = io.BytesIO()
    # bitexact, and one thread: the same clip gives the same bytes.
    with av.open(file, "w", format=container, options={"fflags": "bitexact"}) as output:
        track = output.add_stream(codec, rate=fps, options=quality)
        track.height, track.width = frames.shape[1:3]
        track.pix_fmt = "yuv420p"
        track.codec_context.thread_count = 1
        track.codec_context.colorspace = 6  # SMPTE 170M, which the conversion uses; else guessed
        sounds = (
            output.add_stream(audio_codec, rate=48000, layout="mono") if audio is not None else None
        )
        for frame in frames:
            output.mux(track.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        output.mux(track.encode())
        if sounds is not None:
            wave = av.AudioFrame.from_ndarray(sound[None], format="flt", layout="mono")
            wave.sample_rate, wave.pts = SAMPLE_RATE, 0
            output.mux(sounds.encode(wave))  # which resamples: Opus knows no 8192 a second
            output.mux(sounds.encode())
    return file.getvalue()


def save(
    path: str | os.PathLike, video: Clips, audio: Array | None = None,
    scale: int = 0, fps: int = FRAME_RATE,
) -> None:  # fmt: skip
    """Write clips, as one `mosaic`, to a .mp4, .webm, .png or .apng file: the whole of it or none.

    Raises ValueError for another suffix, or for sound in a format that has none.
    """
    path = Path(path)
    encode = encoder(path)
    if audio is not None and not holds_sound(path):
        raise ValueError(f"{path.name!r} cannot hold sound: try .mp4 or .webm, or leave out audio.")
    sound = {} if audio is None else {"audio": audio}
    files.write(path, encode(video, scale=scale, fps=fps, **sound))


def holds_sound(path: Path) -> bool:
    """Whether a file of that name can. Raises ValueError for a suffix that nothing here makes."""
    return encoder(path) is not encode_apng


def encoder(path: Path) -> Callable[..., bytes]:
    """What makes a file of that name of clips. Raises ValueError for a suffix that nothing here makes."""
    encoders = {".mp4": encode_mp4, ".webm": encode_webm, ".png": encode_apng, ".apng": encode_apng}
    if path.suffix.lower() not in encoders:
        raise ValueError(f"cannot save {path.name!r}: the name must end in {', '.join(encoders)}.")
    return encoders[path.suffix.lower()]


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure that shows itself, with alt text, where it is the last line of a cell.

    It is made without pyplot, which would draw it a second time at the end of the cell.
    """

    alt = ""

    def png(self) -> bytes:
        """The figure as a PNG file."""
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        picture = base64.b64encode(self.png()).decode()
        return {"image/png": picture, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


def figure(
    title: str = "", alt: str = "", rows: int = 1, columns: int = 1,
    size: tuple[float, float] = (7.0, 3.0),
) -> tuple[Figure, Axes | np.ndarray]:  # fmt: skip
    """Make an empty figure in the course's style, and its axes: one, or an array of them.

    title: the figure's finding, in a sentence. alt: what it shows, for a reader who cannot see it
    (else the title). size: width and height in inches.
    """
    with matplotlib.rc_context(STYLE):
        picture = Figure(figsize=size, layout="constrained")
        picture.alt = alt or title or "A figure."
        if title:
            lines = textwrap.fill(title, int(size[0] * 12))
            picture.suptitle(lines, x=0.01, ha="left", fontsize=10.5, weight="bold")
        return picture, picture.subplots(rows, columns)


def film_strip(
    videos: Clips, captions: str | Sequence[str] = (), title: str = "", every: int = 0,
    alt: str = "", fps: int = FRAME_RATE,
) -> Figure:  # fmt: skip
    """Lay clips out as rows of frames, the time of each frame on top.

    captions: one a clip. every: show each `every`-th frame, else so many that about nine are left.
    Raises ValueError for clips of different shapes.
    """
    clips = _clips(videos)
    if len({clip.shape for clip in clips}) > 1:
        shapes = sorted({clip.shape[:3] for clip in clips})
        raise ValueError(
            f"the clips of one film strip need one shape, got (frames, height, width) {shapes}: "
            "draw a strip for each, or show them with play."
        )
    every = every or math.ceil(len(clips[0]) / 9)
    clips = [clip[::every] for clip in clips]
    frames, _, w, _ = clips[0].shape
    gap = [(0, 0), (0, 0), (0, 4), (0, 0)]
    scaled = [np.pad(_enlarge(c, _fitting(frames, w)), gap, constant_values=255) for c in clips]
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
    clips = _clips(images[:, :, None])
    columns = columns or min(len(clips), 8)
    tiles = [_enlarge(clip, _fitting(columns, clip.shape[2]))[0] for clip in clips]
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    return _arrange(rows, _captions(captions, len(tiles)), title, alt)


def _arrange(
    rows: list[list[np.ndarray]], captions: list[str], title: str, alt: str, labels: Sequence = ()
) -> Figure:
    """Set equal pictures out in rows, pixel for pixel, below captions; labels along the top."""
    margin, gap, line = 10, 12, 15
    high, wide = rows[0][0].shape[:2]
    width = max(360, 2 * margin + len(rows[0]) * (wide + gap) - gap)
    lines = textwrap.fill(title, int(width / 8.5))
    texts = [textwrap.fill(caption, max(4, int(wide / 6.5))) for caption in captions]
    room = max(line * (text.count("\n") + 1) * bool(text) for text in texts)
    top = margin + (18 * lines.count("\n") + 26) * bool(lines) + line * bool(labels)
    height = top + len(rows) * (room + high + gap) + margin - gap
    with matplotlib.rc_context(STYLE):
        picture = Figure(figsize=(width / 100, height / 100))
        picture.alt = alt or title or "; ".join(captions)
        x, y = margin / width, 1 - margin / height
        picture.text(x, y, lines, va="top", fontsize=10.5, weight="bold")
        for index, label in enumerate(labels):
            x = (margin + (index + 0.5) * wide / len(labels)) / width
            picture.text(x, 1 - (top - line) / height, label, va="top", ha="center", color="0.35")
        tiles = [(i, j, tile) for i, row in enumerate(rows) for j, tile in enumerate(row)]
        for (i, j, tile), text in zip(tiles, texts, strict=True):
            x = (margin + j * (wide + gap)) / width
            y = 1 - (top + i * (room + high + gap) + room) / height
            picture.text(x, y + 3 / height, text, va="bottom")
            axes = picture.add_axes((x, y - high / height, wide / width, high / height))
            axes.imshow(tile, interpolation="nearest", aspect="auto")
            axes.axis("off")
    return picture


def line_style(index: int) -> tuple[str, str | tuple]:
    """Colour and dashes of a line in a plot of several: no two are alike among the first 36."""
    turn, k = divmod(index, len(COLOURS))
    return COLOURS[k], DASHES[(k + turn) % len(DASHES)]


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


def waveform(
    audio: Array, hits: Sequence = (), captions: str | Sequence[str] = (), title: str = "",
    spectrogram: bool = False, alt: str = "",
) -> Figure:  # fmt: skip
    """Plot sound over time, one row a clip, with the wall hits marked.

    hits: seconds; for several clips, a list of them for each. spectrogram: show which pitches
    sound when, in decibels below the loudest, in place of the wave.
    """
    waves = np.atleast_2d(_floats(audio))
    marks = [hits] if len(audio.shape) == 1 else list(hits) or [()] * len(waves)
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
        for index, time in enumerate(times):
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


def pixels(video: Array) -> np.ndarray:
    """Turn values in [-1, 1] into uint8 of the same shape: -1 is 0, 0 is 128, 1 is 255.

    What lies outside is clamped. Raises ValueError for integers, for values that look like
    0 to 255, and for values that are not finite.
    """
    values = _floats(video)
    if values.size and values.min() >= 0 and values.max() > 2:
        raise ValueError(
            f"pixels need values in [-1, 1], got {values.min():g} to {values.max():g}: "
            "divide by 127.5 and subtract 1."
        )
    return np.clip(np.round((values + 1) * 127.5), 0, 255).astype(np.uint8)


def _floats(values: Array) -> np.ndarray:
    values = torch.as_tensor(values).detach()
    if not values.is_floating_point():
        raise ValueError(
            f"values need to be floats in [-1, 1], got {values.dtype}: "
            "for pixels from 0 to 255, divide by 127.5 and subtract 1."
        )
    if not values.isfinite().all():
        raise ValueError(
            f"{(~values.isfinite()).sum()} of {values.numel()} values are NaN or infinite, "
            "not in [-1, 1]: look for where the model or the sampler diverged."
        )
    return values.float().cpu().numpy()


def _clips(videos: Clips) -> list[np.ndarray]:
    """Take clips apart: each (f, h, w, 3), uint8."""
    clips = []
    for batch in videos if isinstance(videos, list | tuple) else [videos]:
        shape = tuple(batch.shape)
        if len(shape) not in (4, 5) or shape[-4] not in (1, 3) or 0 in shape:
            raise ValueError(
                "video needs shape (c, f, h, w) or (b, c, f, h, w), 1 or 3 channels, none empty; "
                f"got {shape}: show images (b, c, h, w) with grid, and decode latents first."
            )
        for clip in pixels(batch).reshape(-1, *shape[-4:]):
            clips.append(repeat(clip, "c f h w -> f h w (c colours)", colours=3 // len(clip)))
    if not clips:
        raise ValueError("got no clips: give at least one, (c, f, h, w).")
    return clips


def _captions(captions: str | Sequence[str], count: int) -> list[str]:
    captions = [captions] if isinstance(captions, str) else list(captions)
    if captions and len(captions) != count:
        raise ValueError(f"got {len(captions)} captions for {count}: give one for each, or none.")
    return captions or [""] * count


def _sound(audio: Array, seconds: float) -> np.ndarray:
    """Mix sounds into one, (s,), and see that it lasts as long as the picture."""
    waves = _floats(audio)
    samples = round(seconds * SAMPLE_RATE)
    if waves.ndim not in (1, 2) or waves.shape[-1] != samples:
        raise ValueError(
            f"sound needs shape (s,) or (b, s), with s = {samples} for {seconds:g} seconds of "
            f"video; got {waves.shape}."
        )
    mixed = np.atleast_2d(waves).sum(0)
    return mixed / max(1, np.abs(mixed).max())


def _enlarged_mosaic(video: Clips, scale: int) -> np.ndarray:
    """Join clips into one, as large as a screen needs it: (f, h, w, 3), uint8."""
    frames = _clips(mosaic(video))[0]
    short, long = sorted(frames.shape[1:3])
    return _enlarge(frames, scale or max(1, min(math.ceil(256 / short), 960 // long)))


def _enlarge(frames: np.ndarray, scale: int) -> np.ndarray:
    """Make each pixel a crisp square of scale by scale: (f, h, w, 3)."""
    return frames.repeat(scale, axis=1).repeat(scale, axis=2)


def _fitting(columns: int, wide: int) -> int:
    """Find the whole scale that makes a row about 1000 pixels long, and no picture above 160."""
    return max(1, min(round(1000 / (columns * wide)), 160 // wide))
