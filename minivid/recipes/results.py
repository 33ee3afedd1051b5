"""The numbers that are published: the README's table, and the page of results that tells how each was found.

What is published, and in which words, stands in the README's rows; the numbers beside them are filled in.
"""

import re
from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from minivid import train
from minivid.recipes.recipe import Recipe

ROW = re.compile(r"^\| (\w+) \| `(\w+)` \| (.*?) \|(.*)\|$", re.M)  # model, key, words, numbers
BATCHES = 4  # over a training, on which its FLOPs are counted


def published(readme: str) -> Iterator[tuple[str, str, str]]:
    """(model, key, what is measured) of every row of the README's table."""
    for row in ROW.finditer(readme):
        yield row[1], row[2], row[3]


def filled(text: str, scores: dict[str, dict]) -> str:
    """The same text with the scores' numbers in its rows. scores: of each model, {key: row of a score}.

    Rows of models that have no score stay as they are. Raises ValueError for a key that a model's score
    lacks.
    """

    def anew(row: re.Match) -> str:
        model, key, words, _ = row.groups()
        if model not in scores:
            return row[0]
        if key not in scores[model]:
            raise ValueError(f"{model} has no {key!r} in its score: {', '.join(scores[model])}.")
        return f"| {model} | `{key}` | {words} | {numbers(scores[model][key])} |"

    return ROW.sub(anew, text)


def numbers(row: dict) -> str:
    """Floor, ours with its interval, and ceiling, as the cells of a row."""
    floor, ceiling = ("–" if row[k] is None else f"{row[k]:.3f}" for k in ("floor", "ceiling"))
    return f"{floor} | {_ours(row)} | {ceiling}"


def _ours(row: dict) -> str:
    low, high = row["interval"]
    return f"{row['ours']:.3f} [{low:.3f}, {high:.3f}]"


def table(readme: str, scores: dict[str, dict], n: int) -> list[str]:
    """The lines of the README's table, of the models that have a score, with its numbers."""
    lines = [
        f"| model | key | what is measured, n = {n:,} | floor | ours [95 % interval] | ceiling |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for model, key, words in published(readme):
        if model in scores:
            row = scores[model].get(key)  # some need a model that has learned something
            lines.append(
                f"| {model} | `{key}` | {words} | {numbers(row) if row else '– | – | –'} |"
            )
    return lines


def trainings(cards: dict[str, dict]) -> list[str]:
    """The lines of a table that tells how each model was trained."""
    lines = [
        "| model | scale | parameters | steps × batch | seed | precision | FLOPs | seconds | machine |",
        "| --- | --- | ---: | ---: | ---: | --- | ---: | ---: | --- |",
    ]
    for model, card in cards.items():
        plan = train.Plan(**card["plan"])
        flops = f"{card['flops']:.1e}" if "flops" in card else "–"
        precision = card.get("precision", plan.precision)
        lines.append(
            f"| {model} | {card['scale']} | {card['parameters']:,} | {plan.steps:,} × {plan.batch} | "
            f"{plan.seed} | {precision} | {flops} | {card['seconds']:,} | {card['machine']} |"
        )
    return lines


def repeated(readme: str, again: dict[str, dict], cards: dict[str, dict]) -> list[str]:
    """Lines of a table: the scores of a second training of every model beside those in the box.

    again, cards: {model: card}. KeyError where a model or a row of the README's table lacks in `again`.
    """
    lines = ["| model, key | from nothing | in the box | |", "| --- | ---: | ---: | --- |"]
    for model, key, _ in published(readme):
        if model in cards:
            row, other = again[model]["score"][key], cards[model]["score"][key]
            lines.append(
                f"| {model} `{key}` | {_ours(row)} | {_ours(other)} | {_off(row, other)} |"
            )
    return lines


def is_within(row: dict, other: dict) -> bool:
    """Whether what one row of a score measured lies in the interval of another."""
    low, high = other["interval"]
    return low <= row["ours"] <= high


def _off(row: dict, other: dict) -> str:
    """How far one row of a score is from another: "", "outside" of its interval, or intervals "apart"."""
    if is_within(row, other):
        return ""
    (low, high), (least, most) = row["interval"], other["interval"]
    return "apart" if low > most or high < least else "outside"


def between(page: str, mark: str, lines: list[str]) -> str:
    """The page with these lines between <!-- mark --> and <!-- /mark -->. ValueError where these lack."""
    whole = re.compile(f"<!-- {mark} -->.*<!-- /{mark} -->", re.S)
    if not whole.search(page):
        raise ValueError(f"the page has no <!-- {mark} --> … <!-- /{mark} --> to write between.")
    text = "\n".join([f"<!-- {mark} -->", "", *lines, "", f"<!-- /{mark} -->"])
    return whole.sub(lambda _: text, page)


def flops(recipe: Recipe, at: str) -> int:
    """FLOPs of a whole training, forward and backward, a multiply-add being two; of a few batches of it.

    Optimizer, drawing of clips and encoding of latents are not counted.
    """
    plan, counted = recipe.plans[at], 0
    torch.manual_seed(plan.seed)
    network: nn.Module = recipe.build()
    for k in range(BATCHES):
        step = int(plan.steps * (k + 0.5) / BATCHES)
        draws = torch.Generator().manual_seed(train.step_seed(plan.seed, step))
        batch = recipe.draw(plan, draws)
        counted += flops_of(lambda: recipe.loss(network, batch, draws).backward())  # noqa: B023
    return counted * plan.steps // BATCHES


def flops_of(work: Callable[[], object]) -> int:
    """FLOPs of a piece of work, which is done, attention by the kernel whose FLOPs are counted."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        work()
    return counter.get_total_flops()
