"""Experiments too long for a notebook's cell: python -m minivid experiment NAME.

Each writes data/experiments/NAME.json: what was done, with which seeds, how long it took and on what,
and its numbers as [value, low, high] (95 % intervals). The notebooks plot that file and rerun a small
part of it. A seed that is done is not done again; delete the file to begin anew.
"""

import json
import time
from types import ModuleType

from minivid import files, recipes
from minivid.experiments import (
    alignment,
    bias,
    binding,
    blocks,
    channels,
    compression,
    crops,
    encoders,
    flows,
    frames,
    guidance,
    hour,
    optimizers,
    prediction,
    prompts,
    race,
    samplers,
    sizes,
    speeds,
    together,
)
from minivid.experiments.keeping import FOLDER, Follow

EXPERIMENTS = {
    "frames": frames,
    "speeds": speeds,
    "guidance": guidance,
    "encoders": encoders,
    "prompts": prompts,
    "bias": bias,
    "compression": compression,
    "channels": channels,
    "race": race,
    "crops": crops,
    "hour": hour,
    "samplers": samplers,
    "alignment": alignment,
    "blocks": blocks,
    "flows": flows,
    "sizes": sizes,
    "prediction": prediction,
    "optimizers": optimizers,
    "binding": binding,
    "together": together,
}


def experiment(name: str) -> ModuleType:
    """The experiment of that name. Raises ValueError where there is none."""
    if name not in EXPERIMENTS:
        raise ValueError(f"no experiment is called {name!r}. There are: {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name]


def run(name: str, follow: Follow) -> dict:
    """Run an experiment for each of its seeds and keep what it found; follow shows the progress."""
    made = experiment(name)
    path = FOLDER / f"{name}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {
        "experiment": name,
        "what": made.WHAT,
        "made_by": f"python -m minivid experiment {name}",
        "machine": recipes.machine(),
        "seconds": {},
        "results": {},
    }  # fmt: skip
    for seed in made.SEEDS:
        if str(seed) in found["results"]:
            continue
        began = time.time()
        found["results"][str(seed)] = made.run(seed, follow)
        found["seconds"][str(seed)] = round(time.time() - began)
        files.write_json(path, found)
    return found


def load(name: str) -> dict:
    """What an experiment found, as it was committed. Raises ValueError where it is not there."""
    experiment(name)
    path = FOLDER / f"{name}.json"
    if not path.exists():
        raise ValueError(f"{path} is not there; python -m minivid experiment {name} makes it.")
    return json.loads(path.read_text(encoding="utf-8"))
