"""Which model a neuron expression is about."""

from snql.db.connection import Database
from snql.db.named_sets import read_named
from snql.db.prompts import locate_runs
from snql.db.scores import read_shape
from snql.neurons.sets import Shape
from snql.neurons.syntax import parse, runs_named
from snql.neurons.tree import names_used, runs_ranked


def shape_of(db: Database, expression: str) -> Shape | None:
    """The shape of the model of a run or saved set that the expression names; None if it names neither.

    Raises ExpressionError for a malformed expression, InputError for an unknown run or set.
    """
    runs = runs_named([expression])
    known = locate_runs(db, runs) if db.path.exists() else []
    if known:
        return read_shape(db, known[0])
    if saved := sorted(names_used(parse(expression))):
        return read_named(db, saved[0]).shape
    ranked = runs_ranked(parse(expression))
    return read_shape(db, ranked[0]) if ranked else None
