"""What there is to see of neurons: the parts of a page and of a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from snql.neurons.sets import Shape, neuron_name


@dataclass(frozen=True)
class Place:
    """One neuron: coordinates counted from 0; ``expert`` None in a dense model."""

    layer: int
    expert: int | None
    neuron: int

    @property
    def name(self) -> str:
        return neuron_name(self.layer, self.neuron, self.expert)


@dataclass(frozen=True)
class LayerScores:
    """The scores of all neurons of one layer in one run, in bins of equal width (of the logarithm, if ``log``).

    edges: one more than counts. n_outside: scores that are not positive, which a logarithm has no bin for. own_bin:
    where the neuron's own score is; None if it is in no bin.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    log: bool
    n_outside: int
    own_bin: int | None


@dataclass(frozen=True)
class Histogram:
    """How often each activation occurs under both models, in shared bins of equal width from ``low`` to ``high``."""

    low: float
    high: float
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def edges(self) -> tuple[float, ...]:
        width = (self.high - self.low) / len(self.before)
        return tuple(self.low + width * edge for edge in range(len(self.before) + 1))


@dataclass(frozen=True)
class ContextToken:
    """One scored token near an example's, with the neuron's activations there.

    None where the token did not reach the neuron's expert in both models.
    """

    position: int
    text: str
    before: float | None
    after: float | None

    def value(self, measure: str) -> float | None:
        """The activation under one model, or for ``change`` after - before."""
        if self.before is None or self.after is None:
            return None
        return {"before": self.before, "after": self.after, "change": self.after - self.before}[measure]


@dataclass(frozen=True)
class Example:
    """One token with the text around it.

    lead: text of the prompt before the first of ``tokens``, where no token was scored. starts, ends: whether the text
    that is shown begins where the prompt does, and ends with the last scored token. peak: index in ``tokens``. n_same:
    how many prompts have exactly this context among those that were looked at.
    """

    prompt_id: int
    dataset: str
    lead: str
    tokens: tuple[ContextToken, ...]
    peak: int
    starts: bool
    ends: bool
    n_same: int

    @property
    def token(self) -> ContextToken:
        return self.tokens[self.peak]


@dataclass(frozen=True)
class Examples:
    """The tokens with the highest or the lowest value of one measure: ``before``, ``after`` or ``change``.

    Each prompt gives at most its own highest (lowest) token. Of ``highest`` all values are positive, of ``lowest`` all
    negative.
    """

    measure: str
    lowest: bool
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class TokenView:
    """A neuron's token activations in one run. max_activation: largest |activation| under both models; max_change:
    largest |after - before|."""

    n_tokens: int
    max_activation: float
    max_change: float
    histogram: Histogram
    lists: tuple[Examples, ...]

    def scale(self, measure: str) -> float:
        """What full intensity stands for."""
        return self.max_change if measure == "change" else self.max_activation


@dataclass(frozen=True)
class RunView:
    """A neuron in one run. tokens: None where its token activations are not kept, as ``missing`` says."""

    run: str
    score: float | None
    rank_in_layer: int | None
    n_in_layer: int
    scores: LayerScores | None
    tokens: TokenView | None
    missing: str | None

    @property
    def quantile(self) -> float | None:
        """The share of the layer's scored neurons that come after it; None without a score."""
        return None if self.rank_in_layer is None else (self.n_in_layer - self.rank_in_layer) / self.n_in_layer


@dataclass(frozen=True)
class NeuronPage:
    """Everything about one neuron.

    scores: a row a finished locate run of models of this shape: run, model_before, model_after, rank, n_ranked,
    top_percent (100 rank / n_ranked), score, ci_low, ci_high, standard_error, top_share (of the bootstrap),
    rank_in_layer, n_in_layer, mean_before, mean_after, mean_difference (after - before), std_before, std_after,
    n_tokens, kept.
    sets: a row a neuron set that holds it: kind (patch or saved), run, set, n_neurons, control.
    values: a row a lens run that has its value vector: run, model, norm, refusal_cosine, refusal_percentile,
    chance_deviation, direction_layer, n_harmful, n_harmless, promotes and suppresses (lists of tokens).
    """

    place: Place
    shape: Shape
    scores: pl.DataFrame
    sets: pl.DataFrame
    values: pl.DataFrame
    runs: tuple[RunView, ...]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.place.name

    def frames(self) -> dict[str, pl.DataFrame]:
        """All of it as frames with a column ``run``: scores, sets, values, layers, activations in bins, examples."""
        return {
            "scores": self.scores,
            "sets": self.sets,
            "values": self.values,
            "layers": pl.DataFrame([row for run in self.runs for row in _layer_rows(run)], schema=_LAYERS),
            "activations": pl.DataFrame([row for run in self.runs for row in _bin_rows(run)], schema=_BINS),
            "examples": pl.DataFrame([row for run in self.runs for row in _example_rows(run)], schema=_EXAMPLES),
        }


