"""Clips as players and files: animated PNG, mp4 and webm with sound.

Everywhere: video (c, f, h, w) or (b, c, f, h, w) and images (b, c, h, w), of 1 or 3 channels, in
[-1, 1]; audio (s,) or (b, s) in [-1, 1], 8192 samples a second; tensors or arrays, on any device.
"""

import base64
import html
import io
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import torch
from einops import rearrange, repeat
from IPython.display import HTML, Image, display
from PIL import Image as Pillow
from torch import Tensor

from minivid import files
from minivid.formats import FRAMES_PER_SECOND, SAMPLE_RATE

MAX_SIDE = 16_383  # pixels: longer frames fit into no mp4 and no webm

Array = Tensor | np.ndarray
Clips = Array | Sequence[Array]  # one clip, a batch of clips, or a list of either


def play(
    video: Clips, audio: Array | None = None, caption: str | Sequence[str] = (), alt: str = "",
    columns: int = 0, scale: int = 0, fps: int = FRAMES_PER_SECOND,
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
    if audio is None:
        sources = {_mp4_type(mp4): mp4, 'video/webm; codecs="vp9"': webm}
    else:
        sources = {_mp4_type(mp4, ", mp4a.40.2"): mp4, 'video/webm; codecs="vp9, opus"': webm}
        with_mp3 = encode_mp4(clip, audio, scale, fps, "mp3")
        sources[_mp4_type(with_mp3, ", mp4a.6B")] = with_mp3
    display(Image(data=encode_apng(clip, scale, fps), format="png", alt=alt))
    display(HTML(_player(sources, captions, alt, autoplay=audio is None)))


def _player(files: dict[str, bytes], captions: list[str], alt: str, autoplay: bool) -> str:
    """Write a <video> that is hidden unless its sources and the style sheet survive.

    A notebook that is not trusted is stripped of both, and would show an empty player. files: by media type;
    a browser takes the first whose codecs it all knows.
    """
    working = 'video.minivid:has(> source[src^="data:"])'
    animation = f".jp-OutputArea-child:has(> .jp-RenderedImage):has(+ * {working})"
    sources = "\n".join(
        f"<source type='{kind}' "
        f'src="data:{kind.partition(";")[0]};base64,{base64.b64encode(data).decode()}">'
        for kind, data in files.items()
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


def _mp4_type(mp4: bytes, sound: str = "") -> str:
    """The media type of an mp4, with its codecs (RFC 6381); sound: that of its audio."""
    profile = mp4.partition(b"avcC")[2][1:4].hex()  # of H.264: profile, constraints, level
    return f'video/mp4; codecs="avc1.{profile}{sound}"'


def mosaic(videos: Clips, columns: int = 0) -> Tensor:
    """Tile clips into one, (3, f, h, w): row by row, one white pixel apart.

    Smaller clips are padded with white, and shorter ones stand still on their last frame.
    """
    clips = as_clips(videos)
    require_counts(columns=columns)
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
    video: Clips, audio: Array | None = None, scale: int = 0, fps: int = FRAMES_PER_SECOND,
    audio_codec: str = "aac",
) -> bytes:  # fmt: skip
    """Encode clips, as one `mosaic`, with H.264 and AAC, which every browser but a few plays, or with MP3.

    audio_codec: "aac" or "mp3". The notebooks of VS Code play MP3 in an mp4, but neither AAC nor webm's Opus
    (github.com/microsoft/vscode/issues/162062, read in November 2026).
    """
    frames = _enlarged_mosaic(video, scale)
    quality = {"crf": "18", "preset": "veryfast"}  # half the time, files 4 % larger
    sound = {"aac": "aac", "mp3": "libmp3lame"}[audio_codec]
    return _encode(frames, audio, fps, "mp4", "libx264", quality, sound)


def encode_webm(
    video: Clips, audio: Array | None = None, scale: int = 0, fps: int = FRAMES_PER_SECOND
) -> bytes:
    """Encode clips, as one `mosaic`, with VP9 and Opus: free formats, which those few play."""
    frames, quality = _enlarged_mosaic(video, scale), {"crf": "24", "b": "0", "cpu-used": "5"}
    return _encode(frames, audio, fps, "webm", "libvpx-vp9", quality, "libopus")


def encode_apng(video: Clips, scale: int = 0, fps: int = FRAMES_PER_SECOND) -> bytes:
    """Encode clips, as one `mosaic`, without loss and without sound; equal frames are merged."""
    first, *rest = [Pillow.fromarray(frame) for frame in _enlarged_mosaic(video, scale)]
    file = io.BytesIO()
    first.save(file, "PNG", save_all=True, append_images=rest, duration=1000 / fps, loop=0)
    return file.getvalue()


def _encode(
    frames: np.ndarray, audio: Array | None, fps: int,
    container: str, codec: str, quality: dict[str, str], audio_codec: str,
) -> bytes:  # fmt: skip
    if not 0 < fps < math.inf or fps != int(fps):
        raise ValueError(f"fps={fps}: give a whole number of frames a second, from 1.")
    sound = None if audio is None else _sound(audio, seconds=len(frames) / fps)
    # Both codecs store colour for squares of 2 by 2 pixels, so the sides must be even.
    frames = np.pad(frames, [(0, 0), *((0, side % 2) for side in frames.shape[1:3]), (0, 0)], "edge")
    file = io.BytesIO()
    # bitexact, and one thread: the same clip gives the same bytes.
    with av.open(file, "w", format=container, options={"fflags": "bitexact"}) as output:
        track = output.add_stream(codec, rate=fps, options=quality)
        track.height, track.width = frames.shape[1:3]
        track.pix_fmt = "yuv420p"
        track.codec_context.thread_count = 1
        track.codec_context.colorspace = 6  # SMPTE 170M, which the conversion uses; else guessed
        sounds = output.add_stream(audio_codec, rate=48000, layout="mono") if audio is not None else None
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
    scale: int = 0, fps: int = FRAMES_PER_SECOND,
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
        raise ValueError(
            f"cannot save {path.name!r}: the name must end in {', '.join(encoders)}, as clip.mp4 does."
        )
    return encoders[path.suffix.lower()]


def pixels(video: Array) -> np.ndarray:
    """Turn values in [-1, 1] into uint8 of the same shape: -1 is 0, 0 is 128, 1 is 255.

    What lies outside is clamped. Raises ValueError for integers, for values that look like
    0 to 255, and for values that are not finite.
    """
    values = to_floats(video)
    if values.size and values.min() >= 0 and values.max() > 2:
        raise ValueError(
            f"pixels need values in [-1, 1], got {values.min():g} to {values.max():g}: "
            "divide by 127.5 and subtract 1."
        )
    return np.clip(np.round((values + 1) * 127.5), 0, 255).astype(np.uint8)


def to_floats(values: Array) -> np.ndarray:
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


def as_clips(videos: Clips) -> list[np.ndarray]:
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


def _sound(audio: Array, seconds: float) -> np.ndarray:
    """Mix sounds into one, (s,), and see that it lasts as long as the picture."""
    waves = to_floats(audio)
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
    frames = as_clips(mosaic(video))[0]
    require_counts(scale=scale)
    short, long = sorted(frames.shape[1:3])
    scale = scale or max(1, min(math.ceil(256 / short), 960 // long))
    require_size(scale * long)
    return enlarge(frames, scale)


def require_counts(**counts: int) -> None:
    """Raise ValueError for a count that is none; 0 leaves the choice to the function."""
    for name, count in counts.items():
        if count < 0 or count != int(count):
            raise ValueError(f"{name}={count}: give a whole number from 1, or leave it out.")


def require_size(long: int) -> None:
    """Raise ValueError where the long side of a picture has more pixels than a video can have."""
    if long > MAX_SIDE:
        raise ValueError(f"a video {long:,} pixels long: at most {MAX_SIDE:,} fit into a file.")


def enlarge(frames: np.ndarray, scale: int) -> np.ndarray:
    """Make each pixel a crisp square of scale by scale: (f, h, w, 3)."""
    return frames.repeat(scale, axis=1).repeat(scale, axis=2)
