"""The judge: a clip goes in, what a viewer would say is in it comes out.

What can be measured is measured: the camera and the light by holding the clip's grey parts against
empty rooms drawn by the simulator (see `room`), colours and positions by looking for each colour's ink, the
heading from where the ink goes in the first half second, slow motion from how fast it goes, a hum from
brightness that swells. Only "which digit is
this, and is it filled or outlined?" takes a network, a small one that sees a single colour's ink
cut out of a frame. The judge is the world read backwards, so it is the one network that knows the world.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from einops import repeat
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, grid_sample

from minivid import weights
from minivid.formats import frame_times
from minivid.measure import room
from minivid.world import render
from minivid.world.scene import (
    COLOURS,
    HEADINGS,
    QUIET_START,
    STYLES,
    Description,
    Subject,
)

CROP = 24  # pixels along a side of what the network sees
CROP_SIDE = 0.62  # short sides of the room that it sees
MIN_INK_AROUND = 0.05  # mean ink of a sixth of the frame around a pixel: less is noise
NOISE_AROUND = 0.45  # and this much of the usual noise on top
MIN_INK = 0.004  # of a frame of one short side squared: less is a stray edge, not a digit
MIN_SECOND_INK = 0.22  # of the first colour's ink: less is where two colours mix
STAYS, MIDDLE = 0.03, 0.12  # short sides: a tracked digit moves less than this, and stays this near
BETTER = 3e-4  # by so much must tracking fit the room better than any other word
CLEAR = 0.85  # of a digit's usual area: with less of it in sight, its middle is elsewhere
SLOWEST = 0.275  # short sides a second: digits that are slower on average are in slow motion
WINDOW = 5  # frames in which a speed is measured
HUM_VARIATION = 0.13  # standard deviation over mean of a digit's brightness above which it hums

_INKS = torch.tensor(list(COLOURS.values()))
_INKS = _INKS - _INKS.mean(1, keepdim=True)  # a colour less its grey: what light cannot change


@dataclass(frozen=True)
class Observation:
    """What the judge saw in one clip. Subjects are those of `description`, most ink first.

    digits: (subjects, f), the digit read in each frame, -1 where it is hidden; positions: (subjects, f, 2)
    centres of the ink in the room; brightness: (subjects, f), 1 in full light; clear: (subjects, f), whether
    all of the digit can be seen; camera_path: (f, 3), where the camera points in the room and how much of it it
    sees; shapes: (subjects, f, CROP, CROP), the ink around each position, in its own brightness.
    """

    description: Description
    digits: Tensor
    positions: Tensor
    brightness: Tensor
    clear: Tensor
    camera_path: Tensor
    shapes: Tensor

    @property
    def identity(self) -> bool:
        """Whether every digit stays itself in every frame in which it can be seen."""
        return all(len(set(row.tolist()) - {-1}) == 1 for row in self.digits)


class Judge(nn.Module):
    """Reads clips. Its only learned part names the digit and the style of an ink crop."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.features = nn.Sequential(
            *_stage(2, width),
            *_stage(width, 2 * width),
            *_stage(2 * width, 3 * width),
            nn.Flatten(),
        )
        self.answer = nn.Linear(3 * width * (CROP // 8) ** 2, 10 + len(STYLES))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """crops: (n, 2, CROP, CROP) -> logits of the digit (n, 10) and of the style (n, 2)."""
        return self.answer(self.features(crops)).split([10, len(STYLES)], -1)

    @torch.no_grad()
    def read(self, video: Tensor) -> list[Observation]:
        """video: (b, 3, f, h, w) in [-1, 1] -> what is in each clip; f = 1 + 4k.

        It names one digit at least, whatever the clip shows. Raises ValueError where the shape or the number
        of frames does not fit, and for values that are not finite.
        """
        if video.ndim != 5 or video.shape[1] != 3 or not len(video):
            raise ValueError(
                f"clips of shape {tuple(video.shape)}: the judge reads (b, 3, f, h, w)."
            )
        if not video.isfinite().all():
            raise ValueError(
                "the clip has values that are NaN or infinite: nothing can be read in it."
            )
        rgb = (video.float() + 1) / 2
        seconds = frame_times(video.shape[2])
        ink = find_ink(rgb.clamp(0, 1))
        clips, colours = pick_colours(ink)
        own_ink = ink[clips, colours]
        offsets, area, brightness = locate(own_ink)
        seen = see_room(rgb, clips, offsets, area)  # unclamped: clamped noise would brighten the dark
        centre, view = seen.centre[clips], seen.view[clips]
        positions, area = centre + view[..., None] * offsets, area * view**2
        lit = render.light(seen.lights, seconds)[clips]
        others = ink[clips].sum(1) - own_ink
        crops = crop_digits(own_ink, others, brightness, offsets, view)
        logits = self(crops.flatten(0, 1))
        digit, style = (x.log_softmax(-1).unflatten(0, own_ink.shape[:2]) for x in logits)
        visible = area > 0.35 * area.amax(1, keepdim=True)
        clear = area > CLEAR * area.quantile(0.8, 1, keepdim=True)
        named = torch.where(visible, digit.argmax(-1), -1)
        digit = (digit * visible[..., None]).sum(1).argmax(-1)
        style = (style * visible[..., None]).sum(1)
        heading = _heading(positions, seconds)
        speed = _speed(positions, seconds)
        hums = _variation(brightness / lit, visible) > HUM_VARIATION

        found = []
        for clip in range(len(video)):
            rows = (clips == clip).nonzero()[:, 0]
            subjects = tuple(
                Subject(
                    int(digit[r]),
                    list(COLOURS)[colours[r]],
                    heading[r],
                    bool(hums[r]),
                    int(r) == seen.tracked[clip],
                )
                for r in rows
            )
            words = Description(
                subjects,
                seen.cameras[clip],
                seen.lights[clip],
                STYLES[style[rows].sum(0).argmax()],
                bool(speed[rows].mean() < SLOWEST),
            )
            path = torch.cat([seen.centre[clip], seen.view[clip, :, None]], -1)
            found.append(
                Observation(
                    words,
                    named[rows],
                    positions[rows],
                    (brightness / lit)[rows],
                    clear[rows],
                    path,
                    crops[rows, :, 0],
                )
            )
        return found

    @torch.no_grad()
    def read_portraits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Close-ups (b, 3, h, w) in [-1, 1] -> digit (b,), colour (b,) as an index into COLOURS."""
        crops, colours = portrait_crops(images)
        return self(crops)[0].argmax(-1), colours


def load_judge() -> Judge:
    """The shipped judge, who scores every other model."""
    return weights.load("judge", Judge())


def _stage(inputs: int, outputs: int) -> list[nn.Module]:
    layers = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1), nn.GroupNorm(8, outputs), nn.SiLU()]
    return [*layers, nn.MaxPool2d(2)]


def find_ink(rgb: Tensor) -> Tensor:
    """How much ink of each colour lies on each pixel: (b, 3, ...) in [0, 1] -> (b, colours, ...).

    A pixel is a mix of grey and one ink, so what is left of it without its grey points along that ink's
    colour, by an amount that is coverage times brightness; each pixel counts for its nearest colour.
    A lone coloured pixel is noise: ink counts where its neighbourhood holds enough of it.
    """
    chroma = rgb - rgb.mean(1, keepdim=True)
    along = torch.einsum("kc,bc...->bk...", _INKS / _INKS.norm(dim=1, keepdim=True), chroma)
    strongest = along == along.amax(1, keepdim=True)
    size = _INKS.norm(dim=1).reshape(1, -1, *(1,) * (rgb.ndim - 2))
    ink = torch.where(strongest, along / size, 0.0).clamp(min=0)
    side = min(rgb.shape[-2:]) // 12 * 2 + 1
    around = avg_pool2d(ink.flatten(0, -3), side, 1, side // 2, count_include_pad=False)
    typical = ink.amax(1).flatten(1)[:, ::7].median(1).values  # most pixels are grey: this is noise
    least = MIN_INK_AROUND + NOISE_AROUND * typical.reshape(-1, *(1,) * (ink.ndim - 1))
    return torch.where(around.view_as(ink) > least, ink, 0.0)


def pick_colours(ink: Tensor) -> tuple[Tensor, Tensor]:
    """Which colours are really there: (b, colours, f, h, w) -> clip and colour of each subject.

    The colour with most ink, and a second one if it has enough. Ink counts as area, in its own
    brightness, so that a dim digit is not overlooked.
    """
    bright = _brightest(ink).amax(2, keepdim=True)
    area = (ink.sum((3, 4)) / bright.clamp(min=0.1)).mean(2) / min(ink.shape[-2:]) ** 2
    top, which = area.topk(2, dim=1)
    there = torch.ones_like(top, dtype=torch.bool)
    there[:, 1] = (top[:, 1] > MIN_SECOND_INK * top[:, 0]) & (top[:, 1] > MIN_INK)
    clips, rank = there.nonzero(as_tuple=True)
    return clips, which[clips, rank]


class Seen(NamedTuple):
    """What is seen of the room in b clips: words, and the camera's path, (b, f, 2) and (b, f).

    tracked: for each clip which of the subjects of all clips the camera follows, -1 for none.
    """

    cameras: list[str]
    lights: list[str]
    centre: Tensor
    view: Tensor
    tracked: list[int]


def see_room(rgb: Tensor, clips: Tensor, offsets: Tensor, area: Tensor) -> Seen:
    """The camera, its path and the light: rgb (b, 3, f, h, w); clips, offsets, area: of each subject.

    A camera tracks a digit that stays in the middle, if the room does not move as another word says.
    """
    grey = room.grey_parts(rgb)
    cameras, lights, error = room.fit_words(grey)
    centre, view = render.camera(cameras, frame_times(rgb.shape[2]))
    tracked = [-1] * len(rgb)
    spread = offsets.std(1).norm(dim=-1) if rgb.shape[2] > 1 else torch.ones(len(offsets))
    away = offsets.mean(1).norm(dim=-1)
    for subject in ((spread < STAYS) & (away < MIDDLE)).nonzero()[:, 0].tolist():
        clip = int(clips[subject])
        one = room.Grey(*(part[clip : clip + 1] for part in grey))
        path = room.search_path(one)
        light, _ = room.fit_light(one, *path)
        path = room.refine_path(one, *path, light)
        light, left = room.fit_light(one, *path)
        if error[clip] - left > BETTER:
            cameras[clip], (lights[clip],) = "track", light
            (centre[clip],), (view[clip],) = path
            tracked[clip], error[clip] = subject, left[0]
    return Seen(cameras, lights, *room.refine_path(grey, centre, view, lights), tracked)


def locate(own_ink: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where one colour's ink is in the frame: (n, f, h, w) -> offsets from the middle (n, f, 2), in short
    sides of the frame, area in the same unit and brightness (n, f).

    A frame without ink keeps the place of the nearest frame before it.
    """
    height, width = own_ink.shape[-2:]
    bright = _brightest(own_ink)
    mass = own_ink.sum((2, 3))
    x, y = ((torch.arange(n) + 0.5 - n / 2) / min(height, width) for n in (width, height))
    offsets = (
        torch.stack([own_ink.sum(2) @ x, own_ink.sum(3) @ y], -1) / mass.clamp(min=1e-6)[..., None]
    )
    for frame in range(1, offsets.shape[1]):
        hidden = mass[:, frame] < 1e-3
        offsets[hidden, frame] = offsets[hidden, frame - 1]
    return offsets, mass / bright.clamp(min=0.05) / min(height, width) ** 2, bright


def crop_digits(
    own_ink: Tensor, other_ink: Tensor, bright: Tensor, offsets: Tensor, view: Tensor
) -> Tensor:
    """Crop what the network sees around a digit: (n, f, h, w) -> (n, f, 2, CROP, CROP).

    The first channel is this colour's ink in its own brightness, the second whatever may hide it.
    The window has the same size in the room whatever the camera does.
    """
    n, frames, height, width = own_ink.shape
    short = min(height, width)
    scale = repeat(torch.tensor([short / width, short / height]), "xy -> n f xy", n=n, f=frames)
    offset = 2 * offsets * scale
    axis = ((torch.arange(CROP) + 0.5) / CROP - 0.5) * CROP_SIDE
    window = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    grid = (
        offset[:, :, None, None]
        + 2 * (window / view[..., None, None, None]) * scale[:, :, None, None]
    )
    channels = torch.stack([own_ink, other_ink], 2) / bright.clamp(min=0.05)[..., None, None, None]
    crops = grid_sample(channels.flatten(0, 1), grid.flatten(0, 1).float(), align_corners=False)
    return crops.clamp(0, 1).unflatten(0, (n, frames))


def portrait_crops(images: Tensor) -> tuple[Tensor, Tensor]:
    """Close-ups (b, 3, h, w) in [-1, 1] -> crops (b, 2, CROP, CROP) and colours (b,).

    The camera is known: the digit fills its usual share of the picture.
    """
    rgb = (images[:, :, None].float().clamp(-1, 1) + 1) / 2
    ink = find_ink(rgb)
    colours = ink.sum((2, 3, 4)).argmax(1)
    own_ink = ink[torch.arange(len(ink)), colours]
    view = torch.full((len(ink), 1), 0.43 / render.PORTRAIT_FILL)
    offsets, _, bright = locate(own_ink)
    others = ink.sum(1) - own_ink
    return crop_digits(own_ink, others, bright, offsets, view)[:, 0], colours


def _brightest(ink: Tensor) -> Tensor:
    """The brightness of ink that covers whole pixels: (..., h, w) -> (...), a high quantile of its pixels."""
    pixels = ink.flatten(-2)
    return pixels.topk(max(1, pixels.shape[-1] // 170), -1).values.mean(-1)


def _heading(positions: Tensor, seconds: Tensor) -> list[str]:
    """The heading in the quiet start: (n, f, 2) -> n words."""
    early = max(2, int((seconds < QUIET_START).sum()))
    if positions.shape[1] < 2:
        return ["right"] * len(positions)
    when = seconds[:early].float() - seconds[:early].float().mean()
    velocity = torch.einsum("nfd,f->nd", positions[:, :early].float(), when)
    angle = torch.rad2deg(torch.atan2(velocity[:, 1], velocity[:, 0]))
    compass = torch.tensor(list(HEADINGS.values()))
    away = (angle[:, None] - compass + 180).remainder(360) - 180
    return [list(HEADINGS)[i] for i in away.abs().argmin(1)]


def _speed(positions: Tensor, seconds: Tensor) -> Tensor:
    """How fast digits fly, in short sides a second: (n, f, 2) -> (n,).

    Lines through WINDOW frames each, and of their slopes a high quantile: some are bent by a wall.
    """
    if positions.shape[1] < WINDOW:
        return torch.full((len(positions),), math.inf)
    when = seconds[:WINDOW].float() - seconds[:WINDOW].float().mean()
    windows = positions.unfold(1, WINDOW, 1)  # (n, windows, 2, WINDOW)
    slopes = windows @ (when / when.square().sum())
    return slopes.norm(dim=-1).quantile(0.75, 1)


def _variation(brightness: Tensor, visible: Tensor) -> Tensor:
    """Standard deviation over mean of a digit's brightness where it can be seen: (n, f) -> (n,)."""
    count = visible.sum(1).clamp(min=1)
    mean = (brightness * visible).sum(1) / count
    spread = ((brightness - mean[:, None]).square() * visible).sum(1) / count
    return spread.sqrt() / mean.clamp(min=1e-3)
