"""The race: a sentence becomes a clip, by our ways and by three other libraries', in CPU-seconds.

    pip install --no-deps -r benchmarks/requirements.txt
    python benchmarks/peers.py                     # all that is missing, then table, plot and film strips
    python benchmarks/peers.py --only Latte --seed 0
    python benchmarks/peers.py --only "Latte on our latents" --seed 0 --compiled
    python benchmarks/peers.py --trials            # how the others' settings were chosen

All learn from clips of the easy world drawn by one simulator, on one thread, for the same CPU-seconds, in the
same loop with the same moving average of weights, and draw with as many network calls. All read sentences
with text encoders of the course that learn no more. Other libraries' networks are as they are published; what
they predict, how they are optimized and their sizes were chosen in short trials.
The clock counts drawing clips and learning from them; for latents also encoding the clips to learn from, not
the training of the autoencoder, whose seconds are printed beside. Looking at what is drawn is not counted.
A run that is done is not done again.
"""

import argparse
import functools
import itertools
import json
import os
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

# Compiled anew in every run, by the process whose clock counts it.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")

import numpy as np
import torch
from contestants import CONTESTANTS, MIXED, OURS, SECONDS, THEIRS, Contestant, forget, trials
from torch import Tensor, nn
from tqdm.auto import tqdm

from minivid import files, metrics, recipes, show, train, weights
from minivid.experiments import keeping
from minivid.experiments.race import TARGET, arrival
from minivid.recipes import clips, held_out, results
from minivid.recipes.judging import referee
from minivid.world import captions, render

HERE = Path(__file__).parent
RESULTS = HERE / "peers.json"
DOCS = HERE.parent / "docs"
SEEDS = (0, 1, 2)
CLEAR = 0.1  # share of clips as asked, below which nobody has got clear of chance
ASKED, ASKED_LAST = 60, 150  # clips in a look, and in the last one
COMPILED = ", compiled"
TRIAL = 150.0, 100, 60  # CPU-seconds, seed and clips of a trial


def clock() -> float:
    """CPU-seconds of this process and of what it started and waited for, such as a compiler."""
    return sum(os.times()[:4])


def race(
    one: Contestant, seed: int, seconds: float, asked: int = ASKED_LAST
) -> tuple[dict, Tensor]:
    """Train for so many CPU-seconds: {"steps", "curve", …}, and clips drawn at the end.

    asked: how many clips are looked at then.
    """
    plan, spent, curve = replace(one.plan, seed=seed), 0.0, []
    torch.manual_seed(seed)
    network = one.build()
    torch._dynamo.reset()
    forget()  # who needs latents encodes them, on the clock
    steps = train.train(network, one.missed, functools.partial(one.batch, plan), plan)
    with tqdm(total=round(seconds), desc=f"{one.name}, seed {seed}", unit="s") as bar:
        while True:
            began = clock()
            progress = next(steps)
            spent += clock() - began
            bar.update(min(round(spent), bar.total) - bar.n)
            if spent >= one.every * (len(curve) + 1) and spent < seconds:
                rows, _ = look(one, progress.network, ASKED, seed)
                curve.append({"seconds": round(spent, 1), "step": progress.step, **rows})
            if spent >= seconds:
                break
    rows, drawn = look(one, progress.network, asked, seed + 10)
    curve.append({"seconds": round(spent, 1), "step": progress.step, **rows})
    return {
        "by": one.by if one.by == "minivid" else f"{one.by} {version(one.by)}",
        "settings": one.settings,
        "parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "steps": progress.step,
        "curve": curve,
    }, drawn[:2]


def compiled(one: Contestant) -> Contestant:
    """The same, with its layers compiled."""
    return replace(one, name=f"{one.name}{COMPILED}", plan=replace(one.plan, compiled=True))


