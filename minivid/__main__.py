"""The command line: python -m minivid sample | train | score | experiment."""

import argparse
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

from minivid import experiments, files, generator, recipes, show, train, weights
from minivid.recipes import results

README = Path(__file__).parents[1] / "README.md"
PAGE = README.parent / "docs" / "results.md"
AGAIN = README.parent / "data" / "experiments" / "from_nothing.json"  # cards that `train all` left
SIDES = ("frames", "height", "width")  # of a format, as the command line calls them
BAR = "{desc} {percentage:5.1f}%|{bar}| {elapsed}<{remaining}{postfix}"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors a reader can cause are printed plainly. Returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"minivid: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        resumes = " The same command resumes from the last checkpoint."
        print("minivid: stopped." + (resumes if options.run is _train else ""), file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m minivid", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    names = ", ".join(recipes.RECIPES)

    sample = commands.add_parser("sample", help="draw clips of what sentences ask for")
    sample.add_argument(
        "sentence", nargs="+", help="like 'a red 3 moves right, the camera pans left'"
    )
    sample.add_argument(
        "--out",
        type=Path,
        default=Path("clip.mp4"),
        help=".mp4, .webm or .png; several clips become clip-1.mp4, clip-2.mp4, …",
    )
    sample.add_argument("--seed", type=int, default=0, help="another seed draws another clip")
    sample.add_argument(
        "--model",
        choices=generator.MODELS,
        default="joint",
        help="joint draws picture and sound, video a silent picture; _64: of 64×64, which you train first",
    )
    sample.add_argument("--steps", type=int, default=generator.STEPS)
    sample.add_argument(
        "--guidance",
        type=float,
        default=generator.GUIDANCE,
        help="0 ignores the sentence, 1 heeds it, more exaggerates",
    )
    for side in SIDES:
        sample.add_argument(f"--{side}", type=int, help="that of most clips it learned from")
    sample.set_defaults(run=_sample)

    training = commands.add_parser("train", help="train a model by its recipe and keep its weights")
    training.add_argument("name", help=f"{names}, or all")
    training.add_argument("--scale", choices=recipes.SCALES, default=None)
    training.add_argument(
        "--parts",
        type=int,
        help="learn from each batch in so many parts, which the processes of torchrun share",
    )
    training.add_argument("--runs", type=Path, default=Path("runs"), help="folder of checkpoints")
    training.set_defaults(run=_train)

    score = commands.add_parser(
        "score",
        help="measure the shipped weights on fresh scenes",
        description="Measure the shipped weights on fresh scenes; of all models, also write what was found "
        "onto the cards, into the README and into docs/results.md.",
    )
    score.add_argument("name", nargs="?", default="all", help=f"{names}, or all (the default)")
    score.add_argument("--n", type=int, default=recipes.SCORED)
    score.add_argument("--seed", type=int, default=recipes.SEED)
    score.add_argument(
        "--runs", type=Path, default=Path("runs"), help="folder where scores are kept on the way"
    )
    score.add_argument("--json", type=Path, help="also write the table here")
    score.set_defaults(run=_score)

    experiment = commands.add_parser("experiment", help="run an experiment the notebooks show")
    experiment.add_argument("name", help=", ".join(experiments.EXPERIMENTS))
    experiment.set_defaults(run=_experiment)
    return top


def _sample(options) -> None:
    out, many = options.out, len(options.sentence) > 1
    can_sound = show.holds_sound(out)  # a wrong name is said before the work, not after it
    ready = generator.load(options.model)
    given = {side: getattr(options, side) for side in SIDES}
    shape = replace(ready.usual, **{side: n for side, n in given.items() if n is not None})
    walk = ready.walk(options.sentence, options.seed, options.steps, options.guidance, shape)
    *_, last = tqdm(walk, total=options.steps, unit="step")
    video, audio = generator.seen_and_heard(ready.decode(last.x_t, shape))
    silent = audio is None or not can_sound
    for k, sentence in enumerate(options.sentence):
        path = out.with_stem(f"{out.stem}-{k + 1}") if many else out
        show.save(path, video[k], None if silent else audio[k])
        print(f"{path}: {sentence!r}, {shape}, {'silent' if silent else 'with sound'}")


def _train(options) -> None:
    with train.together() as rank:
        _train_each(options, silent=rank > 0)


def _train_each(options, silent: bool) -> None:
    """Train one model, or all in order but those that are done; of all, end in the scorecard."""
    at = options.scale or recipes.scale()
    every = options.name == "all"
    names = recipes.trained_at(at) if every else [options.name]
    plans = {name: recipes.plan_of(name, at) for name in names}
    seconds = recipes.expected_seconds(names, at)
    before = 0.0
    # Where it is silent, the bar is drawn into nothing.
    into = io.StringIO() if silent else None
    with tqdm(total=sum(seconds.values()), file=into, bar_format=BAR, smoothing=0) as bar:
        for k, name in enumerate(names):
            bar.set_description_str(f"{name} ({at}{f', {k + 1} of {len(names)}' if every else ''})")
            if not (every and recipes.is_done(name, at, options.runs)):
                steps = recipes.run(name, at, options.runs, options.parts)
                _advance(bar, steps, plans[name].steps, before, seconds[name])
            before += seconds[name]
    if every and not silent:
        cards = {name: recipes.done_of(name, at, options.runs).read_text() for name in names}
        scores = {name: json.loads(card)["score"] for name, card in cards.items()}
        readme = README.read_text("utf-8")
        print("\n".join(results.table(readme, scores, recipes.SCORED)))
        told = {name for name, _, _ in results.published(readme)}
        for name in names:
            if name not in told:
                print("\n".join(_lines(name, scores[name])))


def _advance(
    bar: tqdm, training: Iterator[train.Progress], steps: int, before: float, seconds: float
) -> None:
    """Run a training of so many steps through, the bar going from `before` on by `seconds`."""
    each = seconds / steps
    for k, progress in enumerate(training):
        if k == 0:  # what an earlier run did says nothing of this one's pace
            skipped = before + each * (progress.step - 1) - bar.n
            bar.initial, bar.n = bar.initial + skipped, bar.n + skipped
            bar.last_print_n = bar.n
        bar.set_postfix_str(f"step {progress.step:,}, loss {progress.loss:.4f}", refresh=False)
        bar.update(before + each * progress.step - bar.n)
        if progress.step == steps:
            bar.set_description_str(f"{bar.desc}, looked at")


def _score(options) -> None:
    if not 0 <= options.seed <= recipes.MAX_SEED:
        raise ValueError(
            f"seed {options.seed}: allowed are 0 to {recipes.MAX_SEED}; training draws from above."
        )
    every = options.name == "all"
    if every:
        found = tqdm(
            recipes.scored(options.n, options.seed, options.runs),
            "scored",
            len(recipes.in_the_box()),
        )
    else:
        score = recipes.recipe(options.name).score
        found = [(options.name, score(recipes.load(options.name), options.n, options.seed))]
    tables = {}
    for name, table in found:
        tables[name] = table
        tqdm.write("\n".join(_lines(name, table)))
    if options.json:
        result = {
            "metrics": tables if every else tables[options.name],
            "n": options.n,
            "seed": options.seed,
            "weights": options.name,
        }
        files.write_json(options.json, result)
    if every and (options.n, options.seed) == (recipes.SCORED, recipes.SEED):
        _publish(tables)


def _lines(name: str, table: dict) -> list[str]:
    """The rows of a score."""
    return [f"{name:14} {key:26} {results.numbers(row)}" for key, row in table.items()]


def _publish(tables: dict[str, dict]) -> None:
    """Write what was measured onto the cards, into the README and the page of results."""
    cards = {name: weights.card(name) for name in tables}
    found = [
        results.is_within(row, cards[name]["score"][key])
        for name, table in tables.items()
        for key, row in table.items()
        if key in cards[name].get("score", {})
    ]
    print(f"{sum(found)} of {len(found)} numbers lie in the intervals that the cards had")
    for name, table in tables.items():
        cards[name]["score"] = table
    again = json.loads(AGAIN.read_text("utf-8"))
    readme = results.filled(README.read_text("utf-8"), tables)
    page = PAGE.read_text("utf-8")
    for mark, lines in (
        ("score", results.table(readme, tables, recipes.SCORED)),
        ("made", results.trainings(cards)),
        ("again", [*results.trainings(again), "", *results.repeated(readme, again, cards)]),
    ):
        page = results.between(page, mark, lines)
    for name, card in cards.items():
        weights.write_card(name, card)
    files.write(README, readme.encode())
    files.write(PAGE, page.encode())
    print(f"written onto the cards and into {README} and {PAGE}")


def _experiment(options) -> None:
    found = experiments.run(options.name, lambda steps, total, what: tqdm(steps, what, total))
    print(f"done: {len(found['results'])} seeds in {experiments.FOLDER / options.name}.json")


if __name__ == "__main__":
    sys.exit(main())
