"""How much does the wording matter? One set of wishes, worded in ways the model has read and has not."""

import random

import torch

from minivid import judge, recipes
from minivid.experiments.keeping import Follow, shares
from minivid.recipes import clips, held_out
from minivid.recipes.judging import referee
from minivid.world import captions, scene

WHAT = "the same wishes in other words"
SEEDS = (0, 1, 2)


def _article(wish: scene.Subject) -> str:
    return captions.write(scene.Description((wish,)))


def _plain(wish: scene.Subject, chance: random.Random) -> str:
    return _article(wish)


def _spelled(wish: scene.Subject, chance: random.Random) -> str:
    verb, way = chance.choice(captions.VERBS), captions.DIRECTIONS[wish.heading][-1]
    return f"a {wish.colour} {captions.NUMBERS[wish.digit]} {verb} {way}"


def _the(wish: scene.Subject, chance: random.Random) -> str:
    return "the " + _article(wish).split(maxsplit=1)[1]


def _late(wish: scene.Subject, chance: random.Random) -> str:
    return f"in steady light, a still camera, {_article(wish)}"


def _terse(wish: scene.Subject, chance: random.Random) -> str:
    return f"{wish.colour} {wish.digit} {wish.heading}"


def _scrambled(wish: scene.Subject, chance: random.Random) -> str:
    words = _article(wish).split()
    return " ".join(chance.sample(words, len(words)))


def _twice(wish: scene.Subject, chance: random.Random) -> str:
    return f"{_article(wish)}, {_article(wish)}"


WORDINGS = {
    "as in training": _plain,
    "other words, seen": _spelled,
    "'the' for 'a', never seen": _the,
    "light and camera first, never seen": _late,
    "telegram, never seen": _terse,
    "words shuffled, never seen": _scrambled,
    "said twice, never seen": _twice,
}


def run(seed: int, follow: Follow, n: int = 48) -> dict:
    """{wording: {attribute: share}}, and as in training for combinations held out under "held out"."""
    network, viewer, table = recipes.load("clips"), referee(), {}
    generator = torch.Generator().manual_seed(seed)
    sets = {name: (write, held_out.SEEN) for name, write in WORDINGS.items()}
    sets["held out, as in training"] = (_plain, held_out.UNSEEN)
    for name, (write, subjects) in follow(sets.items(), len(sets), f"prompts, seed {seed}"):
        generator, chance = torch.Generator().manual_seed(seed), random.Random(seed)
        wishes = [subjects[k] for k in torch.randint(len(subjects), (n,), generator=generator)]
        video = clips.draw(network, [write(wish, chance) for wish in wishes], seed)
        seen = [one.description for one in clips.look(viewer, video)]
        rows = [
            judge.agreement(scene.Description((w,)), s) for w, s in zip(wishes, seen, strict=True)
        ]
        keys = {"digit": "digit", "colour": "colour", "heading": "heading", "all": "all_attributes"}
        table[name] = shares({k: torch.tensor([row[v] for row in rows]) for k, v in keys.items()})
    return table
