"""Token-level activations of the neurons worth keeping, collected by reading the stored texts once more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from snql.contrast.positions import Text
from snql.contrast.read import contrast_batch
from snql.db.staging import Staging
from snql.errors import ExpressionError, InputError
from snql.models.loaded import LoadedModel
from snql.neurons import syntax
from snql.neurons.evaluate import Evaluator
from snql.neurons.sets import NeuronSet, Shape


@dataclass(frozen=True)
class KeepRule:
    """What ``--keep`` says: ``none``, ``all``, a percentage or number of this run's top neurons, or an expression."""

    text: str
    top: syntax.Bound | None

    @classmethod
    def parse(cls, text: str) -> "KeepRule":
        """Raises InputError if ``text`` is none of them."""
        if text == "none":
            return cls(text, syntax.Bound(0, False))
        try:
            node = syntax.parse(f"this:{text}")
        except ExpressionError:
            syntax.parse(text)
            return cls(text, None)
        if not isinstance(node, syntax.Ranked) or node.low.value:
            raise InputError(f"--keep {text!r} is not known: use 5%, a number, all, none or a neuron expression")
        return cls(text, node.high)

    def names(self, run: str) -> bool:
        """Whether the expression names that run."""
        return self.top is None and run in syntax.runs_named([self.text])

    def check(self, evaluator: Evaluator) -> None:
        """Raise ExpressionError early if the expression cannot be evaluated."""
        if self.top is None:
            evaluator.evaluate(self.text)

    def members(self, evaluator: Evaluator, statistics: pl.DataFrame, shape: Shape) -> NeuronSet:
        """The neurons to keep, given this run's ranked statistics."""
        if self.top is None:
            return evaluator.evaluate(self.text)
        ranked = statistics.drop_nulls("rank")
        chosen = ranked.filter(pl.col("rank") <= self.top.rank(len(ranked)))
        return NeuronSet.of(shape, chosen.select("layer", "expert", "neuron").iter_rows())


def stage_activations(
    before: LoadedModel,
    after: LoadedModel,
    batches: Iterable[Sequence[Text]],
    kept: NeuronSet,
    staging: Staging,
) -> None:
    """Write the kept neurons' activations of every scored token to the staging area, a batch at a time."""
    members = kept.by_layer()
    for batch in batches:
        staging.add_tokens(_tokens(batch, before))

        def stage(layer: int, b: torch.Tensor, a: torch.Tensor, batch: Sequence[Text] = batch) -> None:
            columns = torch.from_numpy(members[layer]).to(b.device)
            staging.add_activations(_rows(batch, layer, members[layer], b[:, columns], a[:, columns], kept.shape))

        contrast_batch(before, after, batch, list(members), stage)


def _tokens(batch: Sequence[Text], model: LoadedModel) -> pl.DataFrame:
    ids = [text.token_ids[position] for text in batch for position in text.scored]
    return _places(batch).with_columns(
        pl.Series("token_id", ids, dtype=pl.Int32),
        pl.Series("token", [model.text((token_id,), special=True) for token_id in ids], dtype=pl.String),
    )


def _places(batch: Sequence[Text]) -> pl.DataFrame:
    """One row per scored token of the batch, in the order of the activations."""
    return pl.DataFrame(
        {
            "prompt_id": pl.Series([t.prompt_id for t in batch for _ in t.scored], dtype=pl.Int32),
            "position": pl.Series([position for t in batch for position in t.scored], dtype=pl.Int32),
        }
    )


def _rows(
    batch: Sequence[Text],
    layer: int,
    columns: np.ndarray,
    before: torch.Tensor,
    after: torch.Tensor,
    shape: Shape,
) -> pl.DataFrame:
    """Long rows from activations of shape (tokens, kept neurons of the layer), neuron by neuron.

    Of a mixture of experts, only tokens that reached the expert in both models have rows.
    """
    places = _places(batch)
    n_tokens, n_kept = before.shape
    expert = np.repeat((columns // shape.per_expert).astype(np.int16), n_tokens)
    frame = pl.DataFrame(
        {
            "prompt_id": np.tile(places["prompt_id"].to_numpy(), n_kept),
            "position": np.tile(places["position"].to_numpy(), n_kept),
            "layer": np.full(n_tokens * n_kept, layer, dtype=np.int16),
            "expert": expert,
            "neuron": np.repeat((columns % shape.per_expert).astype(np.int32), n_tokens),
            "before": before.T.cpu().numpy().ravel(),
            "after": after.T.cpu().numpy().ravel(),
        }
    )
    if shape.n_experts > 1:
        return frame.filter(pl.col("before").is_not_nan() & pl.col("after").is_not_nan())
    return frame.with_columns(pl.lit(None, dtype=pl.Int16).alias("expert"))
