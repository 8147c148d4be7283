"""One forward step of both models over all their rows, with neurons overwritten.

Models that share a base are rows of one batch; two checkpoints have a batch each, and the source's runs first.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from snql.generation.slots import Fresh, SlotStream
from snql.models.loaded import LoadedModel
from snql.models.mixed import AdapterRows, can_mix
from snql.neurons.sets import NeuronSet
from snql.patching.interventions import Intervention, PatchedRow
from snql.patching.overwrite import Overwriter

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass
class Rows:
    """The rows of one stream's next batch: which model each is of, and how it is patched, if it is."""

    models: list[int] = field(default_factory=list)
    patched: list[PatchedRow | None] = field(default_factory=list)


class ModelPass:
    """The streams of rows of two models, or of the target alone."""

    def __init__(
        self,
        target: LoadedModel,
        source: LoadedModel | None,
        sets: Sequence[NeuronSet],
        intervention: Intervention,
        *,
        fuse: bool = True,
    ) -> None:
        self.fused = source is not None and fuse and can_mix([source, target])
        self._adapters = AdapterRows([source, target]) if source is not None and self.fused else None
        if self._adapters is not None:
            self.streams = [SlotStream(self._adapters.plain)]
        else:
            self.streams = [SlotStream(model) for model in (source, target) if model is not None]
        apart = source if source is not None and not self.fused else None
        self._overwriter = Overwriter(target, apart, sets, intervention, self._adapters)

    def stream_of(self, model: int) -> int:
        """The stream that has a model's rows."""
        return model if len(self.streams) == 2 else 0

    def applied(self) -> AbstractContextManager[None]:
        """Within the block, the models can run."""
        return nullcontext() if self._adapters is None else self._adapters.applied()

    def read(
        self, texts: Sequence[Sequence[tuple[int, ...]]], rows: Sequence[Rows], keep: int = 1
    ) -> list[Fresh | None]:
        """Read new texts of each stream, with logits after their last ``keep`` tokens; None for a stream without."""
        width = max(len(text) for part in texts for text in part)
        return self._run(lambda stream, part: stream.read(part, width, keep), texts, rows)

    def scan(
        self, texts: Sequence[Sequence[tuple[int, ...]]], rows: Sequence[Rows], keep: int
    ) -> list[torch.Tensor | None]:
        """Read texts of each stream that will not go on; logits after their last ``keep`` tokens, None as above."""
        width = max(len(text) for part in texts for text in part)
        return self._run(lambda stream, part: stream.scan(part, width, keep), texts, rows)

    def step(self, tokens: Sequence[Sequence[int]], rows: Sequence[Rows]) -> list[torch.Tensor | None]:
        """Add a token to each row of each stream; logits of the next ones, None for a stream that has no rows."""
        return self._run(SlotStream.step, tokens, rows)

    def _run(
        self, forward: Callable[[SlotStream, Sequence[In]], Out], parts: Sequence[Sequence[In]], rows: Sequence[Rows]
    ) -> list[Out | None]:
        if self._adapters is not None:
            self._adapters.assign(rows[0].models)
        self._overwriter.assign(rows[-1].patched, len(rows[0].models))
        found: list[Out | None] = []
        for index, (stream, part) in enumerate(zip(self.streams, parts, strict=True)):
            last = index == len(self.streams) - 1
            with self._overwriter.rewriting() if last else self._overwriter.reading(stream.model):
                found.append(forward(stream, part) if part else None)
        return found

    def clear(self) -> None:
        """Forget all rows."""
        self.streams = [SlotStream(stream.model) for stream in self.streams]
        self._overwriter.forget()
