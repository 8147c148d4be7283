"""A model's answers to prompts, with chosen neurons' activations at the last prompt token from the same prefill."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from snql.db import records
from snql.db.connection import Database
from snql.db.tables import insert
from snql.generation.decode import decode
from snql.generation.stream import Stream
from snql.interrupts import Stop
from snql.jobs.watch import Watch
from snql.models import hooks
from snql.models.loaded import LoadedModel
from snql.neurons.sets import NeuronSet
from snql.progress import ProgressCallback
from snql.prompts.types import Prompt

Activations = npt.NDArray[np.float32]
Rows = dict[str, list[dict[str, object]]]
"""Rows to store by table, without run_id."""


class PrefilledStream(Stream):
    """A stream whose prompts have been read, with the activations of chosen neurons at their last tokens.

    activations: Float32["rows neurons"], 0 for a neuron of an expert that the token was not sent to.
    """

    def __init__(self, model: LoadedModel, texts: Sequence[Sequence[int]], neurons: NeuronSet) -> None:
        super().__init__(model, texts)
        columns = neurons.by_layer()
        taken: dict[int, torch.Tensor] = {}

        def take(layer: int, activations: torch.Tensor) -> None:
            last = activations[:, -1]
            taken[layer] = last[:, torch.from_numpy(columns[layer]).to(last.device)].float().cpu()

        with hooks.reading(model.sites, columns, take, len(texts)):
            self._first: torch.Tensor | None = super().logits()
        read = torch.cat([taken[layer] for layer in columns], dim=1)
        if neurons.shape.n_experts > 1:
            read = read.nan_to_num(nan=0.0)
        self.activations: Activations = read.numpy()

    def logits(self) -> torch.Tensor:
        """As of any stream; the first ones are those of the prefill."""
        first, self._first = self._first, None
        return super().logits() if first is None else first


@dataclass(frozen=True)
class Answering:
    """The prompts of a run and the batches they are put to models in, which are the same when a run is resumed.

    neurons: whose activations are wanted. max_new_tokens: of an answer, 0 if none is to be written.
    """

    db: Database
    run_id: int
    prompts: Sequence[Prompt]
    batches: Sequence[Sequence[int]]
    neurons: NeuronSet
    max_new_tokens: int
    progress: ProgressCallback
    stop: Stop

    def answer(
        self,
        variant_id: int,
        model: LoadedModel,
        keep: Callable[[Sequence[int], Activations], Rows],
        *,
        reread: bool = False,
    ) -> None:
        """Let a model answer all prompts that it has not answered yet, a batch a commit.

        keep: given indices of prompts and their activations, what else to store with the answers. reread: call it for
        answered prompts, too; what it returns for them is not stored.
        """
        ids = [prompt.prompt_id for prompt in self.prompts]
        done = {prompt_id for variant, prompt_id, _ in records.completed(self.db, self.run_id, ids)
                if variant == variant_id}  # fmt: skip
        watch = Watch(self.progress, "guard", len(done), len(ids), "prompts")
        for batch in self.batches:
            answered = not self.max_new_tokens or all(ids[index] in done for index in batch)
            if answered and not reread:
                continue
            texts = [self.prompts[index].input_ids for index in batch]
            stream = PrefilledStream(model, texts, self.neurons)
            rows = keep(batch, stream.activations)
            if not answered:
                written = decode(stream, len(batch), self.max_new_tokens, model.base.end_ids, watch.tick)
                self._store(rows, [
                    records.CompletionRow(variant_id, ids[index], model.text(each.token_ids), each)
                    for index, each in zip(batch, written, strict=True)
                ])  # fmt: skip
                watch.advance(len(batch), sum(len(each.token_ids) for each in written))
            self.stop.here()

    def _store(self, rows: Rows, answers: Sequence[records.CompletionRow]) -> None:
        with self.db.write() as connection:
            records.write_completions(connection, self.run_id, answers)
            for table, found in rows.items():
                insert(connection, table, found, run_id=self.run_id)
