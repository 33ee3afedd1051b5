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
    n: int, seed: int | torch.Generator, subjects: list[scene.Subject] = SEEN
) -> list[scene.Scene]:
    """Scenes of the easy world whose digits are among `subjects`, each as often as the next."""
    generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
    which = torch.randint(len(subjects), (n,), generator=generator).tolist()
    asked = [scene.Description((subjects[k],)) for k in which]
    return scene.draw_scenes(n, generator, descriptions=asked)
