"""How few steps? The shipped transformer, walked by Euler's method and by Heun's, look for look.

Heun's method looks twice a step, so at equal looks it takes half the steps (Karras et al. 2022, arXiv
2206.00364, found it the better bargain at many looks). Guidance doubles the network calls of both.
"""

import functools
from collections.abc import Sequence

from torch import Tensor

from minivid import diffusion, generator
from minivid.experiments.keeping import Follow
from minivid.recipes import clips, held_out
from minivid.recipes.judging import agreement, referee
from minivid.world import scene

WHAT = "the shipped transformer's clips of the full world, as asked after few looks: Euler against Heun"
SEEDS = (0, 1, 2)
LOOKS = (2, 4, 8, 16)
MOVES = {"Euler": (diffusion.euler, 1), "Heun": (diffusion.heun, 2)}  # and looks a step
SHOWN = ("digit", "colour", "heading", "all_attributes")


def draw(
    ready: generator.Generator,
    move: diffusion.Move,
    steps: int,
    sentences: Sequence[str],
    seed: int,
) -> Tensor:
    """Clips (b, 3, 17, 32, 32) of what the sentences ask for, by that method in so many steps."""
    noise, times = ready.noise(len(sentences), seed), diffusion.schedule(steps, generator.SHIFT)
    walk = diffusion.sample(ready.field(sentences), noise, times, generator.PATH, move)
    *_, last = walk
    return ready.decode(last.x_t)


def run(seed: int, follow: Follow, n: int = 200) -> dict:
    """{method: {looks at most: {"digit", "colour", "heading", "all_attributes": [share, low, high]}}}."""
    ready, viewer = generator.load("video"), referee()
    found = {name: {} for name in MOVES}
    ways = [(name, looks) for name in MOVES for looks in LOOKS]
    for name, looks in follow(ways, len(ways), f"seed {seed}"):
        move, each = MOVES[name]
        ask = functools.partial(draw, ready, move, looks // each)
        scenes, drawn, real = clips.ask(ask, n, seed, held_out.SEEN, scene.FULL)
        asked = [one.describe() for one in scenes]
        rows = agreement(asked, clips.look(viewer, drawn), clips.look(viewer, real))
        found[name][str(looks)] = {
            key: [rows[key]["ours"], *rows[key]["interval"]] for key in SHOWN
        }
    return found
