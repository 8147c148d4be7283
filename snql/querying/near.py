"""Names of the database that are near one that a query got wrong."""

import re
from difflib import get_close_matches

import duckdb

_COLUMN = re.compile(r'column(?: named)? "(?P<name>[^"]+)"')
_OBJECT = re.compile(r"(?:Table|Function|Macro) with name (?P<name>\S+) does not exist")
_MOST = 4


def near_names(message: str, connection: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """Up to four names like the one that DuckDB's message calls unknown, best first.

    Columns are looked for in the tables and views that the query mentions, and said with theirs.
    """
    if found := _COLUMN.search(message):
        return _near(found["name"], _columns(connection, sql))
    if found := _OBJECT.search(message):
        return _near(found["name"], _objects(connection))
    return []


def _near(name: str, known: dict[str, str]) -> list[str]:
    """Shown names by plain name, those like ``name`` only."""
    matches = get_close_matches(name.lower(), list(known), _MOST, cutoff=0.6)
    inside = [one for one in known if one not in matches and len(name) > 2 and name.lower() in one]
    return [known[one] for one in (matches + inside)[:_MOST]]


def _columns(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, str]:
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    rows = connection.execute(
        "SELECT column_name, table_name FROM duckdb_columns() WHERE NOT internal AND database_name = current_database()"
    ).fetchall()
    return {str(column): f"{column} ({table})" for column, table in rows if table in words}


def _objects(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    rows = connection.execute(
        """
        SELECT table_name, '' FROM duckdb_tables() WHERE NOT internal
        UNION ALL SELECT view_name, '' FROM duckdb_views() WHERE NOT internal
        UNION ALL SELECT function_name, '()' FROM duckdb_functions() WHERE NOT internal
        """
    ).fetchall()
    return {str(name): f"{name}{mark}" for name, mark in rows}
