"""From a parsed neuron expression and a database to a set of neurons."""

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from snql.db.connection import Database
from snql.db.named_sets import read_named, runs_behind
from snql.db.prompts import locate_runs
from snql.db.scores import RunScores, read_run_scores, read_shape, read_sizes, with_sizes
from snql.errors import ExpressionError, InputError
from snql.neurons import tree
from snql.neurons.conditions import columns_of, holds
from snql.neurons.sets import Ids, NeuronSet, Shape
from snql.neurons.syntax import parse
from snql.rankings.values import read_values, source_of
from snql.stoppable import LIMIT_SECONDS, stoppable


class Evaluator:
    """Evaluates expressions for one model's shape against one database; rankings are read once."""

    def __init__(self, db: Database, shape: Shape) -> None:
        self._db = db
        self._shape = shape
        self._rankings: dict[str, RunScores] = {}
        self._known_sizes: dict[str, npt.NDArray[np.float64]] = {}

    def evaluate(self, text: str) -> NeuronSet:
        """The set that an expression names.

        Raises ExpressionError for a malformed expression, an unknown run or saved set, one of a model of another shape,
        more neurons than are ranked, or a random set that cannot be disjoint.
        """
        return self._visit(parse(text), text)

    def _visit(self, node: tree.Node, text: str) -> NeuronSet:
        match node:
            case tree.Everything():
                return NeuronSet.all(self._shape)
            case tree.Combined(operator, left, right):
                a, b = self._visit(left, text), self._visit(right, text)
                return a & b if operator == "&" else a | b if operator == "|" else a - b
            case tree.Top(of, ranked):
                return self._ranked(ranked, text, self._visit(of, text))
            case tree.Ranked():
                return self._ranked(node, text)
            case tree.Filtered():
                return self._filtered(node, text)
        try:
            match node:
                case tree.Listed(members):
                    return NeuronSet.of(self._shape, members)
                case tree.Layers(first, last, expert=expert):
                    return NeuronSet.of_layers(self._shape, first, last, expert)
                case tree.LastLayers(n_layers):
                    return NeuronSet.of_last_layers(self._shape, n_layers)
                case tree.Random():
                    return self._random(node, text)
                case tree.Named(name):
                    return read_named(self._db, name, self._shape)
                case tree.Sql(query):
                    return self._selected(query)
        except ExpressionError:
            raise
        except InputError as error:
            raise ExpressionError(str(error), text, node.column) from error

    def sizes(self, text: str) -> npt.NDArray[np.float64]:
        """The sizes of all neurons by flat id that sets like the named ones in magnitude are drawn by.

        Raises InputError where :func:`sized_by` finds no run, or one of another shape, or without statistics.
        """
        return self._sizes(sized_by(self._db, text))

    def _random(self, node: tree.Random, text: str) -> NeuronSet:
        controlled = self._visit(node.of, text)
        if node.anywhere:
            return controlled.random_anywhere(node.seed)
        if node.magnitude:
            run = node.by or sized_by(self._db, text, node.of)
            return controlled.magnitude_matched(self._sizes(run), node.seed)
        return controlled.matched_random(node.seed)

    def _sizes(self, run: str) -> npt.NDArray[np.float64]:
        if run not in self._known_sizes:
            if (shape := read_shape(self._db, run)) != self._shape:
                raise InputError(f"run {run!r} is of a model with {shape} neurons, this one has {self._shape}")
            self._known_sizes[run] = read_sizes(self._db, run)
        return self._known_sizes[run]

    def _ranked(self, node: tree.Ranked, text: str, among: NeuronSet | None = None) -> NeuronSet:
        ids = self._ranking(node, text).ids
        if among is not None:
            ids = ids[np.isin(ids, among.ids)]
        try:
            return NeuronSet.from_ids(self._shape, picked(ids, node, self._shape))
        except InputError as error:
            of = "" if among is None else " of what it is to choose from"
            raise ExpressionError(f"{error}{of}", text, node.column) from error

    def _filtered(self, node: tree.Filtered, text: str) -> NeuronSet:
        columns = columns_of(node.comparisons)
        try:
            source = source_of(self._db, node.run)
        except InputError as error:
            raise ExpressionError(str(error), text, node.column) from error
        for name, column in columns.items():
            if name not in source.columns:
                raise ExpressionError(f"{source.kind} run {node.run!r} has no column {name!r}: {source}", text, column)
        try:
            values = read_values(self._db, source, tuple(columns), self._shape)
        except InputError as error:
            raise ExpressionError(str(error), text, node.column) from error
        return NeuronSet(self._shape, np.flatnonzero(holds(node.comparisons, values)).astype(np.int64))

    def _ranking(self, node: tree.Ranked, text: str) -> RunScores:
        if node.run not in self._rankings:
            try:
                self._rankings[node.run] = read_run_scores(self._db, node.run)
            except InputError as error:
                raise ExpressionError(str(error), text, node.column) from error
        ranking = self._rankings[node.run]
        if ranking.shape != self._shape:
            raise ExpressionError(
                f"run {node.run!r} is of a model with {ranking.shape} neurons, this one has {self._shape}",
                text,
                node.column,
            )
        return ranking

    def _selected(self, query: str) -> NeuronSet:
        try:
            with self._db.reading() as connection:
                frame = stoppable(connection, lambda: self._db.frame(query), LIMIT_SECONDS, "the SQL of a set")
        except duckdb.Error as error:
            raise InputError(f"the SQL fails: {' '.join(str(error).split())[:200]}") from error
        if not {"layer", "neuron"} <= set(frame.columns):
            raise InputError(
                f"the SQL gives columns {', '.join(frame.columns) or '(none)'}: it must give layer and neuron"
            )
        for name in {"layer", "expert", "neuron"} & set(frame.columns):
            if not frame[name].dtype.is_integer() and frame[name].dtype != pl.Null:
                raise InputError(f"the SQL gives {name} as {frame[name].dtype}: it must be a whole number")
        if "expert" not in frame.columns:
            frame = frame.with_columns(expert=None)
        members = frame.drop_nulls(["layer", "neuron"]).select("layer", "expert", "neuron").iter_rows()
        return NeuronSet.of(
            self._shape, ((int(la), None if ex is None else int(ex), int(ne)) for la, ex, ne in members)
        )


