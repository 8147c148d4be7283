"""Patching a few rows for tests, with the engine that ``snql patch`` uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from snql.generation.rules import Rules
from snql.generation.types import Completion
from snql.models.loaded import LoadedModel
from snql.neurons.sets import NeuronSet
from snql.patching.engine import PatchEngine
from snql.patching.interventions import SOURCE, TARGET, FromSource, Intervention, PatchedRow
from snql.patching.passes import ModelPass, Rows
from snql.patching.rows import Task, Writing, Written


@dataclass(frozen=True)
class PatchRow:
    """One text to complete, with the neurons that are patched while it is written; ``by`` for an unpatched model."""

    input_ids: tuple[int, ...]
    neurons: NeuronSet
    by: int | None = None


def write_rows(
    recipient: LoadedModel,
    donor: LoadedModel | None,
    rows: Sequence[PatchRow],
    max_new_tokens: int,
    *,
    most_rows: int = 1000,
    fuse: bool = True,
    intervention: Intervention | None = None,
    **writing: Any,
) -> list[Written]:
    """What becomes of each row. Rows with equal texts count as variants of one prompt."""
    chosen = intervention or FromSource()
    models = ModelPass(recipient, donor, [row.neurons for row in rows], chosen, fuse=fuse)
    settings = Writing(max_new_tokens, **({"rules": Rules(recipient.base.end_ids)} | writing))
    engine = PatchEngine(models, settings, reads_source=chosen.reads_source)
    prompts = list(dict.fromkeys(row.input_ids for row in rows))
    tasks = [
        Task(
            index,
            prompts.index(row.input_ids),
            0,
            row.input_ids,
            str(row.input_ids),
            row.by,
            index if row.by is None else None,
        )
        for index, row in enumerate(rows)
    ]
    found = {w.task.variant_id: w for batch in engine.write(tasks, most_rows, 0.0) for w in batch}
    return [found[index] for index in range(len(rows))]


def patch_and_generate(
    recipient: LoadedModel, donor: LoadedModel, rows: Sequence[PatchRow], max_new_tokens: int, **more: Any
) -> list[Completion]:
    """Complete each row greedily with its neurons patched."""
    return [written.completion for written in write_rows(recipient, donor, rows, max_new_tokens, **more)]


def first_logits(recipient: LoadedModel, donor: LoadedModel, rows: Sequence[PatchRow], *, fuse: bool) -> torch.Tensor:
    """Logits of each patched row's first token: Float[Tensor, "rows vocabulary"]."""
    models = ModelPass(recipient, donor, [row.neurons for row in rows], FromSource(), fuse=fuse)
    texts = [row.input_ids for row in rows]
    patched: list[PatchedRow | None] = [
        PatchedRow(index, index, len(text), range(len(text)), "", 0) for index, text in enumerate(texts)
    ]
    nothing: list[PatchedRow | None] = [None] * len(rows)
    source, target = [SOURCE] * len(rows), [TARGET] * len(rows)
    with models.applied():
        if models.fused:
            (fresh,) = models.read([texts + texts], [Rows(source + target, nothing + patched)])
            assert fresh is not None
            return fresh.logits[len(rows) :, -1]
        _, fresh = models.read([texts, texts], [Rows(source, nothing), Rows(target, patched)])
        assert fresh is not None
        return fresh.logits[:, -1]
