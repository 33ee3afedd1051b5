"""The race: a prompt becomes a clip, by our ways and by three other libraries', in CPU-seconds.

    pip install --no-deps -r benchmarks/requirements.txt
    python benchmarks/peers.py                     # all that is missing, then table, plot and film strips
    python benchmarks/peers.py --only Latte --seed 0
    python benchmarks/peers.py --only "Latte on our latents" --seed 0 --compiled
    python benchmarks/peers.py --trials            # how the others' settings were chosen

All learn from clips of the easy world made by one simulator, on one thread, for the same CPU-seconds, in the
same loop with the same moving average of weights, and generate with as many network evaluations. All read
prompts with text encoders of the course that learn no more. Other libraries' networks are as they are
published; what they predict, how they are optimized and their sizes were chosen in short trials.
The clock counts making clips and learning from them; for latents also encoding the clips to learn from, not
the training of the autoencoder, whose FLOPs are printed beside. Evaluating what is generated is not counted.
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

from minivid import files, show, training, weights
from minivid.experiments.race import TARGET, arrival
from minivid.experiments.records import load_clips, save_clips, without_bounds
from minivid.measure import stats
from minivid.measure.adherence import ask, easy_rows, read_clips
from minivid.measure.judge import load_judge
from minivid.recipes import tables
from minivid.recipes.features import clip_features
from minivid.recipes.runs import machine
from minivid.world import captions, held_out, render

HERE = Path(__file__).parent
RESULTS = HERE / "peers.json"
DOCS = HERE.parent / "docs"
SEEDS = (0, 1, 2)
CLEAR = 0.1  # proportion of clips as asked, below which nobody has got clear of chance
TEST_SIZE, FINAL_TEST_SIZE = 60, 150  # clips in an evaluation, and in the last one
COMPILED = ", compiled"
TRIAL = 150.0, 100, 60  # CPU-seconds, seed and clips of a trial


def cpu_seconds() -> float:
    """CPU-seconds of this process and of what it started and waited for, such as a compiler."""
    return sum(os.times()[:4])


def race(one: Contestant, seed: int, seconds: float, n: int = FINAL_TEST_SIZE) -> tuple[dict, Tensor]:
    """Train for so many CPU-seconds: {"steps", "curve", …}, and clips generated at the end.

    n: how many clips are judged then.
    """
    config, spent, curve = replace(one.config, seed=seed), 0.0, []
    torch.manual_seed(seed)
    network = one.build()
    torch._dynamo.reset()
    forget()  # who needs latents encodes them, on the clock
    draw_batch = functools.partial(one.draw_batch, config)
    steps = training.train(network, one.training_loss, draw_batch, config)
    with tqdm(total=round(seconds), desc=f"{one.name}, seed {seed}", unit="s") as bar:
        while True:
            began = cpu_seconds()
            progress = next(steps)
            spent += cpu_seconds() - began
            bar.update(min(round(spent), bar.total) - bar.n)
            if spent >= one.every * (len(curve) + 1) and spent < seconds:
                rows, _ = evaluate(one, progress.network, TEST_SIZE, seed)
                curve.append({"seconds": round(spent, 1), "step": progress.step, **rows})
            if spent >= seconds:
                break
    rows, generated = evaluate(one, progress.network, n, seed + 10)
    curve.append({"seconds": round(spent, 1), "step": progress.step, **rows})
    library = one.library
    return {
        "by": library if library == "minivid" else f"{library} {version(library)}",
        "settings": one.settings,
        "parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "steps": progress.step,
        "curve": curve,
    }, generated[:2]


def compiled(one: Contestant) -> Contestant:
    """The same, with its layers compiled."""
    return replace(one, name=f"{one.name}{COMPILED}", config=replace(one.config, compile=True))


def evaluate(one: Contestant, network: nn.Module, n: int, seed: int) -> tuple[dict, Tensor]:
    """What the judge reads of what was asked, [proportion, low, high]; of many clips toy-FVD, too."""
    scenes = held_out.draw_scenes(n, seed)
    generated, real = ask(functools.partial(one.generate, network), scenes, seed)
    asked = [scene.describe() for scene in scenes]
    observed = read_clips(load_judge(), generated)
    found = without_bounds(easy_rows(asked, observed, observed))
    if n > clip_features(real[:1]).shape[1]:
        found["identity"] = list(stats.proportion(torch.tensor([clip.identity for clip in observed])))
        others = clip_features(render.video(held_out.draw_scenes(n, seed + 2)))
        found["toy_fvd"], found["toy_fvd_of_real"] = (
            stats.frechet(clip_features(video), others) for video in (generated, real)
        )
    return found, generated


def load() -> dict:
    """What was found so far: {name: {seed: what `race` gives}}."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def save(name: str, seed: int, found: dict, generated: Tensor) -> None:
    """Add what one run found to what was found before; of the first seed the clips, too."""
    rows = load()
    rows.setdefault(name, {})[str(seed)] = found
    files.write_json(RESULTS, rows)
    if seed == SEEDS[0]:
        save_clips("peers", name, generated, HERE)


# What came of it ---------------------------------------------------------------------------------


