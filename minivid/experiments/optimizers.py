"""Muon against AdamW, at equal steps: the same transformer, the same batches.

AdamW gets four learning rates, so that it is not beaten by a bad choice. Published: Muon took a 1.2 billion
text-to-image transformer from an FID of 18.2 to 15.6 in 100,000 steps (Photoroom's PRX ablations); the
method: Jordan et al. 2024, kellerjordan.github.io/posts/muon.
"""

from dataclasses import replace

from minivid.experiments import small_task
from minivid.experiments.records import Bar

WHAT = "Muon against AdamW at four learning rates: test loss at equal steps"
SEEDS = (0, 1, 2)
CONFIGS = {"Muon 0.02": small_task.CONFIG} | {
    f"AdamW {rate:g}": replace(small_task.CONFIG, muon_lr=0.0, learning_rate=rate)
    for rate in (1e-3, 2e-3, 4e-3, 8e-3)
}


def run(seed: int, bar: Bar) -> dict:
    """{optimizer: {"loss", "curve"}}."""
    found = {}
    for name, config in CONFIGS.items():
        network = small_task.network(seed)
        _, found[name] = small_task.train_on_task(network, seed, bar, name, config)
    return found
