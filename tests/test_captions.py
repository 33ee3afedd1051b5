"""Captions say what is in a scene, and can be read back without loss."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minivid.models.text import MAX_LENGTH
from minivid.world import captions, completion, random_scenes, scene
from minivid.world.scene import Description, Subject


def test_ten_thousand_scenes_are_read_back_from_their_captions():
    rng = torch.Generator().manual_seed(1)
    for one in random_scenes.draw_scenes(10_000, 0, random_scenes.DIRECTED):
        truth = one.describe()
        assert captions.parse(captions.write(truth, rng)) == captions.as_parsed(truth)


def test_a_caption_may_leave_things_out_and_says_nothing_wrong():
    rng = torch.Generator().manual_seed(2)
    left_out = 0
    for one in random_scenes.draw_scenes(1000, 1, random_scenes.FULL):
        truth = one.describe()
        read = captions.parse(captions.write(truth, rng, keep=0.5))
        for key in ("camera", "light", "style"):
            assert getattr(read, key) in (None, getattr(truth, key))
            left_out += getattr(read, key) is None
        for parsed, true in zip(read.subjects, truth.subjects, strict=True):
            for key in ("digit", "colour", "heading"):
                assert getattr(parsed, key) in (None, getattr(true, key))
    assert 1300 < left_out < 1700  # half of 3000


def test_what_a_model_has_learned_of_a_word_stays_where_it_is():
    """Words of the second edition stand behind those of the first, of which there were 66."""
    first, later = captions.VOCABULARY[:66], captions.VOCABULARY[66:]
    assert first == sorted(first) and first[0] == "0" and first[-1] == "zooms"
    assert set(later) == {*"above aerial at first follows from half high motion of second seen".split(),
                          *"shot slow slowed speed tracking tracks view".split()}  # fmt: skip
    assert captions.VOCABULARY == first + list(captions._LATER)


def test_no_caption_is_too_long_for_a_text_encoder():
    two = Subject(7, "purple", "left", True, True), Subject(3, "yellow", "right", True)
    longest = Description(two, "track", "steady", "outlined", True)
    rng = torch.Generator().manual_seed(0)
    most = max(len(captions.write(longest, rng).replace(",", " ,").split()) for _ in range(500))
    assert most <= MAX_LENGTH


@pytest.mark.parametrize(
    ("sentence", "followed"),
    [
        ("a red 3 moves up and a blue 7, the camera follows the blue 7", [None, True]),
        ("a red 3 moves up and a blue 7, a tracking shot of the three", [True, None]),
        ("a red 3 and a red 7, the camera tracks the 7", None),  # two reds cannot be
        ("a tracking shot of the red digit, a red 3 and a blue 3", [True, None]),
        ("a 3 and a 3, the camera follows the second digit", [None, True]),
        ("a 3, the camera follows it", [True]),
        ("a 3 and a 4, a tracking shot", [None, None]),
    ],
)
def test_the_camera_follows_the_digit_that_is_meant(sentence, followed):
    if followed is None:
        with pytest.raises(ValueError, match="different colours"):
            captions.parse(sentence)
        return
    read = captions.parse(sentence)
    assert read.camera == "track" and [one.followed for one in read.subjects] == followed


def test_a_digit_that_its_words_do_not_tell_apart_is_called_the_first_or_the_second():
    three, other = Subject(3), Subject(3, followed=True)
    for subjects, called in (((three, other), "second"), ((other, three), "first")):
        asked = Description(subjects, camera="track")
        sentence = captions.write(asked)
        assert sentence.endswith(f"the camera follows the {called} digit")
        assert captions.parse(sentence) == asked


def _optional(words):
    return st.none() | st.sampled_from(list(words))


_SUBJECTS = st.builds(
    Subject, _optional(scene.DIGITS), _optional(scene.COLOURS), _optional(scene.HEADINGS),
    st.sampled_from([None, True]),
)  # fmt: skip


@given(
    subjects=st.lists(_SUBJECTS, min_size=1, max_size=2).filter(
        lambda s: len(s) < 2 or s[0].colour is None or s[0].colour != s[1].colour
    ),
    camera=_optional(scene.CAMERAS), light=_optional(scene.LIGHTS), style=_optional(scene.STYLES),
    slow_motion=_optional([True]), followed=st.sampled_from([None, 0, 1]),
    seed=st.integers(0, 2**31),
)  # fmt: skip
@settings(deadline=None)
def test_any_description_survives_any_phrasing(subjects, camera, light, style, slow_motion, followed, seed):
    if camera == "track" and followed in range(len(subjects)):
        subjects[followed] = replace(subjects[followed], followed=True)
    asked = Description(tuple(subjects), camera, light, style, slow_motion)
    assert captions.parse(captions.write(asked, torch.Generator().manual_seed(seed))) == asked


def test_every_phrase_of_the_grammar_is_written_sometimes():
    rng = torch.Generator().manual_seed(3)
    scenes = random_scenes.draw_scenes(4000, 2, random_scenes.DIRECTED)
    text = "|".join(captions.write(one.describe(), rng) for one in scenes)
    assert captions.write(Description(camera="track")) == "a digit, a tracking shot"
    phrases = (*captions.MEANING, *captions._HEADING, *captions.FOLLOWS)
    for phrase in (*phrases, *captions.VERBS, *captions.NUMBERS):
        assert phrase in text, phrase


def test_clauses_may_stand_in_any_order():
    clauses = ["a red 3 moves right", "the light dims", "outlined", "the camera pans left"]
    readings = {captions.parse(", ".join(order)) for order in itertools.permutations(clauses)}
    assert len(readings) == 1
    assert captions.parse("A  Red 3 moves right, the LIGHT dims.") == captions.parse(
        "a red three goes to the right, it gets darker"
    )


@pytest.mark.parametrize(
    ("sentence", "hint"),
    [
        ("a redd 3 moves right", "nearest: red"),
        ("a red 3 moves sideways", "'sideways' is not known"),
        ("a red 3 moves right, the camera pans leftt", "nearest: left"),
        ("a red 12 moves right", "digits 0–9"),
        ("the light dims", "names no digit"),
        ("", "outside the captions' grammar"),
        ("a red 3, the light dims, the light brightens", "two different things"),
        ("a red 3 and a red 4", "different colours"),
        ("a 1 and a 2 and a 3", "one or two"),
        ("a 3 and a 4, the camera follows the 5", "is 0 of the digits"),
        ("a 3 and a 3, the camera follows the 3", "is 2 of the digits"),
        ("a red 3, the camera follows the red 3, a pan left", "two different things"),
        (
            "a red 3 and a blue 4, the camera follows the red 3, a tracking shot of the blue 4",
            "two different",
        ),
        ("a red 3, the camera follows the redd 3", "nearest: red"),
        ("a red 3 moves right, a blue 7 moves up", "outside the captions' grammar"),
        ("a red 3, camera pans left", "Did you mean 'the camera pans left'"),
    ],
)
def test_other_sentences_are_answered_with_what_would_work(sentence, hint):
    with pytest.raises(ValueError, match=hint):
        captions.parse(sentence)
    assert captions.parse(captions.EXAMPLE)


# Completion --------------------------------------------------------------------------------------


def test_every_word_of_every_caption_is_offered_after_those_before_it():
    rng = torch.Generator().manual_seed(5)
    for one in random_scenes.draw_scenes(15, 2, random_scenes.DIRECTED):
        words = captions.write(one.describe(), rng).split()
        for k, word in enumerate(words):
            so_far = " ".join(words[:k])
            bare = word.rstrip(",")
            offered = completion.completions(f"{so_far} " if k else "", 100)
            assert any(o.split()[k] == bare for o in offered), (so_far, word)
            beginning = " ".join([*words[:k], bare[:2]])
            assert bare[:2] == bare or " ".join([*words[:k], bare]) in completion.completions(beginning)


def test_who_follows_what_is_offered_ends_with_a_sentence():
    rng = torch.Generator().manual_seed(6)
    for _ in range(10):
        text = ""
        for _ in range(60):
            offered = completion.completions(text, 200) or completion.completions(f"{text} ", 200)
            assert text not in offered
            if not offered:
                captions.parse(text)  # nothing more can be said, so all has been
                break
            text = offered[int(torch.randint(len(offered), (), generator=rng))]
            assert completion.begins(text)
            text += " " * int(torch.randint(2, (), generator=rng))
        else:
            captions.parse(text.rstrip())


@pytest.mark.parametrize("text", ["a rde", "a red 3 moves sideways", "the light pans", "and"])
def test_nothing_is_offered_where_nothing_fits(text):
    assert completion.completions(text) == [] and not completion.begins(text)


def test_a_sentence_may_begin_with_the_light_or_the_camera():
    assert completion.completions("the l") == ["the light"]
    assert completion.completions("the light dims") == ["the light dims, a"]
    assert completion.begins("the light dims, a red")
