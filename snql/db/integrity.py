"""Whether rows refer to rows that are there, and whether keys that DuckDB does not enforce are keys."""

from collections.abc import Iterator

import duckdb

from snql.db import documentation, scripts
from snql.db.documentation import ColumnDoc, ObjectDoc

_COMPARED_OTHERWISE = "activation_rows"
"""Of its rows, which are too many to be grouped, number and digest are compared with what was stored."""

_LISTS = "SELECT table_name, column_name FROM duckdb_columns() WHERE data_type LIKE '%[]'"

Finding = tuple[str | None, str]
"""The name of a run, if it belongs to one, and what is wrong."""


def references(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Values that refer to no row; in tables of runs, to none of the same run."""
    tables = {table.name: table for table in _tables()}
    lists = set(connection.execute(_LISTS).fetchall())
    filled = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (FROM {name})" for name in tables)
    for (name,) in connection.execute(filled).fetchall():
        for column in tables[name].columns:
            if column.refers_to:
                is_list = (name, column.name) in lists
                yield from _dangling(connection, tables[name], column, tables, is_list=is_list)


def _dangling(
    connection: duckdb.DuckDBPyConnection,
    table: ObjectDoc,
    column: ColumnDoc,
    tables: dict[str, ObjectDoc],
    *,
    is_list: bool,
) -> Iterator[Finding]:
    parent, wanted = str(column.refers_to).split(".")
    of_runs = _has_run(table) and column.name != "run_id"
    same_run = " AND p.run_id = c.run_id" if of_runs and _has_run(tables[parent]) and parent != "runs" else ""
    value = f"unnest({column.name})" if is_list else column.name
    run_id = "run_id" if of_runs else "NULL::INTEGER AS run_id"
    query = f"""
        SELECT r.name, list(c.value ORDER BY c.value)[:3], count(*)
        FROM (SELECT DISTINCT {run_id}, {value} AS value FROM {table.name}) AS c
        LEFT JOIN runs AS r ON r.run_id = c.run_id
        WHERE c.value IS NOT NULL AND NOT EXISTS (FROM {parent} AS p WHERE p.{wanted} = c.value{same_run})
        GROUP BY c.run_id, r.name ORDER BY c.run_id
        """  # noqa: S608
    for run, values, number in connection.execute(query).fetchall():
        some = ", ".join(map(str, values)) + (", …" if number > len(values) else "")
        yield run, f"{table.name}.{column.name} refers to no {parent}.{wanted}: {some}"


def keys(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Rows that a key which is not enforced has more than once."""
    enforced = "SELECT table_name FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY'"
    known = {name for (name,) in connection.execute(enforced).fetchall()} | {_COMPARED_OTHERWISE}
    for table in _tables():
        if table.name not in known:
            yield from _repeated(connection, table)


def _repeated(connection: duckdb.DuckDBPyConnection, table: ObjectDoc) -> Iterator[Finding]:
    """Part by part, so that memory does not grow with the number of runs and layers."""
    columns = {column.name for column in table.columns}
    parts = [name for name in ("run_id", "set_id", "layer") if name in columns]
    listed = ", ".join(parts) or "1"
    counted: dict[object, int] = {}
    for part in connection.execute(f"SELECT DISTINCT {listed} FROM {table.name} ORDER BY ALL").fetchall():  # noqa: S608
        where = " AND ".join(f"{name} = ?" for name in parts) or "? = 1"
        query = f"""
            SELECT count(*) FROM (
                SELECT 1 FROM {table.name} WHERE {where} GROUP BY {", ".join(table.key)} HAVING count(*) > 1
            )
            """  # noqa: S608
        ((number,),) = connection.execute(query, list(part)).fetchall()
        owner = part[0] if parts[:1] == ["run_id"] else None
        counted[owner] = counted.get(owner, 0) + number
    for owner, number in counted.items():
        if number:
            names = connection.execute("SELECT name FROM runs WHERE run_id = ?", [owner]).fetchall()
            what = f"{table.name} has {number} keys ({', '.join(table.key)}) more than once"
            yield names[0][0] if names else None, what


def _tables() -> list[ObjectDoc]:
    return [documentation.parse(script, documentation.TABLE) for script in scripts.tables()]


def _has_run(table: ObjectDoc) -> bool:
    return any(column.name == "run_id" for column in table.columns)
