"""How fast the toy world makes clips: clips a second, picture and sound, drawing scenes included.

    python benchmarks/world.py

Batches of 64 clips of 17 frames at 32×32, all in one run on this machine's cores. Every figure is the
median of its rounds.
"""

import argparse
import statistics
import time

import torch
from tqdm.auto import tqdm

from minivid.world import random_scenes, render, sound

BATCH = 64


def clips_a_second(make, rounds: int) -> list[float]:
    """Draw fresh scenes and make their clips, `rounds` times."""
    speeds = []
    for seed in tqdm(range(rounds + 1), unit="batch", leave=False):
        began = time.perf_counter()
        make(random_scenes.draw_scenes(BATCH, seed, random_scenes.FULL))
        speeds.append(BATCH / (time.perf_counter() - began))
    return speeds[1:]  # the first warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    kinds = {
        "picture": render.video,
        "picture and sound": lambda scenes: (render.video(scenes), sound.audio(scenes)),
        "picture, 64×64": lambda scenes: render.video(scenes, height=64, width=64),
        "close-up, 24×24": render.portraits,
    }
    print(f"batches of {BATCH}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, make in kinds.items():
        speeds = clips_a_second(make, rounds)
        low, high = min(speeds), max(speeds)
        print(f"{name:18} {statistics.median(speeds):7.0f} clips/s  (from {low:.0f} to {high:.0f})")


if __name__ == "__main__":
    main()
