"""Small ipywidgets panels: a few sliders and a picture that follows them.

A panel is made of the library's own functions and nothing else; what it shows can be had in a cell
without it. Where widgets do not run (a code host, a printed page) a figure stands beside the panel.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import ipywidgets
import torch
from torch import Tensor

from minivid import diffusion, show
from minivid.formats import DEFAULT_FORMAT, FRAMES_PER_SECOND
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
        "slow_motion": ipywidgets.Checkbox(False, description="slow motion"),
    }
    sentence, hits = ipywidgets.Label(), ipywidgets.Label()
    strip = ipywidgets.Image(format="png", layout={"max_width": "100%"})
    player = ipywidgets.Video(format="mp4", autoplay=True, loop=False, width="256")

    def redraw(change=None):
        built = build_scene(**{name: knob.value for name, knob in knobs.items()})
        video, audio = render.video([built]), sound.audio([built])
        sentence.value = captions.write(built.describe())
        times = ", ".join(
            f"{hit.seconds:.2f} s ({hit.wall})"
            for hit in built.hits(DEFAULT_FORMAT.frames / FRAMES_PER_SECOND)
        )
        hits.value = f"wall hits: {times or 'none in these two seconds'}"
        strip.value = show.film_strip(video, alt=sentence.value).png()
        player.value = show.encode_mp4(video, audio, audio_codec="mp3")

    _react(knobs.values(), redraw)
    left = ipywidgets.VBox(list(knobs.values()))
    return ipywidgets.VBox([ipywidgets.HBox([left, player]), sentence, hits, strip])


def build_scene(
    digit: int, colour: str, heading: str, speed: float, hand: int, hums: bool,
    camera: str, light: str, style: str, slow_motion: bool = False,
) -> scene.Scene:  # fmt: skip
    """One digit that starts on the far side of the room and flies along its heading."""
    angle = math.radians(scene.HEADINGS[heading])
    start = (-0.22 * math.cos(angle), -0.22 * math.sin(angle))
    hum = scene.Hum(rate=1.0, phase=0.0) if hums else None
    body = scene.Body(digit, colour, heading, start, speed, 8.0, hum=hum, hand=hand)
    tracked = 0 if camera == "track" else None
    return scene.Scene((body,), camera, light, style, slow_motion=slow_motion, tracked=tracked)


def noise_slider(
    predict: Callable[[Tensor, Tensor], Tensor],
    clean: Tensor,
    path: diffusion.Path,
    predicts: diffusion.Predicts,
    seed: int = 0,
) -> ipywidgets.Widget:
    """A slider for the noise level: x_t, the clean picture predicted from it, and the error.

    predict: a network with its condition, (x_t, t) -> its prediction; clean: (b, 3, h, w).
    """
    level = ipywidgets.FloatSlider(0.5, min=0.02, max=0.98, step=0.04, description="noise t")
    picture = ipywidgets.Image(format="png", layout={"max_width": "100%"})
    label = ipywidgets.Label()

    def redraw(change=None):
        rows, error = predict_at(predict, clean, level.value, path, predicts, seed)
        names = ("x_t", "predicted", "error")
        labels = [name if i == 0 else "" for name in names for i in range(len(clean))]
        figure = show.grid(torch.cat(rows), labels, columns=len(clean))
        picture.value = figure.png()
        label.value = f"mean squared error of the prediction: {error:.4f}"

    _react([level], redraw)
    return ipywidgets.VBox([level, label, picture])


def step_slider(steps: Sequence[diffusion.Step], captions: Sequence[str]) -> ipywidgets.Widget:
    """A slider along the sampling trajectory: the noisy frames, and the clean ones predicted from them.

    steps: the steps of `diffusion.sample` on clips (b, 3, f, h, w); captions: one a clip.
    """
    knob = ipywidgets.IntSlider(1, 1, len(steps), description="step")
    strip = ipywidgets.Image(format="png", layout={"max_width": "100%"})
    level = ipywidgets.Label()

    def redraw(change=None):
        step = steps[knob.value - 1]
        rows = torch.cat([step.x_t, step.clean]).clamp(-1, 1)
        labels = [f"{what}: {word}" for what in ("x_t", "predicted") for word in captions]
        strip.value = show.film_strip(rows, labels).png()
        level.value = f"after {knob.value} of {len(steps)} steps, t = {step.t:.2f}"

    _react([knob], redraw)
    return ipywidgets.VBox([knob, level, strip])


def choice_slider(choices: Mapping[str, Tensor], captions: Sequence[str], name: str) -> ipywidgets.Widget:
    """A slider through clips made beforehand: {its value: clips (b, 3, f, h, w)}."""
    knob = ipywidgets.SelectionSlider(options=list(choices), description=name)
    strip = ipywidgets.Image(format="png", layout={"max_width": "100%"})

    def redraw(change=None):
        strip.value = show.film_strip(choices[knob.value], captions).png()

    _react([knob], redraw)
    return ipywidgets.VBox([knob, strip])


def sound_slider(predictions: Sequence[tuple[Tensor, Tensor]], hits: Sequence[float]) -> ipywidgets.Widget:
    """A slider along the sampling trajectory: the clean clip predicted from the noise, to see and to hear.

    predictions: of each step, clips (b, 3, f, h, w) and sounds (b, s), the first of which is shown; hits:
    seconds at which the finished picture shows a wall hit.
    """
    knob = ipywidgets.IntSlider(1, 1, len(predictions), description="step")
    player = ipywidgets.Video(format="mp4", autoplay=False, loop=False, width="256")
    wave = ipywidgets.Image(format="png", layout={"max_width": "100%"})

    def redraw(change=None):
        video, audio = predictions[knob.value - 1]
        player.value = show.encode_mp4(video[:1], audio[:1], audio_codec="mp3")
        wave.value = show.waveform(audio[0], hits).png()

    _react([knob], redraw)
    return ipywidgets.VBox([knob, ipywidgets.HBox([player, wave])])


@torch.no_grad()
def predict_at(
    predict: Callable[[Tensor, Tensor], Tensor], clean: Tensor, t: float,
    path: diffusion.Path, predicts: diffusion.Predicts, seed: int = 0,
) -> tuple[list[Tensor], float]:  # fmt: skip
    """x_t, the clean picture predicted, and how far off it is, in [-1, 1]; and the squared error."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))
    levels = torch.full((len(clean),), t)
    x_t = diffusion.add_noise(path, clean, noise, levels)
    output = predict(x_t, levels)
    found = diffusion.convert_prediction(path, predicts, output, x_t, levels).clean
    off = (found - clean).abs().clamp(0, 2) - 1
    return [x_t.clamp(-1, 1), found.clamp(-1, 1), off], (found - clean).square().mean().item()


def _react(knobs, redraw: Callable) -> None:
    """Redraw at every change of a knob, and once now."""
    for knob in knobs:
        knob.observe(redraw, names="value")
    redraw()
