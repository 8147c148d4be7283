"""A model's answers to prompts, with chosen neurons' activations at the last prompt token from the same prefill."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from snql.db import records
from snql.db.connection import Connection
from snql.db.tables import insert
from snql.generation.decode import decode
from snql.generation.options import WritingOptions
from snql.generation.rules import Rules
from snql.generation.stream import Stream
from snql.guard.prompts import stored_batches
from snql.jobs.work import Done, Job
from snql.lens.path import streams
from snql.models import hooks
from snql.models.loaded import LoadedModel
from snql.neurons.sets import NeuronSet
from snql.prompts.types import Prompt

Activations = npt.NDArray[np.float32]
Rows = dict[str, list[dict[str, object]]]
"""Rows to store by table, without run_id."""

_Answered = tuple[list[records.CompletionRow], Rows]
"""The answers to the prompts of a batch, and what else is stored with them."""


class PrefilledStream(Stream):
    """A stream whose prompts have been read, with the activations of chosen neurons at their last tokens.

    activations: Float32["rows neurons"], 0 for a neuron of an expert that the token was not sent to. residual: whether
    the residual streams after each layer follow, Float32["rows layers*hidden"].
    """

    def __init__(
        self, model: LoadedModel, texts: Sequence[Sequence[int]], neurons: NeuronSet, *, residual: bool = False
    ) -> None:
        super().__init__(model, texts)
        columns = neurons.by_layer()
        taken: dict[int, torch.Tensor] = {}

        def take(layer: int, activations: torch.Tensor) -> None:
            last = activations[:, -1]
            taken[layer] = last[:, torch.from_numpy(columns[layer]).to(last.device)].float().cpu()

        after: list[torch.Tensor] = []
        with hooks.reading(model.sites, columns, take, len(texts)), ExitStack() as stack:
            if residual:
                stack.enter_context(streams(model, lambda _, stream: after.append(stream[:, -1].float().cpu())))
            self._first: torch.Tensor | None = super().logits()
        read = torch.cat([taken[layer] for layer in columns], dim=1)
        if neurons.shape.routed:
            read = read.nan_to_num(nan=0.0)
        self.activations: Activations = torch.cat([read, *after], dim=1).numpy()

    def logits(self) -> torch.Tensor:
        """As of any stream; the first ones are those of the prefill."""
        first, self._first = self._first, None
        return super().logits() if first is None else first


@dataclass(frozen=True)
class Answering:
    """The prompts of a run, which are put to models in the batches that it began with.

    neurons: whose activations are wanted. writing: how answers are written, None if none are. residual: see
    :class:`PrefilledStream`.
    """

    job: Job
    prompts: Sequence[Prompt]
    neurons: NeuronSet
    writing: WritingOptions | None
    residual: bool = False

    def answer(
        self,
        variant_id: int,
        model: LoadedModel,
        keep: Callable[[Sequence[int], Activations], Rows],
        *,
        reread: bool = False,
    ) -> None:
        """Let a model answer all prompts that it has not answered yet.

        keep: given indices of prompts and their activations, what else to store with the answers. reread: call it for
        answered prompts, too; what it returns for them is not stored.
        """
        job, ids = self.job, [prompt.prompt_id for prompt in self.prompts]
        completed = records.completed(job.db, job.run_id, ids)
        done = {prompt_id for variant, prompt_id, _ in completed if variant == variant_id}
        watch = job.watch("guard", len(done), len(ids), "prompts")

        def batches() -> Iterator[Done[_Answered]]:
            for batch in stored_batches(job.db, job.run_id):
                answered = self.writing is None or all(ids[index] in done for index in batch)
                if answered and not reread:
                    continue
                texts = [self.prompts[index].input_ids for index in batch]
                stream = PrefilledStream(model, texts, self.neurons, residual=self.residual)
                rows = keep(batch, stream.activations)
                if answered or self.writing is None:
                    yield Done([], 0)
                    continue
                rules = Rules.of(self.writing, model.base)
                written = decode(stream, texts, self.writing.max_new_tokens, rules, watch.tick)
                answers = [
                    records.CompletionRow(variant_id, ids[index], rules.text(model, each.token_ids), each)
                    for index, each in zip(batch, written, strict=True)
                ]
                yield Done([(answers, rows)], len(batch), sum(len(each.token_ids) for each in written))

        job.work_through(watch, batches(), lambda found: job.store(_write, found))


def _write(connection: Connection, run_id: int, batches: Sequence[_Answered]) -> None:
    for answers, rows in batches:
        records.write_completions(connection, run_id, answers)
        for table, found in rows.items():
            insert(connection, table, found, run_id=run_id)
