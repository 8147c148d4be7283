"""``snql neuron``: all there is to see of one neuron."""

from collections.abc import Sequence
from typing import Any

from snql.db.connection import Database
from snql.errors import InputError
from snql.neuron_pages.choose import LocatedRun, located_runs, named, one_shape, parse_neuron
from snql.neuron_pages.model import NeuronPage, Place, RunView
from snql.neuron_pages.statistics import layer_scores, score_rows, set_rows
from snql.neuron_pages.tokens import token_view
from snql.neuron_pages.values import value_rows


def describe_neuron(
    db: Database, neuron: str, runs: Sequence[str] = (), *, examples: int = 10, context: int = 12
) -> NeuronPage:
    """One neuron, such as ``L12.N345``: its scores in all runs, and layer, tokens and histogram in those of ``runs``.

    runs: by default the one that ranks it highest, of those that keep its token activations if any does. examples: the
    most of each list; context: tokens shown on each side of one. Raises InputError for a malformed name, a neuron that
    the model does not have, an unknown run, runs of models of several shapes, or a database without locate runs.
    """
    if examples < 1 or context < 0:
        raise InputError(f"{examples} examples with {context} tokens around: give at least 1 example and 0 tokens")
    place = parse_neuron(neuron)
    with db.reading():
        located = located_runs(db)
        chosen = named(db, located, runs)
        shape = chosen[0].shape if chosen else one_shape(db, located, place)
        shape.flat((place.layer, place.expert, place.neuron))
        peers = [run for run in located if run.shape == shape]
        scores = score_rows(db, place, peers)
        rows = {str(row["run"]): row for row in scores.iter_rows(named=True)}
        wanted = [run.name for run in chosen] or [_telling(list(rows.values()))]
        views = tuple(_view(db, place, rows[name], examples, context) for name in wanted)
        sets, values = set_rows(db, place, shape), value_rows(db, place, shape)
    return NeuronPage(place, shape, scores.drop("run_id"), sets, values, views, _notes(peers))


def _telling(rows: Sequence[dict[str, Any]]) -> str:
    """The run to show: one that keeps the neuron's tokens if any does, and of those the one that ranks it highest."""
    ordered = sorted(rows, key=lambda row: (not row["kept"], row["rank"] is None, row["rank"] or 0))
    return str(ordered[0]["run"])


def _view(db: Database, place: Place, row: dict[str, Any], examples: int, context: int) -> RunView:
    tokens = token_view(db, row["run_id"], place, examples, context) if row["kept"] else None
    missing = None if tokens is not None else _why(place, row)
    scores = layer_scores(db, row["run_id"], place.layer, row["score"])
    return RunView(row["run"], row["score"], row["rank_in_layer"], row["n_in_layer"], scores, tokens, missing)


def _why(place: Place, row: dict[str, Any]) -> str:
    if row["kept"]:
        return f"run {row['run']!r} keeps the activations of {place.name}, but no token reached it in both models"
    return (
        f"run {row['run']!r} did not keep the token activations of {place.name}: locate again with "
        f"`snql locate … --keep {place.name}`, or `--keep all`"
    )


def _notes(runs: Sequence[LocatedRun]) -> tuple[str, ...]:
    """What to beware of when runs are compared."""
    if len({run.base for run in runs if run.base is not None}) > 1:
        return ("the runs are of different base models with layers of the same size: this is not one neuron in all",)
    return ()
