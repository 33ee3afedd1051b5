"""What teaches and what measures are disjoint: no judge, and no network behind a distance, enters a loss."""

import functools
import types

import pytest

from minivid import recipes
from minivid.recipes import features, joint, video, words

# Modules that measure; a network that is trained may of course read its own batch.
MEASURES = {
    "minivid.measure.judge", "minivid.measure.room", "minivid.measure.listener", "minivid.measure.sync",
    "minivid.measure.shape", "minivid.measure.motion", "minivid.measure.adherence",
    "minivid.measure.fidelity", "minivid.recipes.features", "minivid.recipes.second_judge",
    "minivid.recipes.clip_reader",
}  # fmt: skip
OWN = {
    "judge": {"minivid.measure.judge"},
    "features": {"minivid.recipes.features"},
    "second_judge": {"minivid.recipes.second_judge", "minivid.recipes.clip_reader"},
}


def reached(function) -> set[str]:
    """The modules of all that a function of a recipe reaches, itself included, by the names it uses."""
    todo, done, modules = [function], set(), set()
    while todo:
        one = todo.pop()
        one = getattr(one, "__wrapped__", one)
        if isinstance(one, functools.partial):
            todo += [one.func, *one.args, *one.keywords.values()]
            continue
        module = one.__name__ if isinstance(one, types.ModuleType) else getattr(one, "__module__", "")
        if id(one) in done or (one is not function and not str(module).startswith("minivid")):
            continue
        done.add(id(one))
        modules.add(module)
        if isinstance(one, types.FunctionType):
            codes = [one.__code__]
            while codes:
                code = codes.pop()
                codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
                for name in code.co_names:
                    found = one.__globals__.get(name)
                    if isinstance(found, types.ModuleType):  # of a module, what is used of it
                        todo += [getattr(found, n) for n in code.co_names if hasattr(found, n)]
                    elif found is not None:
                        todo.append(found)
    return modules


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_no_measure_enters_a_loss_or_a_batch(name):
    recipe = recipes.recipe(name)
    learns = reached(recipe.loss) | reached(recipe.draw_batch)
    assert not learns & MEASURES - OWN.get(name, set())
    assert any(module.startswith("minivid.recipes") for module in learns)


def test_the_search_finds_a_measure_where_there_is_one():
    def bad(network, batch, rng):
        return features.clip_features(batch[0]).mean() + video.RECIPE.loss(network, batch, rng)

    assert "minivid.recipes.features" in reached(bad)
    assert "minivid.measure.judge" in reached(recipes.recipe("joint").score)


def test_the_teacher_of_alignment_is_not_behind_any_distance():
    assert "minivid.recipes.words" not in reached(features.clip_features)
    assert "minivid.recipes.cache" in reached(video.RECIPE.draw_batch) | reached(video.RECIPE.loss)
    assert not hasattr(words, "clip_features") and not hasattr(joint, "load_judge")
