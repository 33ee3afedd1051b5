"""Knobs to turn: small ipywidgets panels, each a picture that answers at once.

A panel is made of the library's own functions and nothing else; what it shows can be had in a cell
without it. Where widgets do not run (a code host, a printed page) a figure stands beside the panel.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import ipywidgets
import torch
from torch import Tensor

from minivid import diffusion, show
from minivid.world import captions, render, scene, sound


def scene_builder() -> ipywidgets.Widget:
    """A panel that builds a scene, and redraws and replays it at every change.

    Picture, sound and sentence are three views of the same scene.
    """
    knobs = {
        "digit": ipywidgets.IntSlider(3, 0, 9, description="digit"),
        "colour": ipywidgets.Dropdown(options=list(scene.COLOURS), description="colour"),
        "heading": ipywidgets.Dropdown(options=list(scene.HEADINGS), description="heading"),
        "speed": ipywidgets.FloatSlider(0.5, min=0.1, max=1.2, step=0.1, description="speed"),
        "hand": ipywidgets.IntSlider(0, 0, 20, description="handwriting"),
        "hums": ipywidgets.Checkbox(False, description="hums"),
        "camera": ipywidgets.Dropdown(options=scene.CAMERAS, description="camera"),
        "light": ipywidgets.Dropdown(options=scene.LIGHTS, description="light"),
        "style": ipywidgets.Dropdown(options=scene.STYLES, description="style"),
    }
    sentence, hits = ipywidgets.Label(), ipywidgets.Label()
    strip = ipywidgets.Image(format="png", layout={"max_width": "100%"})
    player = ipywidgets.Video(format="webm", autoplay=True, loop=False, width="256")

    def redraw(change=None):
        built = build_scene(**{name: knob.value for name, knob in knobs.items()})
        video, audio = render.video([built]), sound.audio([built])
        sentence.value = captions.write(built.describe())
        times = ", ".join(f"{hit.seconds:.2f} s ({hit.wall})" for hit in built.hits(17 / 8))
        hits.value = f"wall hits: {times or 'none in these two seconds'}"
        strip.value = show.film_strip(video, alt=sentence.value).png()
        player.value = show.encode_webm(video, audio)

    _react(knobs.values(), redraw)
    left = ipywidgets.VBox(list(knobs.values()))
    return ipywidgets.VBox([ipywidgets.HBox([left, player]), sentence, hits, strip])


def build_scene(
    digit: int, colour: str, heading: str, speed: float, hand: int, hums: bool,
    camera: str, light: str, style: str,
) -> scene.Scene:  # fmt: skip
    """One digit that starts on the far side of the room and flies along its heading."""
    angle = math.radians(scene.HEADINGS[heading])
    start = (-0.22 * math.cos(angle), -0.22 * math.sin(angle))
    hum = scene.Hum(rate=1.0, phase=0.0) if hums else None
    body = scene.Body(digit, colour, heading, start, speed, 8.0, hum=hum, hand=hand)
    return scene.Scene((body,), camera, light, style)


def noise_slider(
    predict: Callable[[Tensor, Tensor], Tensor],
    clean: Tensor,
    path: diffusion.Path,
    predicts: diffusion.Predicts,
    seed: int = 0,
) -> ipywidgets.Widget:
    """A panel with one knob, the noise level: x_t, the clean picture seen in it, and the error.

    predict: a network with its condition, (x_t, t) -> its prediction; clean: (b, 3, h, w).
    """
    level = ipywidgets.FloatSlider(0.5, min=0.02, max=0.98, step=0.04, description="noise t")
    picture = ipywidgets.Image(format="png", layout={"max_width": "100%"})
    error = ipywidgets.Label()

    def redraw(change=None):
        rows, size = look_through(predict, clean, level.value, path, predicts, seed)
        names = ("x_t", "seen in it", "error")
        words = [name if i == 0 else "" for name in names for i in range(len(clean))]
        figure = show.grid(torch.cat(rows), words, columns=len(clean))
        picture.value = figure.png()
        error.value = f"mean squared error of the picture seen: {size:.4f}"

    _react([level], redraw)
    return ipywidgets.VBox([level, error, picture])


def step_slider(walk: Sequence[diffusion.Step], captions: Sequence[str]) -> ipywidgets.Widget:
    """A panel with one knob, how far the denoising is: the noisy frames, and the clean ones seen in them.

    walk: the steps of `diffusion.sample` on clips (b, 3, f, h, w); captions: one a clip.
    """
    knob = ipywidgets.IntSlider(1, 1, len(walk), description="step")
    strip = ipywidgets.Image(format="png", layout={"max_width": "100%"})
    level = ipywidgets.Label()

    def redraw(change=None):
        step = walk[knob.value - 1]
        rows = torch.cat([step.x_t, step.clean]).clamp(-1, 1)
        words = [f"{what}: {word}" for what in ("x_t", "seen in it") for word in captions]
        strip.value = show.film_strip(rows, words).png()
        level.value = f"after {knob.value} of {len(walk)} steps, t = {step.t:.2f}"

    _react([knob], redraw)
    return ipywidgets.VBox([knob, level, strip])


def choice_slider(
    choices: Mapping[str, Tensor], captions: Sequence[str], name: str
) -> ipywidgets.Widget:
    """A panel that leafs through clips made beforehand: {a knob's value: clips (b, 3, f, h, w)}."""
    knob = ipywidgets.SelectionSlider(options=list(choices), description=name)
    strip = ipywidgets.Image(format="png", layout={"max_width": "100%"})

    def redraw(change=None):
        strip.value = show.film_strip(choices[knob.value], captions).png()

    _react([knob], redraw)
    return ipywidgets.VBox([knob, strip])


def sound_slider(
    guesses: Sequence[tuple[Tensor, Tensor]], hits: Sequence[float]
) -> ipywidgets.Widget:
    """A panel with one knob, how far the denoising is: the clip that is seen, and heard, in the noise.

    guesses: of each step, clips (b, 3, f, h, w) and their sounds (b, s), of which the first is shown; hits:
    seconds at which the finished picture shows a wall hit.
    """
    knob = ipywidgets.IntSlider(1, 1, len(guesses), description="step")
    player = ipywidgets.Video(format="webm", autoplay=False, loop=False, width="256")
    wave = ipywidgets.Image(format="png", layout={"max_width": "100%"})

    def redraw(change=None):
        video, audio = guesses[knob.value - 1]
        player.value = show.encode_webm(video[:1], audio[:1])
        wave.value = show.waveform(audio[0], hits).png()

    _react([knob], redraw)
    return ipywidgets.VBox([knob, ipywidgets.HBox([player, wave])])


@torch.no_grad()
def look_through(
    predict: Callable[[Tensor, Tensor], Tensor], clean: Tensor, t: float,
    path: diffusion.Path, predicts: diffusion.Predicts, seed: int = 0,
) -> tuple[list[Tensor], float]:  # fmt: skip
    """x_t, the clean picture seen in it, and how far off it is, in [-1, 1]; and the squared error."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    levels = torch.full((len(clean),), t)
    x_t = diffusion.mix(path, clean, noise, levels)
    seen = diffusion.views(path, predicts, predict(x_t, levels), x_t, levels).clean
    off = (seen - clean).abs().clamp(0, 2) - 1
    return [x_t.clamp(-1, 1), seen.clamp(-1, 1), off], (seen - clean).square().mean().item()


def _react(knobs, redraw: Callable) -> None:
    """Redraw at every change of a knob, and once now."""
    for knob in knobs:
        knob.observe(redraw, names="value")
    redraw()
