"""What survives compression: video autoencoders with more and fewer numbers, and more and less KL.

All are the codec of the course but for the one thing that is changed, taught on the easy world for the
same number of steps. Short trainings: they tell what helps, not how far it goes.
"""

import io
from dataclasses import replace
from functools import partial

import av
import numpy as np
import torch
from av.bitstream import BitStreamFilterContext
from torch import Tensor

from minivid import codec, metrics, show, train
from minivid.experiments.keeping import Follow, followed, keep, means, shares
from minivid.recipes import clips, codecs
from minivid.recipes.judging import referee
from minivid.world import render, scene

WHAT = "video autoencoders with more and fewer channels, larger patches, more and less KL"
SEEDS = (0, 1, 2)
FRAMES = 9
SIZES = ((4, 2), (4, 4), (4, 8), (4, 16), (8, 8), (8, 16))  # patch, channels
PRESSURES = (0.0, 1e-2, 1.0)  # weights of the KL beside the codec's own, all with 8 channels
SHAKES = (0.1, 0.3)  # noise added to latents, in their standard deviations
PLAN = train.Plan(steps=400, batch=8, learning_rate=1.5e-3, muon=0.015, precision="bf16", ema=0.99)


def ways() -> dict[str, tuple[int, int, float]]:
    """What is taught: patch, channels and the weight of the KL, by name."""
    sizes = {f"{patch}×{patch}, {n}": (patch, n, codecs.KL) for patch, n in SIZES}
    return sizes | {f"KL {weight:g}": (4, 8, weight) for weight in PRESSURES}


def batch(plan: train.Plan, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Clips of the easy world: (b, 3, 9, 32, 32)."""
    return (render.video(scene.draw_scenes(plan.batch, generator), FRAMES),)


def trained(
    patch: int, channels: int, pressure: float, seed: int, follow: Follow
) -> codec.VideoCodec:
    """An autoencoder after its short training, its latents measured."""
    plan = replace(PLAN, seed=seed)
    torch.manual_seed(seed)
    network = codec.VideoCodec(channels, patch)
    loss = partial(codecs.loss, pressure=pressure)
    what = f"{channels} channels a {patch}×{patch} patch, KL {pressure:g}, seed {seed}"
    made = followed(network, loss, partial(batch, plan), plan, follow, what)
    made.measure(*batch(replace(plan, batch=200), torch.Generator().manual_seed(seed)))
    return made


@torch.no_grad()
def measure(network: codec.VideoCodec, seed: int, n: int = 200) -> tuple[dict, Tensor]:
    """What is left of n clips of the easy world, in numbers, and the copies (n, 3, 9, 32, 32).

    numbers: of a clip's latents; nats: KL of a clip; shaken: decibels where the latents were noisy; the
    judge's readings are shares of clips.
    """
    scenes = scene.draw_scenes(n, seed)
    originals = render.video(scenes, FRAMES)
    latents = torch.cat([network.encode(part) for part in originals.split(50)])
    copies = codecs.decoded(network, latents)
    nats = [codec.kl(*network.posterior(part)) for part in originals.split(50)]
    rows = {"psnr": metrics.psnr(copies, originals)}
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    for shake in SHAKES:
        shaken = codecs.decoded(network, latents + shake * noise)
        rows[f"shaken {shake:g}"] = metrics.psnr(shaken, originals)
    seen = [one.description.subjects for one in clips.look(referee(), copies)]
    truth = [one.describe().subjects[0] for one in scenes]
    right = {
        key: torch.tensor([
            bool(told) and getattr(told[0], key) == getattr(real, key)
            for told, real in zip(seen, truth, strict=True)
        ])
        for key in ("digit", "colour", "heading")
    }  # fmt: skip
    numbers = latents[0].numel()
    counted = {"numbers": numbers, "nats": round(torch.stack(nats).mean().item() * numbers, 1)}
    return counted | means(rows) | shares(right), copies


def entropy(rounded: Tensor) -> float:
    """Bits a clip of an ideal coder that knows how often each channel (b, channels, …) has each value."""
    bits = 0.0
    for channel in rounded.transpose(0, 1).flatten(1):
        share = channel.unique(return_counts=True)[1] / channel.numel()
        bits -= (share * share.log2()).sum().item() * channel.numel() / len(rounded)
    return bits


def h264(clip: Tensor, crf: int) -> tuple[int, Tensor]:
    """A clip (3, f, h, w) as H.264 has it at a quality (0 for the best, 51 for the worst): bits, and copy.

    Full colour resolution, the slowest preset; packets alone, without container and comments.
    """
    frames = np.ascontiguousarray(show.pixels(clip.permute(1, 2, 3, 0)))
    file = io.BytesIO()
    with av.open(file, "w", format="h264") as output:
        options = {"crf": str(crf), "preset": "veryslow"}
        track = output.add_stream("libx264", rate=scene.FRAMES_PER_SECOND, options=options)
        track.height, track.width, track.pix_fmt = *clip.shape[2:], "yuv444p"
        track.codec_context.thread_count = 1
        shown = [av.VideoFrame.from_ndarray(frame, "rgb24") for frame in frames]
        packets = [packet for frame in (*shown, None) for packet in track.encode(frame)]
        comments = BitStreamFilterContext("filter_units=remove_types=6", track)
        packets = [kept for packet in packets for kept in comments.filter(packet)]
        bits = 8 * sum(packet.size for packet in packets)
        output.mux(packets)
    file.seek(0)
    with av.open(file, format="h264") as decoded:
        seen = [frame.to_ndarray(format="rgb24") for frame in decoded.decode(video=0)]
    return bits, torch.from_numpy(np.stack(seen)).permute(3, 0, 1, 2) / 127.5 - 1


def run(seed: int, follow: Follow) -> dict:
    """Teach and measure every way: {way: {metric: [value, low, high]}}."""
    found = {}
    for name, (patch, channels, pressure) in ways().items():
        network = trained(patch, channels, pressure, seed, follow)
        found[name], copies = measure(network, seed)
        if seed == SEEDS[0]:
            keep("compression", name, copies[:4])
    return found
