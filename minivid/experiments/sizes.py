"""Scaling: four sizes of one transformer, and what each makes of the same FLOPs.

"Scalable diffusion models with transformers" (Peebles and Xie 2022, arXiv 2212.09748, figures 8 and 9) found
that what counts is compute: deeper, wider and finer-cut transformers are better where they cost more, and
small ones, trained on and on, fall behind in the end. Only the transformer is counted: the text encoder,
the same for all, would be most of the smallest. The rate falls in the last 12 steps only, and the averaged
weights are measured, so that any point of a curve may be held against another's.
"""

from dataclasses import replace

from minivid.experiments import task
from minivid.experiments.keeping import Follow

WHAT = "four sizes of one transformer: held-out loss against FLOPs"
SEEDS = (0, 1, 2)
SIZES = ((32, 2), (64, 4), (128, 6), (192, 8))  # width, depth


def run(seed: int, follow: Follow) -> dict:
    """{"width×depth": {"parameters", "flops" of its step on a clip, "loss", "curve"}}."""
    found = {}
    for width, depth in SIZES:
        name = f"{width}×{depth}"
        network = task.network(seed, width, depth)
        cost = task.flops(network) - task.reading(network)
        plan = replace(task.PLAN, decay=0.02)
        _, record = task.trained(network, seed, follow, name, plan, every=100)
        found[name] = {
            "parameters": sum(p.numel() for p in network.dit.parameters()),
            "flops": cost,
            **record,
        }
    return found
