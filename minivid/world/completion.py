"""What can come next in an unfinished sentence of the captions' grammar."""

from minivid.world.captions import (
    CLAUSES,
    COLOURS,
    FOLLOWS,
    MEANING,
    NUMBERS,
    ORDINALS,
    VOCABULARY,
    parse,
    read,
)

# What may be missing from an unfinished subject: with one of these it is whole.
_ENDS = tuple(
    f"{rest} {way}".strip()
    for rest in ("", "3", "red 3", "a 3")
    for way in ("", "right", "moves right", "the right")
)
_WHOM = ["it", *(f"the {one} digit" for one in ORDINALS)]
_NAMES = [*NUMBERS, *map(str, range(10)), "digit"]
_FOLLOWING = [
    f"{way} {whom}"
    for way in FOLLOWS
    for whom in (*_WHOM, *(f"the {c} {n}" for c in COLOURS for n in _NAMES), *(f"the {n}" for n in _NAMES))
]


def begins(words: str) -> bool:
    """Whether some sentence of the grammar begins with these words."""
    *before, last = (" ".join(part.split()) for part in words.lower().split(","))
    if any(_understood(", ".join([*before, f"{last} {end}".strip()])) for end in _ENDS):
        return True
    ways = [phrase for phrase in (*MEANING, *_FOLLOWING) if f"{phrase} ".startswith(f"{last} ".lstrip())]
    return any(
        _understood(", ".join([*before, phrase, *digits]))
        for phrase in ways
        for digits in ([], ["a 3"])  # which may be yet to come
    )


def completions(text: str, most: int = 40) -> list[str]:
    """Ways to go on from an unfinished sentence: the last word ended, or one more, or one more clause."""
    text = f"{text} " if text.endswith(",") else text
    start, _, part = text.lower().rpartition(" ")
    start = f"{start} " if start else ""
    found = [start + word for word in VOCABULARY if word.startswith(part) and begins(start + word)]
    done = text.rstrip(" .")
    if _understood(done):
        description = parse(done)
        left = [key for key in CLAUSES if getattr(description, key) is None]
        found += [f"{done}, {phrase}" for key in left for phrase, *_ in CLAUSES[key].values()]
        if "camera" in left:
            found += [way for way in (f"{done}, {FOLLOWS[0]} {k}" for k in _WHOM) if _understood(way)]
    elif done and _understood(f"{done}, a 3"):
        found.append(f"{done}, a")
    return [one for one in found if one != text][:most]


def _understood(sentence: str) -> bool:
    try:
        read(sentence)
    except ValueError:
        return False
    return True
