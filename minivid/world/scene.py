"""A scene: which digits are there, how they move, what the camera and the light do.

A `Scene` holds everything that happens, so that picture, sound and caption are three views of one truth.
Motion is exact: a digit flies straight, is mirrored at the walls, and the time of every hit is solved for,
never stepped to. What a caption can say of a scene is its `Description`.

Lengths are in units of the room's short side, the origin is its centre, y grows downwards; times in seconds.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from minivid.formats import FRAMES_PER_SECOND
from minivid.world import glyphs

DIGITS = tuple(range(10))
COLOURS = {
    "red": (1.0, 0.22, 0.20),
    "yellow": (1.0, 0.90, 0.15),
    "green": (0.20, 0.85, 0.25),
    "cyan": (0.15, 0.90, 0.95),
    "blue": (0.25, 0.40, 1.0),
    "purple": (0.85, 0.30, 0.95),
}
HEADINGS = {"right": 0.0, "down": 90.0, "left": 180.0, "up": 270.0}  # degrees, clockwise as seen
CAMERAS = ("still", "pan left", "pan right", "pan up", "pan down", "zoom in", "zoom out",
           "track", "from above")  # fmt: skip
LIGHTS = ("steady", "brightens", "dims")
STYLES = ("filled", "outlined")
SLOW_MOTION = 0.5  # how fast time runs in slow motion
PUSHES = {"none": (0, 0), "left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
PUSH = 0.15  # short sides a second that one push adds to a digit's velocity
MAX_SPEED = 20.0  # short sides a second
ASPECTS = 0.32, 1.4  # of a box, width by height: narrower than a pen, or wider than what is drawn, is none
FASTEST = 1.2  # short sides a second, along each axis, beyond which no push takes a digit

QUIET_START = 0.5  # seconds before the first hit: four frames in which a viewer can read the heading


@dataclass(frozen=True)
class Subject:
    """What a caption can say of one digit; None is left unsaid."""

    digit: int | None = None
    colour: str | None = None
    heading: str | None = None
    hums: bool | None = None
    followed: bool | None = None  # by a camera that tracks it


@dataclass(frozen=True)
class Description:
    """What a caption can say of a scene; None is left unsaid."""

    subjects: tuple[Subject, ...] = (Subject(),)
    camera: str | None = None
    light: str | None = None
    style: str | None = None
    slow_motion: bool | None = None

    def __post_init__(self):
        if len(self.subjects) not in (1, 2):
            raise ValueError(f"{len(self.subjects)} digits described: a scene has one or two.")
        for subject in self.subjects:
            _allow("digit", subject.digit, DIGITS)
            _allow("colour", subject.colour, COLOURS)
            _allow("heading", subject.heading, HEADINGS)
        colours = [subject.colour for subject in self.subjects if subject.colour]
        if len(set(colours)) < len(colours):
            raise ValueError(
                f"both digits are {colours[0]}: give them different colours, it tells them apart."
            )
        followed = sum(bool(subject.followed) for subject in self.subjects)
        if followed > (self.camera == "track"):
            raise ValueError(
                f"{followed} digits followed by a camera that is {self.camera!r}: one at most can be, by "
                "one that is 'track'."
            )
        _allow("camera", self.camera, CAMERAS)
        _allow("light", self.light, LIGHTS)
        _allow("style", self.style, STYLES)


@dataclass(frozen=True)
class Hum:
    """A tone that swells and fades: loudness between 0.4 and 1, `rate` times a second."""

    rate: float
    phase: float

    def loudness(self, seconds: Tensor) -> Tensor:
        """Loudness in [0.4, 1] at each of `seconds`; the digit's brightness is the same number."""
        return 0.7 + 0.3 * torch.sin(2 * math.pi * (self.rate * seconds + self.phase))


