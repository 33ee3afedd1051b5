"""Muon against AdamW, at equal steps: the same transformer, the same batches.

AdamW gets four learning rates, so that it is not beaten by a bad choice. Published: Muon took a 1.2 billion
text-to-image transformer from an FID of 18.2 to 15.6 in 100,000 steps (Photoroom's PRX ablations); the
method: Jordan et al. 2024, kellerjordan.github.io/posts/muon.
"""

from dataclasses import replace

from minivid.experiments import task
from minivid.experiments.keeping import Follow

WHAT = "Muon against AdamW at four learning rates: held-out loss at equal steps"
SEEDS = (0, 1, 2)
PLANS = {"Muon 0.02": task.PLAN} | {
    f"AdamW {rate:g}": replace(task.PLAN, muon=0.0, learning_rate=rate)
    for rate in (1e-3, 2e-3, 4e-3, 8e-3)
}


def run(seed: int, follow: Follow) -> dict:
    """{optimizer: {"loss", "curve"}}."""
    found = {}
    for name, plan in PLANS.items():
        _, found[name] = task.trained(task.network(seed), seed, follow, name, plan)
    return found
