"""Bring a database to the schema of this snql, and refuse databases that do not fit it.

The ledger ``snql_migrations`` has one row per applied migration; a migration and its row share one transaction.
Views, macros and the descriptions of all that is there (:mod:`snql.db.documentation`) are not migrated but replaced
whenever their text changes (``snql_objects`` holds the hash).
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from snql.db import scripts
from snql.db.scripts import Script
from snql.errors import DatabaseError

_LEDGER = """
CREATE TABLE IF NOT EXISTS snql_migrations (
    number INTEGER PRIMARY KEY, name VARCHAR NOT NULL, sha256 VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL
);
CREATE TABLE IF NOT EXISTS snql_objects (sha256 VARCHAR NOT NULL);
"""
_OWN = "SELECT {0}_name FROM system.main.duckdb_{0}s() WHERE NOT internal AND NOT temporary"
"""Of the system's own catalogue: a file may have a macro, or a view, of any name."""
_READ_FIRST = ("activation_chunks", "runs", "snql_migrations", "snql_objects")
_IS_TABLE = "SELECT 1 FROM system.main.pragma_storage_info($1) LIMIT 0"
"""Fails for a view, and reads the catalogue of that table only, where naming all views reads the file's whole one."""


def tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Names of all tables in the open database."""
    return {name for (name,) in connection.execute(_OWN.format("table")).fetchall()}


def check(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Return the number of migrations that the database still lacks.

    Raises DatabaseError when the file is not snql's, is newer than this snql, or its ledger differs from the
    migrations that this snql ships (edited, missing or duplicated).
    """
    if (view := _view_in_place_of_a_table(connection)) is not None:
        raise DatabaseError(
            f"{path} has a view {view} where snql has a table: snql did not make it; name another file with `db`"
        )
    try:
        ledger = connection.execute("SELECT number, name, sha256 FROM snql_migrations ORDER BY number").fetchall()
    except duckdb.CatalogException as error:
        if tables(connection):
            message = f"{path} is a DuckDB database but not one of snql's: name another file with `db`"
            raise DatabaseError(message) from error
        return len(scripts.migrations())
    return check_ledger(ledger, path)


def _view_in_place_of_a_table(connection: duckdb.DuckDBPyConnection) -> str | None:
    try:
        for name in _READ_FIRST:
            connection.execute(_IS_TABLE, [name])
    except duckdb.CatalogException:
        views = {name for (name,) in connection.execute(_OWN.format("view")).fetchall()}
        return next((name for name in _READ_FIRST if name in views), None)
    return None


def check_ledger(ledger: Sequence[tuple[int, str, str]], path: Path) -> int:
    """Return the number of migrations that a ledger of (number, name, sha256), in order, still lacks.

    Raises DatabaseError when it is newer than this snql, or differs from the migrations that this snql ships.
    """
    shipped = scripts.migrations()
    if len(ledger) > len(shipped):
        raise DatabaseError(
            f"{path} has schema version {ledger[-1][0]}, newer than this snql's {len(shipped)}: upgrade snql"
        )
    for (number, name, sha256), script in zip(ledger, shipped, strict=False):
        if (number, name) != (script.number, script.name):
            raise DatabaseError(
                f"{path} records migration {number} as {name!r} where this snql has {script.name!r}: "
                "it was made by a different snql; use the one that made it, or another file with `db`"
            )
        if sha256 != script.sha256:
            raise DatabaseError(
                f"{path} was made with another text of migration {name}: it was edited after it was applied; "
                "use the snql that made the file, or another file with `db`"
            )
    return len(shipped) - len(ledger)


def migrate(connection: duckdb.DuckDBPyConnection, path: Path, *, anew: bool = False) -> list[str]:
    """Apply what is missing, each migration in its own transaction; return the names applied.

    anew: replace views and macros also where the database says that it has this snql's.
    Raises DatabaseError if the database does not fit, or holds rows that a migration does not allow.
    """
    missing = check(connection, path)
    applied = apply(connection, path, scripts.migrations()[len(scripts.migrations()) - missing :])
    if anew:
        connection.execute("DELETE FROM snql_objects")
    refresh_objects(connection)
    return applied


def apply(connection: duckdb.DuckDBPyConnection, path: Path, pending: Iterable[scripts.Script]) -> list[str]:
    """Apply these migrations, each with its row of the ledger in its own transaction; return their names."""
    applied = []
    connection.execute(_LEDGER)
    for script in pending:
        connection.begin()
        try:
            _apply(connection, path, script)
            connection.execute(
                "INSERT INTO snql_migrations VALUES (?, ?, ?, ?)",
                [script.number, script.name, script.sha256, datetime.now(UTC).replace(tzinfo=None)],
            )
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        applied.append(script.name)
    if applied:  # a table that was made anew has lost its description
        connection.execute("DELETE FROM snql_objects")
    return applied


def _apply(connection: duckdb.DuckDBPyConnection, path: Path, script: Script) -> None:
    for statement in connection.extract_statements(script.sql):
        try:
            connection.execute(statement)
        except duckdb.ConstraintException as error:
            sql = " ".join(line for line in statement.query.split("\n") if not line.startswith("--")).strip()
            raise DatabaseError(
                f"{path} has rows that migration {script.name} does not allow ({sql}: {str(error).splitlines()[0]}): "
                "remove them with another DuckDB program, or use the snql that made the file"
            ) from error


def objects_current(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the database has this snql's views, macros and descriptions."""
    return connection.execute("SELECT sha256 FROM snql_objects").fetchall() == [(scripts.objects_sha256(),)]


def refresh_objects(connection: duckdb.DuckDBPyConnection) -> bool:
    """Replace views, macros and descriptions if this snql ships others than the database has; say whether it did."""
    if objects_current(connection):
        return False
    from snql.db import documentation  # reading needs none of it

    connection.begin()
    try:
        for script in scripts.objects():
            connection.execute(script.sql)
        connection.execute(documentation.comments(documentation.documents()))
        connection.execute("DELETE FROM snql_objects")
        connection.execute("INSERT INTO snql_objects VALUES (?)", [scripts.objects_sha256()])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return True
