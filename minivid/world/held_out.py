"""Combinations of digit, colour and heading that no video model is trained on, held out for evaluation.

One in ten of the 240 ways to join a digit, a colour and a heading: every digit, every colour and every
heading is shown in training, these 24 combinations of them never. A model that gets them right
has learned parts that can be joined, not a list.
"""

from itertools import product

import torch

from minivid.world import random_scenes, scene


def _is_held_out(one: scene.Subject) -> bool:
    """One digit for each colour and heading, so that every word is held out about equally often."""
    way = 4 * list(scene.COLOURS).index(one.colour) + list(scene.HEADINGS).index(one.heading)
    return one.digit == 7 * way % 10


_ALL = [scene.Subject(*words) for words in product(scene.DIGITS, scene.COLOURS, scene.HEADINGS)]
SEEN = [one for one in _ALL if not _is_held_out(one)]
UNSEEN = [one for one in _ALL if _is_held_out(one)]


def draw_scenes(
    n: int,
    seed: int | torch.Generator,
    subjects: list[scene.Subject] = SEEN,
    world: random_scenes.World = random_scenes.EASY,
    room: tuple[float, float] = (1.0, 1.0),
) -> list[scene.Scene]:
    """Scenes of a world whose digits are among `subjects`, each as often as the next."""
    rng = random_scenes.generator(n, seed)
    which = torch.randint(len(subjects), (n,), generator=rng).tolist()
    chosen = [(subjects[k],) for k in which]
    if world.counts != (1,):
        counts = torch.randint(len(world.counts), (n,), generator=rng).tolist()
        others = torch.rand(n, generator=rng).tolist()
        chosen = [
            (*first, _another(first[0], subjects, u)) if world.counts[k] == 2 else first
            for first, k, u in zip(chosen, counts, others, strict=True)
        ]
    descriptions = [scene.Description(subjects) for subjects in chosen]
    return random_scenes.draw_scenes(n, rng, world, room, descriptions)


def _another(first: scene.Subject, subjects: list[scene.Subject], u: float) -> scene.Subject:
    """A subject of another colour than the first; u: in [0, 1), which one."""
    others = [one for one in subjects if one.colour != first.colour]
    return others[int(u * len(others))]
