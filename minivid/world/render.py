"""Scenes to video: where a pixel is in the room, what colour is there.

The camera maps every pixel to a point of the room; the room's walls and each digit are signed
distances at that point; a distance becomes coverage over one pixel's width, which is all of the
antialiasing. Nothing is drawn at a fixed size, so any frame size and aspect shows the same scene.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import grid_sample

from minivid.formats import Format, frame_times
from minivid.world import glyphs
from minivid.world.scene import COLOURS, Scene

VIEW = 1.08  # short sides that a still camera sees: the room and a rim around its walls
PAN, ZOOM = 0.14, 0.14  # how far a moving camera goes to either side of the still one
ABOVE = 1.5  # times as much is seen from above
FLOOR, WALL, OUTSIDE = 0.16, 0.42, 0.04  # greys in full light
WALL_WIDTH = 0.03
DARKEST = 0.5  # the light at the dark end of "dims" and "brightens"
LINE = 0.09  # width of an outlined digit's line, in heights of the digit


def video(
    scenes: Sequence[Scene],
    frames: int = 17,
    height: int = 32,
    width: int = 32,
    hand: glyphs.Hand = glyphs.strokes,
) -> Tensor:
    """Render scenes: (b, 3, frames, height, width) in [-1, 1], 8 frames a second.

    Raises ValueError where frames is not 1 + 4k or the frame's aspect is not the room's, and for no scenes.
    """
    seconds = frame_times(frames)
    if not scenes or height < 1 or width < 1:
        raise ValueError(f"{len(scenes)} scenes of {width}×{height} pixels: give at least one of each.")
    _check_aspect(scenes, height, width)
    centre, view = camera_paths(scenes, seconds)
    x, y = _pixel_positions(centre, view, height, width)
    return _compose(scenes, seconds, x, y, view / min(height, width), hand)


def in_format(scenes: Sequence[Scene], shape: Format) -> Tensor:
    """Render scenes in a format: (b, 3, frames, height, width), see `video`."""
    return video(scenes, shape.frames, shape.height, shape.width)


def empty_rooms(
    cameras: Sequence[str], lights: Sequence[str], frames: int, height: int, width: int
) -> Tensor:
    """Rooms without digits, one a camera and light: (b, frames, height, width), grey in [0, 1]."""
    seconds = frame_times(frames)
    rooms = rooms_on_path(*camera(cameras, seconds), height, width)
    return rooms * light(lights, seconds)[..., None, None]


def rooms_on_path(centre: Tensor, view: Tensor, height: int, width: int) -> Tensor:
    """Rooms without digits, in full light, as cameras see them that point at (b, f, 2) and see (b, f)."""
    x, y = _pixel_positions(centre, view, height, width)
    rooms = [room_for(height, width)] * len(centre)
    return _room(rooms, x, y, view / min(height, width))


def portraits(scenes: Sequence[Scene], size: int = 24, hand: glyphs.Hand = glyphs.strokes) -> Tensor:
    """Close-ups of each scene's first digit before a plain floor: (b, 3, size, size) in [-1, 1]."""
    seconds = torch.zeros(1, dtype=torch.float64)
    centre = torch.stack([scene.positions(seconds)[0] for scene in scenes])
    view = torch.tensor([[scene.bodies[0].height / PORTRAIT_FILL] for scene in scenes])
    x, y = _pixel_positions(centre, view, size, size)
    alone = [Scene(s.bodies[:1], "still", "steady", s.style, (1e3, 1e3)) for s in scenes]
    return _compose(alone, seconds, x, y, view / size, hand)[:, :, 0]


PORTRAIT_FILL = 0.8  # share of a portrait's side that the digit's height takes


def room_for(height: int, width: int) -> tuple[float, float]:
    """The room that a frame of this size shows: (width, height) in short sides."""
    return width / min(height, width), height / min(height, width)


def _compose(scenes, seconds: Tensor, x: Tensor, y: Tensor, pixel: Tensor, hand) -> Tensor:
    """Room, then digits back to front, then light. x: (b, f, w), y: (b, f, h), pixel: (b, f)."""
    grey = _room([scene.room for scene in scenes], x, y, pixel)
    canvas = grey[:, None].repeat(1, 3, 1, 1, 1)
    for layer in reversed(range(max(len(scene.bodies) for scene in scenes))):
        here = [i for i, scene in enumerate(scenes) if len(scene.bodies) > layer]
        bodies = [scenes[i].bodies[layer] for i in here]
        centre = torch.stack([scenes[i].positions(seconds)[layer] for i in here])
        outlined = torch.tensor([scenes[i].style == "outlined" for i in here])
        ink = _coverage(bodies, centre, outlined, x[here], y[here], pixel[here], hand)
        loud = torch.stack(
            [
                b.hum.loudness(scenes[i].rate * seconds) if b.hum else torch.ones_like(seconds)
                for i, b in zip(here, bodies, strict=True)
            ]
        )
        tint = torch.tensor([COLOURS[b.colour] for b in bodies])[:, :, None] * loud[:, None].float()
        behind = canvas[here] if len(here) < len(scenes) else canvas
        painted = torch.lerp(behind, rearrange(tint, "b c f -> b c f 1 1"), ink[:, None])
        if len(here) < len(scenes):
            canvas[here] = painted
        else:
            canvas = painted
    lit = rearrange(light([scene.light for scene in scenes], seconds), "b f -> b 1 f 1 1")
    return canvas.mul_(2 * lit).sub_(1)


