"""A scene: which digits are there, how they move, what the camera and the light do.

A `Scene` holds everything that happens, so that picture, sound and caption are three views of one
truth. Motion is exact: a digit flies straight, is mirrored at the walls, and the time of every hit
is a fraction solved for, never stepped to. What a caption can say of a scene is its `Description`.

Lengths are in units of the room's short side, the origin is the room's centre, y grows downwards as
in a picture. Times are in seconds.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

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
CAMERAS = ("still", "pan left", "pan right", "pan up", "pan down", "zoom in", "zoom out")
LIGHTS = ("steady", "brightens", "dims")
STYLES = ("filled", "outlined")

QUIET_START = (
    0.5  # seconds before the first hit: four frames in which a viewer can read the heading
)


@dataclass(frozen=True)
class Subject:
    """What a caption can say of one digit; None is left unsaid."""

    digit: int | None = None
    colour: str | None = None
    heading: str | None = None
    hums: bool | None = None


@dataclass(frozen=True)
class Description:
    """What a caption can say of a scene; None is left unsaid."""

    subjects: tuple[Subject, ...] = (Subject(),)
    camera: str | None = None
    light: str | None = None
    style: str | None = None

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
    speed: short sides a second; height and width of the box; hand: seed of the handwriting. Raises ValueError
    for what cannot be.
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

    def __post_init__(self):
        _require("digit", self.digit, DIGITS)
        _require("colour", self.colour, COLOURS)
        _require("heading", self.heading, HEADINGS)
        sizes = {"speed": self.speed, "height": self.height, "width": self.width}
        if bad := [f"{name} {n}" for name, n in sizes.items() if not 0 <= n < math.inf]:
            raise ValueError(f"{', '.join(bad)}: allowed are finite numbers from 0.")
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
    """Everything that happens in a clip. Bodies are listed front to back; room is (width, height)."""

    bodies: tuple[Body, ...]
    camera: str = "still"
    light: str = "steady"
    style: str = "filled"
    room: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self):
        self.describe()  # checks every word
        for what, word, allowed in (
            ("camera", self.camera, CAMERAS),
            ("light", self.light, LIGHTS),
            ("style", self.style, STYLES),
        ):
            _require(what, word, allowed)
        for body in self.bodies:
            for side, at, size in zip(
                self.room, body.start, (body.width, body.height), strict=True
            ):
                if not 0 < size < side:
                    raise ValueError(
                        f"a {body.digit} of {size} in a room of {side}: it must fit in."
                    )
                if not abs(at) <= (side - size) / 2 + 1e-9:
                    raise ValueError(
                        f"the {body.digit} starts at {body.start}, outside the room: its centre must "
                        f"lie within ±{(side - size) / 2:.3f} along that side."
                    )

    def describe(self) -> Description:
        """All that a caption can say of this scene."""
        subjects = (Subject(b.digit, b.colour, b.heading, b.hum is not None) for b in self.bodies)
        return Description(tuple(subjects), self.camera, self.light, self.style)

    def positions(self, seconds: Tensor) -> Tensor:
        """Centres of the digits: seconds (f,) -> (bodies, f, 2), float64, exact at any time."""
        axes = [_axis(self, body, axis) for body in self.bodies for axis in (0, 1)]
        low, length, start, velocity = torch.tensor(axes, dtype=torch.float64).T.unsqueeze(-1)
        unfolded = start + velocity * seconds.double()
        folded = length - (unfolded.remainder(2 * length) - length).abs()
        return (low + folded).reshape(len(self.bodies), 2, -1).transpose(1, 2)

    def hits(self, duration: float) -> list[Hit]:
        """Every wall hit in [0, duration), in order of time. Raises ValueError for an endless duration."""
        if not math.isfinite(duration):
            raise ValueError(f"the hits of {duration} seconds: give a finite number.")
        found = []
        for index, body in enumerate(self.bodies):
            for axis, walls in enumerate((("left", "right"), ("top", "bottom"))):
                _, length, start, velocity = _axis(self, body, axis)
                if velocity == 0:
                    continue
                # The unfolded path crosses a wall at every multiple k of the free length.
                k = (
                    math.floor(start / length) + 1
                    if velocity > 0
                    else math.ceil(start / length) - 1
                )
                while (seconds := (k * length - start) / velocity) < duration:
                    found.append(Hit(seconds, index, walls[k % 2]))
                    k += 1 if velocity > 0 else -1
        return sorted(found)


def _axis(scene: Scene, body: Body, axis: int) -> tuple[float, float, float, float]:
    """Lowest centre, free length, start above the lowest, and velocity, along x (0) or y (1)."""
    length = scene.room[axis] - (body.width, body.height)[axis]
    return -length / 2, length, body.start[axis] + length / 2, body.velocity[axis]


def _allow(what: str, word, allowed) -> None:
    if word is not None:
        _require(what, word, allowed)


def _require(what: str, word, allowed) -> None:
    if word not in allowed or isinstance(word, bool):
        raise ValueError(f"{what} {word!r} is unknown. Allowed: {', '.join(map(str, allowed))}.")
