"""Does a digit keep its shape, and do hands differ? The overlap of ink, as the judge cut it out.

Two crops are aligned, by at most SHIFT pixels, before they are held against each other.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from minivid.measure.judge import Observation

SHIFT = 2  # pixels of a crop
PEERS = 20  # other clips with which a digit's hand is compared


def overlap(crops: Tensor, others: Tensor) -> Tensor:
    """How much of two pieces of ink is common to both: (n, h, w), (n, h, w) -> (n,), 0 to 1.

    The sum of the smaller values over the sum of the larger ones (Ruzicka's similarity; of ink without greys,
    intersection over union), at the best shift.
    """
    best = torch.zeros(len(crops))
    for dy in range(-SHIFT, SHIFT + 1):
        for dx in range(-SHIFT, SHIFT + 1):
            moved = others.roll((dy, dx), (-2, -1))
            common = torch.minimum(crops, moved).flatten(1).sum(1)
            best = best.maximum(common / torch.maximum(crops, moved).flatten(1).sum(1).clamp(min=1e-6))
    return best


def first_shapes(observed: Sequence[Observation]) -> Tensor:
    """Each clip's first digit in the first frame in which all of it is seen: (n, h, w)."""
    return torch.stack([one.shapes[0, int(one.clear[0].float().argmax())] for one in observed])


def shape_drift(observed: Sequence[Observation], first: Tensor | None = None) -> Tensor:
    """How far each clip's first digit is from its first shape, over the frames in which it is clear: (n,).

    One less the overlap, so 0 where it stays as it was. Clips in which it is clear in fewer than two frames
    are left out. first: what to hold it against, else its own, see `first_shapes`.
    """
    first = first_shapes(observed) if first is None else first
    frames = observed[0].shapes.shape[1]
    shapes = torch.cat([one.shapes[0] for one in observed])
    overlaps = overlap(shapes, first.repeat_interleave(frames, 0)).unflatten(0, (-1, frames))
    clear = torch.stack([one.clear[0] for one in observed]).float()
    clear[torch.arange(len(clear)), clear.argmax(1)] = 0  # the first is itself
    frames_seen = clear.sum(1)
    return (1 - (overlaps * clear).sum(1) / frames_seen)[frames_seen > 0]


def hand_variety(observed: Sequence[Observation]) -> Tensor:
    """How far each clip's first digit is, in shape, from the same digit in other clips: (n,), 0 to 1.

    One less the mean overlap with PEERS of them at most, of the same style; digits without a peer are left
    out.
    """
    shapes, kinds = first_shapes(observed), {}
    for k, one in enumerate(observed):
        kind = one.description.subjects[0].digit, one.description.style
        kinds.setdefault(kind, []).append(k)
    found = []
    for own in kinds.values():
        for k, number in enumerate(own):
            peers = (own[k + 1 :] + own[:k])[:PEERS]
            if peers:
                mine = shapes[number].expand(len(peers), -1, -1)
                found.append(1 - overlap(mine, shapes[peers]).mean())
    return torch.stack(found) if found else torch.zeros(0)
