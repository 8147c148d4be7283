"""From a parsed neuron expression and a database to a set of neurons."""

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from snql.db.connection import Database
from snql.db.named_sets import read_named, runs_behind
from snql.db.scores import RunScores, read_run_scores, read_shape, read_sizes
from snql.errors import ExpressionError, InputError
from snql.neurons import syntax
from snql.neurons.sets import NeuronSet, Shape
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
        return self._visit(syntax.parse(text), text)

    def _visit(self, node: syntax.Node, text: str) -> NeuronSet:
        match node:
            case syntax.Everything():
                return NeuronSet.all(self._shape)
            case syntax.Combined(operator, left, right):
                a, b = self._visit(left, text), self._visit(right, text)
                return a & b if operator == "&" else a | b if operator == "|" else a - b
            case syntax.Ranked():
                return self._ranked(node, text)
        try:
            match node:
                case syntax.Listed(members):
                    return NeuronSet.of(self._shape, members)
                case syntax.Random():
                    return self._random(node, text)
                case syntax.Named(name):
                    return read_named(self._db, name, self._shape)
                case syntax.Sql(query):
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

    def _random(self, node: syntax.Random, text: str) -> NeuronSet:
        controlled = self._visit(node.of, text)
        if node.anywhere:
            return controlled.random_anywhere(node.seed)
        if node.magnitude:
            run = node.by or syntax.first_ranked(node.of) or sized_by(self._db, text)
            return controlled.magnitude_matched(self._sizes(run), node.seed)
        return controlled.matched_random(node.seed)

    def _sizes(self, run: str) -> npt.NDArray[np.float64]:
        if run not in self._known_sizes:
            if (shape := read_shape(self._db, run)) != self._shape:
                raise InputError(f"run {run!r} is of a model with {shape} neurons, this one has {self._shape}")
            self._known_sizes[run] = read_sizes(self._db, run)
        return self._known_sizes[run]

    def _ranked(self, node: syntax.Ranked, text: str) -> NeuronSet:
        ranking = self._ranking(node, text)
        n_ranked = len(ranking.ids)
        low, high = node.low.rank(n_ranked), node.high.rank(n_ranked)
        if high > n_ranked:
            raise ExpressionError(f"run {node.run!r} ranks {n_ranked} neurons, not {high}", text, node.column)
        return NeuronSet.from_ids(self._shape, ranking.ids[low:high])

    def _ranking(self, node: syntax.Ranked, text: str) -> RunScores:
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


def sized_by(db: Database, text: str) -> str:
    """The run by whose sizes sets like the one that an expression names are drawn.

    It is the first that the expression ranks by, else one that its saved sets were made from. Raises InputError where
    there is none.
    """
    run = syntax.first_ranked(syntax.parse(text)) or min(runs_behind(db, [text]), default=None)
    if run is None:
        raise InputError(
            f"sets like {text} in magnitude need a locate run that knows the sizes of activations: write "
            f"random(EXPR, seed=1, match=magnitude:RUN)"
        )
    return run
