"""The shard function: activations taken while writing equal those of reading; lack of memory is met."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from snql.contrast.capture import CapturedStream
from snql.contrast.positions import Text, text_to_score
from snql.contrast.read import read_batch
from snql.contrast.tokens import Layout
from snql.contrast.worker import CollectTask, ContrastSettings, ContrastTask, Worker
from snql.errors import RunError
from snql.generation.decode import decode, generate
from snql.generation.options import WritingOptions
from snql.generation.rules import Rules
from snql.generation.stream import Stream
from snql.generation.types import Completion
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.neurons.sets import NeuronSet

Models = dict[str, LoadedModel]
PROMPTS = ((1, 114, 138, 43, 70), (1, 76), (1, 90, 91, 92, 200, 201, 202, 17), (1, 33, 34))
NEW = 12


@pytest.fixture(scope="module")
def pair(tiny_llama: Path, tiny_adapter: Path) -> Models:
    specs = {"before": str(tiny_llama), "after": f"{tiny_llama}+{tiny_adapter}"}
    return load_models(specs, LoadOptions(device="cpu"))


def worker(pair: Models, writer: str = "before", **settings: Any) -> Worker:
    return Worker(pair, ContrastSettings("generating", writer, WritingOptions(max_new_tokens=NEW), **settings))


def alone(model: LoadedModel, prompt: tuple[int, ...], end_ids: frozenset[int]) -> Completion:
    return decode(Stream(model, [prompt]), [prompt], NEW, Rules(end_ids))[0]


def test_captured_activations_are_those_of_reading_the_finished_text(pair: Models) -> None:
    model = pair["after"]
    full = [alone(model, prompt, frozenset()).token_ids for prompt in PROMPTS]
    ends = frozenset({full[0][1], full[2][6]})  # so that rows leave the batch at different steps
    stream = CapturedStream(model, PROMPTS, NEW)
    with stream.capturing():
        completions = decode(stream, PROMPTS, NEW, Rules(ends))
    lengths = [len(completion.token_ids) for completion in completions]
    assert completions == [alone(model, prompt, ends) for prompt in PROMPTS]
    assert len(set(lengths)) > 1
    assert stream.n_rows < len(PROMPTS)
    for rows in ([0, 1, 2, 3], [2, 0], [3]):
        texts = [
            text_to_score(row, PROMPTS[row], completions[row].token_ids, "generating", frozenset()) for row in rows
        ]
        read: dict[int, torch.Tensor] = {}
        read_batch(model, texts, range(3), read.__setitem__)
        for layer in range(3):
            torch.testing.assert_close(stream.written(layer, rows, lengths), read[layer], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("writer", ["before", "after"])
def test_capturing_agrees_with_reading_both(pair: Models, writer: str) -> None:
    task = ContrastTask(0, PROMPTS)
    captured, recomputed = worker(pair, writer).contrast(task), worker(pair, writer, recompute=True).contrast(task)
    assert captured.completions == recomputed.completions
    assert captured.n_tokens == recomputed.n_tokens == sum(len(c.token_ids) for c in captured.completions)
    one, other = captured.sums.statistics(), recomputed.sums.statistics()
    for name in ("change_scores", "mean_before", "mean_after", "std_before", "std_after", "mean_differences"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=2e-4, rtol=1e-4, err_msg=name)
    swapped = worker(pair, "after" if writer == "before" else "before").contrast(task)
    assert swapped.completions != captured.completions


@pytest.mark.parametrize("recompute", [False, True])
def test_sums_per_prompt_are_those_of_each_prompt_alone(pair: Models, recompute: bool) -> None:
    """Texts are read longest first, which is not the order that prompts are given in."""
    asks = worker(pair, per_prompt=True, recompute=recompute)
    together = asks.contrast(ContrastTask(0, PROMPTS))
    lengths = [len(ids) + len(c.token_ids) for ids, c in zip(PROMPTS, together.completions, strict=True)]
    assert lengths != sorted(lengths, reverse=True)
    sums = together.prompt_sums
    assert sums is not None
    assert sums.counts.tolist() == [len(completion.token_ids) for completion in together.completions]
    for index, prompt in enumerate(PROMPTS):
        alone = asks.contrast(ContrastTask(0, (prompt,))).prompt_sums
        assert alone is not None
        torch.testing.assert_close(sums.squared[index], alone.squared[0], atol=1e-5, rtol=1e-3)
    assert not torch.allclose(sums.squared[0], sums.squared[2], rtol=1e-2)


def test_one_model_writes_and_the_other_reads_once(pair: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: dict[tuple[str, ...], int] = {}
    real = LoadedModel.logits

    def counted(self: LoadedModel, ids: torch.Tensor, *arguments: Any) -> torch.Tensor:
        counts[self.adapter_names] = counts.get(self.adapter_names, 0) + ids.numel()
        return real(self, ids, *arguments)

    monkeypatch.setattr(LoadedModel, "logits", counted)
    result = worker(pair).contrast(ContrastTask(0, PROMPTS[:1]))
    n_read = len(PROMPTS[0]) + len(result.completions[0].token_ids) - 1
    assert counts == {pair["before"].adapter_names: n_read, pair["after"].adapter_names: n_read}


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), RuntimeError("[enforce fail] can't allocate memory: you tried")]
)
def test_out_of_memory_halves_the_batch_and_goes_on(
    pair: Models, monkeypatch: pytest.MonkeyPatch, most: int, error: Exception
) -> None:
    task = ContrastTask(0, PROMPTS)
    whole = worker(pair).contrast(task)
    tried: list[int] = []
    real = LoadedModel.logits

    def limited(self: LoadedModel, ids: torch.Tensor, *arguments: Any) -> torch.Tensor:
        tried.append(len(ids))
        if len(ids) > most:
            raise error
        return real(self, ids, *arguments)

    monkeypatch.setattr(LoadedModel, "logits", limited)
    small = worker(pair)
    parts = small.contrast(task)
    assert parts.completions == whole.completions
    assert parts.n_tokens == whole.n_tokens
    one, other = whole.sums.statistics(), parts.sums.statistics()
    np.testing.assert_allclose(one.change_scores, other.change_scores, atol=1e-5, rtol=1e-5)
    assert tried[0] == len(PROMPTS)
    tried.clear()
    assert small.contrast(task).completions == whole.completions
    assert max(tried) <= most  # what did not fit once is not tried again


def test_one_row_that_does_not_fit_is_an_error(pair: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA")

    monkeypatch.setattr(LoadedModel, "logits", never)
    with pytest.raises(RunError, match="out of memory with one text: lower `max_new_tokens`"):
        worker(pair).contrast(ContrastTask(0, PROMPTS))


def test_other_errors_are_not_taken_for_lack_of_memory(pair: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(LoadedModel, "logits", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        worker(pair).contrast(ContrastTask(0, PROMPTS))


def test_collecting_in_parts_gives_the_same_file(pair: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    written = generate(pair["before"], PROMPTS, NEW)
    texts = tuple(
        Text(i, (*ids, *new.token_ids), tuple(range(len(ids), len(ids) + len(new.token_ids))))
        for i, (ids, new) in enumerate(zip(PROMPTS, written, strict=True))
    )
    layout = Layout.of(NeuronSet.of(pair["before"].shape, [(0, 3), (0, 39), (2, 7)]), 10)
    whole = pq.read_table(BytesIO(worker(pair).collect(CollectTask(0, texts), layout).parquet))
    limited = worker(pair)
    monkeypatch.setattr(limited, "_most_rows", 3)
    parts = pq.read_table(BytesIO(limited.collect(CollectTask(0, texts), layout).parquet))
    assert whole["layer"].to_pylist() == parts["layer"].to_pylist() == [0, 0, 2]
    assert whole["column"].to_pylist() == [3, 39, 7]
    for side in ("before", "after"):
        a, b = (np.array(table[side].to_pylist()) for table in (whole, parts))
        assert a.shape == (3, sum(len(text.scored) for text in texts))
        np.testing.assert_allclose(a, b, atol=2e-5, rtol=1e-4)
