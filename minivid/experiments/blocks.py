"""DiT's four ways to condition a transformer, and the library's block beside them; see `classic_dit`."""

from dataclasses import replace

from torch import nn

from minivid.experiments import small_task
from minivid.experiments.classic_dit import ClassicDiT, ClassicDiTConfig, Way
from minivid.experiments.records import Bar
from minivid.experiments.step_flops import step_flops

WHAT = "DiT's four ways to condition a transformer, and the library's block, at equal FLOPs"
SEEDS = (0, 1, 2)
WAYS: tuple[Way, ...] = ("adaln-zero", "adaln", "in-context", "cross-attention")


def networks(seed: int) -> dict[str, nn.Module]:
    """The library's network, and the same with DiT's transformer in its place, conditioned in four ways."""
    made = {"library": small_task.network(seed)}
    width, depth = small_task.WIDTH, small_task.DEPTH
    for way in WAYS:
        made[way] = network = small_task.network(seed)
        config = ClassicDiTConfig(network.config.token_dim, width, depth, width // 32, way=way)
        network.dit = ClassicDiT(config, nn.Linear(network.text.width, width))
    return made


def run(seed: int, bar: Bar) -> dict:
    """{network: {"parameters", "flops" of a step on a clip, "steps", "loss" [value, low, high], "curve"}}.

    A network that costs more FLOPs a step takes fewer steps.
    """
    found, made = {}, networks(seed)
    reference = step_flops(made["adaln-zero"])
    for name, network in made.items():
        flops = step_flops(network)
        steps = round(small_task.CONFIG.steps * reference / flops)
        config = replace(small_task.CONFIG, steps=steps)
        _, record = small_task.train_on_task(network, seed, bar, name, config)
        found[name] = {
            "parameters": sum(p.numel() for p in network.parameters()),
            "flops": flops,
            "steps": config.steps,
            **record,
        }
    return found