@dataclass(frozen=True)
class NeuronTable:
    """Neurons of an expression, the first ``len(frame)`` of ``n_found``.

    runs: whose ranks are given; scores, means and standard deviations are of the first. token_run: whose token
    activations are shown, None if those of none of the neurons are kept in any run. measure: what top tokens are the
    top of.

    frame: neuron, layer, expert, index (within the layer or expert), score, rank, mean_before, mean_after,
    mean_difference, std_before, std_after, n_tokens, ``rank_RUN`` for each further run, and tokens: a list of
    (token, before, after, value), NULL where they are not kept. From lens runs, NULL where there is none: lens_run,
    norm, refusal_cosine, and promotes: a list of tokens.
    """

    expression: str
    shape: Shape
    runs: tuple[str, ...]
    n_found: int
    token_run: str | None
    measure: str
    frame: pl.DataFrame


_LAYERS = {"run": pl.String, "bin_low": pl.Float64, "bin_high": pl.Float64, "n_neurons": pl.Int64, "own": pl.Boolean}
_BINS = {"run": pl.String, "bin_low": pl.Float64, "bin_high": pl.Float64} | {"n_before": pl.Int64, "n_after": pl.Int64}
_TOKEN = pl.Struct({"position": pl.Int64, "token": pl.String, "before": pl.Float64, "after": pl.Float64})
_EXAMPLES: dict[str, Any] = {
    **{"run": pl.String, "measure": pl.String, "lowest": pl.Boolean, "place": pl.Int64},
    **{"value": pl.Float64, "before": pl.Float64, "after": pl.Float64},
    **{"prompt_id": pl.Int64, "position": pl.Int64, "token": pl.String},
    **{"dataset": pl.String, "n_same": pl.Int64, "lead": pl.String, "tokens": pl.List(_TOKEN)},
}

Row = dict[str, object]


def _layer_rows(view: RunView) -> list[Row]:
    if view.scores is None:
        return []
    return [
        {"run": view.run, "bin_low": low, "bin_high": high, "n_neurons": count, "own": index == view.scores.own_bin}
        for index, (low, high, count) in enumerate(_binned(view.scores.edges, view.scores.counts))
    ]


def _binned(edges: Sequence[float], counts: Sequence[int]) -> list[tuple[float, float, int]]:
    return list(zip(edges[:-1], edges[1:], counts, strict=True))


def _bin_rows(view: RunView) -> list[Row]:
    if view.tokens is None:
        return []
    bins = view.tokens.histogram
    return [
        {"run": view.run, "bin_low": low, "bin_high": high, "n_before": before, "n_after": after}
        for (low, high, before), after in zip(_binned(bins.edges, bins.before), bins.after, strict=True)
    ]


def _example_rows(view: RunView) -> list[Row]:
    lists = view.tokens.lists if view.tokens is not None else ()
    return [
        {"run": view.run, "measure": each.measure, "lowest": each.lowest, "place": place}
        | {"value": example.token.value(each.measure)}
        | _token_cells(example.token)
        | {"prompt_id": example.prompt_id, "dataset": example.dataset, "n_same": example.n_same, "lead": example.lead}
        | {"tokens": [_token_cells(token) for token in example.tokens]}
        for each in lists
        for place, example in enumerate(each.examples, start=1)
    ]


def _token_cells(token: ContextToken) -> Row:
    return {"position": token.position, "token": token.text, "before": token.before, "after": token.after}
