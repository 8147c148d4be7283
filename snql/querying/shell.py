"""What ``snql shell`` asks a database about itself, and what it gives to harlequin."""

from typing import TYPE_CHECKING

from snql.db import shards
from snql.db.connection import Database
from snql.errors import InputError

if TYPE_CHECKING:
    import polars as pl


def list_tables(db: Database) -> "pl.DataFrame":
    """Views, macros and tables: kind, name, and the first of the columns (of a macro: its parameters)."""
    return db.frame(
        """
        WITH named AS (
            SELECT 'view' AS kind, v.view_name AS name,
                string_agg(c.column_name, ', ' ORDER BY c.column_index) AS columns
            FROM duckdb_views() AS v
            JOIN duckdb_columns() AS c ON c.table_oid = v.view_oid AND c.database_oid = v.database_oid
            WHERE NOT v.internal AND v.database_name = current_database() GROUP BY ALL
            UNION ALL
            SELECT 'table', t.table_name, string_agg(c.column_name, ', ' ORDER BY c.column_index)
            FROM duckdb_tables() AS t JOIN duckdb_columns() AS c USING (database_oid, table_oid)
            WHERE NOT t.internal AND t.database_name = current_database() GROUP BY ALL
            UNION ALL
            SELECT DISTINCT 'macro', function_name, array_to_string(parameters, ', ') FROM duckdb_functions()
            WHERE NOT internal AND database_name = current_database()
        )
        SELECT kind, name, if(length(columns) > 70, left(columns, 68) || ' …', columns) AS columns FROM named
        ORDER BY kind = 'table', kind = 'macro', name
        """
    )


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
