"""Ten digits as pen strokes, drawn as signed distances so that they stay sharp at any size.

A digit is a few smooth strokes; a hand bends, slants and weighs them. What is stored is the distance of every
point of a small square to the edge of the ink (negative inside): looked up between its grid points it gives
clean edges at any scale, the trick behind scalable game fonts (Green, "Improved alpha-tested magnification",
SIGGRAPH 2007). A *hand* is any function with the signature of `strokes`; `Mnist` is another one.
"""

import gzip
import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from einops import rearrange, repeat
from torch import Tensor

SIZE = 40  # points along a side of the square
REACH = 1.5  # the square's side, in heights of the digit

Hand = Callable[[Sequence[int], Tensor, Sequence[int], Tensor], Tensor]

# Each digit: several ways to write it. A way is a list of strokes, a stroke a list of points that
# a smooth curve goes through (x to the right, y down, in a unit box). Two points make a straight line.
_O = [(0.5, 0), (0.13, 0.18), (0, 0.5), (0.13, 0.82), (0.5, 1), (0.87, 0.82), (1, 0.5), (0.87, 0.18), (0.5, 0)]  # fmt: skip
_BOWL = [(0.4, 0.44), (0.8, 0.51), (1, 0.73), (0.82, 0.94), (0.42, 1), (0, 0.87)]
_FIVE = [(0.08, 0.46), (0.45, 0.37), (0.88, 0.48), (1, 0.7), (0.84, 0.93), (0.42, 1), (0, 0.87)]
_SIX = [(0, 0.72), (0.16, 0.94), (0.5, 1), (0.86, 0.93), (1, 0.73), (0.84, 0.52), (0.5, 0.46), (0.16, 0.54), (0, 0.72)]  # fmt: skip
_NINE = [(1, 0.29), (0.84, 0.48), (0.5, 0.55), (0.14, 0.48), (0, 0.28), (0.14, 0.06), (0.5, 0), (0.86, 0.07), (1, 0.29)]  # fmt: skip
WAYS: dict[int, list[list[list[tuple[float, float]]]]] = {
    0: [[_O]],
    1: [[[(0, 0.28), (1, 0)], [(1, 0), (1, 1)]], [[(0.1, 0.25), (0.55, 0)], [(0.55, 0), (0.55, 1)], [(0, 1), (1, 1)]]],
    2: [
        [[(0.02, 0.27), (0.18, 0.06), (0.52, 0), (0.88, 0.1), (0.93, 0.34), (0.66, 0.62), (0, 1)], [(0, 1), (1, 1)]],
        [[(0.05, 0.2), (0.45, 0), (0.9, 0.13), (0.88, 0.4), (0.5, 0.72), (0.1, 0.98), (0.02, 0.84), (0.24, 0.79), (0.62, 0.97), (1, 0.93)]],
    ],
    3: [
        [[(0.06, 0.12), (0.42, 0), (0.82, 0.08), (0.9, 0.25), (0.72, 0.4), (0.4, 0.44)], _BOWL],
        [[(0.08, 0), (0.92, 0)], [(0.92, 0), (0.4, 0.44)], _BOWL],
    ],
    4: [
        [[(0.72, 0), (0, 0.68)], [(0, 0.68), (1, 0.68)], [(0.72, 0), (0.72, 1)]],
        [[(0.12, 0), (0.04, 0.56)], [(0.04, 0.56), (1, 0.56)], [(0.78, 0.06), (0.74, 1)]],
    ],
    5: [[[(0.92, 0), (0.16, 0)], [(0.16, 0), (0.08, 0.46)], _FIVE]],
    6: [[[(0.86, 0.02), (0.45, 0.14), (0.12, 0.42), (0, 0.72)], _SIX], [[(0.7, 0), (0, 0.72)], _SIX]],
    7: [
        [[(0, 0), (1, 0)], [(1, 0), (0.34, 1)]],
        [[(0, 0), (1, 0)], [(1, 0), (0.3, 1)], [(0.2, 0.5), (0.92, 0.5)]],
        [[(0, 0.08), (0, 0)], [(0, 0), (1, 0)], [(1, 0), (0.6, 0.42), (0.45, 1)]],
    ],
    8: [
        [
            [(0.5, 0.47), (0.16, 0.37), (0.14, 0.12), (0.5, 0), (0.86, 0.12), (0.84, 0.37), (0.5, 0.47)],
            [(0.5, 0.47), (0.1, 0.6), (0, 0.8), (0.2, 0.96), (0.5, 1), (0.8, 0.96), (1, 0.8), (0.9, 0.6), (0.5, 0.47)],
        ]
    ],
    9: [
        [_NINE, [(1, 0.29), (0.96, 0.62), (0.8, 1)]],
        [_NINE, [(1, 0.29), (0.98, 0.68), (0.8, 0.94), (0.44, 1), (0.1, 0.9)]],
        [_NINE, [(1, 0.02), (1, 1)]],
    ],
}  # fmt: skip


