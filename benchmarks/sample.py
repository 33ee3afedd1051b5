"""How long a sentence takes to become a file, alone and among 64.

    python benchmarks/sample.py [--model video]

Clips of 17 frames at 32×32, with the default steps and guidance, all in one run on this machine's cores: one
sentence at a time, and 64 in one batch, until the clips are drawn, and until each is an .mp4. The medians of
the rounds, and from the fastest to the slowest.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from tqdm.auto import tqdm

from minivid import generator, show
from minivid.recipes import held_out
from minivid.world import captions, scene

BATCH = 64


def seconds(ready: generator.Generator, sentences: list[str], folder: Path) -> tuple[float, float]:
    """From sentences to clips, and to files: how long it takes."""
    began = time.perf_counter()
    video, audio = generator.seen_and_heard(ready.draw(sentences))
    drawn = time.perf_counter() - began
    for k, clip in enumerate(video):
        show.save(folder / f"{k}.mp4", clip, None if audio is None else audio[k])
    return drawn, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", choices=generator.MODELS, default="joint")
    options = parser.parse_args()
    rounds, ready = options.rounds, generator.load(options.model)
    scenes = held_out.draw_scenes(BATCH, 0, world=scene.FULL)
    sentences = [captions.write(one.describe()) for one in scenes]
    alone, together = [], []
    with tempfile.TemporaryDirectory() as folder:
        seconds(ready, sentences[:1], Path(folder))  # warms up
        for _ in tqdm(range(rounds), unit="round"):
            alone += [seconds(ready, [one], Path(folder)) for one in sentences[:8]]
            together.append(seconds(ready, sentences, Path(folder)))
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for k, what in enumerate(("drawn", "saved")):
        one, many = ([times[k] for times in all_] for all_ in (alone, together))
        for name, times in (("one sentence", one), (f"{BATCH} sentences", many)):
            middle = statistics.median(times)
            print(f"{name:12} {what} {middle:6.2f} s  (from {min(times):.2f} to {max(times):.2f})")
        ratio = BATCH * statistics.median(one) / statistics.median(many)
        print(f"clips {what} a second, in a batch and one by one: {ratio:.1f} times as many")


if __name__ == "__main__":
    main()
