"""Inserting and deleting rows, and whose rows go with a run."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from snql.db import migrate, run_list, scripts
from snql.db.connection import Database
from snql.db.scripts import Script
from snql.db.tables import delete, insert, insert_new, next_values, replace
from tests.synthetic import add_locate_run

COLUMNS = {
    "run_id": "INTEGER",
    "label": "VARCHAR",
    "filter": "SMALLINT",
    "values": "DOUBLE[]",
    "flags": "BOOLEAN[]",
    "digest": "UBIGINT",
    "about": "JSON",
    "at": "TIMESTAMP",
    "share": "DOUBLE",
}
AT = datetime(2026, 1, 2, 3, 4, 5, 678)


@pytest.fixture
def connection() -> Any:
    with duckdb.connect() as opened:
        opened.execute(f"CREATE TABLE kept ({', '.join(f'{chr(34)}{n}{chr(34)} {t}' for n, t in COLUMNS.items())})")
        yield opened


@dataclass(frozen=True)
class Kept:
    share: float
    values: list[float]
    label: str | None = None


def rows(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return connection.execute("FROM kept").fetchall()


def test_dictionaries_keep_their_values_and_take_the_types_of_the_columns(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    about = json.dumps({"a": [1, "ü'"]})
    full = {"values": (1.5, float("inf")), "flags": [True, False], "digest": 2**64 - 1, "about": about, "at": AT}
    empty: dict[str, object] = {"values": [], "flags": [], "digest": None, "about": None, "at": None}
    insert(connection, "kept", [{"filter": 1, "share": 1, **empty}, {"filter": None, "share": 0.5, **full}], run_id=7)
    assert rows(connection) == [
        (7, None, 1, [], [], None, None, None, 1.0),
        (7, None, None, [1.5, float("inf")], [True, False], 2**64 - 1, about, AT, 0.5),
    ]


def test_what_all_rows_lack_is_null_and_nothing_is_rounded(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, "kept", [dict.fromkeys(COLUMNS)])
    assert rows(connection) == [(None,) * len(COLUMNS)]
    with pytest.raises(TypeError):
        insert(connection, "kept", [{"filter": 2.5}])


def test_objects_frames_and_arrow_tables_go_by_name_in_their_order(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, "kept", [Kept(0.5, [1.0], "it's"), Kept(np.float64(2), [])], run_id=1, digest=2**63)
    insert(
        connection, "kept", pl.DataFrame({"share": [9.0, 3.0, 6.0], "label": ["c", None, "a"]}), run_id=2, about="{}"
    )
    insert(connection, "kept", pa.table({"label": ["x"], "filter": pa.array([4], pa.int16())}), run_id=None)
    found = connection.execute('SELECT run_id, label, "filter", "values", digest, about, share FROM kept').fetchall()
    assert found == [
        (1, "it's", None, [1.0], 2**63, None, 0.5),
        (1, None, None, [], 2**63, None, 2.0),
        (2, "c", None, None, None, "{}", 9.0),
        (2, None, None, None, None, "{}", 3.0),
        (2, "a", None, None, None, "{}", 6.0),
        (None, "x", 4, None, None, None, None),
    ]


def test_no_rows_and_rows_of_other_columns(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, "kept", [], run_id=1)
    insert(connection, "kept", pl.DataFrame({"share": []}), run_id=1)
    assert rows(connection) == []
    with pytest.raises(duckdb.BinderException, match="other"):
        insert(connection, "kept", [{"other": 1}])
    with pytest.raises(KeyError, match="label"):
        insert(connection, "kept", [{"label": "x"}, {"filter": 1}])


def test_rows_are_replaced_and_deleted_by_what_they_hold(connection: duckdb.DuckDBPyConnection) -> None:
    for run_id, label in ((1, "a"), (1, "b"), (2, "a")):
        insert(connection, "kept", [{"share": 0.0}], run_id=run_id, label=label)
    replace(connection, "kept", [{"share": 1.0}, {"share": 2.0}], run_id=1, label="a")
    query = "SELECT run_id, label, share FROM kept ORDER BY ALL"
    assert connection.execute(query).fetchall() == [(1, "a", 1.0), (1, "a", 2.0), (1, "b", 0.0), (2, "a", 0.0)]
    delete(connection, "kept", run_id=1)
    assert connection.execute(query).fetchall() == [(2, "a", 0.0)]


def test_only_rows_of_new_keys_are_inserted(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TABLE named (name VARCHAR PRIMARY KEY, n INTEGER)")
    insert_new(connection, "named", [{"name": "a", "n": 1}, {"name": "a", "n": 2}])
    insert_new(connection, "named", [{"name": "b", "n": 3}, {"name": "a", "n": 4}])
    assert connection.execute("FROM named ORDER BY name").fetchall() == [("a", 1), ("b", 3)]


def test_numbers_of_a_sequence(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE SEQUENCE ids START WITH 5")
    assert [next_values(connection, "ids", n) for n in (1, 0, 3)] == [[5], [], [6, 7, 8]]


def test_a_table_that_a_migration_adds_goes_with_its_run(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a table that a user made stays as it is."""
    number = len(scripts.migrations()) + 1
    added = Script(f"{number:04d}_notes", "CREATE TABLE notes (run_id INTEGER NOT NULL, note VARCHAR);")
    shipped = (*scripts.migrations(), added), (*scripts.tables(), Script("notes", "-- Purpose: notes.\n"))
    monkeypatch.setattr(scripts, "migrations", lambda: shipped[0])
    monkeypatch.setattr(scripts, "tables", lambda: shipped[1])
    scores = np.ones((2, 4))
    add_locate_run(db, "gone", scores)
    add_locate_run(db, "stays", scores)
    with db.write() as connection:
        assert migrate.tables(connection) >= {"notes"}
        connection.execute("CREATE TABLE mine (run_id VARCHAR, note VARCHAR)")
        for name, run_id in connection.execute("SELECT name, run_id FROM runs").fetchall():
            insert(connection, "notes", [{"note": name}], run_id=run_id)
            insert(connection, "mine", [{"note": name}], run_id=str(run_id))
    run_list.remove_run(db, "gone")
    assert db.rows("SELECT note FROM notes") == [("stays",)]
    assert db.rows("SELECT count(*) FROM mine") == [(2,)]
