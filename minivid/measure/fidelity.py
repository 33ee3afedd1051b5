"""How close copies are to their originals, in decibels."""

from torch import Tensor

from minivid.measure.stats import bootstrap, row


def psnr(copies: Tensor, originals: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of clips or sounds in [-1, 1], in decibels: (b, ...) each -> (b,).

    20 dB: an error of a tenth of the range, root mean square; 40 dB: a hundredth. Capped at 100 dB,
    where copy and original are the same. Raises ValueError for different shapes.
    """
    if copies.shape != originals.shape:
        raise ValueError(f"copies of {tuple(copies.shape)}, originals of {tuple(originals.shape)}.")
    error = (copies - originals).square().flatten(1).mean(1) / 4
    return -10 * error.clamp(min=1e-10).log10()


def psnr_row(copies: Tensor, originals: Tensor, floor: bool = True) -> dict:
    """The mean over clips; floor: another clip in its place."""
    chance = psnr(originals.roll(1, 0), originals).mean().item() if floor else None
    return row(bootstrap(psnr(copies, originals)), chance)
