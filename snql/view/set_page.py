"""Sets of neurons: an expression, how many it names and where, and how high every run ranks them."""

import shlex
from typing import Any

import numpy as np
from starlette.requests import Request

from snql.db.connection import Database
from snql.db.named_sets import list_named
from snql.errors import ExpressionError, InputError
from snql.neuron_pages.choose import LocatedRun, located_runs, named, one_shape
from snql.neuron_pages.html import HEIGHT, WIDTH, Bar
from snql.neurons.sets import NeuronSet, Shape
from snql.neurons.syntax import runs_named
from snql.rankings.evaluate import Evaluator
from snql.rankings.membership import first_members, in_rankings
from snql.rankings.shapes import shape_of
from snql.view.home import Row
from snql.view.site import Page, Site

MEMBERS = 50
_EMPTY: dict[str, Any] = {"members": None, "error": None, "choose": False}


def page(site: Site, request: Request) -> Page:
    """The expression of the query, evaluated; without one, the saved sets and the basket."""
    expression, like = request.query_params.get("expr", "").strip(), request.query_params.get("like", "")
    with site.reading() as db:
        runs = located_runs(db) if db.rows("SELECT 1 FROM runs WHERE kind = 'locate' AND status = 'done'") else ()
        saved = list_named(db).to_dicts()
        shown = _EMPTY | (_shown(db, runs, expression, like) if expression else {})
    names = [run.name for run in runs]
    values = {"expression": expression, "like": like, "runs": names, "saved": saved, **shown}
    values |= {"width": WIDTH, "height": HEIGHT}
    return Page("view_sets.html.j2", "Sets", "/sets", values)


def _shown(db: Database, runs: tuple[LocatedRun, ...], expression: str, like: str) -> dict[str, Any]:
    """What the page says of an expression: its set, or what is wrong with it and where."""
    try:
        shape = named(db, runs, [like])[0].shape if like else _shape(db, runs, expression)
        members = Evaluator(db, shape).evaluate(expression)
    except ExpressionError as error:
        column = min(error.column, len(expression) + 1) - 1
        parts = expression[:column], expression[column : column + 1], expression[column + 1 :]
        return {"error": f"Column {error.column}: {error.problem}.", "around": parts}
    except InputError as error:  # of which model, for one
        return {"error": str(error), "around": None, "choose": True}
    return {"members": members, "layers": layer_bars(members), **_places(db, members, expression)}


def _shape(db: Database, runs: tuple[LocatedRun, ...], expression: str) -> Shape:
    """Of the model that the expression is about; where it names an unknown run, of the only one that there is."""
    try:
        return shape_of(db, expression) or one_shape(db, runs)
    except ExpressionError:
        raise
    except InputError:
        return one_shape(db, runs)


def _places(db: Database, members: NeuronSet, expression: str) -> dict[str, Any]:
    rankings: list[Row] = in_rankings(db, members).to_dicts() if len(members) else []
    mentioned = [row for row in rankings if row["run"] in runs_named([expression])]
    first = next(iter(mentioned or rankings), None)
    rows = [] if first is None else first_members(db, members, first["run_id"], MEMBERS).to_dicts()
    option = shlex.join(["--neurons", expression])
    return {"rankings": rankings, "first": first, "rows": rows, "option": option}


def layer_bars(members: NeuronSet) -> list[Bar]:
    """How many neurons each layer of the model has in the set, as bars."""
    counts = np.bincount(members.layers, minlength=members.shape.n_layers)
    most, step = max(1, int(counts.max())), WIDTH / members.shape.n_layers
    gap = min(1.0, step / 4)
    return [
        Bar(
            round(layer * step, 1),
            round(HEIGHT * (1 - count / most), 1),
            round(step - gap, 1),
            round(HEIGHT * count / most, 1),
            f"layer {layer}: {count:,}",
            own=False,
        )
        for layer, count in enumerate(counts.tolist())
    ]
