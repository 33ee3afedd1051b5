"""Combinations that no video generator is trained on, kept back to ask for in the end.

One in ten of the 240 ways to join a digit, a colour and a heading: every digit, every colour and every
heading is shown in training, these 24 combinations of them never. Whoever answers them right has
learned parts that can be joined, not a list.
"""

from itertools import product

import torch

from minivid.world import scene


def _kept_back(one: scene.Subject) -> bool:
    """One digit for each colour and heading, so that every word is kept back about equally often."""
    way = 4 * list(scene.COLOURS).index(one.colour) + list(scene.HEADINGS).index(one.heading)
    return one.digit == 7 * way % 10


_ALL = [scene.Subject(*words) for words in product(scene.DIGITS, scene.COLOURS, scene.HEADINGS)]
SEEN = [one for one in _ALL if not _kept_back(one)]
UNSEEN = [one for one in _ALL if _kept_back(one)]


def draw_scenes(
    n: int,
    seed: int | torch.Generator,
    subjects: list[scene.Subject] = SEEN,
    world: scene.World = scene.EASY,
    room: tuple[float, float] = (1.0, 1.0),
) -> list[scene.Scene]:
    """Scenes of a world whose digits are among `subjects`, each as often as the next."""
    generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
    which = torch.randint(len(subjects), (n,), generator=generator).tolist()
    asked = [(subjects[k],) for k in which]
    if world.counts != (1,):
        counts = torch.randint(len(world.counts), (n,), generator=generator).tolist()
        others = torch.rand(n, generator=generator).tolist()
        asked = [
            (*first, _another(first[0], subjects, share)) if world.counts[k] == 2 else first
            for first, k, share in zip(asked, counts, others, strict=True)
        ]
    descriptions = [scene.Description(both) for both in asked]
    return scene.draw_scenes(n, generator, world, room, descriptions)


def _another(first: scene.Subject, subjects: list[scene.Subject], share: float) -> scene.Subject:
    """A subject of another colour than the first; share: in [0, 1), which one."""
    others = [one for one in subjects if one.colour != first.colour]
    return others[int(share * len(others))]
