"""Prompt adherence: what agrees with what; real clips reach a score's ceilings, broken ones its floors."""

import io
import sys
from dataclasses import replace

import pytest
import torch

from minivid.formats import Format
from minivid.measure.adherence import agreement, ask, read_clips, score_easy
from minivid.measure.judge import load_judge
from minivid.measure.stats import with_bar
from minivid.recipes.features import clip_features
from minivid.world import captions, held_out, random_scenes, render
from minivid.world.scene import Description, Subject

N = 264  # more than toy-FVD needs


# Agreement


def test_what_was_left_unsaid_agrees_with_anything():
    shown = Description((Subject(3, "red", "up", False),), "still", "dims", "filled")
    assert all(agreement(Description(), shown).values())
    assert all(agreement(shown, shown).values())
    for wrong, key in (
        (replace(shown, camera="zoom in"), "camera"),
        (replace(shown, light="steady"), "light"),
        (replace(shown, style="outlined"), "style"),
        (replace(shown, subjects=(Subject(8, "red", "up", False),)), "digit"),
        (replace(shown, subjects=(Subject(3, "blue", "up", False),)), "colour"),
        (replace(shown, subjects=(Subject(3, "red", "left", False),)), "heading"),
        (replace(shown, subjects=(Subject(3, "red", "up", True),)), "hums"),
    ):
        found = agreement(wrong, shown)
        assert {k for k, right in found.items() if not right} == {key, "all_attributes"}


def test_two_digits_agree_in_either_order_and_only_together():
    red, blue = Subject(3, "red", "up"), Subject(7, "blue", "left")
    asked = Description((red, blue))
    assert all(agreement(asked, Description((blue, red))).values())
    swapped = Description((replace(red, digit=7), replace(blue, digit=3)))
    assert not agreement(asked, swapped)["digit"]  # the red one was to be the 3
    assert agreement(asked, swapped)["colour"]
    half = agreement(asked, Description((red, replace(blue, digit=1))))
    assert not half["digit"] and half["heading"]


def test_a_colour_asked_for_says_which_digit_is_meant_whatever_else_agrees():
    asked = Description((Subject(3, "red"), Subject(7, "blue")))
    shown = (Subject(3, "green"), Subject(7, "red"))
    for order in (shown, shown[::-1]):
        found = agreement(asked, Description(order))
        assert not found["digit"]  # the red one was to be the 3


def test_where_colours_and_digits_do_not_tell_headings_and_hums_do():
    right, left = Subject(3, heading="right", hums=True), Subject(3, heading="left", hums=False)
    shown = (replace(right, colour="red"), replace(left, colour="blue"))
    for order in (shown, shown[::-1]):
        assert all(agreement(Description((right, left)), Description(order)).values())


def test_a_digit_too_many_or_too_few_is_wrong_in_all_that_is_said_of_digits():
    one, two = Description((Subject(3),)), Description((Subject(3), Subject(4)))
    for asked, shown in ((one, two), (two, one)):
        found = agreement(asked, shown)
        assert not (found["digit"] or found["colour"] or found["heading"] or found["hums"])
        assert found["camera"] and not found["all_attributes"]


# The score


def _real(prompts, seed):
    """What an ideal model generates: a real clip of each prompt."""
    asked = [captions.parse(prompt) for prompt in prompts]
    return render.video(random_scenes.draw_scenes(len(asked), seed, descriptions=asked))


@pytest.fixture(scope="module")
def score():
    """`score_easy` of a way to generate, once for each."""
    found = {}

    def of(name, generate):
        if name not in found:
            found[name] = score_easy(generate, N, 5, clip_features)
        return found[name]

    return of


def test_real_clips_reach_every_ceiling(score):
    table = score("real", _real)
    for key in ("digit", "colour", "heading", "all", "unseen_digit", "unseen_all"):
        assert table[key]["ours"] > 0.99 and table[key]["ceiling"] > 0.99 > table[key]["floor"]
    assert table["identity"]["ours"] == table["identity"]["ceiling"] == 1
    assert table["identity"]["floor"] < 0.02
    assert table["flicker"]["ours"] == pytest.approx(table["flicker"]["ceiling"], rel=0.1)
    assert table["trajectory_error"]["ours"] < 0.002 and table["velocity_error"]["ours"] < 0.02
    assert table["reflection_error"]["ours"] < 0.05
    assert table["toy_fvd"]["ours"] < 1.3 * table["toy_fvd"]["ceiling"]
    for row in table.values():
        assert row["interval"][0] <= row["ours"] <= row["interval"][1]


def test_clips_out_of_order_fall_to_the_floors_of_motion_and_keep_what_has_no_order(score):
    order = torch.randperm(17, generator=torch.Generator().manual_seed(0))
    table = score("shuffled", lambda *given: _real(*given)[:, :, order])
    for key in ("flicker", "trajectory_error", "velocity_error", "toy_fvd"):
        row = table[key]
        assert row["ours"] > 0.6 * row["floor"] > row["ceiling"], key
    assert table["digit"]["ours"] > 0.99 and table["identity"]["ours"] == 1
    assert table["heading"]["ours"] < 0.6
    assert "reflection_error" not in table  # the lawful flight nearest to leaps meets no wall


def test_noise_makes_every_measure_of_motion_worse_the_more_of_it(score):
    def noisy(level):
        def generate(prompts, seed):
            video = _real(prompts, seed)
            shake = torch.randn(video.shape, generator=torch.Generator().manual_seed(seed))
            return (video + level * shake).clamp(-1, 1)

        return generate

    rows = [score("real", _real), *(score(f"noise {x}", noisy(x)) for x in (0.15, 0.4))]
    for key in ("flicker", "trajectory_error", "velocity_error", "toy_fvd"):
        clean, some, more = (row[key]["ours"] for row in rows)
        assert clean < some < more, key


def test_few_clips_are_scored_without_toy_fvd_and_not_refused():
    assert "toy_fvd" not in score_easy(_real, 20, 5, clip_features)


# What takes long


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    "screen, n, shown", [(_Terminal, 3, True), (_Terminal, 1, False), (io.StringIO, 3, False)]
)
def test_what_takes_long_has_a_bar_where_there_is_a_terminal(screen, n, shown, monkeypatch):
    monkeypatch.setattr(sys, "stderr", screen())
    assert list(with_bar(range(n), "generating", 50)) == list(range(n))
    assert ("generating:   0%|          | 0/150" in sys.stderr.getvalue()) == shown


def test_scoring_a_model_that_generates_shows_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", _Terminal())

    def generate(prompts, seed):
        return torch.zeros(len(prompts), 3, 1, 32, 32)

    generated, _ = ask(generate, held_out.draw_scenes(60, 1), 1, Format(1, 32, 32))
    read_clips(load_judge(), generated, 30)
    assert "generating: " in sys.stderr.getvalue() and "reading: " in sys.stderr.getvalue()


def test_who_is_missing_does_not_decide_whom_the_camera_follows():
    red, blue = Subject(3, "red", "up", False, False), Subject(7, "blue", "up", False, True)
    asked = Description((red, blue), "track", "steady", "filled", False)
    seen = replace(asked, subjects=(blue,))
    assert agreement(asked, seen)["camera"], "the blue one is followed, as asked"
    other = replace(asked, subjects=(replace(red, followed=True), replace(blue, followed=False)))
    assert not agreement(other, seen)["camera"]
