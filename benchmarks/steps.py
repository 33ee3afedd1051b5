"""Where the seconds of a training step go, and what two cuts made of them.

    python benchmarks/steps.py [NAME ...]

Each model's step at scale "laptop" in clips of its usual format, on this machine's cores, three ways in one
run: in full precision; under bf16 autocast with attention by PyTorch's kernel, which then works in full
precision; and with attention of short lists of tokens computed as the formula is written, in bf16. Medians,
in seconds. Then what the last is made of: drawing a batch, the network forward and back, the optimizers, the
moving average; and the operators that cost most.
"""

import argparse
import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch.optim.swa_utils import AveragedModel
from torch.profiler import ProfilerActivity, profile
from tqdm.auto import tqdm

from minivid import recipes, training
from minivid.formats import DEFAULT_FORMAT
from minivid.models import attention
from minivid.recipes import joint, latents, video
from minivid.training import DrawBatch
from minivid.training.optimizer import Optimizer

DATASET_SIZE = 500  # clips to train on are few: it is the clock that counts
WAYS = {  # precision, tokens up to which a list is short
    "fp32": ("fp32", attention.SHORT),
    "bf16, kernel": ("bf16", 0),
    "bf16, written out": ("bf16", attention.SHORT),
}


def few_clips() -> None:
    """Train on few clips of the usual format, so that none has to wait for latents."""
    os.environ["MINIVID_RUNS"] = tempfile.mkdtemp()  # or they would take the place of the reader's own
    latents.DATASET_SIZE = DATASET_SIZE
    video.FORMATS = joint.FORMATS = {DEFAULT_FORMAT: (DATASET_SIZE, 1.0)}


@contextmanager
def timed(owner: object, name: str, seconds: dict[str, float]):
    """Count the seconds spent in a function of a module or a class."""
    real = getattr(owner, name)

    def counted(*arguments, **options):
        began = time.perf_counter()
        try:
            return real(*arguments, **options)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began

    setattr(owner, name, counted)
    try:
        yield
    finally:
        setattr(owner, name, real)


def steps(name: str, precision: str, short: int, draw_batch: DrawBatch | None = None):
    """A training of that model, warm; draw_batch: the recipe's where none is given."""
    attention.SHORT = short
    torch._dynamo.reset()
    recipe = recipes.recipe(name)
    config = replace(recipe.configs["laptop"], precision=precision)
    torch.manual_seed(config.seed)
    draw_batch = draw_batch or (lambda rng: recipe.draw_batch(config, rng))
    going = training.train(recipe.build(), recipe.loss, draw_batch, config)
    for _ in range(4):
        next(going)
    return going


def medians(name: str, rounds: int) -> dict[str, float]:
    """Seconds a step, each way."""
    found = {}
    for way, (precision, short) in WAYS.items():
        going, times = steps(name, precision, short), []
        for _ in range(rounds):
            began = time.perf_counter()
            next(going)
            times.append(time.perf_counter() - began)
        found[way] = statistics.median(times)
    return found


def breakdown(name: str, rounds: int) -> tuple[dict[str, float], list[str]]:
    """Seconds of each part of a step, and the operators that cost most, of the last way."""
    seconds: dict[str, float] = {}
    recipe = recipes.recipe(name)
    config = recipe.configs["laptop"]

    class Drawing:
        @staticmethod
        def draw_batch(rng):
            return recipe.draw_batch(config, rng)

    going = steps(name, *WAYS["bf16, written out"], lambda rng: Drawing.draw_batch(rng))
    began = time.perf_counter()
    with (
        timed(Drawing, "draw_batch", seconds),
        timed(Optimizer, "step", seconds),
        timed(AveragedModel, "update_parameters", seconds),
    ):
        for _ in range(rounds):
            next(going)
    step = (time.perf_counter() - began) / rounds
    names = {"draw_batch": "drawing", "step": "optimizers", "update_parameters": "ema"}
    found = {names[key]: value / rounds for key, value in seconds.items()}
    found["network"] = step - sum(found.values())
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(2):
            next(going)
    events = profiled.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    most = sorted(events, key=lambda event: -event.self_cpu_time_total)[:3]
    return found, [f"{e.key[:40]} {e.self_cpu_time_total / total:.0%}" for e in most]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(recipes.shipped()))
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    few_clips()
    names = options.names or recipes.shipped()
    rows = {
        name: (medians(name, options.rounds), *breakdown(name, options.rounds))
        for name in tqdm(names, unit="model")
    }
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print("| model | " + " | ".join(WAYS) + " | after / before | drawing | network | optimizers | most |")
    print("| --- |" + " ---: |" * (len(WAYS) + 4) + " --- |")
    for name, (ways, spent, most) in rows.items():
        cells = [f"{seconds:.3f}" for seconds in ways.values()]
        cells.append(f"{ways['bf16, written out'] / ways['fp32']:.2f}")
        total = sum(spent.values())
        cells += [f"{spent[part] / total:.0%}" for part in ("drawing", "network", "optimizers")]
        print(f"| {name} | " + " | ".join(cells) + f" | {', '.join(most)} |")


if __name__ == "__main__":
    main()
