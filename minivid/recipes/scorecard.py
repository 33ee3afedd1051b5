"""The numbers that are published: data/scorecard.json, from which the README and docs/results.md are written.

The file says what is published and in which words; `score` fills in what it measures. A score is kept in a
folder of runs and found there again as long as neither weights nor code change (docstrings, comments and the
way code is laid out are no part of that).
"""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from minivid import files, folders, pipeline, recipes, weights

SCORECARD = folders.data() / "scorecard.json"
N, SEED = 1000, 2  # clips or pictures behind a score, and what they are drawn from
MAX_SEED = pipeline.MAX_SEED  # evaluation takes its seeds from 0 to here; training draws from above
# Code that no score depends on.
NO_SCORE = ("show", "experiments", "__main__.py", "doctor.py", "exercises.py")


def score_all(n: int, seed: int, runs: Path) -> Iterator[tuple[str, dict]]:
    """The name and score of each shipped model, on n scenes: (name, {key: row})."""
    mark = fingerprint()
    for name in recipes.shipped():
        path = Path(runs) / "scores" / f"{name}-{n}-{seed}-{mark}.json"
        if not path.exists():
            files.write_json(path, recipes.recipe(name).score(recipes.load(name), n, seed))
        yield name, files.read_json(path)


def require_same_world(name: str) -> None:
    """Raise ValueError where a model's weights were trained in another world than its recipe is scored in."""
    wanted = recipes.recipe(name).world
    world = weights.card(name).get("world", "full")
    if world != wanted:
        raise ValueError(
            f"{name} was trained in the {world} world, and is scored in the {wanted}: train it again."
        )


def fingerprint(package: Path = folders.PACKAGE) -> str:
    """A fingerprint of what is measured: all weights, and all code that a score depends on."""
    found = hashlib.sha256()
    for path in sorted(weights.folder().glob("*.safetensors")):
        found.update(path.read_bytes())
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] not in NO_SCORE:
            found.update(code_alone(path.read_text(encoding="utf-8")).encode())
    return found.hexdigest()[:16]


def code_alone(source: str) -> str:
    """Python source without docstrings and comments, laid out in one way."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def load() -> list[dict]:
    """The published rows: model, key, what is measured, floor, ours, ceiling, interval; some a headline."""
    return files.read_json(SCORECARD)["rows"]


def write(rows: list[dict]) -> None:
    """Write the published rows."""
    files.write_json(SCORECARD, {"n": N, "seed": SEED, "rows": rows})


def filled(rows: list[dict], scores: dict[str, dict]) -> list[dict]:
    """The rows with the scores' numbers; scores: of each model, {key: row of a score}.

    Rows of models that have no score stay as they are. Raises ValueError for a key that a score lacks.
    """
    made = []
    for row in rows:
        score = scores.get(row["model"], {row["key"]: {}})
        if row["key"] not in score:
            raise ValueError(f"{row['model']} has no {row['key']!r} in its score: {', '.join(score)}.")
        made.append(row | score[row["key"]])
    return made
