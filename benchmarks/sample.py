"""How long a prompt takes to become a file, alone and among 64.

    python benchmarks/sample.py [--model video]

Clips of 17 frames at 32×32, with the default steps and guidance, all in one run on this machine's cores: one
prompt at a time, and 64 in one batch, until the clips are generated, and until each is an .mp4. The medians
of the rounds, and from the fastest to the slowest.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from tqdm.auto import tqdm

from minivid import pipeline, show
from minivid.world import captions, held_out, random_scenes

BATCH = 64


def seconds(ready: pipeline.Pipeline, prompts: list[str], folder: Path) -> tuple[float, float]:
    """From prompts to clips, and to files: how long it takes."""
    began = time.perf_counter()
    video, audio = ready.generate(prompts)
    generated = time.perf_counter() - began
    for k, clip in enumerate(video):
        show.save(folder / f"{k}.mp4", clip, None if audio is None else audio[k])
    return generated, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", choices=pipeline.MODELS, default="joint")
    options = parser.parse_args()
    rounds, ready = options.rounds, pipeline.load(options.model)
    scenes = held_out.draw_scenes(BATCH, 0, world=random_scenes.FULL)
    prompts = [captions.write(one.describe()) for one in scenes]
    alone, batched = [], []
    with tempfile.TemporaryDirectory() as folder:
        seconds(ready, prompts[:1], Path(folder))  # warms up
        for _ in tqdm(range(rounds), unit="round"):
            alone += [seconds(ready, [one], Path(folder)) for one in prompts[:8]]
            batched.append(seconds(ready, prompts, Path(folder)))
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for k, what in enumerate(("generated", "saved")):
        one, many = ([times[k] for times in all_] for all_ in (alone, batched))
        for name, times in (("one prompt", one), (f"{BATCH} prompts", many)):
            middle = statistics.median(times)
            print(f"{name:12} {what} {middle:6.2f} s  (from {min(times):.2f} to {max(times):.2f})")
        ratio = BATCH * statistics.median(one) / statistics.median(many)
        print(f"clips {what} a second, in a batch and one by one: {ratio:.1f} times as many")


if __name__ == "__main__":
    main()
