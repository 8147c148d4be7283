"""A connection that waits a moment for its next use keeps nobody out for longer, and nothing that failed is kept."""

import time
from contextlib import nullcontext
from pathlib import Path

import duckdb
import pytest

from snql.db import lingering
from snql.db.connection import Database
from snql.errors import InputError
from snql.neurons.sets import Shape
from snql.rankings.evaluate import Evaluator

INSERT = "INSERT INTO named_sets SELECT * FROM named_sets LIMIT 0"


@pytest.fixture
def opened(db: Database, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each opening of the file was to read only, in order."""
    db.initialise()
    seen: list[bool] = []
    connect = Database._connect

    def counted(self: Database, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        seen.append(read_only)
        return connect(self, read_only=read_only)

    monkeypatch.setattr(Database, "_connect", counted)
    return seen


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (None, [True, True, False, False, True]),
        (False, [True, False, True]),
        (True, [True, False]),
    ],
)
def test_uses_that_follow_one_another_share_a_connection(
    db: Database, opened: list[bool], monkeypatch: pytest.MonkeyPatch, inside: bool | None, expected: list[bool]
) -> None:
    monkeypatch.setattr(lingering, "SECONDS", 60.0)
    monkeypatch.setattr(lingering, "_MOST_SECONDS", 60.0)

    def used() -> None:
        for _ in range(2):
            assert db.rows("SELECT 1") == [(1,)]
        for _ in range(2):
            with db.write() as connection:
                connection.execute(INSERT)
        assert db.rows("SELECT 1") == [(1,)]

    with nullcontext() if inside is None else db.lingering(writer_reads=inside):
        used()
    assert opened == expected
    with duckdb.connect(str(db.path)) as other:  # nothing is open any more
        assert other.execute("SELECT 1").fetchall() == [(1,)]
    assert not db.path.with_name(f"{db.path.name}.wal").exists()


def test_it_is_over_after_a_moment(db: Database, opened: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "SECONDS", 0.01)
    with db.lingering():
        with db.write() as connection:
            connection.execute(INSERT)
        until = time.monotonic() + 10
        while _is_open(db.path) and time.monotonic() < until:
            time.sleep(0.01)
        duckdb.connect(str(db.path), read_only=True).close()
        assert db.rows("SELECT 1") == [(1,)]
    assert opened == [False, True]


def _is_open(path: Path) -> bool:
    """Whether this process has a connection that writes: DuckDB then gives it none that only reads."""
    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.ConnectionException:
        return True
    return False


def test_one_that_is_used_for_long_is_closed(db: Database, opened: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "_MOST_SECONDS", -1.0)
    with db.lingering():
        for _ in range(2):
            db.rows("SELECT 1")
    assert opened == [True, True]


def test_what_failed_is_not_kept(db: Database, opened: list[bool]) -> None:
    with db.lingering():
        with pytest.raises(ZeroDivisionError), db.write() as connection:
            connection.execute("INSERT INTO runs SELECT * FROM runs LIMIT 0")
            raise ZeroDivisionError
        with db.write() as connection:
            connection.execute(INSERT)
    assert opened == [False, False]


def test_another_object_of_the_same_file_gets_its_connection(db: Database, opened: list[bool]) -> None:
    with db.lingering():
        with db.write() as connection:
            connection.execute(INSERT)
        assert Database(db.path).rows("SELECT 1") == [(1,)]
    assert opened == [False, True]


def test_sql_of_a_set_never_has_a_connection_that_writes(db: Database, opened: list[bool]) -> None:
    with db.lingering():
        with db.write() as connection:
            connection.execute(INSERT)
        assert db.rows("SELECT count(*) FROM snql_migrations") > [(0,)]
        with pytest.raises(InputError, match="read-only mode"):
            Evaluator(db, Shape(1, 4)).evaluate("sql(DELETE FROM snql_migrations RETURNING 0 AS layer, 1 AS neuron)")
    assert opened == [False, True]
    assert db.rows("SELECT count(*) FROM snql_migrations") > [(0,)]


def test_it_ends_in_another_folder_than_it_began_in(
    tmp_path: Path, opened: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Database("test.duckdb") as relative, relative.lingering():
        relative.rows("SELECT 1")
        monkeypatch.chdir(tmp_path.parent)
    assert opened == [True]
    duckdb.connect(str(tmp_path / "test.duckdb")).close()