def strokes(digits: Sequence[int], aspects: Tensor, hands: Sequence[int], bold: Tensor) -> Tensor:
    """Write digits by hand: signed distance to the ink's edge, in heights of the digit.

    digits: n of 0–9; aspects: (n,) width / height of the box that the ink fills; hands: n seeds;
    bold: (n,) 0 for the usual pen, 1 for one broad enough to be hollow. Returns (n, SIZE, SIZE), a
    square of side REACH heights around the box, negative inside the ink.
    """
    uniforms = torch.stack([torch.rand(12, generator=torch.Generator().manual_seed(h)) for h in hands])
    which = [_ROWS[d][int(u * len(_ROWS[d]))] for d, u in zip(digits, uniforms[:, 0].tolist(), strict=True)]
    pen = 0.17 + 0.06 * uniforms[:, 1] + 0.07 * bold
    return _fill_box(_bend(_SEGMENTS[which], uniforms[:, 2:]), aspects, pen)


Strokes = Sequence[Sequence[tuple[float, float]]]


def drawn(glyph: Strokes, aspect: float, bold: bool = False) -> Tensor:
    """A glyph of one's own, as `strokes` gives digits: signed distance to its ink's edge, (SIZE, SIZE).

    glyph: strokes of two points or more, (x to the right, y down), at any scale: it is made to fill its box,
    of which aspect is width / height; a smooth curve goes through the points of a stroke. Raises ValueError
    for a stroke of fewer points, and for a glyph without width or height.
    """
    require_strokes(glyph)
    ends = torch.tensor(np.concatenate([_smooth(list(stroke)) for stroke in glyph])).float()[None]
    extent = ends.amax((1, 2)) - ends.amin((1, 2))
    if extent.amin() <= 0.01 * extent.amax():
        raise ValueError(f"a glyph of {extent[0].tolist()}: it needs some width and some height.")
    pen = torch.tensor([0.20 + 0.07 * bold])
    return _fill_box(ends, torch.tensor([aspect]), pen)[0]


def require_strokes(glyph: Strokes) -> None:
    """Raise ValueError for a glyph without strokes, and for a stroke of fewer than two finite points."""
    for stroke in glyph or ((),):
        if len(stroke) < 2 or not all(math.isfinite(x + y) for x, y in stroke):
            raise ValueError(f"a stroke of {stroke}: give two points (x, y) or more.")


def _fill_box(ends: Tensor, aspects: Tensor, pen: Tensor) -> Tensor:
    """The signed distance to ink that fills its box: segments (n, s, 2, 2) -> (n, SIZE, SIZE)."""
    low, high = ends.amin((1, 2), keepdim=True), ends.amax((1, 2), keepdim=True)
    box = torch.stack([aspects, torch.ones_like(aspects)], -1) - pen[:, None]
    ends = ((ends - low) / (high - low) - 0.5) * rearrange(box, "n xy -> n 1 1 xy")
    return (distance(ends) - pen[:, None] / 2).unflatten(1, (SIZE, SIZE))


