"""Reading texts under several ways where not all of them fit."""

from typing import Any

import pytest
import torch

from snql.db.records import Variant
from snql.errors import RunError
from snql.models.loaded import LoadedModel
from snql.neurons.sets import NeuronSet
from snql.patching.interventions import SOURCE, TARGET, FromSource, Intervention, Scaled
from snql.patching.passes import ModelPass
from snql.patching.reader import Reader, Text, Way, ways
from snql.patching.subject import Subject


@pytest.mark.parametrize("budget", [1, 40, 100, 1000])
def test_a_plan_keeps_to_its_budget(
    oracle_models: dict[str, LoadedModel], monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    models = {"recipient": oracle_models["sft"], "donor": oracle_models["dpo"]}
    variants = [Variant(0, "recipient", "recipient"), Variant(1, "donor", "donor")]
    reader = Reader(Subject(models, variants, FromSource(), freeze=False))
    monkeypatch.setattr(reader, "_budget", budget)
    lengths = [3, 11, 7, 5, 11, 2]
    found = reader.plan(lengths, n_ways=6)
    assert found.ways_at_once == {1: 1, 40: 2, 100: 6, 1000: 6}[budget]
    rows = found.ways_at_once + 1  # the source is read with them
    assert sorted(index for batch in found.batches for index in batch) == list(range(6))
    for batch in found.batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) * longest * rows <= budget or (len(batch) == 1 and found.ways_at_once == 1)


@pytest.mark.parametrize(
    ("intervention", "read_as", "n_rows"),
    [
        (FromSource(), [Way(TARGET)], 1),
        (FromSource(), [Way(TARGET, 0)], 2),
        (FromSource(), [Way(SOURCE), Way(TARGET, 0), Way(TARGET, 0)], 3),
        (Scaled(0.0), [Way(TARGET, 0)], 1),
    ],
)
def test_the_source_reads_where_a_patch_needs_it(
    oracle_models: dict[str, LoadedModel],
    monkeypatch: pytest.MonkeyPatch,
    intervention: Intervention,
    read_as: list[Way],
    n_rows: int,
) -> None:
    models = {"recipient": oracle_models["sft"], "donor": oracle_models["dpo"]}
    patched = Variant(2, "all", "patched", "all", NeuronSet.all(models["recipient"].shape))
    variants = [Variant(0, "recipient", "recipient"), Variant(1, "donor", "donor"), patched]
    rows: list[int] = []
    real: Any = ModelPass.scan

    def scan(models: ModelPass, given: Any, *more: Any) -> Any:
        rows.append(len(given[0]))
        return real(models, given, *more)

    monkeypatch.setattr(ModelPass, "scan", scan)
    reader = Reader(Subject(models, variants, intervention, freeze=False))
    ((_, logits),) = reader.read([Text((1, 50), 1, "x")], read_as)
    assert (len(logits), rows) == (len(read_as), [n_rows])


def test_out_of_memory_reads_each_text_once(
    oracle_models: dict[str, LoadedModel], oracle_prompts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = {"recipient": oracle_models["sft"], "donor": oracle_models["dpo"]}
    patched = Variant(2, "all", "patched", "all", NeuronSet.all(models["recipient"].shape))
    variants = [Variant(0, "recipient", "recipient"), Variant(1, "donor", "donor"), patched]
    subject = Subject(models, variants, FromSource(), freeze=False)
    texts = [Text(tuple(prompt["input_ids"]), 1, str(index)) for index, prompt in enumerate(oracle_prompts[:7])]
    read_as = list(ways(subject).values())
    whole = dict(Reader(subject).read(texts, read_as))
    real = ModelPass.scan

    def small(most: int) -> Any:
        def scan(models: ModelPass, given: Any, *more: Any) -> Any:
            if sum(map(len, given)) > most:
                raise torch.OutOfMemoryError("full")
            return real(models, given, *more)

        return scan

    monkeypatch.setattr(ModelPass, "scan", small(7))
    found = list(Reader(subject).read(texts, read_as))
    assert [index for index, _ in found] == list(range(7))
    for index, logits in found:
        for one, other in zip(logits, whole[index], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(ModelPass, "scan", small(0))
    with pytest.raises(RunError, match="out of memory reading one text of"):
        list(Reader(subject).read(texts, read_as))
