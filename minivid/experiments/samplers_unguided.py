"""The samplers once more, without guidance: is what fresh noise mends what guidance overdoes?

`samplers` compares them at the pipeline's guidance scale, 4, at which a guided field leads away from what was
trained on. At 1 the field is the network's own, and its errors are all that a solver can mend.
"""

from minivid.experiments import samplers
from minivid.experiments.records import Bar

WHAT = "the same as `samplers`, at guidance scale 1"
SEEDS = (0, 1, 2)
GUIDANCE = 1.0


def run(seed: int, bar: Bar, n: int = 200) -> dict:
    """As `samplers.run`."""
    return samplers.run(seed, bar, n, GUIDANCE)
