"""``snql sets``: neuron sets under names, to be written as ``@name``."""

from snql.db import named_sets
from snql.db.connection import Database
from snql.db.prompts import locate_runs
from snql.db.scores import read_shape
from snql.errors import InputError
from snql.neurons.evaluate import Evaluator
from snql.neurons.sets import NeuronSet, Shape
from snql.neurons.syntax import names_used, parse, runs_named


def save_set(db: Database, name: str, expression: str, *, like: str | None = None, force: bool = False) -> NeuronSet:
    """Evaluate an expression now and save its members as ``@name``; later runs do not change them.

    like: a locate run of the model that is meant, for an expression that names none. Raises InputError for a name that
    is taken (unless ``force``) or cannot be used, or where the model is not known; ExpressionError as evaluating does.
    """
    named_sets.check_set_name(name)
    members = Evaluator(db, _shape(db, expression, like)).evaluate(expression)
    named_sets.save_named(db, name, expression, members, force=force)
    return members


def _shape(db: Database, expression: str, like: str | None) -> Shape:
    if like is not None:
        return read_shape(db, like)
    runs = runs_named([expression])
    known = locate_runs(db, runs) if db.path.exists() else []
    if known:
        return read_shape(db, known[0])
    if saved := sorted(names_used(parse(expression))):
        return named_sets.read_named(db, saved[0]).shape
    if runs:
        return read_shape(db, min(runs))
    raise InputError(f"of which model is {expression!r}? name a locate run of it with --like RUN")
