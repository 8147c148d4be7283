"""What is harmful, and what is refused, at the very threshold; the room that answers have."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snql.db import guards
from snql.generation.options import WritingOptions
from snql.guard.parts import Template
from snql.guard.prompts import Judged
from snql.guard.study import Answers
from snql.guard.trial import Trial
from snql.judges.base import BETTER, WORSE
from snql.models.load import load_models
from snql.models.options import LoadOptions
from snql.prompts.types import Prompt

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


def test_batches_have_room_for_the_answers_where_any_are_written(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snql.generation.budget.writing_tokens", lambda _: 60)
    model = load_models({"before": str(tiny_llama)}, LoadOptions(device="cpu"))["before"]
    prompts = [Prompt("d", str(n), input_ids=(1,) * n) for n in (5, 20, 8, 30, 2)]
    judged: Any = None
    stored = Answers(prompts, None, frozenset(), Template(), None, judged)
    asked = replace(stored, writing=WritingOptions(max_new_tokens=10))
    assert stored.beginning(model, "auto").batches == [1, 0, 1, 0, 1]
    # With 10 new tokens each: 40 alone, 30 + 30, 15 + 15.
    assert asked.beginning(model, "auto").batches == [2, 1, 1, 0, 2]
    assert asked.beginning(model, 2).batches == [1, 0, 1, 0, 2]
