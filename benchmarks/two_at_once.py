"""How much two trainings on one machine slow each other, and what a short spin of waiting threads changes.

    python benchmarks/two_at_once.py [--rounds 9] [--size small]

The step of a small transformer, the size that a notebook trains: alone, and in each of two processes that
train at once. Each is measured with the OpenMP of PyTorch as it comes and with `minivid.processors`, which
lets threads wait only briefly. The four take turns in every round; medians over the rounds, and ratios to the
training alone as it comes.
"""

import argparse
import os
import statistics
import subprocess
import sys

from tqdm.auto import tqdm

STEPS = {"small": 40, "large": 10}
# Of the network: width, depth, clips in a batch; as in a notebook, and as `python -m minivid train video` has
# it.
SIZES = {"small": (96, 4, 8), "large": (128, 8, 64)}
WORKER = """
import sys, time
import torch
from minivid.models.dit import DiT, DiTConfig, Text

torch.manual_seed(0)
network = DiT(DiTConfig(32, {width}, {depth}, 64))
optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
x, t = torch.randn({batch}, 80, 32), torch.rand({batch}, 1)
text = Text(torch.randn({batch}, 12, 64), torch.randn({batch}, 1, 64))
positions = torch.rand(80, 5)

def step():
    optimizer.zero_grad()
    network(x, t, positions, text).square().mean().backward()
    optimizer.step()

for _ in range(5):
    step()
print("ready", flush=True)
sys.stdin.readline()
began = time.perf_counter()
for _ in range({steps}):
    step()
print((time.perf_counter() - began) / {steps}, flush=True)
for _ in range(1000):  # until the others are done
    step()
"""


# Which environment threads find when PyTorch is loaded: as the package sets it, or as it comes.
SHORT_SPIN = "import minivid\n"
AS_IT_COMES = "import os; os.environ.pop('GOMP_SPINCOUNT', None)\nimport torch\n"


def milliseconds(together: int, first: str, size: str) -> list[float]:
    """A step's time in each of so many processes that train at once; first: what each runs first."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    width, depth, batch = SIZES[size]
    worker = WORKER.format(steps=STEPS[size], width=width, depth=depth, batch=batch)
    command = [sys.executable, "-c", first + worker]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, env=environment, **pipes) for _ in range(together)]
    try:
        for worker in workers:
            assert worker.stdout.readline().strip() == "ready"
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        return [1000 * float(worker.stdout.readline()) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", choices=SIZES, default="small")
    options = parser.parse_args()
    rounds = options.rounds
    ways = {
        "alone, as it comes": (1, AS_IT_COMES),
        "alone, short spin": (1, SHORT_SPIN),
        "two at once, as it comes": (2, AS_IT_COMES),
        "two at once, short spin": (2, SHORT_SPIN),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in tqdm(range(rounds), unit="round"):
        for name, way in ways.items():
            found[name].append(max(milliseconds(*way, options.size)))
    alone = statistics.median(found["alone, as it comes"])
    print(f"{os.cpu_count()} cores; a step in milliseconds, the slower of two; median of {rounds} rounds")
    for name, times in found.items():
        middle = statistics.median(times)
        print(f"{name:26} {middle:8.1f}  {middle / alone:5.2f} times  ({min(times):.1f} to {max(times):.1f})")


if __name__ == "__main__":
    main()
