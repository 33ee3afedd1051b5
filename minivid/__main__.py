"""The command line: python -m minivid sample | train | score | experiment | doctor."""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from minivid import doctor

try:
    from tqdm.auto import tqdm

    from minivid import experiments, files, folders, pipeline, recipes, show, training
    from minivid.recipes import progress, publish, scorecard
except ImportError:  # whatever was asked for, what is missing comes first
    sys.exit(doctor.run())

TOGETHER = 16  # clips that are generated at once: more would take more memory
SIDES = ("frames", "height", "width")  # of a format, as the command line calls them


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors a reader can cause are printed plainly. Returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal need not know every sign of a prompt
    options = parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"minivid: {error}", file=sys.stderr)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        print(f"minivid: out of memory: {error}\nAsk for less at once.", file=sys.stderr)
    except KeyboardInterrupt:
        saved = options.run is _train and any(folders.runs().glob("*.pt"))
        goes_on = " The same command resumes from the last checkpoint." if saved else ""
        print(f"minivid: stopped.{goes_on}", file=sys.stderr)
        return 130
    return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m minivid", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    names = ", ".join(recipes.RECIPES)
    _add_sample(commands.add_parser("sample", help="generate clips of what prompts ask for"))
    _add_train(commands.add_parser("train", help="train a model and keep its weights"), names)
    what = (
        "Measure the shipped weights on fresh scenes. Of all models, with the usual n and seed, also write "
        "what was found onto the cards, into data/scorecard.json, the README and docs/results.md."
    )
    score = commands.add_parser("score", help=what.partition(".")[0].lower(), description=what)
    _add_score(score, names)
    experiment = commands.add_parser("experiment", help="run an experiment the notebooks show")
    experiment.add_argument("name", help=", ".join(experiments.EXPERIMENTS))
    experiment.set_defaults(run=_experiment)
    well = commands.add_parser("doctor", help="say what works on this machine, and what does not")
    well.set_defaults(run=lambda options: doctor.run())
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
    add("--runs", type=Path, help="folder of checkpoints and latents; else $MINIVID_RUNS, or runs")
    train.set_defaults(run=_train)


def _add_score(score: argparse.ArgumentParser, names: str) -> None:
    add = score.add_argument
    add("name", nargs="?", default="all", help=f"{names}, or all (the default)")
    add("--n", type=int, default=scorecard.N)
    add("--seed", type=int, default=scorecard.SEED)
    add("--runs", type=Path, help="where scores are kept on the way; else $MINIVID_RUNS, or runs")
    add("--json", type=Path, help="also write the table here")
    score.set_defaults(run=_score)


def _sample(options) -> None:
    prompts, out = options.prompt, options.out
    if len(prompts) > 1 and not any(" " in prompt.strip() for prompt in prompts):
        raise ValueError(
            f"{len(prompts)} prompts of one word each. Is it one sentence? Put it in quotes: "
            f'"{" ".join(prompts)}".'
        )
    # What is wrong with a name or a size is said before the work, not after it.
    holds_sound = show.holds_sound(out)
    files.require_file(out)
    pipeline.check_seed(options.seed, pipeline.MAX_SEED - len(prompts) + 1)
    ready = pipeline.load(options.model)
    sides = {side: getattr(options, side) for side in SIDES}
    shape = replace(ready.format, **{side: n for side, n in sides.items() if n is not None})
    show.require_size(max(shape.height, shape.width))
    starts = range(0, len(prompts), TOGETHER)
    with tqdm(total=options.steps * len(starts), unit="step") as bar:
        for start in starts:
            some = prompts[start : start + TOGETHER]
            settings = options.seed + start, options.steps, options.guidance, shape
            for step in ready.steps(some, *settings):
                latents = step.x_t
                bar.update()
            video, audio = ready.decode(latents)
            silent = audio is None or not holds_sound
            for k, prompt in enumerate(some):
                path = out.with_stem(f"{out.stem}-{start + k + 1}") if len(prompts) > 1 else out
                show.save(path, video[k], None if silent else audio[k])
                sound = "silent" if silent else "with sound"
                bar.write(f"{path}: {prompt!r}, {shape}, {sound}")


def _train(options) -> None:
    _keep_runs_in(options.runs)
    with training.init_distributed() as rank:
        at = options.scale or recipes.scale()
        progress.train(options.name, at, folders.runs(), options.micro_batches, quiet=rank > 0)


def _score(options) -> None:
    _keep_runs_in(options.runs)
    publish.score(options.name, options.n, options.seed, folders.runs(), options.json)


def _keep_runs_in(folder: Path | None) -> None:
    """Keep checkpoints, and the latents that are encoded for them, in a folder."""
    if folder is not None:
        os.environ["MINIVID_RUNS"] = str(folder)


def _experiment(options) -> None:
    found = experiments.run(options.name, lambda steps, total, what: tqdm(steps, what, total))
    print(f"done: {len(found['results'])} seeds in {experiments.FOLDER / options.name}.json")


if __name__ == "__main__":
    sys.exit(main())
