"""Sound and picture made apart, in turn or together: who hears whom, and what is learned from what."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from minivid import diffusion, generator
from minivid.experiments import together
from minivid.recipes import cache
from minivid.recipes.words import TOKENISER


def small(name: str) -> generator.TextToClip:
    torch.manual_seed(0)
    made = together.WAYS[name].network(len(TOKENISER.words), width=32, depth=2)
    for parameter in made.dit.parameters():
        nn.init.normal_(parameter, std=0.15)
    return made.eval()


@pytest.mark.parametrize(
    "name, hears, sees",
    [
        ("apart", False, False),
        ("one after the other", False, True),
        ("together", True, True),
        ("together, shared thoughts", True, True),
    ],
)
def test_who_looks_at_whom(name, hears, sees):
    made, tokens = small(name), TOKENISER(["a red 3 moves right"])
    draws = torch.Generator().manual_seed(0)
    x_t = torch.randn(1, 8, 5, 8, 8, generator=draws), torch.randn(1, 16, 68, generator=draws)
    t = torch.full((1,), 0.5), torch.full((1,), 0.5)
    with torch.no_grad():
        before = made(x_t, t, tokens)
        other_sound = made((x_t[0], x_t[1].flip(2)), t, tokens)
        other_picture = made((x_t[0].flip(2), x_t[1]), t, tokens)
    assert ((before[0] - other_sound[0]).abs().max() > 1e-4) == hears
    assert ((before[1] - other_picture[1]).abs().max() > 1e-4) == sees


def test_the_clock_and_the_count_are_told_otherwise():
    plain, counting = small("together"), small("together, no common clock")
    assert plain.moments(68)[1, 0] == 3 / 32 and counting.moments(68)[1, 0] == 0.5
    sizes = {name: sum(p.numel() for p in small(name).parameters()) for name in together.WAYS}
    shared = sizes.pop("together, shared thoughts")
    assert len(set(sizes.values())) == 1 and shared < min(sizes.values())


def test_in_turn_half_learn_pictures_and_half_sounds_of_pictures_that_are_there():
    first, second = together.one_by_one(4000, torch.Generator().manual_seed(0))
    pictures = second == 1
    assert 0.45 < pictures.float().mean() < 0.55
    assert (first[pictures] > 0).all() and (first[~pictures] == 0).all()
    assert ((second[~pictures] > 0) & (second[~pictures] < 1)).all()
    t, behind = together.alone(10, torch.Generator().manual_seed(0))
    assert behind.equal(diffusion.shift(t, generator.LEAD))


def test_every_way_is_learned_and_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "FOLDER", tmp_path)
    monkeypatch.setattr(together, "KEPT", 8)
    plan = replace(together.PLAN, steps=2, batch=2, warmup=1, compiled=False)
    monkeypatch.setattr(together.trained, "__defaults__", (plan,))
    together.data.cache_clear()
    asked, walk = [], generator.JointGenerator.walk

    def follow(self, *args, **settings):
        asked.append((self.known[0] is not None, self.lead))
        return walk(self, *args, **settings)

    monkeypatch.setattr(generator.JointGenerator, "walk", follow)
    found = together.run(0, lambda steps, total, what: steps, n=6)
    together.data.cache_clear()
    assert found.keys() == {"real", "same words", together.EQUAL, *together.WAYS}
    assert found["real"]["onset_f1"][0] > found["same words"]["onset_f1"][0]
    assert found["real"]["onset_f1"][0] > 0.8 > found["together"]["onset_f1"][0]
    assert sum(given for given, _ in asked) == 1, "who goes in turn draws twice, then for a picture"
    assert sum(lead == 1 for _, lead in asked) == 1 and len(asked) == len(together.WAYS) + 2