def _bend(ends: Tensor, uniforms: Tensor) -> Tensor:
    """Slant and warp the plane smoothly, so that strokes that met still meet: (n, s, 2, 2) -> same."""
    x, y = ends.unbind(-1)
    slant, *waves = rearrange(uniforms - 0.5, "n k -> k n 1 1")
    angle_x, angle_y = (2 * math.pi * (waves[k] + 0.5) for k in (4, 5))
    bent_x = x - 0.6 * slant * y + 0.16 * waves[0] * torch.sin(math.pi * y + angle_x)
    bent_y = y + 0.3 * waves[1] * x + 0.14 * waves[2] * torch.sin(math.pi * x + angle_y)
    return torch.stack([bent_x, bent_y + 0.3 * waves[3] * y * (1 - y)], -1)


def distance(ends: Tensor) -> Tensor:
    """Distance of the square's points to the nearest segment: (n, segments, 2, 2) -> (n, SIZE²).

    |p - a - u d|² = |p - a|² + u (u |d|² - 2 (p - a)·d) with u = clamp((p - a)·d / |d|², 0, 1).
    """
    a, d = ends[:, :, 0], ends[:, :, 1] - ends[:, :, 0]
    along_p = POINTS @ d.mT  # (n, points, segments)
    length = d.square().sum(-1).clamp(min=1e-12)[:, None]
    along = along_p - (a * d).sum(-1)[:, None]
    u = (along / length).clamp_(0, 1)
    from_a = POINTS.square().sum(-1)[:, None] - 2 * POINTS @ a.mT + a.square().sum(-1)[:, None]
    return (from_a + u * (u * length - 2 * along)).amin(-1).clamp_(min=0).sqrt()


def _smooth(points: list[tuple[float, float]], parts: int = 3) -> np.ndarray:
    """Segments of a Catmull-Rom curve through the points: (segments, 2, 2)."""
    p = np.array(points)
    if len(p) == 2:
        return p[None]
    closed = np.allclose(p[0], p[-1])
    before = p[-2] if closed else 2 * p[0] - p[1]
    after = p[1] if closed else 2 * p[-1] - p[-2]
    q = np.concatenate([before[None], p, after[None]])
    u = np.arange(parts)[:, None] / parts
    curve = []
    for a, b, c, d in zip(q, q[1:], q[2:], q[3:], strict=False):
        square, cube = 2 * a - 5 * b + 4 * c - d, 3 * b - a - 3 * c + d
        curve.append(0.5 * (2 * b + (c - a) * u + square * u**2 + cube * u**3))
    line = np.concatenate([*curve, p[-1:]])
    return np.stack([line[:-1], line[1:]], 1)


def _table() -> tuple[Tensor, dict[int, list[int]]]:
    """All ways to write a digit as segments, padded by repeating the last; and each digit's rows."""
    shapes, rows = [], {}
    for digit, ways in WAYS.items():
        rows[digit] = list(range(len(shapes), len(shapes) + len(ways)))
        shapes += [np.concatenate([_smooth(stroke) for stroke in way]) for way in ways]
    longest = max(map(len, shapes))
    padded = [np.concatenate([s, repeat(s[-1], "e xy -> k e xy", k=longest - len(s))]) for s in shapes]
    return torch.tensor(np.stack(padded), dtype=torch.float32), rows


_SEGMENTS, _ROWS = _table()
_AXIS = ((torch.arange(SIZE) + 0.5) / SIZE - 0.5) * REACH
POINTS = torch.stack(torch.meshgrid(_AXIS, _AXIS, indexing="xy"), -1).flatten(0, 1)