def _coverage(bodies, centre, outlined, x, y, pixel, hand) -> Tensor:
    """How much of each pixel a digit's ink covers: (b, f, h, w) in [0, 1]."""
    height = torch.tensor([b.height for b in bodies])
    aspect = torch.tensor([b.width / b.height for b in bodies])
    distance = hand([b.digit for b in bodies], aspect, [b.hand for b in bodies], outlined.float())
    for k, body in enumerate(bodies):
        if body.glyph:
            distance[k] = glyphs.drawn(body.glyph, body.width / body.height, bool(outlined[k]))
    distance = torch.where(outlined[:, None, None], (distance + LINE / 2).abs() - LINE / 2, distance)
    half = rearrange(height * glyphs.REACH / 2, "b -> b 1 1")
    u = (x - centre[..., 0].float()[:, :, None]) / half
    v = (y - centre[..., 1].float()[:, :, None]) / half
    f, h, w = u.shape[1], v.shape[2], u.shape[2]
    grid = torch.empty(len(bodies), f, h, w, 2)
    grid[..., 0], grid[..., 1] = u[:, :, None], v[..., None]
    nearest = grid_sample(
        distance[:, None], grid.flatten(1, 2), padding_mode="border", align_corners=False
    ).unflatten(2, (f, h))[:, 0]
    return (0.5 - nearest * (height[:, None] / pixel)[..., None, None]).clamp_(0, 1)


def _room(rooms, x: Tensor, y: Tensor, pixel: Tensor) -> Tensor:
    """Floor, walls and the dark outside, in full light: (b, f, h, w)."""
    half_width, half_height = torch.tensor(rooms).T[:, :, None, None] / 2
    distance = torch.maximum((x.abs() - half_width)[:, :, None], (y.abs() - half_height)[..., None])
    pixel = pixel[..., None, None]
    outside = (0.5 + (distance - WALL_WIDTH) / pixel).clamp_(0, 1)
    floor = (0.5 - distance / pixel).clamp_(0, 1)
    return WALL + (FLOOR - WALL) * floor + (OUTSIDE - WALL) * outside


def camera_paths(scenes: Sequence[Scene], seconds: Tensor) -> tuple[Tensor, Tensor]:
    """Where the camera of each scene points and how much it sees: (b, f, 2) and (b, f), in short sides.

    Raises ValueError for a camera path of another number of frames.
    """
    words = ["still" if scene.camera == "track" else scene.camera for scene in scenes]
    centre, view = camera(words, seconds)
    for k, scene in enumerate(scenes):
        if scene.camera_path:
            if len(scene.camera_path) != len(seconds):
                raise ValueError(
                    f"a camera path of {len(scene.camera_path)} frames for a clip of {len(seconds)}: give "
                    "(x, y, view) for each frame."
                )
            path = torch.tensor(scene.camera_path)
            centre[k], view[k] = path[:, :2], path[:, 2]
        elif scene.camera == "track":
            centre[k] = scene.positions(seconds)[scene.tracked].float()
    return centre, view


def camera(words: Sequence[str], seconds: Tensor) -> tuple[Tensor, Tensor]:
    """Where cameras point and how much they see, (b, f, 2) and (b, f), by their words: any but "track"."""
    duration = 2 * seconds.mean()  # frames sit in the middle of their time, so this is the clip's end
    sweep = (2 * seconds / duration - 1).float()  # -1 … 1
    moves = torch.tensor([_MOVES[word] for word in words])[:, None] * sweep[:, None]
    usual = torch.tensor([ABOVE if word == "from above" else 1.0 for word in words])[:, None]
    return PAN * moves[..., :2], VIEW * usual * (1 + ZOOM * moves[..., 2])


_MOVES = {
    "still": (0.0, 0.0, 0.0),
    "pan left": (-1.0, 0.0, 0.0),
    "pan right": (1.0, 0.0, 0.0),
    "pan up": (0.0, -1.0, 0.0),
    "pan down": (0.0, 1.0, 0.0),
    "zoom in": (0.0, 0.0, -1.0),
    "zoom out": (0.0, 0.0, 1.0),
    "from above": (0.0, 0.0, 0.0),
}


def _pixel_positions(centre: Tensor, view: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where pixels are in the room: x (b, f, width) and y (b, f, height), in short sides."""
    x, y = ((torch.arange(n) + 0.5 - n / 2) / min(height, width) for n in (width, height))
    centre = centre.float()
    return centre[..., :1] + view[..., None] * x, centre[..., 1:] + view[..., None] * y


def light(words: Sequence[str], seconds: Tensor) -> Tensor:
    """How bright each light is: (b, f)."""
    elapsed = (seconds / (2 * seconds.mean())).float()  # 0 … 1 over the clip
    curves = {
        "steady": torch.ones_like(elapsed),
        "brightens": DARKEST + (1 - DARKEST) * elapsed,
        "dims": 1 - (1 - DARKEST) * elapsed,
    }
    return torch.stack([curves[word] for word in words])


def _check_aspect(scenes, height: int, width: int) -> None:
    room = room_for(height, width)
    for scene in scenes:
        if max(abs(a - b) for a, b in zip(scene.room, room, strict=True)) > 1e-6:
            raise ValueError(
                f"a frame of {width}×{height} shows a room of {room}, this scene's is {scene.room}: "
                f"draw it with draw_scenes(…, room=render.room_for({height}, {width}))."
            )
