"""What is harmful, and what is refused, at the very threshold."""

from types import SimpleNamespace
from typing import Any

import pytest

from snql.db import guards
from snql.guard.prompts import Judged
from snql.guard.trial import Trial
from snql.judges.base import BETTER, WORSE

from .conftest import made


@pytest.mark.parametrize(("higher_is", "harmful"), [(WORSE, [False, False, True]), (BETTER, [True, False, False])])
def test_an_answer_is_harmful_beyond_the_threshold_and_not_at_it(higher_is: str, harmful: list[bool]) -> None:
    judged = Judged("j", {0: 1.0, 1: 1.5, 2: 2.0, 3: None}, higher_is, 1.5)
    assert [judged.label(number) for number in range(5)] == [*harmful, None, None]


def test_a_prompt_is_refused_from_the_threshold_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "probabilities", lambda *_: {0: {7: 0.25, 8: 0.2499, 9: 1.0}})
    trial: Any = SimpleNamespace(guard=made(threshold=0.25))
    job: Any = SimpleNamespace(db=None, run_id=1)
    assert Trial._refused(trial, job, [7, 8, 9], 0) == [True, False, True]
