"""The schema as it is: what the SQL files say of each object, with the types that a database really has."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import duckdb
import polars as pl

from snql.db import documentation, migrate
from snql.db.documentation import MACRO, TABLE, ColumnDoc, ObjectDoc
from snql.errors import InputError

Types = dict[str, str]
"""The type of each column, in the order of columns."""

GROUPS = ("Views to build on", "Macros", "Tables", "Views behind the figures")


@dataclass(frozen=True)
class Described:
    """An object with its real columns.

    optional: the columns that can be NULL; declared: the columns of the primary key that DuckDB enforces, if it does.
    """

    document: ObjectDoc
    types: Types
    optional: frozenset[str] = frozenset()
    declared: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.document.name

    @property
    def group(self) -> str:
        """Which of GROUPS it is in."""
        if self.document.kind == MACRO:
            return GROUPS[1]
        if self.document.kind == TABLE:
            return GROUPS[2]
        return GROUPS[3] if self.name.startswith("figure_") else GROUPS[0]

    @property
    def signature(self) -> str:
        """The name, of a macro with its parameters."""
        if self.document.kind != MACRO:
            return self.name
        return f"{self.name}({', '.join(parameter.name for parameter in self.document.parameters)})"

    def columns(self) -> pl.DataFrame:
        """One row per parameter and column: column, type, key (of rows), unit, meaning, refers_to."""
        given = [(each, "parameter") for each in self.document.parameters]
        given += [(each, self.types.get(each.name, "")) for each in self.document.columns]
        rows = [self._row(each, type_name) for each, type_name in given]
        schema = dict.fromkeys(("column", "type", "key", "unit", "meaning", "refers_to"), pl.String)
        return pl.DataFrame(rows, schema=schema, orient="row")

    def _row(self, column: ColumnDoc, type_name: str) -> tuple[str | None, ...]:
        key = "key" if column.name in self.document.key and type_name != "parameter" else None
        return column.name, type_name, key, column.unit, column.meaning, column.refers_to


@cache
def described() -> tuple[Described, ...]:
    """Every table, view and macro, group by group; types are those of a database that is made for it in memory."""
    with duckdb.connect(":memory:") as connection:
        migrate.migrate(connection, Path(":memory:"))
        keys = _declared(connection)
        found = [_describe(connection, each, keys.get(each.name, ())) for each in documentation.documents()]
    return tuple(sorted(found, key=lambda each: (GROUPS.index(each.group), each.name)))


def _describe(connection: duckdb.DuckDBPyConnection, document: ObjectDoc, declared: tuple[str, ...]) -> Described:
    if document.kind == MACRO and not document.columns:
        return Described(document, {})
    what = document.example if document.kind == MACRO else document.name
    rows = connection.execute(f"DESCRIBE {what}").fetchall()
    optional = frozenset(name for name, _, null, *_ in rows if null == "YES")
    return Described(document, {name: type_name for name, type_name, *_ in rows}, optional, declared)


def _declared(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
    query = "SELECT table_name, constraint_column_names FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY'"
    return {name: tuple(columns) for name, columns in connection.execute(query).fetchall()}


def find(names: Sequence[str]) -> list[Described]:
    """The objects of these names; raises InputError, with near names, for one that there is not."""
    known = {each.name: each for each in described()}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=3)
            raise InputError(
                f"no table, view or macro {name!r}: "
                + (f"did you mean {', '.join(near)}?" if near else "`snql db schema` lists them all")
            )
    return [known[name] for name in names]


def overview() -> pl.DataFrame:
    """One row per object: name, kind, group, grain, purpose; names of macros with their parameters."""
    return pl.DataFrame(
        [
            {
                "name": each.signature,
                "kind": each.document.kind,
                "group": each.group,
                "grain": each.document.grain,
                "purpose": each.document.purpose,
            }
            for each in described()
        ]
    )


def columns_of(objects: Sequence[Described]) -> pl.DataFrame:
    """The columns of these objects in one frame: object, kind, column, type, key, unit, meaning, refers_to."""
    frames = [
        each.columns().select(pl.lit(each.name).alias("object"), pl.lit(each.document.kind).alias("kind"), pl.all())
        for each in objects
    ]
    return pl.concat(frames)