def look(one: Contestant, network: nn.Module, n: int, seed: int) -> tuple[dict, Tensor]:
    """What the judge sees of what was asked, [share, low, high]; of many clips toy-FVD, too."""
    draw = functools.partial(one.draw, network)
    scenes, drawn, real = clips.ask(draw, n, seed, held_out.SEEN)
    asked = [scene.describe() for scene in scenes]
    seen = clips.look(referee(), drawn)
    rows = clips.asked_rows(asked, seen, seen)
    found = {key: [row["ours"], *row["interval"]] for key, row in rows.items()}
    if n > clips.FEATURES:
        found["identity"] = list(metrics.share(torch.tensor([clip.same_digit for clip in seen])))
        others = clips.features(render.video(held_out.draw_scenes(n, seed + 2)))
        found["toy_fvd"], found["toy_fvd_of_real"] = (
            metrics.frechet(clips.features(video), others) for video in (drawn, real)
        )
    return found, drawn


def read() -> dict:
    """What was found so far: {name: {seed: what `race` gives}}."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def keep(name: str, seed: int, found: dict, drawn: Tensor) -> None:
    """Add what one run found to what is kept; of the first seed the clips, too."""
    rows = read()
    rows.setdefault(name, {})[str(seed)] = found
    files.write_json(RESULTS, rows)
    if seed == SEEDS[0]:
        keeping.keep("peers", name, drawn, HERE)


# What came of it ---------------------------------------------------------------------------------


def table(found: dict) -> list[str]:
    """The last looks as Markdown: means over seeds [lowest, highest]."""
    lines = [
        "| | by | parameters | seeds | steps | all as asked | digit | heading | one digit in all frames | "
        "toy-FVD |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in (name for name in CONTESTANTS if name in found):
        runs = list(found[name].values())
        steps = sum(run["steps"] for run in runs) / len(runs)
        cells = [name, runs[0]["by"], f"{runs[0]['parameters']:,}", str(len(runs))]
        cells.append(f"{steps:,.0f}")
        for key in ("all", "digit", "heading", "identity"):
            cells.append(spread([run["curve"][-1][key][0] for run in runs]))
        cells.append(spread([run["curve"][-1]["toy_fvd"] for run in runs]))
        lines.append("| " + " | ".join(cells) + " |")
    of_real = [run["curve"][-1]["toy_fvd_of_real"] for run in found["latent DiT"].values()]
    return [*lines, f"| real clips | | | | | 1.00 | 1.00 | 1.00 | 1.00 | {spread(of_real)} |"]


def spread(values: list[float]) -> str:
    """Mean, lowest and highest; one alone as it is."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{sum(values) / len(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def ratios(found: dict, ours: str = "latent DiT") -> dict[str, dict]:
    """For each seed: who of the others did best in the end, and when ours had done as well."""
    result = {}
    for seed in map(str, SEEDS):
        ends = {
            one.name: _all(found[one.name][seed])[-1]["all"]
            for one in (*MIXED, *THEIRS)
            if seed in found.get(one.name, {})
        }
        if len(ends) == len(MIXED) + len(THEIRS) and seed in found.get(ours, {}):
            best = max(ends, key=ends.get)
            there = arrival(_all(found[ours][seed]), ends[best])
            result[seed] = {"best": best, "all": ends[best], "arrival": there}
    return result


def sooner(found: dict) -> list[str]:
    """When each of ours had done as well as the best of the others in the end, as Markdown."""
    best = ratios(found)
    if not best:
        return []
    lines = [
        f"| share of its {SECONDS:.0f} CPU-seconds after which it does as well as | "
        + " | ".join(f"seed {seed}: {row['best']}, {row['all']:.2f}" for seed, row in best.items())
        + " |",
        "| --- |" + " ---: |" * len(best),
    ]
    for ours in (one.name for one in OURS):
        cells = [_share(ratios(found, ours).get(seed)) for seed in best]
        lines.append(f"| {ours} | " + " | ".join(cells) + " |")
    if any(row["all"] < CLEAR for row in best.values()):
        lines += ["", f"Below {CLEAR:.2f} is hardly more than chance, and makes no ratio."]
    return lines


