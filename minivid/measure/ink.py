"""Where the ink of each colour is, how bright, how large its box, and what it looks like close up.

A colour less its grey is what light cannot change, so ink is found whatever the light does.
"""

import torch
from einops import repeat
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from minivid.formats import require_values
from minivid.world import render
from minivid.world.scene import COLOURS

CROP = 24  # pixels along a side of what the network sees
CROP_SIDE = 0.62  # short sides of the room that it sees
MIN_INK_AROUND = 0.05  # mean ink of a sixth of the frame around a pixel: less is noise
NOISE_AROUND = 0.45  # and this much of the usual noise on top
MIN_INK = 0.004  # of a frame of one short side squared: less is a stray edge, not a digit
MIN_SECOND_INK = 0.22  # of the first colour's ink: less is where two colours mix

_INKS = torch.tensor(list(COLOURS.values()))
_INKS = _INKS - _INKS.mean(1, keepdim=True)  # a colour less its grey


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


def locate(own_ink: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where one colour's ink is in the frame: (n, f, h, w) -> offsets from the middle (n, f, 2), in short
    sides of the frame, area in the same unit and brightness (n, f).

    A frame without ink keeps the place of the nearest frame before it.
    """
    height, width = own_ink.shape[-2:]
    bright = _brightest(own_ink)
    mass = own_ink.sum((2, 3))
    x, y = ((torch.arange(n) + 0.5 - n / 2) / min(height, width) for n in (width, height))
    offsets = torch.stack([own_ink.sum(2) @ x, own_ink.sum(3) @ y], -1) / mass.clamp(min=1e-6)[..., None]
    for frame in range(1, offsets.shape[1]):
        hidden = mass[:, frame] < 1e-3
        offsets[hidden, frame] = offsets[hidden, frame - 1]
    return offsets, mass / bright.clamp(min=0.05) / min(height, width) ** 2, bright


def crop_digits(own_ink: Tensor, other_ink: Tensor, bright: Tensor, offsets: Tensor, view: Tensor) -> Tensor:
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
    grid = offset[:, :, None, None] + 2 * (window / view[..., None, None, None]) * scale[:, :, None, None]
    channels = torch.stack([own_ink, other_ink], 2) / bright.clamp(min=0.05)[..., None, None, None]
    crops = grid_sample(channels.flatten(0, 1), grid.flatten(0, 1).float(), align_corners=False)
    return crops.clamp(0, 1).unflatten(0, (n, frames))


def portrait_crops(images: Tensor) -> tuple[Tensor, Tensor]:
    """Close-ups (b, 3, h, w) in [-1, 1] -> crops (b, 2, CROP, CROP) and colours (b,).

    The camera is known: the digit fills its usual share of the picture.
    """
    rgb = (require_values(images, "a picture")[:, :, None].clamp(-1, 1) + 1) / 2
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


def boxes(own_ink: Tensor, bright: Tensor) -> tuple[Tensor, Tensor]:
    """The box that one colour's ink fills: (n, f, h, w) -> its middle and its size (n, f, 2), in short sides
    of the frame, as `locate` has them.

    A side is where the ink that is strongest along it falls to half of its brightness, between two pixels.
    """
    ends = []
    for axis in (2, 3):  # rows are looked through first, for x
        strongest = (own_ink.amax(axis) / bright.clamp(min=0.05)[..., None]).clamp(max=1)
        near, far = _first_half(strongest), _first_half(strongest.flip(-1))
        n, short = own_ink.shape[5 - axis], min(own_ink.shape[-2:])
        ends.append(torch.stack([near + 0.5 - n / 2, n / 2 - 0.5 - far], -1) / short)
    low, high = torch.stack(ends, 2).unbind(-1)
    return (low + high) / 2, high - low


def _first_half(profile: Tensor) -> Tensor:
    """Where a profile (n, f, k) first reaches a half, counted in pixels and parts of one: (n, f)."""
    there = profile >= 0.5
    index = there.float().argmax(-1)
    at = profile.gather(-1, index[..., None])[..., 0]
    before = profile.gather(-1, (index - 1).clamp(min=0)[..., None])[..., 0]
    part = ((at - 0.5) / (at - before).clamp(min=1e-3)).clamp(0, 1)
    return index - torch.where(index > 0, part, 0.0)
