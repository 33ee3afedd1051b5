"""The command line: python -m minivid sample | train | score | experiment."""

import argparse
import json
import sys
from pathlib import Path

from tqdm.auto import tqdm

from minivid import experiments, files, generator, recipes, show, train


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors a reader can cause are printed plainly. Returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"minivid: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "minivid: stopped. The same command resumes from the last checkpoint.", file=sys.stderr
        )
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
        choices=generator.NAMES,
        default="joint",
        help="joint draws picture and sound, video a silent picture",
    )
    sample.add_argument("--steps", type=int, default=generator.STEPS)
    sample.add_argument(
        "--guidance",
        type=float,
        default=generator.GUIDANCE,
        help="0 ignores the sentence, 1 heeds it, more exaggerates",
    )
    for side in ("frames", "height", "width"):
        sample.add_argument(f"--{side}", type=int, default=getattr(generator.USUAL, side))
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

    score = commands.add_parser("score", help="measure the shipped weights on fresh scenes")
    score.add_argument("name", help=names)
    score.add_argument("--n", type=int, default=1000)
    score.add_argument("--seed", type=int, default=2)
    score.add_argument("--json", type=Path, help="also write the table here")
    score.set_defaults(run=_score)

    experiment = commands.add_parser("experiment", help="run an experiment the notebooks show")
    experiment.add_argument("name", help=", ".join(experiments.EXPERIMENTS))
    experiment.set_defaults(run=_experiment)
    return top


def _sample(options) -> None:
    out, many = options.out, len(options.sentence) > 1
    can_sound = show.holds_sound(out)  # a wrong name is said before the work, not after it
    shape = generator.Format(options.frames, options.height, options.width)
    ready = generator.load(options.model)
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
    at = options.scale or recipes.scale()
    for name in recipes.RECIPES if options.name == "all" else [options.name]:
        steps = recipes.recipe(name).plans[at].steps
        with tqdm(total=steps, desc=f"{name} ({at})", unit="step", disable=silent) as bar:
            for progress in recipes.run(name, at, options.runs, options.parts):
                if bar.n == 0:  # a training that is resumed begins where it stopped
                    bar.initial = bar.n = bar.last_print_n = progress.step - 1
                bar.update(progress.step - bar.n)
                bar.set_postfix(loss=f"{progress.loss:.4f}")


def _score(options) -> None:
    if not 0 <= options.seed <= recipes.MAX_SEED:
        raise ValueError(
            f"seed {options.seed}: allowed are 0 to {recipes.MAX_SEED}; training draws from above."
        )
    table = recipes.recipe(options.name).score(recipes.load(options.name), options.n, options.seed)
    for key, row in table.items():
        low, high = row["interval"]
        floor, ceiling = ("–" if row[k] is None else f"{row[k]:.3f}" for k in ("floor", "ceiling"))
        print(
            f"{key:22} floor {floor}  ours {row['ours']:.4f} [{low:.3f}, {high:.3f}]  ceiling {ceiling}"
        )
    if options.json:
        result = {"metrics": table, "n": options.n, "seed": options.seed, "weights": options.name}
        files.write(options.json, (json.dumps(result, indent=1) + "\n").encode())


def _experiment(options) -> None:
    found = experiments.run(options.name, lambda steps, total, what: tqdm(steps, what, total))
    print(f"done: {len(found['results'])} seeds in {experiments.FOLDER / options.name}.json")


if __name__ == "__main__":
    sys.exit(main())
