"""Exercises that answer back: a notebook hands in what the reader wrote, and hears right or not yet."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, repr=False)
class Verdict:
    """What is said of an answer; shows itself as that sentence."""

    text: str

    def __repr__(self) -> str:
        return self.text


def check(number: int, answer: Any, right: Callable[[Any], bool], hint: str) -> Verdict:
    """Look at an answer: None is "not answered yet", and an answer that breaks says how.

    right: whether an answer holds; hint: what to think of if it does not.
    """
    if answer is None:
        return Verdict(f"Exercise {number}: not answered yet.")
    try:
        holds = bool(right(answer))
    except Exception as error:
        return Verdict(f"Exercise {number}: that stopped with {type(error).__name__}: {error}. {hint}")
    return Verdict(f"Exercise {number}: right." if holds else f"Exercise {number}: not yet. {hint}")
