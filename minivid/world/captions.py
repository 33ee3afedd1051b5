"""Scenes to sentences and back, by a grammar small enough to print.

    sentence = subject motion ["and" subject motion] {"," (camera | light | style | "in slow motion")}
    subject  = "a" ["humming"] [colour] digit        motion = [verb direction]
    camera   = "the camera follows the" [colour] digit | "the camera pans left" | …

`write` picks among several phrasings and may leave attributes unsaid; `parse` reads every sentence of the
grammar back without loss, clauses in any order, and answers anything else with the nearest thing it knows.
"""

import difflib
import re
from dataclasses import replace
from reprlib import Repr

import torch

from minivid.world.scene import COLOURS, HEADINGS, Description, Subject

quote = Repr()  # of a text in an error
quote.maxstring = 100
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VERBS = ("moves", "goes", "drifts", "flies")
DIRECTIONS = {
    "right": ("right", "to the right"),
    "left": ("left", "to the left"),
    "up": ("up", "upwards"),
    "down": ("down", "downwards"),
}
CAMERA = {
    "still": ("the camera is still", "the camera holds still", "a still camera"),
    **{
        f"pan {way}": (f"the camera pans {way}", f"the camera moves {way}", f"a pan {way}")
        for way in ("left", "right", "up", "down")
    },
    **{
        f"zoom {way}": (f"the camera zooms {way}", f"a zoom {way}", f"zooming {way}") for way in ("in", "out")
    },
    "track": ("a tracking shot",),
    "from above": ("seen from above", "an aerial view", "from high above"),
}
FOLLOWS = ("the camera follows", "the camera tracks", "a tracking shot of")  # … the red 3
LIGHT = {
    "steady": ("the light is steady", "in steady light"),
    "brightens": ("the light brightens", "it gets brighter"),
    "dims": ("the light dims", "it gets darker"),
}
STYLE = {"filled": ("filled", "drawn filled"), "outlined": ("outlined", "drawn in outline")}
SLOW_MOTION = {True: ("in slow motion", "slowed down", "at half speed")}
CLAUSES = {"camera": CAMERA, "light": LIGHT, "style": STYLE, "slow_motion": SLOW_MOTION}

MEANING = {
    phrase: (attribute, value)
    for attribute, phrases in CLAUSES.items()
    for value, ways in phrases.items()
    for phrase in ways
}
_HEADING = {way: heading for heading, ways in DIRECTIONS.items() for way in ways}
_SUBJECT = re.compile(
    rf"(?:an?|the) (?P<hums>humming )?(?:(?P<colour>{'|'.join(COLOURS)}) )?"
    rf"(?P<digit>digit|[0-9]|{'|'.join(NUMBERS)})"
    rf"(?: (?:{'|'.join(VERBS)}) (?P<heading>{'|'.join(sorted(_HEADING, key=len, reverse=True))}))?"
)
_WORDS = {"a", "an", "the", "and", "digit", "humming", "it", "first", "second", *COLOURS, *NUMBERS}
_WORDS |= {*map(str, range(10)), *VERBS}
_WORDS |= {word for phrase in (*_HEADING, *MEANING, *FOLLOWS) for word in phrase.split()}
# Words that came later stand last: what a model has learned of the others stays where it is.
_LATER = ("above", "aerial", "at", "first", "follows", "from", "half", "high", "motion", "of", "second",
          "seen", "shot", "slow", "slowed", "speed", "tracking", "tracks", "view")  # fmt: skip
VOCABULARY = [*sorted(_WORDS - {*_LATER}), *_LATER]


def write(description: Description, rng: torch.Generator | None = None, keep: float = 1.0) -> str:
    """Say a description in one sentence.

    rng: picks among the phrasings; without one, the first of each is used. keep: probability with which each
    attribute but the digit is said. A digit that does not hum is simply not called humming, nor is it said
    that time runs as usual. Raises ValueError where something is to be left out by chance, without an rng.
    """
    if keep < 1 and rng is None:
        raise ValueError(f"keep={keep} leaves things out by chance: give an rng.")

    def choose(ways):
        return ways[_draw(rng, len(ways))]

    def mentions(value):
        return value is not None and (keep >= 1 or _uniform(rng) < keep)

    def subject(one: Subject) -> str:
        digit = "digit" if one.digit is None else choose((str(one.digit), NUMBERS[one.digit]))
        words = ["a", "humming" if one.hums and mentions(one.hums) else "",
                 one.colour if mentions(one.colour) else "", digit]  # fmt: skip
        if mentions(one.heading):
            words += [choose(VERBS), choose(DIRECTIONS[one.heading])]
        return _article(" ".join(filter(None, words)))

    mentioned = list(map(subject, description.subjects))
    clauses = [" and ".join(mentioned)]
    followed = [k for k, one in enumerate(description.subjects) if one.followed]
    for attribute, phrases in CLAUSES.items():
        value = getattr(description, attribute)
        if value in phrases and mentions(value):
            if value == "track" and followed:
                clauses.append(f"{choose(FOLLOWS)} {_refer(mentioned, *followed)}")
            else:
                clauses.append(choose(phrases[value]))
    return ", ".join(clauses)


def _refer(mentioned: list[str], followed: int) -> str:
    """How a caption that says these subjects calls one of them again: "the red 3", "the first digit"."""
    subjects = [_SUBJECT.fullmatch(one) for one in mentioned]
    short = " ".join(filter(None, ("the", *subjects[followed].group("colour", "digit"))))
    return short if _referred(short, subjects) == [followed] else f"the {ORDINALS[followed]} digit"


