"""How long trainings may take, from what the cards say that they took."""

import contextlib
import statistics
from collections.abc import Sequence

from minivid import recipes, weights


def expected_seconds(names: Sequence[str], at: str) -> dict[str, float]:
    """What trainings at that scale may take, for a bar of progress: as long as those of the cards did.

    Where a card is of another scale, its FLOPs are taken as fast as those of most cards of this one; where
    there is none, the model may take as long as that of usual clips, or else as most.
    """
    cards = {name: card for name in recipes.RECIPES if (card := _nearest_card(name)).get("flops")}
    paces = {name: card["seconds"] / card["flops"] for name, card in cards.items() if card.get("scale") == at}
    seconds = {}
    for name in cards.keys() & set(names) if paces else ():
        config, before = recipes.config_of(name, at), cards[name]["config"]
        ratio = config.steps * config.batch_size / (before["steps"] * before["batch_size"])
        if name in paces:
            seconds[name] = cards[name]["seconds"] * ratio
        else:
            seconds[name] = statistics.median(paces.values()) * cards[name]["flops"] * ratio
    most = statistics.median(seconds.values()) if seconds else 1.0
    return {name: seconds.get(name, most) for name in names}


def _nearest_card(name: str) -> dict:
    """The card of a model, or else that of the same for usual clips, or else an empty one."""
    for model in (name, name.removesuffix("_64")):
        with contextlib.suppress(ValueError):
            return weights.card(model)
    return {}
