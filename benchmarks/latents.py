"""CPU-seconds to the same prompt adherence: the same U-Net on pixels and on latents, in one run.

    python benchmarks/latents.py

All train in turn, step by step, each with its own clock of CPU-seconds (see `minivid.experiments.race`).
Takes about half an hour on a laptop; --target 0.5 is reached sooner.
"""

import argparse

import torch
from tqdm.auto import tqdm

from minivid.experiments import race


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=float, default=race.TARGET)
    options = parser.parse_args()
    found = race.run(options.seed, lambda steps, total, what: tqdm(steps, what), options.target)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, seed {options.seed}")
    print(f"to {options.target:.0%} as asked:")
    for name, side in found.items():
        last = side["curve"][-1]
        print(
            f"{name:14} {side['parameters']:,} parameters: {last['all']:.2f} as asked after "
            f"{last['step']} steps, {last['seconds']:.0f} CPU-seconds"
        )
    first = found["latents"]["arrival"]
    for name in ("pixels, folded", "pixels"):
        other = found[name]["arrival"]
        if first is None:
            print(f"latents did not reach {options.target:.0%} in {race.LONGEST:.0f} CPU-seconds")
        elif other is None:
            print(f"latents / {name}: less than {first / race.LONGEST:.2f} (they never arrived)")
        else:
            print(f"latents / {name}: {first / other:.2f} of the CPU-seconds")


if __name__ == "__main__":
    main()
