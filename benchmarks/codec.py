"""How long the video autoencoder takes for a clip: encode, decode, both.

    python benchmarks/codec.py

Batches of 16 clips of 17 frames at 32×32, all in one run on this machine's cores, in full precision and
under bf16 autocast. Every figure is the median of its rounds, in milliseconds a clip.
"""

import argparse
import statistics
import time

import torch
from tqdm.auto import tqdm

from minivid.models import codec
from minivid.world import random_scenes, render

BATCH = 16


def milliseconds(work, rounds: int) -> list[float]:
    """Time a piece of work on a batch, `rounds` times: milliseconds a clip."""
    times = []
    for _ in tqdm(range(rounds + 1), unit="batch", leave=False):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began) / BATCH)
    return times[1:]  # the first warms up


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    clips = render.video(random_scenes.draw_scenes(BATCH, 0, random_scenes.FULL))
    network = codec.VideoCodec().eval()
    latents = network.encode(clips)
    kinds = {
        "encode": lambda: network.encode(clips),
        "decode": lambda: network.decode(latents),
        "encode + decode": lambda: network.decode(network.encode(clips)),
    }
    print(f"batches of {BATCH}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for precision in ("fp32", "bf16"):
        for name, work in kinds.items():
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                times = milliseconds(work, rounds)
            low, high = min(times), max(times)
            middle = statistics.median(times)
            print(f"{precision} {name:16} {middle:6.1f} ms a clip  (from {low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