def in_latents(found: dict) -> list[float]:
    """Of each seed, the share of the CPU-seconds in pixels after which a U-Net on latents is as good."""
    shares = []
    for seed in found["pixel U-Net"].keys() & found["latent U-Net"].keys():
        here, there = (
            arrival(_all(found[name][seed]), TARGET) for name in ("latent U-Net", "pixel U-Net")
        )
        if here and there:
            shares.append(here / there)
    return sorted(shares)


def _all(run: dict) -> list[dict]:
    """The looks at one run, of which only the share of all as asked is taken."""
    return [{**point, "all": point["all"][0]} for point in run["curve"]]


def with_compiler(found: dict) -> list[str]:
    """What the compiler did for those that raced with it, out of the table: a sentence each."""
    told = []
    for name in (name for name in CONTESTANTS if name + COMPILED in found):
        for seed, fast in found[name + COMPILED].items():
            slow = found[name][seed]
            told.append(
                f"With its layers compiled, {name} takes {fast['steps']:,} steps instead of "
                f"{slow['steps']:,}, and ends at {_all(fast)[-1]['all']:.2f} instead of "
                f"{_all(slow)[-1]['all']:.2f} (seed {seed})."
            )
    return told


def _share(row: dict | None) -> str:
    """When it was there, as the table tells it."""
    if row is None or row["all"] < CLEAR:
        return ""
    return f"{row['arrival'] / SECONDS:.2f}" if row["arrival"] else "more than 1.00"


def plot(found: dict) -> show.Figure:
    """Clips as asked against CPU-seconds: each seed faintly, the mean in front."""
    picture, axes = show.figure(
        "How soon what is asked for is drawn",
        "All as asked against CPU-seconds, a line for each contestant.",
        size=(7.0, 3.6),
    )
    for k, name in enumerate(name for name in CONTESTANTS if name in found):
        curves = [
            [(0.0, 0.0), *((point["seconds"], point["all"][0]) for point in run["curve"])]
            for run in found[name].values()
        ]
        colour, dashes = show.line_style(k)
        for line in curves:
            axes.plot(*zip(*line), color=colour, linestyle="-", linewidth=0.7, alpha=0.35)
        means = np.mean([np.array(line) for line in curves], 0)
        axes.plot(*means.T, color=colour, linestyle=dashes, label=name)
    axes.set(
        xlabel="CPU-seconds of training", ylabel="share of clips, all as asked", ylim=(-0.02, 1.02)
    )
    axes.legend(frameon=False, fontsize=8, loc="center right", bbox_to_anchor=(1.0, 0.64))
    return picture


def strips() -> show.Figure:
    """What each draws in the end when asked for the same."""
    drawn = keeping.clips("peers", HERE)
    kept = {name: drawn[name][0] for name in CONTESTANTS if name in drawn}
    asked = held_out.draw_scenes(ASKED_LAST, SEEDS[0] + 10)[0].describe()
    title = f"Asked for “{captions.write(asked)}”"
    return show.film_strip(torch.stack(list(kept.values())), list(kept), title)


