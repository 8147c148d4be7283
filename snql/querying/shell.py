"""What ``snql shell`` asks a database about itself, and what it gives to harlequin."""

from typing import TYPE_CHECKING

from snql.db import scripts, shards
from snql.db.connection import Database
from snql.errors import InputError

if TYPE_CHECKING:
    import polars as pl


def list_tables(db: Database) -> "pl.DataFrame":
    """Views, macros and tables: kind, name, and the first of the columns (of a macro: its parameters)."""
    return db.frame(scripts.query("objects_of_database"))


def describe(db: Database, name: str) -> "pl.DataFrame":
    """The columns of a table or view, or the parameters of a macro: name, column, type.

    Raises InputError for a name that the database has not.
    """
    found = db.frame(
        """
        SELECT table_name AS name, column_name AS column, data_type AS type FROM duckdb_columns()
        WHERE database_name = current_database() AND NOT internal AND lower(table_name) = lower($1)
        ORDER BY column_index
        """,
        [name],
    )
    if found.is_empty():
        found = db.frame(
            """
            SELECT function_name AS name, unnest(parameters) AS column, 'parameter' AS type FROM duckdb_functions()
            WHERE database_name = current_database() AND NOT internal AND lower(function_name) = lower($1)
            """,
            [name],
        )
    if found.is_empty():
        raise InputError(f"no table, view or macro {name!r} in {db.path}: .tables lists those it has")
    return found


def harlequin_script(db: Database) -> str:
    """SQL that lets a connection of another program read this database and its shards, and no other file.

    Raises DatabaseError if the database cannot be read.
    """
    with db.reading() as connection:
        selection, files = shards.selection(connection, db.path)
    lines = [f"SET VARIABLE snql_shards = {_literal(selection)}"] if files else []
    lines += [f"SET allowed_paths = [{', '.join(map(_literal, files))}]"] if files else []
    lines += ["SET enable_external_access = false", "SET lock_configuration = true"]
    return "".join(f"{line};\n" for line in lines)


def _literal(text: str) -> str:
    """A text as SQL on one line and without ``;``, at which harlequin cuts a script."""
    quoted = text.replace("'", "''")
    for character in ";\n\r":
        quoted = quoted.replace(character, f"' || chr({ord(character)}) || '")
    return f"'{quoted}'"
