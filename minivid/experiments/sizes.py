"""Scaling: four sizes of one transformer, and what each makes of the same FLOPs.

"Scalable diffusion models with transformers" (Peebles and Xie 2022, arXiv 2212.09748, figures 8 and 9) found
that what counts is compute: deeper, wider and finer-cut transformers are better where they cost more, and
small ones, trained on and on, fall behind in the end. Only the transformer is counted: the text encoder,
the same for all, would be most of the smallest. The learning rate falls in the last 12 steps only, and the
averaged weights are measured, so that any point of a curve may be held against another's.
"""

from dataclasses import replace

from minivid.experiments import small_task
from minivid.experiments.records import Bar
from minivid.experiments.step_flops import step_flops, text_flops

WHAT = "four sizes of one transformer: test loss against FLOPs"
SEEDS = (0, 1, 2)
SIZES = ((32, 2), (64, 4), (128, 6), (192, 8))  # width, depth


def run(seed: int, bar: Bar) -> dict:
    """{"width×depth": {"parameters", "flops" of its step on a clip, "loss", "curve"}}."""
    found, config = {}, replace(small_task.CONFIG, cooldown=0.02)
    for width, depth in SIZES:
        name = f"{width}×{depth}"
        network = small_task.network(seed, width, depth)
        flops = step_flops(network) - text_flops(network)
        _, record = small_task.train_on_task(network, seed, bar, name, config, every=100)
        parameters = sum(p.numel() for p in network.dit.parameters())
        found[name] = {"parameters": parameters, "flops": flops, **record}
    return found
