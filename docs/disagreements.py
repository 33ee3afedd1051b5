"""Make the page of results' film strips on which the two judges disagree.

    python docs/disagreements.py

The clips are the 200 that were labelled. First come those whose labels say what the judge reads, then those
whose labels say what the second judge reads. Both judges read the clips anew.
"""

from pathlib import Path

from minivid import recipes, show
from minivid.measure.judge import load_judge
from minivid.recipes import labels
from minivid.world.scene import Description

EACH = 4  # strips, above and below
KEYS = ("digit", "heading")
PICTURE = Path(__file__).parent / "disagreements.png"


def readings(description: Description) -> dict[str, dict]:
    """What a judge reads of the digit of each colour."""
    return {one.colour: {key: getattr(one, key) for key in KEYS} for one in description.subjects}


def main() -> None:
    found, judge, second = labels.load(), load_judge(), recipes.load("second_judge")
    parts = found.clips.split(50)
    judged = [readings(one.description) for part in parts for one in judge.read(part)]
    read = [readings(one) for part in parts for one in second.read(part)]
    sides: dict[bool, list[tuple[int, str]]] = {True: [], False: []}
    for k, (first, other) in enumerate(zip(judged, read, strict=True)):
        for colour, one, again in labels.pairs(found.first[k], found.second[k]):
            for key in KEYS:
                mine, theirs = (some.get(colour, {}).get(key) for some in (first, other))
                if mine != theirs and one[key] == again[key] in (mine, theirs):
                    sides[one[key] == mine].append(
                        (k, f"{colour}, {key}: judge {mine}, second judge {theirs}, labels {one[key]}")
                    )
    for right, some in sides.items():
        print(f"labels as {'the judge' if right else 'the second judge'}: {len(some)}")
    chosen = [one for right in (True, False) for one in sides[right][:EACH]]
    strips = show.film_strip(found.clips[[k for k, _ in chosen]], [text for _, text in chosen])
    PICTURE.write_bytes(strips.png())


if __name__ == "__main__":
    main()
