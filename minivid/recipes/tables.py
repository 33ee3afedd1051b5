"""Scores and cards as tables in Markdown, and the pages they are written into."""

import re

from minivid.recipes.scorecard import N
from minivid.training import TrainConfig


def table(rows: list[dict], n: int = N) -> list[str]:
    """The lines of a table of rows."""
    lines = [
        f"| model | key | what is measured, n = {n:,} | floor | ours [95 % interval] | ceiling |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        lines.append(f"| {row['model']} | `{row['key']}` | {row['what']} | {numbers(row)} |")
    return lines


def headlines(rows: list[dict]) -> list[str]:
    """The lines of the README's table: what is measured, ours and the ceiling, in three digits."""
    lines = ["| | ours | ceiling |", "| --- | ---: | ---: |"]
    for row in rows:
        if "headline" in row:
            ceiling = "–" if row["ceiling"] is None else f"{row['ceiling']:.3g}"
            lines.append(f"| {row['headline']} | {row['ours']:.3g} | {ceiling} |")
    return lines


def numbers(row: dict) -> str:
    """Floor, ours with its interval, and ceiling, as the cells of a row."""
    floor, ceiling = ("–" if row[k] is None else f"{row[k]:.3f}" for k in ("floor", "ceiling"))
    return f"{floor} | {with_interval(row)} | {ceiling}"


def lines(name: str, table: dict) -> list[str]:
    """The rows of a score, for a terminal."""
    return [f"{name:14} {key:26} {numbers(row)}" for key, row in table.items()]


def with_interval(row: dict) -> str:
    low, high = row["interval"]
    return f"{row['ours']:.3f} [{low:.3f}, {high:.3f}]"


def trainings(cards: dict[str, dict]) -> list[str]:
    """The lines of a table that tells how each model was trained."""
    lines = [
        "| model | scale | parameters | steps × batch | seed | precision | FLOPs | seconds | machine |",
        "| --- | --- | ---: | ---: | ---: | --- | ---: | ---: | --- |",
    ]
    for model, card in cards.items():
        config = TrainConfig(**card["config"])
        flops = f"{card['flops']:.1e}" if "flops" in card else "–"
        precision = card.get("precision", config.precision)
        lines.append(
            f"| {model} | {card['scale']} | {card['parameters']:,} | {config.steps:,} × "
            f"{config.batch_size} | {config.seed} | {precision} | {flops} | {card['seconds']:,} | "
            f"{card['machine']} |"
        )
    return lines


def repeated(rows: list[dict], again: dict[str, dict], cards: dict[str, dict]) -> list[str]:
    """Lines of a table: the scores of a second training of every model beside the shipped ones.

    again, cards: {model: card}. What was not measured in that training is left out.
    """
    lines = ["| model, key | from nothing | shipped | |", "| --- | ---: | ---: | --- |"]
    for row in rows:
        model, key = row["model"], row["key"]
        if model in cards and key in again.get(model, {"score": {}})["score"]:
            ours, other = again[model]["score"][key], cards[model]["score"][key]
            cells = with_interval(ours), with_interval(other), _difference(ours, other)
            lines.append(f"| {model} `{key}` | {' | '.join(cells)} |")
    return lines


def is_within(row: dict, other: dict) -> bool:
    """Whether what one row of a score measured lies in the interval of another."""
    low, high = other["interval"]
    return low <= row["ours"] <= high


def _difference(row: dict, other: dict) -> str:
    """How far one row of a score is from another: "", "outside" of its interval, or intervals "apart"."""
    if is_within(row, other):
        return ""
    (low, high), (least, most) = row["interval"], other["interval"]
    return "apart" if low > most or high < least else "outside"


def between(page: str, mark: str, lines: list[str]) -> str:
    """The page with these lines between <!-- mark --> and <!-- /mark -->. ValueError where these lack."""
    block = re.compile(f"<!-- {mark} -->.*<!-- /{mark} -->", re.S)
    if not block.search(page):
        raise ValueError(f"the page has no <!-- {mark} --> … <!-- /{mark} --> to write between.")
    text = "\n".join([f"<!-- {mark} -->", "", *lines, "", f"<!-- /{mark} -->"])
    return block.sub(lambda _: text, page)
