"""Experiments too long for a notebook's cell: python -m minivid experiment NAME.

Each writes data/experiments/NAME.json: what was done, with which seeds, how long it took and on what,
and its numbers as [value, low, high] (95 % intervals). The notebooks plot that file and rerun a small
part of it. A seed that is done is not done again; delete the file to begin anew.

An experiment is a module of this folder with WHAT, SEEDS and `run(seed, bar)`; its name is the file's.
"""

import importlib
import json
import pkgutil
import time
from types import ModuleType

from minivid import files
from minivid.experiments.records import FOLDER, Bar
from minivid.recipes import runs


def _found() -> dict[str, ModuleType]:
    """Every experiment by name."""
    modules = {
        module.name: importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    }
    return {name: made for name, made in sorted(modules.items()) if hasattr(made, "WHAT")}


EXPERIMENTS = _found()


def experiment(name: str) -> ModuleType:
    """The experiment of that name. Raises ValueError where there is none."""
    if name not in EXPERIMENTS:
        raise ValueError(f"no experiment is called {name!r}. There are: {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name]


def run(name: str, bar: Bar) -> dict:
    """Run an experiment for each of its seeds and save what it found; bar shows the progress."""
    made = experiment(name)
    path = FOLDER / f"{name}.json"
    found = files.read_json(path) if path.exists() else {
        "experiment": name,
        "what": made.WHAT,
        "made_by": f"python -m minivid experiment {name}",
        "machine": runs.machine(),
        "seconds": {},
        "results": {},
    }  # fmt: skip
    for seed in made.SEEDS:
        if str(seed) in found["results"]:
            continue
        began = time.time()
        found["results"][str(seed)] = made.run(seed, bar)
        found["seconds"][str(seed)] = round(time.time() - began)
        files.write_json(path, found)
    return found


def load(name: str) -> dict:
    """What an experiment found, as it was committed. Raises ValueError where it is not there."""
    experiment(name)
    path = FOLDER / f"{name}.json"
    if not path.exists():
        raise ValueError(f"{path} is not there; python -m minivid experiment {name} makes it.")
    return files.read_json(path)
