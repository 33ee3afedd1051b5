"""What is trained, on what, for how long, and how it is scored: one file a model.

A model is a module of this folder that has a RECIPE; its name is the file's. Configurations are for a scale,
"laptop" (two CPU cores) or "gpu" (one GPU). `python -m minivid train NAME` and `score NAME` do nothing but
follow a recipe.
"""

import importlib
import os
import pkgutil

import torch
from torch import nn

from minivid import weights
from minivid.recipes.recipe import Recipe
from minivid.training import TrainConfig

SCALES = ("laptop", "gpu")


def _found() -> dict[str, Recipe]:
    """Every recipe by name, none before those that it needs."""
    modules = {
        module.name: importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    }
    recipes = {name: made.RECIPE for name, made in modules.items() if hasattr(made, "RECIPE")}
    order: dict[str, Recipe] = {}

    def visit(name: str, wanted_by: tuple[str, ...] = ()) -> None:
        if name not in recipes or name in wanted_by:
            chain = " needs ".join((*wanted_by, name))
            raise ValueError(f"{chain}: name files of minivid/recipes, and none in a circle.")
        for other in recipes[name].needs:
            visit(other, (*wanted_by, name))
        order.setdefault(name, recipes[name])

    for name in sorted(recipes):
        visit(name)
    return order


RECIPES = _found()


def scale() -> str:
    """The scale in force: $MINIVID_SCALE if set, else "gpu" where there is a CUDA device."""
    chosen = os.environ.get("MINIVID_SCALE") or ("gpu" if torch.cuda.is_available() else "laptop")
    if chosen not in SCALES:
        raise ValueError(f"MINIVID_SCALE={chosen!r}: allowed are {' and '.join(SCALES)}.")
    return chosen


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises ValueError where there is none."""
    if name not in RECIPES:
        raise ValueError(f"no model is called {name!r}. There are: {', '.join(RECIPES)}.")
    return RECIPES[name]


def trained_at(at: str) -> list[str]:
    """The models that have a configuration for that scale, none before one that it needs."""
    return [name for name, made in RECIPES.items() if at in made.configs]


def shipped() -> list[str]:
    """The models whose weights come with the course: those that a laptop can train."""
    return trained_at("laptop")


def config_of(name: str, at: str) -> TrainConfig:
    """How a model is trained at that scale. Raises ValueError where it is not."""
    configs = recipe(name).configs
    if at not in configs:
        raise ValueError(
            f"{name} has no configuration for scale {at!r}. Try `python -m minivid train {name} --scale "
            f"{' or '.join(configs)}`."
        )
    return configs[at]


def load(name: str) -> nn.Module:
    """The shipped model of that name, ready to use on the CPU."""
    return weights.load(name, recipe(name).build())
