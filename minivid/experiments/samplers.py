"""How few steps? The shipped transformer, sampled by Euler's method, by Heun's and by DDPM's own.

Heun's method evaluates the field twice a step, so at equal NFE (number of function evaluations) it takes half
the steps (Karras et al. 2022, arXiv 2206.00364, section 3, found it an excellent trade-off between error and
NFE). DDPM's own sampler, "ancestral", puts fresh noise in the place of some of the old at each step. Guidance
doubles the network evaluations of all three. Its scale is the pipeline's, 4: what fresh noise mends may be
what guidance overdoes.
"""

from collections.abc import Sequence

from torch import Tensor

from minivid import diffusion, pipeline
from minivid.experiments.records import Bar, without_bounds
from minivid.measure.adherence import Generate, agreement_rows, ask, read_clips
from minivid.measure.judge import load_judge
from minivid.world import held_out, random_scenes

WHAT = "the shipped transformer's prompt adherence in the full world at low NFE: Euler, Heun, DDPM's own"
SEEDS = (0, 1, 2)
NFE = (2, 4, 8, 16, 32)  # evaluations of the guided field at most, each two of the network
SOLVERS = {  # and their evaluations a step
    "Euler": (diffusion.euler, 1),
    "Heun": (diffusion.heun, 2),
    "ancestral": (diffusion.ancestral, 1),
}
ATTRIBUTES = ("digit", "colour", "heading", "all_attributes")


def generate_with(ready: pipeline.Pipeline, name: str, nfe: int, guidance: float | None = None) -> Generate:
    """What generates clips by a solver, in as many evaluations of the field at most."""
    solver, each = SOLVERS[name]

    def generate(prompts: Sequence[str], seed: int) -> Tensor:
        return ready.generate(prompts, seed, nfe // each, guidance, solver=solver).video

    return generate


def run(seed: int, bar: Bar, n: int = 200, guidance: float | None = None) -> dict:
    """{solver: {NFE at most: {"digit", "colour", "heading", "all_attributes": [value, low, high]}}}."""
    ready, judge = pipeline.load("video"), load_judge()
    scenes = held_out.draw_scenes(n, seed, world=random_scenes.FULL)
    asked = [one.describe() for one in scenes]
    found = {name: {} for name in SOLVERS}
    pairs = [(name, nfe) for name in SOLVERS for nfe in NFE]
    for name, nfe in bar(pairs, len(pairs), f"seed {seed}"):
        generated, _ = ask(generate_with(ready, name, nfe, guidance), scenes, seed)
        observed = read_clips(judge, generated)
        rows = agreement_rows(asked, observed, observed)
        found[name][str(nfe)] = without_bounds({key: rows[key] for key in ATTRIBUTES})
    return found
