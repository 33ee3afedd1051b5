"""The judge: a clip goes in, what a viewer would say is in it comes out.

What can be measured is measured: the camera and the light by holding the clip's grey parts against
empty rooms drawn by the simulator (see `room`), colours and positions by looking for each colour's ink, the
heading from where the ink goes in the first half second, slow motion from how fast it goes, a hum from
brightness that swells. Only "which digit is this, and is it filled or outlined?" takes a network, a small
one that sees a single colour's ink cut out of a frame. The judge is the world read backwards, so it is the
one network that knows the world.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from minivid import weights
from minivid.formats import frame_times, require_values
from minivid.measure import ink, motion, room
from minivid.measure.ink import CROP
from minivid.world import render
from minivid.world.scene import COLOURS, HEADINGS, QUIET_START, STYLES, Description, Subject

STAYS, MIDDLE = 0.03, 0.12  # short sides: a tracked digit moves less than this, and stays this near
BETTER = 3e-4  # by so much must tracking fit the room better than any other word
CLEAR = 0.85  # of a digit's usual area: with less of it in sight, its middle is elsewhere
SLOWEST = 0.275  # short sides a second: digits that are slower on average are in slow motion
WINDOW = 5  # frames in which a speed is measured
HUM_VARIATION = 0.13  # standard deviation over mean of a digit's brightness above which it hums


@dataclass(frozen=True)
class Observation:
    """What the judge saw in one clip. Subjects are those of `description`, most ink first.

    digits: (subjects, f), the digit read in each frame, -1 where it is hidden or cannot be named; positions:
    (subjects, f, 2) middles of the digits' boxes in the room; brightness: (subjects, f), 1 in full light;
    clear: (subjects, f), whether all of the digit can be seen; reach: (subjects, 2), how far its middle can
    go along x and y, which is the room's size less its own; camera_path: (f, 3), where the camera points in
    the room and how much of it it sees; shapes: (subjects, f, CROP, CROP), the ink around each position, in
    its own brightness.
    """

    description: Description
    digits: Tensor
    positions: Tensor
    brightness: Tensor
    clear: Tensor
    reach: Tensor
    camera_path: Tensor
    shapes: Tensor

    @property
    def identity(self) -> bool:
        """Whether every digit stays itself in all frames in which it can be seen, and is seen in half."""
        seen = self.digits >= 0
        alike = [len(set(row[there].tolist())) == 1 for row, there in zip(self.digits, seen, strict=True)]
        return all(alike) and bool((seen.float().mean(1) >= 0.5).all())


class Judge(nn.Module):
    """Reads clips. Its only learned part names the digit and the style of an ink crop."""

    def __init__(self, width: int = 32):
        super().__init__()
        self.features = nn.Sequential(
            *_stage(2, width), *_stage(width, 2 * width), *_stage(2 * width, 3 * width), nn.Flatten()
        )
        self.answer = nn.Linear(3 * width * (CROP // 8) ** 2, 10 + len(STYLES))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """crops: (n, 2, CROP, CROP) -> logits of the digit (n, 10) and of the style (n, 2)."""
        return self.answer(self.features(crops)).split([10, len(STYLES)], -1)

    @torch.no_grad()
    def read(self, video: Tensor) -> list[Observation]:
        """video: (b, 3, f, h, w) in [-1, 1] -> what is in each clip; f = 1 + 4k.

        It sees one digit at least, whatever the clip shows, and at most one of each colour: where a colour's
        ink is larger than any digit, as where there are two of it, that subject's digit is None. Raises
        ValueError where the shape or the number of frames does not fit, and for values that are not finite
        floats.
        """
        if video.ndim != 5 or video.shape[1] != 3 or not len(video):
            raise ValueError(f"clips of shape {tuple(video.shape)}: the judge reads (b, 3, f, h, w).")
        rgb = (require_values(video, "a clip") + 1) / 2
        seconds = frame_times(video.shape[2])
        inks = ink.find_ink(rgb.clamp(0, 1))
        clips, colours = ink.pick_colours(inks)
        own_ink = inks[clips, colours]
        offsets, area, brightness = ink.locate(own_ink)
        seen = see_room(rgb, clips, offsets)  # unclamped: clamped noise would brighten the dark
        centre, view = seen.centre[clips], seen.view[clips]
        area = area * view**2
        clear = area > CLEAR * area.quantile(0.8, 1, keepdim=True)
        middle, size = (part * view[..., None] for part in ink.boxes(own_ink, brightness))
        offset, size = (_usual(x, clear) for x in (middle - view[..., None] * offsets, size))
        positions = centre + view[..., None] * offsets + offset[:, None]
        reach = torch.tensor(render.room_for(*video.shape[-2:])) - size
        lit = render.light(seen.lights, seconds)[clips]
        others = inks[clips].sum(1) - own_ink
        crops = ink.crop_digits(own_ink, others, brightness, offsets, view)
        logits = self(crops.flatten(0, 1))
        digit, style = (x.log_softmax(-1).unflatten(0, own_ink.shape[:2]) for x in logits)
        visible = area > 0.35 * area.amax(1, keepdim=True)
        too_large = (size > ink.CROP_SIDE).any(-1)
        named = torch.where(visible & ~too_large[:, None], digit.argmax(-1), -1)
        digit = (digit * visible[..., None]).sum(1).argmax(-1)
        style = (style * visible[..., None]).sum(1)
        heading = _heading(positions, seconds, clear, reach)
        speed = _speed(positions, seconds)
        hums = _variation(brightness / lit, visible) > HUM_VARIATION

        words = zip(digit.tolist(), colours.tolist(), heading, hums.tolist(), strict=True)
        subjects = [
            Subject(None if too_large[k] else d, list(COLOURS)[c], way, hum, k in seen.tracked)
            for k, (d, c, way, hum) in enumerate(words)
        ]
        path = torch.cat([seen.centre, seen.view[..., None]], -1)
        found = []
        for clip, (camera, light) in enumerate(zip(seen.cameras, seen.lights, strict=True)):
            rows = (clips == clip).nonzero()[:, 0]
            of_all = camera, light, STYLES[style[rows].sum(0).argmax()], bool(speed[rows].mean() < SLOWEST)
            description = Description(tuple(subjects[k] for k in rows.tolist()), *of_all)
            parts = (named, positions, brightness / lit, clear, reach)
            found.append(
                Observation(description, *(part[rows] for part in parts), path[clip], crops[rows, :, 0])
            )
        return found

    @torch.no_grad()
    def read_portraits(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Close-ups (b, 3, h, w) in [-1, 1] -> digit (b,), colour (b,) as an index into COLOURS."""
        crops, colours = ink.portrait_crops(images)
        return self(crops)[0].argmax(-1), colours


