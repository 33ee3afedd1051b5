"""Muon against AdamW, at equal steps: the same transformer, the same batches.

AdamW gets four learning rates, so that it is not beaten by a bad choice. Published: after 100,000 steps a
text-to-image transformer of 1.2 billion parameters had an FID of 15.55 with Muon, and of 18.20 with AdamW at
one learning rate (huggingface.co/blog/Photoroom/prx-part2); the method: Jordan et al. 2024,
kellerjordan.github.io/posts/muon.
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
