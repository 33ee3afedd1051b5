"""Where the seconds of a training step go, and what two cuts made of them.

    python benchmarks/steps.py [NAME ...]

Each model's step at scale "laptop" in clips of its usual format, on this machine's cores, three ways in one
run: in full precision; under bf16 autocast with attention by PyTorch's kernel, which then works in full
precision; and with short lists of tokens looked at as the formula is written, in bf16. Medians, in seconds.
Then the parts of the last: drawing a batch, the network forward and back, the optimizers, the moving average;
and the operators that cost most.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile
from tqdm.auto import tqdm

from minivid import generator, layers, recipes, train
from minivid.recipes import cache, joint, latents, video

KEPT = 500  # clips to train on are few: it is the clock that counts
WAYS = {  # precision, tokens up to which a list is short
    "fp32": ("fp32", layers.SHORT),
    "bf16, kernel": ("bf16", 0),
    "bf16, written out": ("bf16", layers.SHORT),
}


def few_clips() -> None:
    """Train on few clips of the usual format, so that none has to wait for latents."""
    cache.FOLDER = Path(tempfile.mkdtemp())  # or they would take the place of the reader's own
    latents.KEPT = KEPT
    video.FORMATS = joint.FORMATS = {generator.USUAL: (KEPT, 1.0)}


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


def steps(name: str, precision: str, short: int, told: Callable | None = None):
    """A training of that model, warm."""
    layers.SHORT = short
    torch._dynamo.reset()
    recipe = recipes.recipe(name)
    plan = replace(recipe.plans["laptop"], precision=precision)
    torch.manual_seed(plan.seed)
    draw = told or (lambda draws: recipe.draw(plan, draws))
    going = train.train(recipe.build(), recipe.loss, draw, plan)
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


def parts(name: str, rounds: int) -> tuple[dict[str, float], list[str]]:
    """Seconds of each part of a step, and the operators that cost most, of the last way."""
    seconds: dict[str, float] = {}
    recipe = recipes.recipe(name)
    plan = recipe.plans["laptop"]

    class Drawing:
        @staticmethod
        def draw(draws):
            return recipe.draw(plan, draws)

    going = steps(name, *WAYS["bf16, written out"], lambda draws: Drawing.draw(draws))
    began = time.perf_counter()
    with (
        timed(Drawing, "draw", seconds),
        timed(train.Optimizer, "step", seconds),
        timed(train, "_follow", seconds),
    ):
        for _ in range(rounds):
            next(going)
    whole = (time.perf_counter() - began) / rounds
    named = {"draw": "drawing", "step": "optimizers", "_follow": "average"}
    found = {named[key]: value / rounds for key, value in seconds.items()}
    found["network"] = whole - sum(found.values())
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(2):
            next(going)
    events = seen.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    most = sorted(events, key=lambda event: -event.self_cpu_time_total)[:3]
    return found, [f"{e.key[:40]} {e.self_cpu_time_total / total:.0%}" for e in most]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(recipes.in_the_box()))
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    few_clips()
    names = options.names or recipes.in_the_box()
    rows = {
        name: (medians(name, options.rounds), *parts(name, options.rounds))
        for name in tqdm(names, unit="model")
    }
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        "| model | "
        + " | ".join(WAYS)
        + " | after / before | drawing | network | optimizers | most |"
    )
    print("| --- |" + " ---: |" * (len(WAYS) + 4) + " --- |")
    for name, (ways, spent, most) in rows.items():
        cells = [f"{seconds:.3f}" for seconds in ways.values()]
        cells.append(f"{ways['bf16, written out'] / ways['fp32']:.2f}")
        whole = sum(spent.values())
        cells += [f"{spent[part] / whole:.0%}" for part in ("drawing", "network", "optimizers")]
        print(f"| {name} | " + " | ".join(cells) + f" | {', '.join(most)} |")


if __name__ == "__main__":
    main()