def load_judge() -> Judge:
    """The shipped judge, who scores every other model."""
    return weights.load("judge", Judge())


def _stage(inputs: int, outputs: int) -> list[nn.Module]:
    layers = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1), nn.GroupNorm(8, outputs), nn.SiLU()]
    return [*layers, nn.MaxPool2d(2)]


class RoomView(NamedTuple):
    """What is seen of the room in b clips: words, and the camera's path, (b, f, 2) and (b, f).

    tracked: for each clip which of the subjects of all clips the camera follows, -1 for none.
    """

    cameras: list[str]
    lights: list[str]
    centre: Tensor
    view: Tensor
    tracked: list[int]


def see_room(rgb: Tensor, clips: Tensor, offsets: Tensor) -> RoomView:
    """The camera, its path and the light: rgb (b, 3, f, h, w); clips, offsets: of each subject.

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
    return RoomView(cameras, lights, *room.refine_path(grey, centre, view, lights), tracked)


def _heading(positions: Tensor, seconds: Tensor, clear: Tensor, reach: Tensor) -> list[str | None]:
    """The heading in the quiet start: (n, f, 2) -> n words; of a still, None.

    Of a digit that is not clear all that time it is that of the nearest lawful flight.
    """
    early = max(2, int((seconds < QUIET_START).sum()))
    if positions.shape[1] < 2:
        return [None] * len(positions)
    when = seconds[:early].float() - seconds[:early].float().mean()
    velocity = torch.einsum("nfd,f->nd", positions[:, :early].float(), when)
    hidden = ~clear[:, :early].all(1)
    if hidden.any() and positions.shape[1] > 4:
        some = (part[hidden] for part in (clear, reach))
        flight = motion.nearest_flight(positions[hidden], seconds, *some)
        velocity[hidden] = flight.velocity.float()
    angle = torch.rad2deg(torch.atan2(velocity[:, 1], velocity[:, 0]))
    compass = torch.tensor(list(HEADINGS.values()))
    away = (angle[:, None] - compass + 180).remainder(360) - 180
    return [list(HEADINGS)[i] for i in away.abs().argmin(1)]


def _usual(values: Tensor, clear: Tensor) -> Tensor:
    """The median over the frames in which a digit is clear: (n, f, 2), (n, f) -> (n, 2)."""
    values_where_clear = torch.where(clear[..., None] | ~clear.any(1)[:, None, None], values, math.nan)
    return values_where_clear.nanmedian(1).values


def _speed(positions: Tensor, seconds: Tensor) -> Tensor:
    """How fast digits fly, in short sides a second: (n, f, 2) -> (n,).

    Lines through WINDOW frames each, and of their velocities a high quantile: some are bent by a wall.
    """
    if positions.shape[1] < WINDOW:
        return torch.full((len(positions),), math.inf)
    when = seconds[:WINDOW].float() - seconds[:WINDOW].float().mean()
    windows = positions.unfold(1, WINDOW, 1)  # (n, windows, 2, WINDOW)
    velocities = windows @ (when / when.square().sum())
    return velocities.norm(dim=-1).quantile(0.75, 1)


def _variation(brightness: Tensor, visible: Tensor) -> Tensor:
    """Standard deviation over mean of a digit's brightness where it can be seen: (n, f) -> (n,)."""
    count = visible.sum(1).clamp(min=1)
    mean = (brightness * visible).sum(1) / count
    spread = ((brightness - mean[:, None]).square() * visible).sum(1) / count
    return spread.sqrt() / mean.clamp(min=1e-3)
