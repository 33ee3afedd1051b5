"""Training one recipe, or all of them, under one progress bar."""

import io
from collections.abc import Iterator
from pathlib import Path

from tqdm.auto import tqdm

from minivid import files, recipes
from minivid.recipes import pace, runs, scorecard, tables
from minivid.training import Progress

BAR = "{desc} {percentage:5.1f}%|{bar}| {elapsed}<{remaining}{postfix}"


def train(name: str, at: str, folder: Path, micro_batches: int | None, quiet: bool) -> None:
    """Train one model, or "all" in order but those that are done; of all, end in the scorecard.

    folder: of runs; at, micro_batches: as in `runs.run`; quiet: the bar is drawn into nothing.
    """
    every = name == "all"
    names = recipes.trained_at(at) if every else [name]
    configs = {one: recipes.config_of(one, at) for one in names}
    seconds = pace.expected_seconds(names, at)
    before, into = 0.0, io.StringIO() if quiet else None
    with tqdm(total=sum(seconds.values()), file=into, bar_format=BAR, smoothing=0) as bar:
        for k, one in enumerate(names):
            what = f"{one} ({at}{f', {k + 1} of {len(names)}' if every else ''})"
            if not (every and runs.is_done(one, at, folder)):
                steps = runs.run(one, at, folder, micro_batches)
                _advance(bar, what, steps, configs[one].steps, before, seconds[one])
            before += seconds[one]
    if every and not quiet:
        cards = {one: files.read_json(runs.card_path(one, at, folder)) for one in names}
        _print_scores({one: card["score"] for one, card in cards.items()})


def _print_scores(scores: dict[str, dict]) -> None:
    """The scorecard's rows, and all rows of models that it does not have."""
    rows = [row for row in scorecard.load() if row["key"] in scores.get(row["model"], {})]
    print("\n".join(tables.table(scorecard.filled(rows, scores))))
    published = {row["model"] for row in rows}
    for name, score in scores.items():
        if name not in published:
            print("\n".join(tables.lines(name, score)))


def _advance(
    bar: tqdm, what: str, progress: Iterator[Progress], steps: int, before: float, seconds: float
) -> None:
    """Run a training of so many steps through, the bar going from `before` on by `seconds`."""
    each = seconds / steps
    bar.set_description_str(what)
    for k, done in enumerate(progress):
        if k == 0 and not bar.disable:  # what an earlier run did says nothing of this one's pace
            skipped = before + each * (done.step - 1) - bar.n
            bar.initial, bar.n = bar.initial + skipped, bar.n + skipped
            bar.last_print_n = bar.n
        bar.set_postfix_str(f"step {done.step:,}, loss {done.loss:.4f}", refresh=False)
        bar.update(before + each * done.step - bar.n)
        if done.step == steps:
            bar.set_description_str(f"{what}, scoring")
