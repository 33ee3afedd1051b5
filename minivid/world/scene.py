"""A scene: which digits are there, how they move, what the camera and the light do.

A `Scene` holds everything that happens, so that picture, sound and caption are three views of one
truth. Motion is exact: a digit flies straight, is mirrored at the walls, and the time of every hit
is a fraction solved for, never stepped to. What a caption can say of a scene is its `Description`.

Lengths are in units of the room's short side, the origin is the room's centre, y grows downwards as
in a picture. Times are in seconds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

FRAMES_PER_SECOND = 8
SAMPLE_RATE = 8192
SAMPLES_PER_FRAME = SAMPLE_RATE // FRAMES_PER_SECOND

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
    speed: short sides a second; height and width of the box; hand: seed of the handwriting.
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
        for body in self.bodies:
            for side, at, size in zip(
                self.room, body.start, (body.width, body.height), strict=True
            ):
                if abs(at) > (side - size) / 2 + 1e-9:
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
        """Every wall hit in [0, duration), in order of time."""
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


@dataclass(frozen=True)
class World:
    """Which scenes may be drawn: how many digits, which words, and how often a digit hums."""

    counts: tuple[int, ...] = (1, 2)
    cameras: tuple[str, ...] = CAMERAS
    lights: tuple[str, ...] = LIGHTS
    styles: tuple[str, ...] = STYLES
    hums: float = 0.3


FULL = World()
EASY = World(counts=(1,), cameras=("still",), lights=("steady",), styles=("filled",), hums=0.0)


def draw_scenes(
    n: int,
    seed: int | torch.Generator,
    world: World = EASY,
    room: tuple[float, float] = (1.0, 1.0),
    descriptions: Sequence[Description] | None = None,
) -> list[Scene]:
    """Draw n random scenes. The same seed gives the same scenes on every platform.

    descriptions: what must be so in each scene, one a scene; what they leave unsaid is drawn from `world`.
    """
    if descriptions is not None and len(descriptions) != n:
        raise ValueError(f"{len(descriptions)} descriptions for {n} scenes: give one for each.")
    generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
    table = torch.rand(n, 64, generator=generator, dtype=torch.float64).tolist()
    asked = descriptions or [None] * n
    return [_draw_scene(_Draws(row), world, room, a) for row, a in zip(table, asked, strict=True)]


def frame_times(frames: int) -> Tensor:
    """When each frame is shown: (frames,) seconds, the middle of the eighth of a second it stays on.

    Raises ValueError where `frames` is not 1 + 4k, the counts that fit a causal video codec.
    """
    if frames < 1 or frames % 4 != 1:
        below = max(1, (frames - 1) // 4 * 4 + 1)
        raise ValueError(
            f"{frames} frames: a clip has 1 + 4k of them (1, 5, 9, 13, 17, …). Try {below} or {below + 4}."
        )
    return (torch.arange(frames, dtype=torch.float64) + 0.5) / FRAMES_PER_SECOND


class _Draws:
    """A row of uniform numbers, handed out one at a time."""

    def __init__(self, row: list[float]):
        self._next = iter(row)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * next(self._next)

    def among(self, choices):
        return choices[int(next(self._next) * len(choices))]


def _draw_scene(draws: _Draws, world: World, room, asked: Description | None) -> Scene:
    count = draws.among(world.counts)
    if asked is None:
        asked = Description((Subject(),) * count)
    camera, light, style = (
        draws.among(words) for words in (world.cameras, world.lights, world.styles)
    )
    taken = [subject.colour for subject in asked.subjects if subject.colour]
    bodies = []
    for subject in asked.subjects:
        free = [colour for colour in COLOURS if colour not in taken]
        colour = draws.among(free)
        body = _draw_body(draws, subject, colour, world, room, len(asked.subjects), bodies)
        taken.append(body.colour)
        bodies.append(body)
    return Scene(
        tuple(bodies), asked.camera or camera, asked.light or light, asked.style or style, room
    )


def _draw_body(
    draws: _Draws, asked: Subject, colour: str, world: World, room, count, others
) -> Body:
    digit = draws.among(DIGITS) if asked.digit is None else asked.digit
    heading = draws.among(tuple(HEADINGS))
    hums = draws.between(0, 1) < world.hums
    hum = Hum(draws.between(0.6, 1.4), draws.between(0, 1))
    height = draws.between(0.40, 0.46) if count == 1 else draws.between(0.36, 0.42)
    body = Body(
        digit=digit,
        colour=asked.colour or colour,
        heading=asked.heading or heading,
        start=(0.0, 0.0),
        speed=draws.between(0.3, 0.6),
        angle=draws.between(-15, 15),
        height=height,
        width=height * (draws.between(0.40, 0.55) if digit == 1 else draws.between(0.60, 0.80)),
        hum=hum if (hums if asked.hums is None else asked.hums) else None,
        hand=int(draws.between(0, 2**31)),
    )
    ranges = [
        _start_range(side, size, v)
        for side, size, v in zip(room, (body.width, body.height), body.velocity, strict=True)
    ]
    tries = [tuple(draws.between(*r) for r in ranges) for _ in range(8 if others else 1)]
    start = max(tries, key=lambda at: min((_gap(at, body, other) for other in others), default=0.0))
    return Body(**{f.name: getattr(body, f.name) for f in fields(Body)} | {"start": start})


def _start_range(side: float, size: float, velocity: float) -> tuple[float, float]:
    """Where a centre may start so that no wall is met within the quiet start."""
    free, run = (side - size) / 2, velocity * QUIET_START
    return -free + max(0.0, -run), free - max(0.0, run)


def _gap(start, body: Body, other: Body) -> float:
    """The least distance between two boxes at the start and at the end of the quiet start."""
    gaps = []
    for seconds in (0.0, QUIET_START):
        apart = [
            abs(a + va * seconds - b - vb * seconds) - (size_a + size_b) / 2
            for a, va, b, vb, size_a, size_b in zip(
                start, body.velocity, other.start, other.velocity,
                (body.width, body.height), (other.width, other.height), strict=True,
            )
        ]  # fmt: skip
        gaps.append(max(apart))
    return min(gaps)


def _axis(scene: Scene, body: Body, axis: int) -> tuple[float, float, float, float]:
    """Lowest centre, free length, start above the lowest, and velocity, along x (0) or y (1)."""
    length = scene.room[axis] - (body.width, body.height)[axis]
    return -length / 2, length, body.start[axis] + length / 2, body.velocity[axis]


def _allow(what: str, word, allowed) -> None:
    if word is not None and word not in allowed:
        raise ValueError(f"{what} {word!r} is unknown. Allowed: {', '.join(map(str, allowed))}.")
