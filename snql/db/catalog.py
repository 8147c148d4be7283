"""What tables a database has, asked of the database itself."""

from graphlib import TopologicalSorter

import duckdb

from snql.db import scripts
from snql.db.manifest import Column

DERIVED = "snql_objects"
"""The one table that is not data: which views the file has. It is made anew with them."""


def quoted(name: str) -> str:
    """An identifier as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def columns(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[Column, ...]]:
    """The columns of every table but the derived one; tables that others refer to come first, others by name."""
    rows = connection.execute(scripts.query("columns_of_tables"), {"left_out": DERIVED}).fetchall()
    found: dict[str, tuple[Column, ...]] = {}
    for table, name, kind in rows:
        found[table] = (*found.get(table, ()), Column(name, kind))
    return {table: found[table] for table in _parents_first(connection, list(found))}


def _parents_first(connection: duckdb.DuckDBPyConnection, tables: list[str]) -> list[str]:
    graph: dict[str, list[str]] = {table: [] for table in tables}
    for child, parent in connection.execute(
        """
        SELECT table_name, referenced_table FROM duckdb_constraints()
        WHERE constraint_type = 'FOREIGN KEY' AND database_name = current_database() ORDER BY ALL
        """
    ).fetchall():
        if child != parent:
            graph[child].append(parent)
    return list(TopologicalSorter(graph).static_order())


def next_values(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """What each sequence will give next."""
    query = """
        SELECT sequence_name, coalesce(last_value + increment_by, start_value) FROM duckdb_sequences()
        WHERE database_name = current_database() ORDER BY sequence_name
        """
    return dict(connection.execute(query).fetchall())
