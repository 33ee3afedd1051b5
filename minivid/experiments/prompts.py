"""How much does the wording matter? The same requests, worded in ways the model has read and has not."""

import random

import torch

from minivid import recipes
from minivid.experiments.records import Bar, proportions
from minivid.measure.adherence import agreement, read_clips
from minivid.measure.judge import load_judge
from minivid.recipes import clips
from minivid.world import captions, held_out, scene

WHAT = "prompts that ask for the same in other words"
SEEDS = (0, 1, 2)


def _caption(subject: scene.Subject) -> str:
    return captions.write(scene.Description((subject,)))


def _as_trained(subject: scene.Subject, rng: random.Random) -> str:
    return _caption(subject)


def _spelled_out(subject: scene.Subject, rng: random.Random) -> str:
    verb, direction = rng.choice(captions.VERBS), captions.DIRECTIONS[subject.heading][-1]
    return f"a {subject.colour} {captions.NUMBERS[subject.digit]} {verb} {direction}"


def _definite_article(subject: scene.Subject, rng: random.Random) -> str:
    return "the " + _caption(subject).split(maxsplit=1)[1]


def _subject_last(subject: scene.Subject, rng: random.Random) -> str:
    return f"in steady light, a still camera, {_caption(subject)}"


def _telegram(subject: scene.Subject, rng: random.Random) -> str:
    return f"{subject.colour} {subject.digit} {subject.heading}"


def _shuffled(subject: scene.Subject, rng: random.Random) -> str:
    words = _caption(subject).split()
    return " ".join(rng.sample(words, len(words)))


def _twice(subject: scene.Subject, rng: random.Random) -> str:
    return f"{_caption(subject)}, {_caption(subject)}"


WORDINGS = {
    "as in training": _as_trained,
    "other words, seen": _spelled_out,
    "'the' for 'a', never seen": _definite_article,
    "light and camera first, never seen": _subject_last,
    "telegram, never seen": _telegram,
    "words shuffled, never seen": _shuffled,
    "said twice, never seen": _twice,
}
KEYS = {"digit": "digit", "colour": "colour", "heading": "heading", "all": "all_attributes"}


def run(seed: int, bar: Bar, n: int = 48) -> dict:
    """{wording: {attribute: [proportion, low, high]}}, and of combinations held out, as in training."""
    network, judge, table = recipes.load("clips"), load_judge(), {}
    sets = {name: (write, held_out.SEEN) for name, write in WORDINGS.items()}
    sets["held out, as in training"] = (_as_trained, held_out.UNSEEN)
    for name, (write, subjects) in bar(sets.items(), len(sets), f"prompts, seed {seed}"):
        rng, wording_rng = torch.Generator().manual_seed(seed), random.Random(seed)
        asked = [subjects[k] for k in torch.randint(len(subjects), (n,), generator=rng)]
        video = clips.generate(network, [write(one, wording_rng) for one in asked], seed)
        rows = [
            agreement(scene.Description((one,)), observation.description)
            for one, observation in zip(asked, read_clips(judge, video), strict=True)
        ]
        right = {key: torch.tensor([row[value] for row in rows]) for key, value in KEYS.items()}
        table[name] = proportions(right)
    return table
