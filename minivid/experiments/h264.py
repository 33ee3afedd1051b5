"""How many bits a clip takes: in H.264, and in an ideal coder of a codec's rounded latents.

Not a fair race at 32×32. Every frame of H.264 has headers: a black clip of 17 frames takes more than 2
kilobits already, which is much of a clip at any quality and most of one at a low quality. The ideal coder has
none, and is told for nothing how often each value occurs.
"""

import io

import av
import numpy as np
import torch
from av.bitstream import BitStreamFilterContext
from torch import Tensor

from minivid import show
from minivid.formats import FRAMES_PER_SECOND


def compress(clip: Tensor, crf: int) -> tuple[int, Tensor]:
    """A clip (3, f, h, w) through H.264 at a quality (0 for the best, 51 for the worst): bits, and copy.

    Full colour resolution, the slowest preset; packets alone, without container and comments.
    """
    frames = np.ascontiguousarray(show.pixels(clip.permute(1, 2, 3, 0)))
    file = io.BytesIO()
    with av.open(file, "w", format="h264") as output:
        options = {"crf": str(crf), "preset": "veryslow"}
        stream = output.add_stream("libx264", rate=FRAMES_PER_SECOND, options=options)
        stream.height, stream.width, stream.pix_fmt = *clip.shape[2:], "yuv444p"
        stream.codec_context.thread_count = 1
        pictures = [av.VideoFrame.from_ndarray(frame, "rgb24") for frame in frames]
        packets = [packet for picture in (*pictures, None) for packet in stream.encode(picture)]
        comments = BitStreamFilterContext("filter_units=remove_types=6", stream)
        packets = [one for packet in packets for one in comments.filter(packet)]
        bits = 8 * sum(packet.size for packet in packets)
        output.mux(packets)
    file.seek(0)
    with av.open(file, format="h264") as decoded:
        copies = [frame.to_ndarray(format="rgb24") for frame in decoded.decode(video=0)]
    return bits, torch.from_numpy(np.stack(copies)).permute(3, 0, 1, 2) / 127.5 - 1


def entropy(rounded: Tensor) -> float:
    """Bits a clip of an ideal coder that knows how often each channel (b, channels, …) has each value."""
    bits = 0.0
    for channel in rounded.transpose(0, 1).flatten(1):
        frequency = channel.unique(return_counts=True)[1] / channel.numel()
        bits -= (frequency * frequency.log2()).sum().item() * channel.numel() / len(rounded)
    return bits
