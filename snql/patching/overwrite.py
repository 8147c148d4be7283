"""The hook that overwrites chosen neurons: each row of a batch with the neurons of its own set."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch

from snql.models import hooks
from snql.models.loaded import LoadedModel
from snql.models.mixed import AdapterRows
from snql.neurons.sets import NeuronSet
from snql.patching.interventions import SOURCE, Computed, Intervention, PatchedRow


class Overwriter:
    """Changes the neurons of rows while a model runs; ``assign`` says which rows of the next batch have which set.

    With ``source`` the other model's rows are in a batch of their own, which must run first; without, they are rows of
    the same batch.
    """

    def __init__(
        self,
        target: LoadedModel,
        source: LoadedModel | None,
        sets: Sequence[NeuronSet],
        intervention: Intervention,
        adapters: AdapterRows | None = None,
    ) -> None:
        self._target, self._source, self._adapters = target, source, adapters
        self._intervention = intervention
        self._chosen = _tables(sets)
        self._routed = target.shape.routed
        self._rows: list[PatchedRow | None] = []
        self._idle, self._partly, self._n_source = True, False, 0
        self._key: list[tuple[int, int] | None] = []
        self._indices: dict[torch.device, tuple[torch.Tensor, torch.Tensor]] = {}
        self._given: dict[int, torch.Tensor] = {}
        self._inputs: dict[int, torch.Tensor] = {}

    def assign(self, rows: Sequence[PatchedRow | None], n_source: int = 0) -> None:
        """Patch row ``i`` of the target's next batch as ``rows[i]`` says; the source's has ``n_source`` rows."""
        key = [None if row is None else (row.neurons, row.source) for row in rows]
        if key != self._key:
            self._key = key
            self._indices.clear()
        self._rows, self._n_source = list(rows), n_source
        self._idle = all(row is None for row in rows)
        self._partly = any(row is not None and not _is_whole(row) for row in rows)

    def forget(self) -> None:
        """Let go of activations that a batch which was not finished has left."""
        self._given.clear()
        self._inputs.clear()

    def reading(self, source: LoadedModel) -> AbstractContextManager[None]:
        """Around the batch of the source, where it has one of its own: note the activations that it gives."""
        if self._idle or not self._intervention.reads_source:
            return nullcontext()
        return hooks.reading(source.sites, self._chosen, self._given.__setitem__, lambda: self._n_source)

    def rewriting(self) -> AbstractContextManager[None]:
        """Around the target's batch: overwrite its neurons."""
        if self._idle:
            return nullcontext()
        return self._hooked()

    @contextmanager
    def _hooked(self) -> Iterator[None]:
        given = self._target.sites, self._chosen
        with ExitStack() as stack:
            if self._intervention.reads_inputs:
                stack.enter_context(hooks.reading_inputs(*given, self._note, lambda: len(self._rows)))
            stack.enter_context(hooks.rewriting(*given, self._rewrite, lambda: len(self._rows)))
            yield

    def _note(self, layer: int, inputs: torch.Tensor) -> None:
        """Keep what the MLP read; what it reads again, when neurons are computed by hand, is the same."""
        self._inputs.setdefault(layer, inputs)

    def _by_source(self, layer: int, own: torch.Tensor, chosen: Sequence[int]) -> torch.Tensor:
        """The chosen rows' neurons computed with the source's parameters from what their own MLP reads.

        Float[Tensor, "rows tokens neurons"]; of other rows their own.
        """
        if self._adapters is None:
            raise ValueError("the models are not rows of one batch")
        site: Any = self._target.sites[layer]
        rows = torch.tensor(chosen, device=own.device)
        inputs = self._inputs[layer].index_select(0, rows)
        with self._adapters.assigned([SOURCE] * len(chosen)):
            computed = self._adapters.entering(site.entry, site.by_hand(inputs))
        return own.index_copy(0, rows, computed.to(own.dtype))

    def _rewrite(self, layer: int, own: torch.Tensor) -> torch.Tensor:
        source = None
        if self._intervention.reads_source:
            given = own if self._source is None else self._given.pop(layer)
            source = given.index_select(0, self._index(given.device)[1]).to(own.device, own.dtype)
        new = self._intervention.values(Computed(layer, own, source, self._rows, partial(self._by_source, layer, own)))
        self._inputs.pop(layer, None)
        chosen = self._mask(layer, own.device)
        if own.shape[1] > 1 and self._partly:
            chosen = chosen & self._covered(own.shape[1]).to(own.device)
        if self._routed:  # where the source sent the token elsewhere, it has no activation to give
            chosen = chosen & ~new.isnan()
        return torch.where(chosen, new, own)

    def _covered(self, n_tokens: int) -> torch.Tensor:
        """Which tokens of the batch are patched: Bool[Tensor, "rows tokens 1"]."""
        covered = torch.zeros(len(self._rows), n_tokens, 1, dtype=torch.bool)
        for index, row in enumerate(self._rows):
            if row is not None:
                offset = n_tokens - row.length
                covered[index, max(0, offset + row.positions.start) : max(0, offset + row.positions.stop)] = True
        return covered

    def _mask(self, layer: int, device: torch.device) -> torch.Tensor:
        """Which neurons of which rows are overwritten: Bool[Tensor, "rows 1 neurons"]."""
        table = self._chosen[layer] = self._chosen[layer].to(device)
        return table[self._index(device)[0]][:, None]

    def _index(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """For each row, its set (-1: the empty one) and the row that gives it activations: Int[Tensor, "rows"]."""
        if device not in self._indices:
            sets = [-1 if row is None else row.neurons for row in self._rows]
            sources = [0 if row is None else row.source for row in self._rows]
            self._indices[device] = torch.tensor(sets, device=device), torch.tensor(sources, device=device)
        return self._indices[device]


def _is_whole(row: PatchedRow) -> bool:
    return row.positions.start == 0 and row.positions.stop >= row.length


def _tables(sets: Sequence[NeuronSet]) -> dict[int, torch.Tensor]:
    """For each layer that has any member of any set: Bool[Tensor, "sets+1 neurons"]; the last row has none."""
    tables: dict[int, torch.Tensor] = {}
    for index, neurons in enumerate(sets):
        for layer, members in neurons.by_layer().items():
            if layer not in tables:
                tables[layer] = torch.zeros(len(sets) + 1, neurons.shape.n_neurons, dtype=torch.bool)
            tables[layer][index, torch.from_numpy(members)] = True
    return dict(sorted(tables.items()))