def section(found: dict) -> list[str]:
    """The race, as the page of results tells it."""
    codec, words = weights.card("video_codec"), weights.card("words")
    shares = ", ".join(f"{share:.2f}" for share in in_latents(found))
    lines = [*table(found), "", "![All as asked against CPU-seconds](race.png)", ""]
    lines += [*sooner(found), ""]
    lines += [
        f"A U-Net on latents has {TARGET:.0%} as asked after {shares} (a seed each) of the CPU-seconds that "
        "one in pixels takes.",
        "",
        f"Not on the clock: training the autoencoder of clips ({codec['flops']:.1e} FLOPs, once, for all "
        "that is made with it), and for the latent DiT its teacher, the clip encoder, which learned beside "
        f"the text encoder that the U-Nets read with ({words['flops']:.1e} FLOPs). An autoencoder of the "
        "easy world alone takes eleven minutes on two cores (`experiment hour`): with it on the clock, a "
        "race of ten minutes would be over before the latent models began. Those in pixels have nothing "
        "beforehand but a text encoder.",
        "",
        "On the clock: of the latent DiT's seconds more than sixty pass before its first step, a third of "
        "them in encoding clips, half in compiling its blocks.",
        "",
        "Latte was made for latents: it races twice, on pixels as it comes, and on our latents. “Frames as "
        "channels” is a network of pictures that is given 17 frames as 51 channels, Unet3D one of video. "
        "What they predict, and by which optimizer they learn, was tried, for Latte half the learning rates, "
        "too; ours were settled while the course was written. Toy-FVD of 150 clips separates only what is "
        "far apart, and flatters the latent DiT, whose teacher it looks through.",
        "",
        "Numbers are means over seeds [lowest, highest], without brackets where there is one seed; that 150 "
        "clips alone are drawn leaves up to ±0.08.",
        "",
        "![What each draws when asked for the same](race_clips.png)",
        "",
        "The settings:",
        "",
        *(f"- {one.name}: {found[one.name]['0']['settings']}" for one in CONTESTANTS.values()
          if "0" in found.get(one.name, {})),
        "",
        " ".join(with_compiler(found)),
        "",
        f"Those of other libraries were chosen in trials of {TRIAL[0]:.0f} CPU-seconds, {TRIAL[2]} clips "
        f"looked at, seed {TRIAL[1]}. Unet3D, too slow to be tried so, and Latte on our latents take after "
        "those that did best, Latte there predicting velocity as our latent models do.",
        "",
        "| | steps | colour | digit | heading | all as asked |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for name, row in found.get("trials", {}).items():
        cells = [f"{row[key]:.2f}" for key in ("colour", "digit", "heading", "all")]
        lines.append(f"| {name} | {row['steps']} | " + " | ".join(cells) + " |")
    return lines


def publish() -> None:
    """Write the plot, the film strips and the race's part of the page of results."""
    found = read()
    (DOCS / "race.png").write_bytes(plot(found).png())
    (DOCS / "race_clips.png").write_bytes(strips().png())
    page = DOCS / "results.md"
    text = results.between(page.read_text("utf-8"), "race", section(found))
    files.write(page, text.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=CONTESTANTS, action="append")
    parser.add_argument("--seed", type=int, choices=SEEDS, action="append")
    parser.add_argument(
        "--compiled", action="store_true", help="race with torch.compile, out of the table"
    )
    parser.add_argument("--trials", action="store_true", help="try settings of the others, no race")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.trials:
        seconds, seed, asked = TRIAL
        for name, one in trials().items():
            if name in read().get("trials", {}):
                continue
            found, _ = race(replace(one, every=seconds), seed, seconds, asked)
            rows = read()
            last = {key: row[0] for key, row in found["curve"][-1].items() if isinstance(row, list)}
            rows.setdefault("trials", {})[name] = {"steps": found["steps"], **last}
            files.write_json(RESULTS, rows)
        return
    for seed, name in itertools.product(options.seed or SEEDS, options.only or CONTESTANTS):
        one = compiled(CONTESTANTS[name]) if options.compiled else CONTESTANTS[name]
        if str(seed) not in read().get(one.name, {}):
            found, drawn = race(one, seed, SECONDS)
            keep(one.name, seed, {**found, "machine": recipes.machine()}, drawn)
    if any(str(SEEDS[0]) not in read().get(name, {}) for name in CONTESTANTS):
        print(f"the page is written once seed {SEEDS[0]} of all is there")
        return
    publish()
    print("\n".join(section(read())))


if __name__ == "__main__":
    main()