def _referred(text: str, subjects: list[re.Match]) -> list[int]:
    """Which of a sentence's subjects a clause means by "the red 3", "the second digit" or "it"."""
    if text == "it":
        return [*range(len(subjects))]
    if text in (ways := [f"the {one} digit" for one in ORDINALS]):
        return [k for k in range(len(subjects)) if ways[k] == text]
    meant = _SUBJECT.fullmatch(text)
    if meant is None or meant["hums"] or meant["heading"]:
        raise _UnknownError(text)
    found = []
    for k, one in enumerate(subjects):
        digits_agree = meant["digit"] == "digit" or _number(meant["digit"]) == _number(one["digit"])
        if digits_agree and meant["colour"] in (None, one["colour"]):
            found.append(k)
    return found


ORDINALS = ("first", "second")


def parse(sentence: str) -> Description:
    """Read a sentence back: what it says, and None for what it leaves unsaid.

    Raises ValueError for anything outside the grammar: the part that was not understood, the
    nearest phrase that would be, and an example.
    """
    try:
        return read(sentence)
    except _UnknownError as error:
        raise ValueError(_not_understood(str(error), sentence)) from None


class _UnknownError(ValueError):
    """A part of a sentence that is outside the grammar."""


def read(sentence: str) -> Description:
    """What `parse` gives, with a bare error where something is not understood."""
    clauses = [part.strip() for part in " ".join(sentence.lower().split()).rstrip(".").split(",")]
    found: dict[str, tuple] = {}  # of each attribute its value, and the clause that says so
    subjects: list[re.Match] | None = None
    followed = ""
    for clause in clauses:
        if not clause and len(clauses) > 1:
            raise ValueError(f"a comma in {quote.repr(sentence)} has nothing before or behind it.")
        follows = next((way for way in FOLLOWS if clause.startswith(f"{way} ")), None)
        if clause in MEANING or follows:
            attribute, value = ("camera", "track") if follows else MEANING[clause]
            whom = clause.removeprefix(follows).strip() if follows else ""
            before, *_ = found.setdefault(attribute, (value, clause))
            if before != value or (whom and followed not in ("", whom)):
                raise ValueError(
                    f"two different things are said of the {attribute.replace('_', ' ')}: "
                    f"{found[attribute][1]!r} and {clause!r}. Keep one."
                )
            followed = followed or whom
        elif subjects is None:
            subjects = [_match_subject(one) for one in clause.split(" and ")]
        else:
            raise _UnknownError(clause)
    if subjects is None:
        raise ValueError(f"{quote.repr(sentence)} names no digit. Begin with one: {EXAMPLE!r}.")
    read = [_subject(one) for one in subjects]
    if followed:
        meant = _referred(followed, subjects)
        if len(meant) != 1:
            raise ValueError(
                f"{followed!r}, which the camera follows, is {len(meant)} of the digits in "
                f"{quote.repr(sentence)}: name one of them, as in 'the camera follows the first digit'."
            )
        read[meant[0]] = replace(read[meant[0]], followed=True)
    return Description(tuple(read), **{key: value for key, (value, _) in found.items()})


EXAMPLE = "a red 3 moves right and a blue 7 moves up, the camera pans left, the light dims, outlined"


def as_parsed(description: Description) -> Description:
    """What `parse` gives back for a fully written description: what is not so is left unsaid."""
    subjects = tuple(
        replace(one, hums=one.hums or None, followed=one.followed or None) for one in description.subjects
    )
    return replace(description, subjects=subjects, slow_motion=description.slow_motion or None)


def _match_subject(text: str) -> re.Match:
    match = _SUBJECT.fullmatch(text)
    if match is None:
        raise _UnknownError(text)
    return match


def _subject(match: re.Match) -> Subject:
    heading = match["heading"] and _HEADING[match["heading"]]
    return Subject(_number(match["digit"]), match["colour"], heading, bool(match["hums"]) or None)


def _number(word: str) -> int | None:
    """The digit that a word names; None for "digit"."""
    return None if word == "digit" else NUMBERS.index(word) if word in NUMBERS else int(word)


def _not_understood(part: str, sentence: str) -> str:
    """Name the first unknown word and the nearest known ones; failing that, the nearest phrase."""
    answer = f"{quote.repr(part)} in {quote.repr(sentence)} is outside the captions' grammar."
    unknown = [word for word in re.findall(r"\w+", part) if word not in VOCABULARY]
    if unknown:
        near = difflib.get_close_matches(unknown[0], VOCABULARY, 3, 0.5)
        answer += f" The word {quote.repr(unknown[0])} is not known"
        answer += f"; nearest: {', '.join(near)}." if near else "."
    elif near := difflib.get_close_matches(part, MEANING, 1, 0.6):
        answer += f" Did you mean {near[0]!r}?"
    return (
        f"{answer} Colours: {', '.join(COLOURS)}; directions: {', '.join(HEADINGS)}; digits 0–9. "
        f"A sentence that works: {EXAMPLE!r}."
    )


def _article(text: str) -> str:
    return re.sub(r"^a (?=eight\b|8)", "an ", text)


def _uniform(rng: torch.Generator | None) -> float:
    return torch.rand((), generator=rng).item() if rng else 0.0


def _draw(rng: torch.Generator | None, n: int) -> int:
    return int(_uniform(rng) * n)
