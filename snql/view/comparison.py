"""Two runs side by side, of this database or of others: settings, what was found, rankings and effects."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from starlette.exceptions import HTTPException
from starlette.requests import Request

from snql.db.connection import Database
from snql.errors import InputError
from snql.neurons.sets import Shape, neuron_name
from snql.rankings.overlaps import bound_of, ranked_scores
from snql.reporting.showing import Shown, show_run
from snql.stats.overlap import Pair
from snql.view.home import Row
from snql.view.site import Page, Site

TOP = "5%"
NEURONS = 25
RUNS = "SELECT run_id, kind, name FROM runs WHERE status = 'done' ORDER BY kind, started_at, run_id"


@dataclass(frozen=True)
class Side:
    """One of the two runs. key: how the form names it, DATABASE.RUN; address: of its page, empty in other databases."""

    key: str
    label: str
    address: str
    kind: str
    name: str
    db: Database
    run_id: int

    @property
    def shown(self) -> Shown:
        return show_run(self.db, self.name, self.kind)


def page(site: Site, request: Request) -> Page:
    """The two runs of the query beside each other; without any, what there is to choose from."""
    with _databases(site) as databases:
        runs = [side for number, (label, db) in enumerate(databases.items()) for side in _sides(number, label, db)]
        if len(databases) == 1:
            runs = [Side(**{**vars(side), "label": side.name}) for side in runs]
        chosen = [_found(runs, request.query_params.get(name)) for name in ("a", "b")]
        values: dict[str, Any] = {"runs": runs, "chosen": chosen, "found": None}
        if chosen[0] is not None and chosen[1] is not None:
            values["found"] = _beside(chosen[0], chosen[1])
    return Page("view_compare.html.j2", "Compare", "/compare", values)


@contextmanager
def _databases(site: Site) -> Iterator[dict[str, Database]]:
    """The databases by their labels, each as it is now for the whole block."""
    found = site.databases()
    with site.turns.turn(), ExitStack() as together:
        for db in found.values():
            together.enter_context(db.reading())
        yield found


def _sides(number: int, label: str, db: Database) -> list[Side]:
    return [
        Side(f"{number}.{run_id}", f"{name} [{label}]", "" if number else f"/run/{run_id}", kind, name, db, run_id)
        for run_id, kind, name in db.rows(RUNS)
    ]


def _found(runs: list[Side], key: str | None) -> Side | None:
    """The run of a key; raises HTTPException 404 for one that there is not."""
    if not key:
        return None
    for side in runs:
        if side.key == key:
            return side
    raise HTTPException(404, "There is no such run to compare; it may have been deleted.")


def _beside(a: Side, b: Side) -> dict[str, Any]:
    shown = (a.shown, b.shown)
    settings = [dict(each.settings) for each in shown]
    names = [*settings[0], *(name for name in settings[1] if name not in settings[0])]
    differ = [(name, *(own.get(name) for own in settings)) for name in names]
    both = {a.kind, b.kind}
    return {
        "shown": shown,
        "differ": [row for row in differ if row[1] != row[2]],
        "n_same": sum(row[1] == row[2] for row in differ),
        "rankings": _rankings(a, b) if both == {"locate"} else None,
        "effects": _effects(a, b) if both == {"patch"} else None,
    }


def _rankings(a: Side, b: Side) -> dict[str, Any]:
    """The overlap of the tops and the neurons that both rank highest; or why there is none."""
    try:
        pair = Pair(ranked_scores(a.db, a.name), ranked_scores(b.db, b.name))
    except InputError as error:
        return {"error": str(error), "overlap": None, "rows": []}
    overlap = pair.at(bound_of(TOP).rank(pair.n_ranked))
    return {"error": None, "overlap": overlap, "rows": _highest(pair, a.db)}


def _highest(pair: Pair, db: Database) -> list[Row]:
    """The neurons with the best worse rank: those that both runs rank highest. db: where the first run is."""
    a, b = pair.a, pair.b
    worse = np.maximum(a.ranks[a.ranked], b.ranks[a.ranked])
    most = min(NEURONS, len(worse)) - 1
    few = np.flatnonzero(worse <= np.partition(worse, most)[most])
    best = a.ranked[few[np.argsort(worse[few], kind="stable")][:NEURONS]]
    ((n_experts,),) = db.rows(
        "SELECT coalesce(max(expert) + 1, 1) FROM neuron_statistics JOIN runs USING (run_id) WHERE name = ?", [a.run]
    )
    shape = Shape(len(a.ranks) // a.n_neurons, a.n_neurons, int(n_experts))
    return [{"name": _name(shape, int(place)), "a": int(a.ranks[place]), "b": int(b.ranks[place])} for place in best]


def _name(shape: Shape, place: int) -> str:
    layer, column = divmod(place, shape.n_neurons)
    expert, neuron = divmod(column, shape.per_expert)
    return neuron_name(layer, neuron, expert if shape.routed else None)


def _effects(a: Side, b: Side) -> list[Row]:
    """A row for each set, judge and data set that either run has, with both runs' effects and intervals."""
    keys = ["variant", "judge", "dataset"]
    columns = [*keys, "effect", "ci_low", "ci_high"]
    query = f"SELECT {', '.join(columns)} FROM causal_effects WHERE run_id = ? AND control_of IS NULL"  # noqa: S608
    frames = [side.db.frame(query, [side.run_id]) for side in (a, b)]
    joined: pl.DataFrame = frames[0].join(frames[1], on=keys, how="full", coalesce=True, suffix="_b")
    return joined.sort(["judge", "dataset", "variant"]).to_dicts()
