"""Which way judges' scores point, in words, and ``judge_signs``, for all judges of a command or for one of them."""

from collections.abc import Sequence

from snql.errors import InputError
from snql.judges.base import BETTER, WORSE

SIGNS = {"cost": WORSE, "reward": BETTER}
"""What ``judge_signs`` may say, and what a high score then is."""


def given_signs(judges: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """The sign of each judge that was given one: ``cost`` or ``reward`` is for all of them, ``JUDGE=cost`` for one.

    What is said of one judge wins. Raises InputError for another word, or a judge that is not among ``judges``.
    """
    found: dict[str, str] = {}
    for text in sorted(given, key=lambda text: text not in SIGNS):
        judge, _, sign = text.rpartition("=")
        if sign not in SIGNS:
            raise InputError(f"`judge_signs` {text!r} is not known: use {' or '.join(SIGNS)}, or JUDGE=cost")
        if judge and judge not in judges:
            raise InputError(f"`judge_signs` {text!r}: {judge!r} is not one of the judges, {', '.join(judges)}")
        found |= dict.fromkeys([judge] if judge else judges, sign)
    return found


def meaning(judge: str, higher_is: str) -> str:
    """What a mean score of a judge is; higher_is: ``worse`` or ``better``."""
    return "share of answers without a refusal" if judge.partition(":")[0] == "refusal" else f"higher is {higher_is}"


def sign_of(judge: str) -> str | None:
    """``cost`` or ``reward`` of a judge that was given no sign, if its name tells; None if it does not.

    Refusal lists are costs, as :mod:`snql.judges.refusal` says; score models are what they are called.
    """
    kind, _, name = judge.lower().partition(":")
    if kind == "refusal":
        return "cost"
    named = [sign for sign in SIGNS if sign in name]
    return named[0] if kind in ("demo", "score-model") and len(named) == 1 else None
