"""Scenes to sentences and back, by a grammar small enough to print.

    sentence = subject motion ["and" subject motion] {"," (camera | light | style)}
    subject  = "a" ["humming"] [colour] digit        motion = [verb direction]

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
        f"zoom {way}": (f"the camera zooms {way}", f"a zoom {way}", f"zooming {way}")
        for way in ("in", "out")
    },
}
LIGHT = {
    "steady": ("the light is steady", "in steady light"),
    "brightens": ("the light brightens", "it gets brighter"),
    "dims": ("the light dims", "it gets darker"),
}
STYLE = {"filled": ("filled", "drawn filled"), "outlined": ("outlined", "drawn in outline")}
CLAUSES = {"camera": CAMERA, "light": LIGHT, "style": STYLE}

_MEANING = {
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
# What may be missing from an unfinished subject: with one of these it is whole.
_ENDS = tuple(
    f"{rest} {way}".strip()
    for rest in ("", "3", "red 3", "a 3")
    for way in ("", "right", "moves right", "the right")
)
VOCABULARY = sorted(
    {"a", "an", "the", "and", "digit", "humming", *COLOURS, *NUMBERS, *map(str, range(10)), *VERBS}
    | {word for phrase in (*_HEADING, *_MEANING) for word in phrase.split()}
)


def write(description: Description, rng: torch.Generator | None = None, keep: float = 1.0) -> str:
    """Say a description in one sentence.

    rng: picks among the phrasings; without one, the first of each is used. keep: probability with which each
    attribute but the digit is said. A digit that does not hum is simply not called humming. Raises ValueError
    where something is to be left out by chance, without an rng.
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

    clauses = [" and ".join(map(subject, description.subjects))]
    for attribute, phrases in CLAUSES.items():
        if mentions(value := getattr(description, attribute)):
            clauses.append(choose(phrases[value]))
    return ", ".join(clauses)


def parse(sentence: str) -> Description:
    """Read a sentence back: what it says, and None for what it leaves unsaid.

    Raises ValueError for anything outside the grammar: the part that was not understood, the
    nearest phrase that would be, and an example.
    """
    try:
        return _read(sentence)
    except _UnknownError as error:
        raise ValueError(_not_understood(str(error), sentence)) from None


class _UnknownError(ValueError):
    """A part of a sentence that is outside the grammar."""


def _read(sentence: str) -> Description:
    """What `parse` gives, with a bare error where something is not understood."""
    clauses = [part.strip() for part in " ".join(sentence.lower().split()).rstrip(".").split(",")]
    found: dict[str, str] = {}
    subjects: tuple[Subject, ...] | None = None
    for clause in clauses:
        if not clause and len(clauses) > 1:
            raise ValueError(f"a comma in {quote.repr(sentence)} has nothing before or behind it.")
        if clause in _MEANING:
            attribute, value = _MEANING[clause]
            if found.get(attribute, value) != value:
                raise ValueError(
                    f"two different things are said of the {attribute}: "
                    f"{found[attribute]!r} and {value!r}. Keep one."
                )
            found[attribute] = value
        elif subjects is None:
            subjects = tuple(map(_read_subject, clause.split(" and ")))
        else:
            raise _UnknownError(clause)
    if subjects is None:
        raise ValueError(f"{quote.repr(sentence)} names no digit. Begin with one: {EXAMPLE!r}.")
    return Description(subjects, **found)


def begins(words: str) -> bool:
    """Whether some sentence of the grammar begins with these words."""
    *before, last = (" ".join(part.split()) for part in words.lower().split(","))
    if any(_understood(", ".join([*before, f"{last} {end}".strip()])) for end in _ENDS):
        return True
    ways = [phrase for phrase in _MEANING if f"{phrase} ".startswith(f"{last} ")]
    return any(
        _understood(", ".join([*before, phrase, *digits]))
        for phrase in ways
        for digits in ([], ["a 3"])  # which may be yet to come
    )


def completions(text: str, most: int = 40) -> list[str]:
    """Ways to go on from an unfinished sentence: the last word ended, or one more, or one more clause."""
    start, _, part = text.lower().rpartition(" ")
    start = f"{start} " if start else ""
    found = [start + word for word in VOCABULARY if word.startswith(part) and begins(start + word)]
    done = text.rstrip(" .")
    if _understood(done):
        description = parse(done)
        left = [key for key in CLAUSES if getattr(description, key) is None]
        found += [f"{done}, {phrase}" for key in left for phrase, *_ in CLAUSES[key].values()]
    elif done and _understood(f"{done}, a 3"):
        found.append(f"{done}, a")
    return [one for one in found if one != text][:most]


def _understood(sentence: str) -> bool:
    try:
        _read(sentence)
    except ValueError:
        return False
    return True


EXAMPLE = (
    "a red 3 moves right and a blue 7 moves up, the camera pans left, the light dims, outlined"
)


def as_parsed(description: Description) -> Description:
    """What `parse` gives back for a fully written description: an unhummed digit is left unsaid."""
    subjects = tuple(replace(one, hums=one.hums or None) for one in description.subjects)
    return replace(description, subjects=subjects)


def _read_subject(text: str) -> Subject:
    match = _SUBJECT.fullmatch(text)
    if match is None:
        raise _UnknownError(text)
    word, heading = match["digit"], match["heading"]
    digit = None if word == "digit" else NUMBERS.index(word) if word in NUMBERS else int(word)
    return Subject(
        digit, match["colour"], heading and _HEADING[heading], bool(match["hums"]) or None
    )


def _not_understood(part: str, sentence: str) -> str:
    """Name the first unknown word and the nearest known ones; failing that, the nearest phrase."""
    answer = f"{quote.repr(part)} in {quote.repr(sentence)} is outside the captions' grammar."
    unknown = [word for word in re.findall(r"\w+", part) if word not in VOCABULARY]
    if unknown:
        near = difflib.get_close_matches(unknown[0], VOCABULARY, 3, 0.5)
        answer += f" The word {quote.repr(unknown[0])} is not known"
        answer += f"; nearest: {', '.join(near)}." if near else "."
    elif near := difflib.get_close_matches(part, _MEANING, 1, 0.6):
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