@dataclass(frozen=True)
class Body:
    """One digit in motion. Its ink touches all four sides of its box: a wall hit is a contact you see.

    start: centre of the box at 0 s; angle: degrees by which the flight leans off the heading;
    speed: short sides a second; height and width of the box; hand: seed of the handwriting. pushes: a key of
    PUSHES for each frame, which adds PUSH to the velocity when the frame begins, up to FASTEST. glyph:
    strokes to be drawn in place of the digit, whose note it keeps, see `glyphs.drawn`. Raises ValueError for
    what cannot be.
    """

    digit: int
    colour: str
    heading: str
    start: tuple[float, float]
    speed: float = 0.4
    angle: float = 0.0
    height: float = 0.42
    width: float = 0.28
    hum: Hum | None = None
    hand: int = 0
    pushes: tuple[str, ...] = ()
    glyph: tuple[tuple[tuple[float, float], ...], ...] | None = None

    def __post_init__(self):
        _require("digit", self.digit, DIGITS)
        _require("colour", self.colour, COLOURS)
        _require("heading", self.heading, HEADINGS)
        sizes = {"speed": self.speed, "height": self.height, "width": self.width}
        if bad := [f"{name} {n}" for name, n in sizes.items() if not 0 <= n < math.inf]:
            raise ValueError(f"{', '.join(bad)}: allowed are finite numbers from 0.")
        if self.speed > MAX_SPEED:
            raise ValueError(f"speed {self.speed}: allowed are 0 to {MAX_SPEED} short sides a second.")
        low, high = ASPECTS
        if self.height and not low <= self.width / self.height <= high:
            raise ValueError(
                f"a box of {self.width} by {self.height}: a width is {low} to {high} times the height."
            )
        if self.glyph is not None:
            glyphs.require_strokes(self.glyph)
        for push in self.pushes:
            _require("push", push, PUSHES)
        if not abs(self.angle) <= 45:
            raise ValueError(f"an angle of {self.angle}°: it leans off the heading by 45° at most.")

    @property
    def velocity(self) -> tuple[float, float]:
        """Velocity at 0 s, in short sides a second."""
        angle = math.radians(HEADINGS[self.heading] + self.angle)
        return self.speed * math.cos(angle), self.speed * math.sin(angle)


class Hit(NamedTuple):
    """A digit touches a wall: when, which of the scene's bodies, and which wall."""

    seconds: float
    body: int
    wall: str


