"""Scenes drawn at random: which world they are of, and how each is drawn from a seed.

The easy world has one filled digit, a still camera, steady light and no hum; the full world adds a second
digit, outlines, light, hums, pans and zooms; the directed world is the full one, some of whose scenes are
tracked, seen from above or in slow motion. The same seed gives the same scenes on every platform.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from minivid.formats import DEFAULT_FORMAT, frame_times
from minivid.world.render import VIEW
from minivid.world.scene import (
    CAMERAS,
    COLOURS,
    DIGITS,
    HEADINGS,
    LIGHTS,
    QUIET_START,
    STYLES,
    Body,
    Description,
    Hum,
    Scene,
    Subject,
)


@dataclass(frozen=True)
class World:
    """Which scenes may be drawn: how many digits, which words, and how often a digit hums.

    directed: share of scenes whose camera is drawn anew, from DIRECTED_CAMERAS; slow_motion: share in slow
    motion. Both are drawn last, so that all else of a seed's scenes is as in a world without.
    """

    counts: tuple[int, ...] = (1, 2)
    cameras: tuple[str, ...] = CAMERAS[:7]
    lights: tuple[str, ...] = LIGHTS
    styles: tuple[str, ...] = STYLES
    hums: float = 0.3
    directed: float = 0.0
    slow_motion: float = 0.0

    def __post_init__(self):
        if not set(self.counts) <= {1, 2} or not self.counts:
            raise ValueError(f"counts={self.counts}: a scene has one digit or two.")
        if "track" in self.cameras:
            raise ValueError(
                '"track" among cameras: it needs a digit to follow; give directed, a share, instead.'
            )


DIRECTED_CAMERAS = CAMERAS[7:]
FULL = World()
DIRECTED = World(directed=0.25, slow_motion=0.25)
EASY = World(counts=(1,), cameras=("still",), lights=("steady",), styles=("filled",), hums=0.0)
WORLDS = {"easy": EASY, "full": FULL, "directed": DIRECTED}


def draw_scenes(
    n: int,
    seed: int | torch.Generator,
    world: World = EASY,
    room: tuple[float, float] = (1.0, 1.0),
    descriptions: Sequence[Description] | None = None,
) -> list[Scene]:
    """Draw n random scenes. The same seed, 0 to 2³² - 1, gives the same scenes on every platform.

    descriptions: what must be so in each scene, one a scene; what they leave unsaid is drawn from `world`.
    """
    if descriptions is not None and len(descriptions) != n:
        raise ValueError(f"{len(descriptions)} descriptions for {n} scenes: give one for each.")
    rng = generator(n, seed)
    table = torch.rand(n, 64, generator=rng, dtype=torch.float64).tolist()
    pairs = zip(table, descriptions or [None] * n, strict=True)
    return [
        _directed(
            _draw_scene(_Uniforms(row[:-LAST]), world, room, asked), _Uniforms(row[-LAST:]), world, asked
        )
        for row, asked in pairs
    ]


LAST = 8  # of the numbers behind a scene: how it is directed


def _directed(scene: Scene, draw: "_Uniforms", world: World, description: Description | None) -> Scene:
    """The scene with what its description, or else chance, says of a tracking camera and of slow motion."""
    asked = description or Description((Subject(),) * len(scene.bodies))
    redirected = draw.between(0, 1) < world.directed
    drawn = draw.among(DIRECTED_CAMERAS)
    followed = [k for k, subject in enumerate(asked.subjects) if subject.followed]
    free = [k for k, subject in enumerate(asked.subjects) if subject.followed is None]
    tracked = draw.among(followed or free or range(len(scene.bodies)))
    slow = draw.between(0, 1) < world.slow_motion
    slow = slow if asked.slow_motion is None else asked.slow_motion
    if slow:  # kept apart, to the eye, from slow digits in real time
        bodies = tuple(
            replace(body, speed=min(body.speed, 2 / 3 * body.speed + 0.1)) for body in scene.bodies
        )
        scene = replace(scene, bodies=bodies, slow_motion=True)
    if redirected and drawn == "track" and not _in_sight(scene):
        drawn = "from above"  # what a caption names should be seen
    camera = asked.camera or (drawn if redirected else scene.camera)
    return replace(scene, camera=camera, tracked=tracked if camera == "track" else None)


def generator(n: int, seed: int | torch.Generator) -> torch.Generator:
    """What n scenes are drawn from. Raises ValueError for numbers that cannot be."""
    if isinstance(seed, torch.Generator):
        return seed
    seed = operator.index(seed)
    if n < 0 or not 0 <= seed < 2**32:
        raise ValueError(f"{n} scenes from seed {seed}: allowed are 0 or more, from 0 to 2³² - 1.")
    return torch.Generator().manual_seed(seed)


class _Uniforms:
    """A row of uniform numbers, handed out one at a time."""

    def __init__(self, row: list[float]):
        self._next = iter(row)

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * next(self._next)

    def among(self, choices):
        return choices[int(next(self._next) * len(choices))]


def _in_sight(scene: Scene) -> bool:
    """Whether a camera that tracks one of two digits sees the other most of the time."""
    positions = scene.positions(frame_times(DEFAULT_FORMAT.frames))
    gap = (positions[0] - positions[-1]).abs().amax(-1)
    return bool((gap < VIEW / 2).double().mean() > 0.5)


def _draw_scene(draw: _Uniforms, world: World, room, description: Description | None) -> Scene:
    count = draw.among(world.counts)
    if description is None:
        description = Description((Subject(),) * count)
    camera, light, style = (draw.among(words) for words in (world.cameras, world.lights, world.styles))
    taken = [subject.colour for subject in description.subjects if subject.colour]
    bodies = []
    for subject in description.subjects:
        free = [colour for colour in COLOURS if colour not in taken]
        colour = draw.among(free)
        body = _draw_body(draw, subject, colour, world, room, len(description.subjects), bodies)
        taken.append(body.colour)
        bodies.append(body)
    style = description.style or style
    return Scene(tuple(bodies), camera, description.light or light, style, room)


def _draw_body(draw: _Uniforms, subject: Subject, colour: str, world: World, room, count, others) -> Body:
    digit = draw.among(DIGITS) if subject.digit is None else subject.digit
    heading = draw.among(tuple(HEADINGS))
    hums = draw.between(0, 1) < world.hums
    hum = Hum(draw.between(0.6, 1.4), draw.between(0, 1))
    height = draw.between(0.40, 0.46) if count == 1 else draw.between(0.36, 0.42)
    body = Body(
        digit=digit,
        colour=subject.colour or colour,
        heading=subject.heading or heading,
        start=(0.0, 0.0),
        speed=draw.between(0.3, 0.6),
        angle=draw.between(-15, 15),
        height=height,
        width=height * draw.between(*((0.40, 0.55) if digit == 1 else (0.60, 0.80))),
        hum=hum if (hums if subject.hums is None else subject.hums) else None,
        hand=int(draw.between(0, 2**31)),
    )
    ranges = [
        _start_range(side, size, v)
        for side, size, v in zip(room, (body.width, body.height), body.velocity, strict=True)
    ]
    tries = [tuple(draw.between(*r) for r in ranges) for _ in range(8 if others else 1)]
    start = max(tries, key=lambda at: min((_gap(at, body, other) for other in others), default=0.0))
    return replace(body, start=start)


def _start_range(side: float, size: float, velocity: float) -> tuple[float, float]:
    """Where a centre may start so that no wall is met within the quiet start."""
    free, run = (side - size) / 2, velocity * QUIET_START
    return -free + max(0.0, -run), free - max(0.0, run)


def _gap(start, body: Body, other: Body) -> float:
    """The least distance between two boxes at the start and at the end of the quiet start."""
    gaps = []
    for seconds in (0.0, QUIET_START):
        distances = [
            abs(a + va * seconds - b - vb * seconds) - (size_a + size_b) / 2
            for a, va, b, vb, size_a, size_b in zip(
                start, body.velocity, other.start, other.velocity,
                (body.width, body.height), (other.width, other.height), strict=True,
            )
        ]  # fmt: skip
        gaps.append(max(distances))
    return min(gaps)