class Mnist:
    """Handwriting from MNIST (LeCun, Cortes and Burges, 1998) in place of the pen strokes.

    Reads a split's two IDX files, gzipped as they are published, from `folder`, checked by hash, and never
    touches the network; `fetch_mnist` downloads them when a reader asks. Raises ValueError for a
    missing, altered or truncated file, and says which.
    """

    def __init__(self, folder: Path, split: str = "train", hashes: dict[str, str] | None = None):
        hashes = MNIST_MD5 if hashes is None else hashes
        names = _mnist_names(split)
        images, labels = (read_idx(Path(folder) / name, hashes[name]) for name in names)
        if len(images) != len(labels):
            raise ValueError(f"{len(images)} images but {len(labels)} labels in {folder}.")
        self.images = torch.tensor(images)
        self.rows = {digit: torch.tensor(labels == digit).nonzero()[:, 0] for digit in WAYS}
        if empty := [digit for digit, rows in self.rows.items() if len(rows) == 0]:
            raise ValueError(f"no image of {empty} in {folder}: fetch the files again.")

    def __call__(self, digits, aspects: Tensor, hands, bold: Tensor) -> Tensor:
        """The same contract as `strokes`; a hand picks the image."""
        pairs = zip(digits, aspects.tolist(), hands, bold.tolist(), strict=True)
        return torch.stack([self._one(*pair) for pair in pairs])

    def _one(self, digit: int, aspect: float, hand: int, bold: float) -> Tensor:
        rows = self.rows[digit]
        image = self.images[rows[hand % len(rows)]].float() / 255
        ink = (image > 0.5).nonzero()
        (top, left), (bottom, right) = ink.amin(0).tolist(), ink.amax(0).tolist()
        image = image[top : bottom + 1, left : right + 1]
        height, width = round(SIZE / REACH), max(3, round(SIZE / REACH * aspect))
        box = torch.nn.functional.interpolate(
            image[None, None], (height, width), mode="bilinear", antialias=True
        )[0, 0]
        canvas = torch.zeros(SIZE, SIZE)
        y, x = (SIZE - height) // 2, (SIZE - width) // 2
        canvas[y : y + height, x : x + width] = box
        inside = canvas.flatten() > 0.4
        if inside.all() or not inside.any():
            raise ValueError(f"MNIST image {rows[hand % len(rows)]} has no ink to draw.")
        to_ink = torch.cdist(POINTS, POINTS[inside]).amin(1)
        to_paper = torch.cdist(POINTS, POINTS[~inside]).amin(1)
        return (to_ink - to_paper - 0.03 * bold).unflatten(0, (SIZE, SIZE))


MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MNIST_MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}


def fetch_mnist(folder: Path) -> None:
    """Download the four MNIST files (11 MB) into `folder`, checked by hash. Needs the network."""
    import pooch

    for name, md5 in MNIST_MD5.items():
        pooch.retrieve(MNIST_URL + name, f"md5:{md5}", name, folder, progressbar=True)


def read_idx(path: Path, md5: str) -> np.ndarray:
    """Read one IDX file, gzipped or not: a big-endian header of sizes, then bytes.

    Raises ValueError where the file is missing, its hash differs, or its length is not what its header says.
    """
    advice = "Delete it and call glyphs.fetch_mnist(folder), or draw with glyphs.strokes instead."
    if not path.exists():
        raise ValueError(f"{path} is not there. Call glyphs.fetch_mnist({str(path.parent)!r}) first.")
    raw = path.read_bytes()
    if (found := hashlib.md5(raw).hexdigest()) != md5:
        raise ValueError(f"{path.name} has hash {found}, expected {md5}: altered or truncated. {advice}")
    try:
        data = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (EOFError, OSError) as error:
        raise ValueError(f"{path.name} is a torn gzip file. {advice}") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise ValueError(f"{path.name} is no IDX file of bytes. {advice}")
    dimensions = data[3]
    shape = np.frombuffer(data, ">u4", dimensions, 4) if len(data) >= 4 + 4 * dimensions else None
    if shape is None or len(data) != 4 + 4 * dimensions + int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"{path.name} is shorter or longer than its header says. {advice}")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _mnist_names(split: str) -> list[str]:
    prefix = {"train": "train", "test": "t10k"}.get(split)
    if prefix is None:
        raise ValueError(f"split {split!r}: allowed are 'train' and 'test'.")
    return [name for name in MNIST_MD5 if name.startswith(prefix)]
