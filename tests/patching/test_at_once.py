"""How much the engine reads at once: prompts, drafts that are worth it, and finished texts where memory ends."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from snql.errors import RunError
from snql.generation.decode import generate
from snql.generation.rules import Rules
from snql.models.loaded import LoadedModel
from snql.neurons.sets import NeuronSet
from snql.patching.engine import PatchEngine, _Waiting
from snql.patching.interventions import FromSource, PatchedRow, Scaled
from snql.patching.overwrite import Overwriter
from snql.patching.passes import ModelPass
from snql.patching.rows import Task, Writing
from snql.patching.trace import unpatched_choices

from ..patched import PatchRow, write_rows
from .by_hand import SHAPE, Models, random_sets, read_whole


def test_as_many_prompts_are_read_at_once_as_have_room() -> None:
    """Rows times the longest text is no more than may be; from 32 on, none that is much shorter than the longest."""

    def read_at_once(lengths: Sequence[int], room: int = 100, **settings: Any) -> int:
        models: Any = SimpleNamespace(streams=[])
        engine = PatchEngine(models, Writing(8, Rules(frozenset()), **settings), reads_source=False)
        return len(engine._next_in(_Waiting(Task(0, n, 0, (1,) * n, "") for n in lengths), room))

    assert read_at_once([6, 3, 2, 1], prefill_tokens=18) == 3
    assert read_at_once([6, 3, 2, 1], prefill_tokens=17) == 2
    assert read_at_once([9], prefill_tokens=1) == 1, "one is always read"
    assert read_at_once([2, 2, 9], prefill_tokens=18) == 2, "a longer one makes all rows longer"
    assert read_at_once([6] * 5, 3) == 3
    assert read_at_once([20] * 32 + [17, 16]) == 33
    assert read_at_once([20] * 31 + [16, 17, 16]) == 33


def test_the_share_of_a_draft_that_was_kept(oracle_models: Models) -> None:
    ids = (1, 50, 60)
    (plain,) = generate(oracle_models["sft"], [ids], 12)
    draft, n = plain.token_ids, len(plain.token_ids)
    assert n > 4
    for step, kept in ((None, 1.0), (0, 0.0), (3, 3 / n), (n - 1, (n - 1) / n)):
        wrong = tuple((token + 7 * (place == step)) % 250 for place, token in enumerate(draft))
        both = ModelPass(oracle_models["sft"], None, [NeuronSet.of(SHAPE, [])], Scaled(1.0))
        engine = PatchEngine(both, Writing(12, Rules(frozenset({2}))), reads_source=False)
        ((written,),) = engine.write([Task(0, 0, 0, ids, "", None, 0, wrong)], 2)
        assert written.completion == plain and engine._kept == {0: [kept]}


def test_out_of_memory_unpatched_choices_are_read_in_parts(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        PatchRow(tuple(prompt["input_ids"]), neurons)
        for prompt in oracle_prompts[:5]
        for neurons in random_sets(2, (300,))
    ]
    sft, writing = oracle_models["sft"], Writing(12, Rules(frozenset({2})))
    found = [replace(each, target_ids=()) for each in write_rows(sft, oracle_models["dpo"], rows, 12)]
    whole = unpatched_choices(sft, found, writing)
    for item, choices in zip(found, whole, strict=True):
        text = item.task.input_ids + item.completion.token_ids
        logits = read_whole(sft, text, lambda _layer, own: own)[len(item.task.input_ids) - 1 : -1]
        assert list(choices) == logits.argmax(-1).tolist()
    real, tried = LoadedModel.logits, list[int]()

    def small(most: int) -> Any:
        def logits(model: LoadedModel, ids: torch.Tensor, *more: Any, **settings: Any) -> torch.Tensor:
            tried.append(len(ids))
            if len(ids) > most:
                raise torch.OutOfMemoryError("full")
            return real(model, ids, *more, **settings)

        return logits

    monkeypatch.setattr(LoadedModel, "logits", small(1))
    assert unpatched_choices(sft, found, writing) == whole and tried == [5, 2, 1, 1, 3, 1, 2, 1, 1]
    monkeypatch.setattr(LoadedModel, "logits", small(0))
    with pytest.raises(RunError, match="out of memory reading one completion: use `trace=False`"):
        unpatched_choices(sft, found, writing)


def test_nothing_is_noted_where_nothing_is_patched_or_the_source_gives_nothing(oracle_models: Models) -> None:
    target, source = oracle_models["sft"], oracle_models["other"]
    row = PatchedRow(0, 0, 3, range(3), "key", 0)
    for intervention, rows, reads, rewrites in (
        (FromSource(), [row, None], True, True),
        (FromSource(), [None, None], False, False),
        (Scaled(0.0), [row, None], False, True),
    ):
        overwriter = Overwriter(target, source, random_sets(1, (5,)), intervention)
        overwriter.assign(rows, 1)
        hooked = [not isinstance(each, nullcontext) for each in (overwriter.reading(source), overwriter.rewriting())]
        assert hooked == [reads, rewrites]