def picked(ids: Ids, node: tree.Ranked, shape: Shape, *, short: bool = False) -> Ids:
    """Those of ``ids``, flat ids with the best first, whose ranks a node names: among all, or in a group of their own.

    A group is a layer, or one index over all layers; one with fewer neurons than asked for gives what it has. Raises
    InputError where no group has as many, unless ``short``.
    """
    group = {None: ids * 0, "layer": ids // shape.n_neurons, "index": ids % shape.n_neurons}[node.per]
    n_ranked = np.bincount(group, minlength=1)
    order = np.argsort(group, kind="stable")  # the best of each group first, one group after the other
    places = np.arange(len(ids)) - (np.cumsum(n_ranked) - n_ranked)[group[order]]
    low, high = (np.array([bound.rank(int(n)) for n in n_ranked], dtype=np.int64) for bound in (node.low, node.high))
    if not short and not node.high.percent and node.high.value > n_ranked.max():
        most = {None: f"{n_ranked.max()} neurons", "layer": f"at most {n_ranked.max()} neurons of one layer"}
        found = most.get(node.per, f"at most {n_ranked.max()} neurons of one index")
        raise InputError(f"run {node.run!r} ranks {found}, not {int(node.high.value)}")
    within = (places >= low[group[order]]) & (places < high[group[order]])
    return ids[order[within]]


def first_located(db: Database, node: tree.Node) -> str | None:
    """The first finished locate run whose ranking or values an expression uses; one that is lost if there is no other.

    A lens run, whose values can be compared, too, is none.
    """
    runs = tree.runs_ranked(node)
    known = set(locate_runs(db, runs)) if db.path.exists() else set()
    return next((run for run in runs if run in known), next(iter(runs), None))


def sized_by(db: Database, text: str, of: tree.Node | None = None) -> str:
    """The run by whose sizes sets like the one that an expression names are drawn.

    It is the first with sizes that ``of``, a part of the expression, ranks by, or else that the expression does, or
    that its saved sets were made from; of those without sizes the first. Raises InputError where there is none.
    """
    parts = [parse(text)] if of is None else [of, parse(text)]
    ranked = [run for part in parts for run in tree.runs_ranked(part)]
    runs = [*ranked, *sorted(runs_behind(db, [text]))]
    if not runs:
        raise InputError(
            f"sets like {text} in magnitude need a locate run that knows the sizes of activations: write "
            f"random(EXPR, seed=1, match=magnitude:RUN)"
        )
    sized = with_sizes(db, runs) if db.path.exists() else []
    return next(iter(sized), first_located(db, parts[0]) or first_located(db, parts[-1]) or runs[0])
