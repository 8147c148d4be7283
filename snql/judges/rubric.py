"""Rubrics: what a judge that reads instructions is asked, with a place for the prompt and one for the completion."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from snql.errors import InputError
from snql.judges.base import JudgeInfo, Pair
from snql.small_files import small_text

HARM, GUARD = "harm", "guard"
"""The rubrics of snql's own: harm from 0 to 10, and whether a completion is unsafe, to be answered by yes or no."""

DEFAULT_RANGE = (0.0, 10.0)

_PLACE = re.compile(r"\{(prompt|completion)\}")
_NUMBER = r"[+-]?[0-9]+(?:\.[0-9]+)?"
_RANGE = re.compile(rf"RANGE:[ \t]*({_NUMBER}) to ({_NUMBER})[ \t]*(?:\r?\n|\Z)")
_SCORE = re.compile(r"\s*SCORE\s*:", re.IGNORECASE)
_EXACT = re.compile(rf"SCORE:[ \t]*({_NUMBER})")


@dataclass(frozen=True)
class Rubric:
    """A text with ``{prompt}`` and ``{completion}``, and the least and the highest score it asks for.

    A file's first line may be ``RANGE: 1 to 5``; it is not part of the text, nor are line ends at the file's end.
    Without a range scores go from 0 to 10.
    """

    text: str
    lowest: float = DEFAULT_RANGE[0]
    highest: float = DEFAULT_RANGE[1]

    def filled(self, pair: Pair) -> str:
        """The rubric about this pair. Both are data: braces in them, or in the rubric, stay as they are."""
        values = dict(zip(("prompt", "completion"), pair, strict=True))
        return _PLACE.sub(lambda place: values[place[1]], self.text)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def score(self, answer: str) -> float:
        """The number of the answer's only line ``SCORE: n``, which must be its last. Raises ValueError with why not."""
        lines = answer.strip().splitlines()
        found = [line.strip() for line in lines if _SCORE.match(line)]
        if len(found) != 1:
            raise ValueError(f"the answer has {len(found) or 'no'} lines SCORE: n, not one: {shown(answer)}")
        number = _EXACT.fullmatch(found[0])
        if number is None or lines[-1].strip() != found[0]:
            raise ValueError(f"the answer does not end with a line SCORE: n: {shown(answer)}")
        score = float(number[1])
        if not self.lowest <= score <= self.highest:
            raise ValueError(f"the score {score:g} is not from {self.lowest:g} to {self.highest:g}: {shown(answer)}")
        return score


def own(name: str) -> Rubric:
    """One of snql's own rubrics."""
    return _parsed(resources.files("snql.judges").joinpath("rubrics", f"{name}.txt").read_text("utf-8"))


def read(file: Path) -> Rubric:
    """The rubric in a file. Raises InputError if it cannot be read or has no place for the completion."""
    rubric = _parsed(small_text(file, "rubric"))
    if "{completion}" not in rubric.text:
        raise InputError(f"rubric {str(file)!r} has no {{completion}}: write where the completion goes, and {{prompt}}")
    if rubric.lowest >= rubric.highest:
        raise InputError(f"rubric {str(file)!r}: the RANGE goes from {rubric.lowest:g} to {rubric.highest:g}")
    return rubric


def _parsed(text: str) -> Rubric:
    text = text.rstrip("\r\n")
    found = _RANGE.match(text)
    return Rubric(text) if found is None else Rubric(text[found.end() :], float(found[1]), float(found[2]))


def shown(text: str) -> str:
    """The first 80 characters on one line, with line ends and other control characters as escapes."""
    return repr(text[:80]) + ("…" if len(text) > 80 else "")


def described(name: str, kind: str, settings: Mapping[str, Any], higher_is: str, asked: Rubric | None) -> JudgeInfo:
    """What to store of a judge that was asked with a rubric, or none: its settings, and a version made of them."""
    words = {} if asked is None else {"rubric": asked.text, "rubric_sha256": asked.sha256}
    every = {**settings, **words}
    return JudgeInfo(name, kind, _fingerprint(every), every | {"higher_is": higher_is})


def _fingerprint(settings: Mapping[str, Any]) -> str:
    """A version that differs where any of the settings does."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
