"""Which model a neuron expression is about."""

from snql.db.connection import Database
from snql.db.named_sets import read_named
from snql.db.prompts import locate_runs
from snql.db.scores import read_shape
from snql.errors import ExpressionError, InputError
from snql.neurons.sets import Shape
from snql.neurons.syntax import parse, runs_named
from snql.neurons.tree import Filtered, Named, Ranked, walk
from snql.rankings.evaluate import Evaluator
from snql.rankings.values import source_of


def shape_of(db: Database, expression: str) -> Shape | None:
    """The shape of the model of a locate run or saved set that the expression names; None if it names neither.

    Raises ExpressionError for a malformed expression, an unknown run or set.
    """
    runs = runs_named([expression])
    known = locate_runs(db, runs) if db.path.exists() else []
    if known:
        return read_shape(db, known[0])
    named = [node for node in walk(parse(expression)) if isinstance(node, Named | Ranked | Filtered)]
    for node in sorted(named, key=lambda node: not isinstance(node, Named)):
        try:
            if isinstance(node, Named):
                return read_named(db, node.name).shape
            if isinstance(node, Ranked) or source_of(db, node.run).kind == "locate":
                return read_shape(db, node.run)
        except InputError as error:
            raise ExpressionError(str(error), expression, node.column) from error
    return None


def check_expression(db: Database, expression: str) -> None:
    """Evaluate it for the model of a run or set that it names, before a model is loaded; raises ExpressionError."""
    if (shape := shape_of(db, expression)) is not None:
        Evaluator(db, shape).evaluate(expression)
