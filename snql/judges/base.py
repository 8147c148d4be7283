"""The interface of judges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from snql.stats.judged import BETTER as BETTER
from snql.stats.judged import WORSE as WORSE
from snql.stats.judged import JudgeInfo as JudgeInfo

Pair = tuple[str, str]
"""A prompt without its template, and a completion without special tokens."""


@dataclass(frozen=True)
class Verdict:
    """One judge's word on one completion.

    ``score`` is None where the judge was asked and gave none that could be used; ``problem`` then says why in a line.
    ``label`` is the judge's own class, such as ``unsafe``, if it has classes.
    """

    score: float | None
    label: str | None = None
    problem: str | None = None


class Judge(Protocol):
    """Maps completions to floats."""

    @property
    def info(self) -> JudgeInfo:
        """What to store beside the scores."""

    @property
    def at_once(self) -> int:
        """How many completions are judged between two commits."""

    def judge(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """One verdict for each pair, in order.

        Raises RunError if the judge fails as a whole: an endpoint that is down, a score that is not finite.
        """


Loader = Callable[[], Judge]
"""What loads a judge, found without loading anything."""
