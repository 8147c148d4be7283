"""Neuron sets that users save under a name, to write them as ``@name``."""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from snql.db import records, scripts
from snql.db.connection import Database
from snql.db.tables import delete, now, replace
from snql.errors import InputError
from snql.neurons.sets import NeuronSet, Shape
from snql.neurons.syntax import RESERVED, RUN_NAME, parse, runs_named
from snql.neurons.tree import names_used


@dataclass(frozen=True)
class NamedSet:
    """A saved set: what it was made from, and its members."""

    name: str
    expression: str
    members: NeuronSet


def check_set_name(name: str) -> None:
    """Raise InputError unless the name can stand after @ in an expression."""
    if not RUN_NAME.fullmatch(name) or name in RESERVED:
        raise InputError(
            f"set name {name!r} cannot be used: start with a letter, go on with letters, digits, '.', '_' or '-' "
            f"(and not {', '.join(sorted(RESERVED))})"
        )


def read_named(db: Database, name: str, shape: Shape | None = None) -> NeuronSet:
    """The members of a saved set; raises InputError for an unknown name, or a set of models of another shape."""
    query = "SELECT set_id, n_layers, n_neurons, n_experts FROM named_sets WHERE name = ?"
    found = db.rows(query, [name]) if db.path.exists() else []
    if not found:
        known = [other for (other,) in db.rows("SELECT name FROM named_sets ORDER BY name")] if db.path.exists() else []
        others = f"saved are {', '.join(known)}" if known else "none is saved; see `snql sets save`"
        raise InputError(f"no saved set {name!r} in {db.path}: {others}")
    set_id, *sizes = found[0]
    saved = Shape(*sizes)
    if shape is not None and saved != shape:
        raise InputError(f"set {name!r} is of a model with {saved} neurons, this one has {shape}")
    return records.read_set(db, set_id, saved)


def save_named(db: Database, name: str, expression: str, members: NeuronSet, *, force: bool = False) -> None:
    """Save a set under a name; raises InputError if the name is taken, unless ``force``."""
    check_set_name(name)
    with db.write() as connection:
        taken = connection.execute("SELECT expression FROM named_sets WHERE name = ?", [name]).fetchall()
        if taken and not force:
            raise InputError(f"a set {name!r} is saved already ({taken[0][0]}): choose another name, or `force`")
        row = {"set_id": records.save_set(connection, members), "expression": expression, "created_at": now()}
        replace(connection, "named_sets", [row | vars(members.shape)], name=name)


def runs_behind(db: Database, expressions: Iterable[str]) -> frozenset[str]:
    """The runs named in the expressions that saved sets were made from, of sets that these expressions name."""
    waiting = {name for text in expressions for name in names_used(parse(text))}
    if not waiting or not db.path.exists():
        return frozenset()
    stored = dict(db.rows("SELECT name, expression FROM named_sets"))
    seen: set[str] = set()
    while waiting:
        seen |= waiting
        waiting = {used for name in waiting & stored.keys() for used in names_used(parse(stored[name]))} - seen
    return runs_named([stored[name] for name in seen & stored.keys()])


def list_named(db: Database) -> pl.DataFrame:
    """All saved sets: name, n_neurons, n_layers_used, model, expression, created_at."""
    return db.frame(scripts.query("saved_sets"))


def members_of(db: Database, name: str) -> pl.DataFrame:
    """The members of a saved set: layer, expert, neuron; raises InputError for an unknown name."""
    read_named(db, name)
    return db.frame(
        """
        SELECT layer, expert, neuron FROM neuron_set_members
        WHERE set_id = (SELECT set_id FROM named_sets WHERE name = ?) ORDER BY layer, expert, neuron
        """,
        [name],
    )


def remove_named(db: Database, name: str) -> None:
    """Forget a name; the set's members stay with the runs that used them. Raises InputError for an unknown name."""
    read_named(db, name)
    with db.write() as connection:
        delete(connection, "named_sets", name=name)
