"""``snql neurons``: the neurons of an expression, a row each."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from snql.db import scripts
from snql.db.activations import activations_read, tables_of
from snql.db.connection import Database
from snql.db.named_sets import runs_behind
from snql.errors import InputError
from snql.neuron_pages.choose import LocatedRun, located_runs, named, one_shape
from snql.neuron_pages.model import NeuronTable
from snql.neurons.sets import NeuronSet, neuron_name
from snql.neurons.syntax import runs_named
from snql.rankings.evaluate import Evaluator
from snql.rankings.shapes import shape_of

SORTS = ("rank", "score", "layer", "difference", "refusal-cosine")
MEASURES = ("after", "before", "change")

# A part for each layer: run, layer and neurons are constants in it, so that only blocks that can hold them are read.
OF_LAYER = """
SELECT layer, expert, neuron, token_index, before, after FROM {table}
WHERE run_id = $run_id AND layer = $layer_{layer} AND neuron IN ({neurons})
"""

_PLACE = ["layer", "expert", "index"]


def describe_neurons(
    db: Database,
    expression: str,
    runs: Sequence[str] = (),
    *,
    sort: str = "rank",
    limit: int = 20,
    tokens: int = 5,
    tokens_by: str = "after",
) -> NeuronTable:
    """The first ``limit`` neurons of an expression, see :class:`snql.neuron_pages.model.NeuronTable`.

    runs: whose numbers to show; by default those that the expression names, else all of models of this shape. sort: one
    of SORTS, in the first of the runs. tokens: how many different tokens of each neuron, those where the activation
    ``after`` or ``before``, or the ``change``, is largest in size. Raises InputError for an unknown option, run or
    neuron, an expression without neurons, runs of models of several shapes; ExpressionError for a malformed expression.
    """
    _check(sort, limit, tokens, tokens_by)
    with db.reading():
        located = located_runs(db)
        chosen = named(db, located, runs)
        shape = chosen[0].shape if chosen else shape_of(db, expression) or one_shape(db, located)
        members = Evaluator(db, shape).evaluate(expression)
        if not len(members):
            raise InputError(f"neuron expression {expression!r} names no neuron: use larger sets, or | in place of &")
        chosen = chosen or _runs_of(db, expression, [run for run in located if run.shape == shape])
        frame = _rows(db, members, chosen, sort, limit)
        frame, token_run = _with_tokens(db, frame, chosen, tokens_by, tokens)
    names = [neuron_name(layer, index, expert) for layer, expert, index in frame.select(_PLACE).iter_rows()]
    frame = frame.insert_column(0, pl.Series("neuron", names, dtype=pl.String))
    return NeuronTable(expression, shape, tuple(run.name for run in chosen), len(members), token_run, tokens_by, frame)


def _check(sort: str, limit: int, tokens: int, tokens_by: str) -> None:
    if sort not in SORTS:
        raise InputError(f"`sort` {sort!r} is not known: use {', '.join(SORTS)}")
    if tokens_by not in MEASURES:
        raise InputError(f"`tokens_by` {tokens_by!r} is not known: use {', '.join(MEASURES)}")
    if limit < 1:
        raise InputError(f"`limit` {limit} shows nothing: give at least 1")
    if tokens < 0:
        raise InputError(f"`tokens` {tokens} is less than none: give 0 or more")


def _runs_of(db: Database, expression: str, runs: Sequence[LocatedRun]) -> tuple[LocatedRun, ...]:
    """The runs that an expression names, in its order, or those behind its saved sets; all where there are none."""
    for wanted in (runs_named([expression]), runs_behind(db, [expression])):
        if found := [run for run in runs if run.name in wanted]:
            return tuple(sorted(found, key=lambda run: _place(expression, run.name)))
    return tuple(runs)


def _place(expression: str, name: str) -> int:
    """Where an expression names a run, and not one whose name begins or ends alike."""
    found = re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", expression)
    return found.start() if found else len(expression)


def _rows(db: Database, members: NeuronSet, runs: Sequence[LocatedRun], sort: str, limit: int) -> pl.DataFrame:
    """Statistics of the first run in the order asked for, and the ranks of the others."""
    experts = pl.Series("expert", members.experts, dtype=pl.Int16)
    if members.experts is None:
        experts = pl.Series("expert", np.full(len(members), None), dtype=pl.Int16)
    places = pl.DataFrame(
        [pl.Series("layer", members.layers, pl.Int16), experts, pl.Series("neuron", members.neurons, pl.Int32)]
    )
    shape = runs[0].shape
    sizes = {"n_layers": shape.n_layers, "n_neurons": shape.n_neurons}
    parameters = {"run_id": runs[0].run_id, "sort": sort, "limit": limit, **sizes}
    frame = _joined(db, scripts.query("chosen_statistics"), places, parameters)
    wanted = frame.select("layer", "expert", "lens_run", neuron="index")
    promoted = _joined(db, scripts.query("chosen_tokens_promoted"), wanted, {})
    frame = frame.join(promoted, on=_PLACE, how="left", nulls_equal=True, maintain_order="left")
    shown = frame.select("layer", "expert", neuron="index")
    for run in runs[1:]:
        ranks = _joined(db, scripts.query("chosen_ranks"), shown, {"run_id": run.run_id})
        ranks = ranks.rename({"rank": f"rank_{run.name}"})
        frame = frame.join(ranks, on=_PLACE, how="left", nulls_equal=True, maintain_order="left")
    return frame


def _with_tokens(
    db: Database, frame: pl.DataFrame, runs: Sequence[LocatedRun], measure: str, n_tokens: int
) -> tuple[pl.DataFrame, str | None]:
    """The rows with their top tokens in the first run that keeps those of any; and that run."""
    shown = frame.select("layer", "expert", neuron="index")
    for run in runs if n_tokens else ():
        stored, parameters = _stored(db, run.run_id, shown)
        if not stored:
            continue
        query = f"WITH stored AS ({stored}) FROM ({scripts.query('chosen_top_tokens')})"
        parameters |= {"run_id": run.run_id, "measure": measure, "n_tokens": n_tokens}
        found = _joined(db, query, shown, parameters)
        if len(found):
            joined = frame.join(found, on=_PLACE, how="left", nulls_equal=True, maintain_order="left")
            return joined, run.name
    kind = pl.Struct({"token": pl.String, "before": pl.Float32, "after": pl.Float32, "value": pl.Float32})
    return frame.with_columns(tokens=pl.lit(None, dtype=pl.List(kind))), None


def _stored(db: Database, run_id: int, places: pl.DataFrame) -> tuple[str, dict[str, object]]:
    """SQL for a run's token activations of these neurons, with its parameters; empty where their layers have none."""
    parts: list[str] = []
    parameters: dict[str, object] = {}
    tables = tables_of(db, run_id)
    for layer, rows in places.group_by("layer", maintain_order=True):
        number = int(str(layer[0]))
        if number not in tables:
            continue
        neurons = {f"neuron_{number}_{index}": neuron for index, neuron in enumerate(rows["neuron"].unique())}
        parameters |= {f"layer_{number}": number, **neurons}
        listed = ", ".join(f"${name}" for name in neurons)
        parts.append(OF_LAYER.format(table=tables[number], layer=number, neurons=listed))
    return " UNION ALL ".join(parts), parameters


def _joined(db: Database, query: str, places: pl.DataFrame, parameters: Mapping[str, object]) -> pl.DataFrame:
    """Rows of a query that joins ``chosen_neurons``: layer, expert, neuron."""
    with db.reading() as connection, activations_read(db):
        connection.register("chosen_neurons", places)
        try:
            frame: pl.DataFrame = connection.sql(query, params=dict(parameters)).pl()
        finally:
            connection.unregister("chosen_neurons")
    return frame
