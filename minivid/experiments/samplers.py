"""How few steps? The shipped transformer, walked by Euler's method, by Heun's and by DDPM's own.

Heun's method looks twice a step, so at equal looks it takes half the steps (Karras et al. 2022, arXiv
2206.00364, found it the better bargain at many looks). DDPM's own sampler, "ancestral", puts fresh noise in
the place of some of the old at each step. Guidance doubles the network calls of all three.
"""

import functools

from minivid import diffusion, generator
from minivid.experiments.keeping import Follow, plain
from minivid.recipes import clips, held_out
from minivid.recipes.judging import agreement, referee
from minivid.world import scene

WHAT = "the shipped transformer's clips of the full world, as asked after few looks: Euler, Heun, DDPM's own"
SEEDS = (0, 1, 2)
LOOKS = (2, 4, 8, 16, 32)
MOVES = {  # and looks a step
    "Euler": (diffusion.euler, 1),
    "Heun": (diffusion.heun, 2),
    "ancestral": (diffusion.ancestral, 1),
}
SHOWN = ("digit", "colour", "heading", "all_attributes")


def run(seed: int, follow: Follow, n: int = 200) -> dict:
    """{method: {looks at most: {"digit", "colour", "heading", "all_attributes": [share, low, high]}}}."""
    ready, viewer = generator.load("video"), referee()
    found = {name: {} for name in MOVES}
    ways = [(name, looks) for name in MOVES for looks in LOOKS]
    for name, looks in follow(ways, len(ways), f"seed {seed}"):
        move, each = MOVES[name]
        ask = functools.partial(ready.draw, steps=looks // each, move=move)
        scenes, drawn, _ = clips.ask(ask, n, seed, held_out.SEEN, scene.FULL)
        asked, seen = [one.describe() for one in scenes], clips.look(viewer, drawn)
        rows = agreement(asked, seen, seen)
        found[name][str(looks)] = plain({key: rows[key] for key in SHOWN})
    return found
