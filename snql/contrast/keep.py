"""Whose token-level activations a run keeps, and in which batches the stored texts are read once more for them."""

from dataclasses import dataclass

import polars as pl

from snql.contrast.positions import Positions, scored_range
from snql.errors import ExpressionError, InputError
from snql.generation.batch import by_tokens
from snql.neurons import syntax
from snql.neurons.sets import NeuronSet, Shape
from snql.neurons.tree import Bound, Ranked
from snql.rankings.evaluate import Evaluator, picked

_MOST_TOKENS = 8_192
_MOST_BYTES = 256 << 20
"""Of one batch's file, which is in memory once. Both are fixed, so that a resumed run makes the same batches."""


@dataclass(frozen=True)
class KeepRule:
    """What ``keep`` says: ``none``, ``all``, ranks of this run's own (``5%``, ``200``, ``5%..10%``, ``1%/layer``,
    ``1/index``), or an expression. own: the ranks; None for an expression."""

    text: str
    own: Ranked | None

    @classmethod
    def parse(cls, text: str) -> "KeepRule":
        """Raises InputError if ``text`` is none of them."""
        if text == "none":
            return cls(text, Ranked("this", Bound(0, False), Bound(0, False), 0))
        try:
            own = syntax.parse(f"this:{text}")
        except ExpressionError:
            syntax.parse(text)
            return cls(text, None)
        if isinstance(own, Ranked):
            return cls(text, own)
        raise InputError(f"`keep` {text!r} is not known: use 5%, a number, all, none or a neuron expression")

    def names(self, run: str) -> bool:
        """Whether the expression names that run."""
        return self.own is None and run in syntax.runs_named([self.text])

    def check(self, evaluator: Evaluator) -> None:
        """Raise ExpressionError early if the expression cannot be evaluated."""
        if self.own is None:
            evaluator.evaluate(self.text)

    def members(self, evaluator: Evaluator, statistics: pl.DataFrame, shape: Shape) -> NeuronSet:
        """The neurons to keep, given this run's ranked statistics; all there are where more are asked for."""
        if self.own is None:
            return evaluator.evaluate(self.text)
        ranked = statistics.drop_nulls("rank").sort("rank")
        layer, expert, neuron = (pl.col(name).cast(pl.Int64) for name in ("layer", "expert", "neuron"))
        flat = layer * shape.n_neurons + expert.fill_null(0) * shape.per_expert + neuron
        ids = ranked.select(flat).to_series().to_numpy()
        return NeuronSet.from_ids(shape, picked(ids, self.own, shape, short=True))


@dataclass(frozen=True)
class TextBatch:
    """Texts that are read together; their scored tokens are numbered on from ``first_token``."""

    index: int
    prompt_ids: tuple[int, ...]
    n_tokens: int
    first_token: int

    def __len__(self) -> int:
        return len(self.prompt_ids)


def keep_plan(lengths: pl.DataFrame, positions: Positions, end_ids: frozenset[int], n_kept: int) -> list[TextBatch]:
    """Batches of texts of similar length; ``lengths`` as :func:`snql.db.batches.text_lengths` gives them.

    Depends on nothing but what the run has written, so a resumed run gets the same batches.
    """
    texts = [_Text.of(row, positions, end_ids) for row in lengths.iter_rows(named=True)]
    texts = [text for text in texts if text.n_scored]
    budget = min(_MOST_TOKENS, _MOST_BYTES // (8 * max(1, n_kept)))
    found: list[TextBatch] = []
    first = 0
    for index, members in enumerate(by_tokens([text.n_read for text in texts], budget)):
        n_tokens = sum(texts[member].n_scored for member in members)
        found.append(TextBatch(index, tuple(texts[member].prompt_id for member in members), n_tokens, first))
        first += n_tokens
    return found


@dataclass(frozen=True)
class _Text:
    prompt_id: int
    n_read: int
    n_scored: int

    @classmethod
    def of(cls, row: dict[str, int], positions: Positions, end_ids: frozenset[int]) -> "_Text":
        scored = scored_range(positions, row["n_prompt"], row["n_completion"], ended=row["last_id"] in end_ids)
        return cls(row["prompt_id"], scored.stop, len(scored))
