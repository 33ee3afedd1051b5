"""Where the camera looks and what the light does, from what has no colour: the room's floor and its walls.

A word tells the path of most cameras, so a clip is held against empty rooms drawn by the simulator. Then the
path is measured, frame by frame: the offset and the scale with which an empty room fits the frame best.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from minivid.formats import frame_times
from minivid.world import render
from minivid.world.scene import CAMERAS, LIGHTS

SMALL = 32  # pixels along the short side at which a room is measured
WORDS = tuple(word for word in CAMERAS if word != "track")  # cameras whose path their word tells
STIFFNESS = torch.tensor([0.02, 0.02, 2.0])  # how firmly x, y and view hold to where they start
STEPS = ((0.01, 0.0, 0.0), (0.0, 0.01, 0.0), (0.0, 0.0, 0.01))  # in x, y and view: for derivatives
AROUND = (0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.0, -2.0)  # steps to either side
TRIES = torch.linspace(-0.44, 0.44, 89)  # offsets of a camera of which nothing is known yet


class Grey(NamedTuple):
    """A clip's brightness (b, f, h, w), and how much each pixel counts: not where there is colour."""

    level: Tensor
    weight: Tensor


def grey_parts(rgb: Tensor) -> Grey:
    """rgb: (b, 3, f, h, w) in [0, 1] -> what it says of the room, at SMALL pixels along the short side."""
    small = rgb.transpose(1, 2)
    if (factor := min(rgb.shape[-2:]) // SMALL) > 1:
        small = avg_pool2d(small.flatten(0, 1), factor).unflatten(0, small.shape[:2])
    colourful = small.amax(2) - small.amin(2)
    spread = max_pool2d(colourful, 3, 1, 1)  # edges of ink are grey enough to mislead
    typical = spread.flatten(1)[:, ::7].median(1).values[:, None, None, None]
    return Grey(small.mean(2), torch.exp(-((spread / (0.04 + typical)) ** 2)))


def fit_words(grey: Grey) -> tuple[list[str], list[str], Tensor]:
    """Which camera and which light of those that a word tells fit best, and the mean squared error (b,)."""
    frames, height, width = grey.level.shape[1:]
    cameras, lights = zip(*((c, lit) for c in WORDS for lit in LIGHTS), strict=True)
    rooms = render.empty_rooms(cameras, lights, frames, height, width).flatten(1)
    level, weight = grey.level.flatten(1), grey.weight.flatten(1)
    error = weight @ rooms.square().T - 2 * (weight * level) @ rooms.T
    least, best = (error + (weight * level.square()).sum(1, keepdim=True)).min(1)
    words = [(cameras[k], lights[k]) for k in best.tolist()]
    return [c for c, _ in words], [lit for _, lit in words], least / weight.sum(1).clamp(min=1e-6)


def fit_light(grey: Grey, centre: Tensor, view: Tensor) -> tuple[list[str], Tensor]:
    """Which light fits best under a camera path (b, f, 2) and (b, f), and the mean squared error (b,)."""
    room = _rooms(grey, centre, view)
    curves = render.light(LIGHTS, frame_times(room.shape[1]))
    errors = [
        (grey.weight * (grey.level - curve[:, None, None] * room).square()).flatten(1).sum(1)
        for curve in curves
    ]
    least, best = torch.stack(errors, 1).min(1)
    return [LIGHTS[k] for k in best.tolist()], least / grey.weight.flatten(1).sum(1).clamp(min=1e-6)


def search_path(grey: Grey) -> tuple[Tensor, Tensor]:
    """A path of a camera as near as usual, from among tries, each frame by itself: (b, f, 2) and (b, f)."""
    b, frames, height, width = grey.level.shape
    tries = torch.cartesian_prod(TRIES, TRIES)
    usual = torch.full((1, len(tries)), render.VIEW)
    rooms = render.rooms_on_path(tries[None], usual, height, width).flatten(2)[0]
    level, weight = grey.level.flatten(0, 1).flatten(1), grey.weight.flatten(0, 1).flatten(1)
    # The light is not known: for each try the brightness is taken that suits it best.
    gain = ((weight * level) @ rooms.T).square() / (weight @ rooms.square().T).clamp(min=1e-6)
    centre = tries[gain.argmax(1)].unflatten(0, (b, frames))
    return centre, torch.full((b, frames), render.VIEW)


def refine_path(grey: Grey, centre: Tensor, view: Tensor, lights: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The camera path nearby under which an empty room fits each frame best: (b, f, 2) and (b, f).

    Steps along x and y come first, because walls are thin and a slope leads past them; then Gauss-Newton. A
    penalty on the distance from the start keeps a path there that shows no wall, and so tells nothing.
    """
    start = path = torch.cat([centre, view[..., None]], -1)
    lit = render.light(lights, frame_times(grey.level.shape[1]))[..., None, None]
    pixels = grey.weight.flatten(2).sum(-1).clamp(min=1e-6)[..., None]

    def room(path: Tensor) -> Tensor:
        return lit * _rooms(grey, path[..., :2], path[..., 2])

    def cost(path: Tensor) -> Tensor:
        error = (grey.weight * (grey.level - room(path)).square()).flatten(2).sum(-1)
        return error / pixels[..., 0] + (STIFFNESS * (path - start)).square().sum(-1)

    for step in STEPS[:2]:
        tries = torch.stack([path + k * torch.tensor(step) for k in AROUND])
        best = torch.stack([cost(one) for one in tries]).argmin(0)
        path = tries.gather(0, best[None, ..., None].expand(1, *path.shape))[0]
    for _ in range(2):
        current = room(path)
        derivatives = torch.stack([(room(path + torch.tensor(step)) - current) / 0.01 for step in STEPS], -1)
        derivatives, weight = derivatives.flatten(2, 3), grey.weight.flatten(2)[..., None]
        left = (grey.level - current).flatten(2)[..., None]
        square = (weight * derivatives).mT @ derivatives / pixels[..., None] + STIFFNESS.square().diag()
        pull = ((weight * derivatives).mT @ left)[..., 0] / pixels
        path = path + torch.linalg.solve(square, pull + STIFFNESS.square() * (start - path)).clamp(
            -0.02, 0.02
        )
    return path[..., :2], path[..., 2]


def _rooms(grey: Grey, centre: Tensor, view: Tensor) -> Tensor:
    """Empty rooms in full light, as large as the grey parts: (b, f, h, w)."""
    return render.rooms_on_path(centre, view, *grey.level.shape[-2:])