def table(found: dict) -> list[str]:
    """The last evaluations as Markdown: means over seeds [lowest, highest]."""
    lines = [
        "| | by | parameters | seeds | steps | all as asked | digit | heading | identity | toy-FVD |",
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
        cells = [_when(ratios(found, ours).get(seed)) for seed in best]
        lines.append(f"| {ours} | " + " | ".join(cells) + " |")
    if any(row["all"] < CLEAR for row in best.values()):
        lines += ["", f"Below {CLEAR:.2f} is hardly more than chance, and makes no ratio."]
    return lines


def in_latents(found: dict) -> list[float]:
    """Of each seed, the share of the CPU-seconds in pixels after which a U-Net on latents is as good."""
    fractions = []
    for seed in found["pixel U-Net"].keys() & found["latent U-Net"].keys():
        here, there = (arrival(_all(found[name][seed]), TARGET) for name in ("latent U-Net", "pixel U-Net"))
        if here and there:
            fractions.append(here / there)
    return sorted(fractions)


def _all(run: dict) -> list[dict]:
    """The evaluations of one run, of which only the proportion with all as asked is taken."""
    return [{**point, "all": point["all"][0]} for point in run["curve"]]


def with_compiler(found: dict) -> list[str]:
    """What the compiler did for those that raced with it, out of the table: a sentence each."""
    sentences = []
    for name in (name for name in CONTESTANTS if name + COMPILED in found):
        for seed, fast in found[name + COMPILED].items():
            slow = found[name][seed]
            sentences.append(
                f"With its layers compiled, {name} takes {fast['steps']:,} steps instead of "
                f"{slow['steps']:,}, and ends at {_all(fast)[-1]['all']:.2f} instead of "
                f"{_all(slow)[-1]['all']:.2f} (seed {seed})."
            )
    return sentences


def _when(row: dict | None) -> str:
    """When it was there, as the table tells it: a share of its CPU-seconds."""
    if row is None or row["all"] < CLEAR:
        return ""
    return f"{row['arrival'] / SECONDS:.2f}" if row["arrival"] else "more than 1.00"


def plot(found: dict) -> show.Figure:
    """Clips as asked against CPU-seconds: each seed faintly, the mean in front."""
    picture, axes = show.figure(
        "How soon what is asked for is generated",
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
    axes.set(xlabel="CPU-seconds of training", ylabel="proportion of clips, all as asked", ylim=(-0.02, 1.02))
    axes.legend(frameon=False, fontsize=8, loc="center right", bbox_to_anchor=(1.0, 0.64))
    return picture


def strips() -> show.Figure:
    """What each generates in the end when asked for the same."""
    saved = load_clips("peers", HERE)
    videos = {name: saved[name][0] for name in CONTESTANTS if name in saved}
    asked = held_out.draw_scenes(FINAL_TEST_SIZE, SEEDS[0] + 10)[0].describe()
    title = f"Asked for “{captions.write(asked)}”"
    return show.film_strip(torch.stack(list(videos.values())), list(videos), title)


def section(found: dict) -> list[str]:
    """The race, as the page of results tells it."""
    codec, words = weights.card("video_codec"), weights.card("words")
    fractions = ", ".join(f"{fraction:.2f}" for fraction in in_latents(found))
    lines = [*table(found), "", "![All as asked against CPU-seconds](race.png)", ""]
    lines += [*sooner(found), ""]
    lines += [
        f"A U-Net on latents has {TARGET:.0%} as asked after {fractions} (a seed each) of the CPU-seconds "
        "that one in pixels takes.",
        "",
        f"Not on the clock: training the autoencoder of clips ({codec['flops']:.1e} FLOPs, once, for all "
        "that is made with it), and for the latent DiT the clip encoder it is aligned with, which learned "
        f"beside the text encoder that the U-Nets read with ({words['flops']:.1e} FLOPs). An autoencoder of "
        "the easy world alone takes eleven minutes on two cores (`experiment hour`): with it on the clock, a "
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
        "far apart, and flatters the latent DiT, which is aligned with the encoder whose features it "
        "compares.",
        "",
        "Numbers are means over seeds [lowest, highest], without brackets where there is one seed; that 150 "
        "clips alone are judged leaves up to ±0.08.",
        "",
        "![What each generates when asked for the same](race_clips.png)",
        "",
        "The settings:",
        "",
        *(f"- {one.name}: {found[one.name]['0']['settings']}" for one in CONTESTANTS.values()
          if "0" in found.get(one.name, {})),
        "",
        " ".join(with_compiler(found)),
        "",
        f"Those of other libraries were chosen in trials of {TRIAL[0]:.0f} CPU-seconds, {TRIAL[2]} clips "
        f"judged, seed {TRIAL[1]}. Unet3D, too slow to be tried so, and Latte on our latents take after "
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
    found = load()
    (DOCS / "race.png").write_bytes(plot(found).png())
    (DOCS / "race_clips.png").write_bytes(strips().png())
    page = DOCS / "results.md"
    text = tables.between(page.read_text("utf-8"), "race", section(found))
    files.write(page, text.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=CONTESTANTS, action="append")
    parser.add_argument("--seed", type=int, choices=SEEDS, action="append")
    parser.add_argument("--compiled", action="store_true", help="race with torch.compile, out of the table")
    parser.add_argument("--trials", action="store_true", help="try settings of the others, no race")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.trials:
        seconds, seed, n = TRIAL
        for name, one in trials().items():
            if name in load().get("trials", {}):
                continue
            found, _ = race(replace(one, every=seconds), seed, seconds, n)
            rows = load()
            last = {key: row[0] for key, row in found["curve"][-1].items() if isinstance(row, list)}
            rows.setdefault("trials", {})[name] = {"steps": found["steps"], **last}
            files.write_json(RESULTS, rows)
        return
    for seed, name in itertools.product(options.seed or SEEDS, options.only or CONTESTANTS):
        one = compiled(CONTESTANTS[name]) if options.compiled else CONTESTANTS[name]
        if str(seed) not in load().get(one.name, {}):
            found, generated = race(one, seed, SECONDS)
            save(one.name, seed, {**found, "machine": machine()}, generated)
    if any(str(SEEDS[0]) not in load().get(name, {}) for name in CONTESTANTS):
        print(f"the page is written once seed {SEEDS[0]} of all is there")
        return
    publish()
    print("\n".join(section(load())))


if __name__ == "__main__":
    main()
