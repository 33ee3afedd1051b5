"""The command line: python -m minivid sample | train | score | experiment."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

from minivid import experiments, pipeline, recipes, show, training
from minivid.recipes import progress, publish, scorecard

SIDES = ("frames", "height", "width")  # of a format, as the command line calls them


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
    _add_sample(commands.add_parser("sample", help="generate clips of what prompts ask for"))
    _add_train(commands.add_parser("train", help="train a model and keep its weights"), names)
    _add_score(
        commands.add_parser(
            "score",
            help="measure the shipped weights on fresh scenes",
            description="Measure the shipped weights on fresh scenes; of all models, also write what was "
            "found onto the cards, into data/scorecard.json, the README and docs/results.md.",
        ),
        names,
    )
    experiment = commands.add_parser("experiment", help="run an experiment the notebooks show")
    experiment.add_argument("name", help=", ".join(experiments.EXPERIMENTS))
    experiment.set_defaults(run=_experiment)
    return top


def _add_sample(sample: argparse.ArgumentParser) -> None:
    add = sample.add_argument
    add("prompt", nargs="+", help="like 'a red 3 moves right, the camera pans left'")
    out = ".mp4, .webm or .png; several clips become clip-1.mp4, clip-2.mp4, …"
    add("--out", type=Path, default=Path("clip.mp4"), help=out)
    add("--seed", type=int, default=0, help="another seed makes another clip")
    model = "joint makes picture and sound, video a silent picture; _64: of 64×64, which you train first"
    add("--model", choices=pipeline.MODELS, default="joint", help=model)
    add("--steps", type=int, default=pipeline.STEPS, help="of the solver")
    guidance = "0 ignores the prompt, 1 follows it, more exaggerates it"
    add("--guidance", type=float, default=pipeline.GUIDANCE, help=guidance)
    for side in SIDES:
        add(f"--{side}", type=int, help="that of most clips it learned from")
    sample.set_defaults(run=_sample)


def _add_train(train: argparse.ArgumentParser, names: str) -> None:
    add = train.add_argument
    add("name", help=f"{names}, or all")
    add("--scale", choices=recipes.SCALES, default=None)
    parts = "learn from each batch in so many parts, which the processes of torchrun share"
    add("--micro-batches", type=int, help=parts)
    add("--runs", type=Path, default=Path("runs"), help="folder of checkpoints")
    train.set_defaults(run=_train)


def _add_score(score: argparse.ArgumentParser, names: str) -> None:
    add = score.add_argument
    add("name", nargs="?", default="all", help=f"{names}, or all (the default)")
    add("--n", type=int, default=scorecard.N)
    add("--seed", type=int, default=scorecard.SEED)
    add("--runs", type=Path, default=Path("runs"), help="where scores are kept on the way")
    add("--json", type=Path, help="also write the table here")
    score.set_defaults(run=_score)


def _sample(options) -> None:
    out, many = options.out, len(options.prompt) > 1
    holds_sound = show.holds_sound(out)  # a wrong name is said before the work, not after it
    ready = pipeline.load(options.model)
    sides = {side: getattr(options, side) for side in SIDES}
    shape = replace(ready.format, **{side: n for side, n in sides.items() if n is not None})
    steps = ready.steps(options.prompt, options.seed, options.steps, options.guidance, shape)
    *_, last = tqdm(steps, total=options.steps, unit="step")
    video, audio = ready.decode(last.x_t)
    silent = audio is None or not holds_sound
    for k, prompt in enumerate(options.prompt):
        path = out.with_stem(f"{out.stem}-{k + 1}") if many else out
        show.save(path, video[k], None if silent else audio[k])
        print(f"{path}: {prompt!r}, {shape}, {'silent' if silent else 'with sound'}")


def _train(options) -> None:
    with training.init_distributed() as rank:
        at = options.scale or recipes.scale()
        progress.train(options.name, at, options.runs, options.micro_batches, quiet=rank > 0)


def _score(options) -> None:
    publish.score(options.name, options.n, options.seed, options.runs, options.json)


def _experiment(options) -> None:
    found = experiments.run(options.name, lambda steps, total, what: tqdm(steps, what, total))
    print(f"done: {len(found['results'])} seeds in {experiments.FOLDER / options.name}.json")


if __name__ == "__main__":
    sys.exit(main())
