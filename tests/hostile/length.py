"""A judge for tests."""

from collections.abc import Sequence


def length(_: Sequence[str], completions: Sequence[str]) -> list[float]:
    """How many letters a completion has."""
    return [float(len(each)) for each in completions]
