"""Writing scores where they are read: the cards, data/scorecard.json, the README, docs/results.md."""

from pathlib import Path

from tqdm.auto import tqdm

from minivid import files, folders, recipes, weights
from minivid.folders import ROOT
from minivid.recipes import scorecard, tables

SEEDS_NEEDED = 5000  # that a score draws from, from its own upwards, beside one for each scene
MIN_N = 50  # scenes: with fewer, some rows have no interval
README, RESULTS = ROOT / "README.md", ROOT / "docs" / "results.md"
FROM_NOTHING = folders.data() / "experiments" / "from_nothing.json"  # cards that `train all` left


def score(name: str, n: int, seed: int, folder: Path, table: Path | None = None) -> None:
    """Measure one model, or "all", on n scenes; of all, as they are published, write what was found.

    folder: of runs, where scores are kept on the way; table: a JSON file to write, too. Raises ValueError for
    a seed that training may draw from, and for fewer than MIN_N scenes.
    """
    most = scorecard.MAX_SEED - SEEDS_NEEDED - n
    if not 0 <= seed <= most:
        raise ValueError(f"seed {seed}: allowed are 0 to {most}; training draws from above.")
    files.require_writable(folder, "MINIVID_RUNS")
    if table:
        files.require_file(table)
    if n < MIN_N:
        raise ValueError(f"--n {n}: an interval needs at least {MIN_N} scenes.")
    every, found = name == "all", {}
    for one in recipes.shipped() if every else [name]:
        scorecard.require_same_world(one)
    if every:
        scores = tqdm(scorecard.score_all(n, seed, folder), "scored", len(recipes.shipped()))
    else:
        scores = [(name, recipes.recipe(name).score(recipes.load(name), n, seed))]
    for one, rows in scores:
        found[one] = rows
        tqdm.write("\n".join(tables.lines(one, rows)))
    if table:
        metrics = found if every else found[name]
        files.write_json(table, {"metrics": metrics, "n": n, "seed": seed, "weights": name})
    if every and (n, seed) == (scorecard.N, scorecard.SEED) and folders.IN_A_WORKING_COPY:
        publish(found)


def publish(scores: dict[str, dict]) -> None:
    """Write what was measured onto the cards, into the scorecard, the README and the page of results."""
    cards = {name: weights.card(name) for name in scores}
    found = [
        tables.is_within(row, cards[name]["score"][key])
        for name, table in scores.items()
        for key, row in table.items()
        if key in cards[name].get("score", {})
    ]
    print(f"{sum(found)} of {len(found)} numbers lie in the intervals that the cards had")
    for name, table in scores.items():
        cards[name]["score"] = table
        weights.write_card(name, cards[name])
    rows = scorecard.filled(scorecard.load(), scores)
    scorecard.write(rows)
    again = files.read_json(FROM_NOTHING)
    page = RESULTS.read_text("utf-8")
    for mark, lines in (
        ("score", tables.table(rows)),
        ("made", tables.trainings(cards)),
        ("again", [*tables.trainings(again), "", *tables.repeated(rows, again, cards)]),
    ):
        page = tables.between(page, mark, lines)
    readme = tables.between(README.read_text("utf-8"), "headlines", tables.headlines(rows))
    files.write(README, readme.encode())
    files.write(RESULTS, page.encode())
    print(f"written onto the cards and into {scorecard.SCORECARD}, {README} and {RESULTS}")