@dataclass(frozen=True)
class Scene:
    """Everything that happens in a clip. Bodies are listed front to back; room is (width, height).

    tracked: which body a camera that is "track" follows; camera_path: for each frame where the camera points
    in the room and how much of its short side it sees, (x, y, view), in place of what `camera` says.
    slow_motion: motion, hums and the notes' decay take twice as long.
    """

    bodies: tuple[Body, ...]
    camera: str = "still"
    light: str = "steady"
    style: str = "filled"
    room: tuple[float, float] = (1.0, 1.0)
    slow_motion: bool = False
    tracked: int | None = None
    camera_path: tuple[tuple[float, float, float], ...] | None = None

    def __post_init__(self):
        if self.tracked not in (range(len(self.bodies)) if self.camera == "track" else (None,)):
            raise ValueError(
                f"camera={self.camera!r} and tracked={self.tracked}: a camera that is 'track' follows one of "
                f"the bodies, 0 to {len(self.bodies) - 1}; any other follows none, None."
            )
        self.describe()  # checks every word
        for what, word, allowed in (
            ("camera", self.camera, CAMERAS),
            ("light", self.light, LIGHTS),
            ("style", self.style, STYLES),
        ):
            _require(what, word, allowed)
        if self.camera_path == ():
            raise ValueError("an empty camera path: give (x, y, view) for each frame, or None.")
        for x, y, view in self.camera_path or ():
            if not (math.isfinite(x + y) and 0 < view < math.inf):
                raise ValueError(f"a camera at ({x}, {y}) that sees {view}: give finite numbers.")
        for body in self.bodies:
            for side, at, size in zip(self.room, body.start, (body.width, body.height), strict=True):
                if not 0 < size < side:
                    raise ValueError(f"a {body.digit} of {size} in a room of {side}: it must fit in.")
                if not abs(at) <= (side - size) / 2 + 1e-9:
                    raise ValueError(
                        f"the {body.digit} starts at {body.start}, outside the room: its centre must "
                        f"lie within ±{(side - size) / 2:.3f} along that side."
                    )

    @property
    def rate(self) -> float:
        """Seconds that pass in the room in a second of the clip."""
        return SLOW_MOTION if self.slow_motion else 1.0

    def describe(self) -> Description:
        """All that a caption can say of this scene: of a glyph not which digit, of a path no camera."""
        camera = None if self.camera_path else self.camera
        subjects = (
            Subject(
                None if body.glyph else body.digit,
                body.colour,
                body.heading,
                body.hum is not None,
                camera == "track" and index == self.tracked,
            )
            for index, body in enumerate(self.bodies)
        )
        return Description(tuple(subjects), camera, self.light, self.style, self.slow_motion)

    def positions(self, seconds: Tensor) -> Tensor:
        """Centres of the digits: seconds (f,) -> (bodies, f, 2), float64, exact at any time."""
        axes = [_axis(self, body, axis) for body in self.bodies for axis in (0, 1)]
        most = max(len(axis.legs) for axis in axes)
        legs = [axis.legs + axis.legs[-1:] * (most - len(axis.legs)) for axis in axes]
        since, start, velocity = torch.tensor(legs, dtype=torch.float64).unbind(-1)
        length = torch.tensor([[axis.length] for axis in axes], dtype=torch.float64)
        times = self.rate * seconds.double().expand(len(axes), -1)
        which = torch.searchsorted(since[:, 1:].contiguous(), times.contiguous(), right=True)
        since, start, velocity = (x.gather(1, which) for x in (since, start, velocity))
        unfolded = start + velocity * (times - since)
        folded = length - (unfolded.remainder(2 * length) - length).abs()
        return (folded - length / 2).reshape(len(self.bodies), 2, -1).transpose(1, 2)

    def hits(self, duration: float) -> list[Hit]:
        """Every wall hit in [0, duration), in order of time. Raises ValueError for an endless duration."""
        if not math.isfinite(duration):
            raise ValueError(f"the hits of {duration} seconds: give a finite number.")
        found = []
        for index, body in enumerate(self.bodies):
            for axis, walls in enumerate((("left", "right"), ("top", "bottom"))):
                length, legs = _axis(self, body, axis)
                ends = [*(since for since, *_ in legs[1:]), self.rate * duration]
                for leg, end in zip(legs, ends, strict=True):
                    for seconds, k in _wall_times(length, *leg, min(end, self.rate * duration)):
                        found.append(Hit(seconds / self.rate, index, walls[k % 2]))
        return sorted(found)


class _Axis(NamedTuple):
    """Flight along x or y: the free length, and each leg between pushes (since, start from low, velocity)."""

    length: float
    legs: list[tuple[float, float, float]]


def _axis(scene: Scene, body: Body, axis: int) -> _Axis:
    """The flight of a body along x (0) or y (1), in the room's own time."""
    length = scene.room[axis] - (body.width, body.height)[axis]
    start, velocity = body.start[axis] + length / 2, body.velocity[axis]
    legs = [(0.0, start, velocity)]
    for frame, push in enumerate(body.pushes):
        if kick := PUSH * PUSHES[push][axis]:
            since, start, velocity = legs[-1]
            seconds = scene.rate * frame / FRAMES_PER_SECOND
            phase = (start + velocity * (seconds - since)) % (2 * length)
            turned = velocity if phase <= length else -velocity  # it may have been turned round
            bound = max(FASTEST, abs(turned))
            pushed = min(bound, max(-bound, turned + kick))
            legs.append((seconds, min(phase, 2 * length - phase), pushed))
    return _Axis(length, legs)


def _wall_times(
    length: float, since: float, start: float, velocity: float, end: float
) -> Iterator[tuple[float, int]]:
    """When a leg meets a wall, before `end`, and which: the unfolded path crosses wall k at k lengths."""
    if velocity == 0:
        return
    k, step = (1, 1) if velocity > 0 else (0, -1)
    while (seconds := since + (k * length - start) / velocity) < end:
        yield seconds, k
        k += step


def _allow(what: str, word, allowed) -> None:
    if word is not None:
        _require(what, word, allowed)


def _require(what: str, word, allowed) -> None:
    if word not in allowed or isinstance(word, bool):
        raise ValueError(f"{what} {word!r} is unknown. Allowed: {', '.join(map(str, allowed))}.")
