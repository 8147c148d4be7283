"""From a parsed neuron expression and a database to a set of neurons."""

import duckdb
import polars as pl

from snql.db.connection import Database
from snql.db.named_sets import read_named
from snql.db.scores import RunScores, read_run_scores
from snql.errors import ExpressionError, InputError
from snql.neurons import syntax
from snql.neurons.sets import NeuronSet, Shape


class Evaluator:
    """Evaluates expressions for one model's shape against one database; rankings are read once."""

    def __init__(self, db: Database, shape: Shape) -> None:
        self._db = db
        self._shape = shape
        self._rankings: dict[str, RunScores] = {}

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
                case syntax.Random(of, seed, _, anywhere):
                    controlled = self._visit(of, text)
                    return controlled.random_anywhere(seed) if anywhere else controlled.matched_random(seed)
                case syntax.Named(name):
                    return read_named(self._db, name, self._shape)
                case syntax.Sql(query):
                    return self._selected(query)
        except ExpressionError:
            raise
        except InputError as error:
            raise ExpressionError(str(error), text, node.column) from error

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
            frame = self._db.frame(query)
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
