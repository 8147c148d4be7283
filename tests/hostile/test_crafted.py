"""Files and names that somebody else chose: nothing of them reads, fetches, runs or overwrites anything."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest

from snql.db.connection import Access, Database
from snql.errors import DatabaseError, InputError
from snql.querying.execute import query

from ..cli.conftest import Snql, snql  # noqa: F401 - a fixture
from ..synthetic import add_locate_run

SECRET = "secret-of-another-file"
COMMANDS = (
    ["query", "SELECT 1"],
    ["runs"],
    ["db", "init"],
    ["db", "migrate"],
    ["db", "check"],
    ["show", "x"],
    ["query", "-l"],
)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("nothing here may use the network")

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text(SECRET)
    return path


def crafted(path: Path, *statements: str) -> Path:
    Database(path).initialise()
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


LEDGER = ("snql_migrations", "snql_objects", "runs", "activation_chunks")
SHADOWED = ("duckdb_tables", "duckdb_views", "duckdb_constraints", "pragma_database_size")
SCALARS = ("list", "count", "current_setting", "current_database", "coalesce", "lower", "max")


def _crafts(secret: Path) -> Iterator[tuple[str, list[str]]]:
    read = f"(SELECT content FROM read_text('{secret}'))"
    for name in LEDGER:
        yield (
            f"view {name}",
            [
                f"ALTER TABLE {name} RENAME TO other_{name}"
                if name == "snql_objects"
                else f"CREATE TABLE o_{name} AS FROM {name}",
                *([] if name == "snql_objects" else [f"DROP TABLE IF EXISTS {name} CASCADE"]),
                f"CREATE VIEW {name} AS SELECT content AS sha256, content AS name, 1 AS number "
                f"FROM read_text('{secret}')",
            ],
        )
    for name in SHADOWED:
        yield (
            f"table macro {name}",
            [f"CREATE MACRO {name}() AS TABLE SELECT content AS table_name FROM read_text('{secret}')"],
        )
    for name in SCALARS:
        yield f"macro {name}", [f"CREATE MACRO {name}(x) AS {read}"]


def test_nothing_of_a_crafted_file_is_read_before_the_connection_is_sealed(
    snql: Snql,  # noqa: F811
    secret: Path,
    tmp_path: Path,
) -> None:
    tried = 0
    for number, (name, statements) in enumerate(_crafts(secret)):
        made = tmp_path / f"crafted{number}.duckdb"
        Database(made).initialise()
        with duckdb.connect(str(made)) as connection:
            try:
                for statement in statements:
                    connection.execute(statement)
            except duckdb.Error:  # a table that others refer to cannot be dropped: no such file can be made this way
                continue
        for command in (COMMANDS[:3], COMMANDS[4:6], COMMANDS[:2], COMMANDS[4:6])[number % 4]:
            done = snql("--db", str(made), *command)
            assert SECRET not in done.out + done.err, (name, command)
            assert "Traceback" not in done.err and done.code in (0, 1, 2), (name, command, done.err)
            tried += 1
    assert tried >= 20


@pytest.mark.parametrize("name", ["snql_objects", "snql_migrations"])
def test_a_view_in_place_of_the_ledger_is_refused_also_where_files_may_be_read(
    secret: Path, tmp_path: Path, name: str
) -> None:
    made = crafted(
        tmp_path / "x.duckdb",
        f"DROP TABLE {name}",
        f"CREATE VIEW {name} AS SELECT content AS sha256 FROM read_text('{secret}')",
    )
    for access in (None, Access(files=True)):
        with (
            Database(made, access=access) as db,
            pytest.raises(DatabaseError, match=f"has a view {name} where snql has"),
        ):
            db.rows("SELECT 1")
    with pytest.raises(DatabaseError, match=f"has a view {name}"):
        Database(made).initialise()


NO_FILES = (
    "md:x",
    "postgres:dbname=x",
    "sqlite:x.db",
    "ducklake:x",
    ":memory:",
    "http://localhost/x.duckdb",
    "s3://a/x.duckdb",
)


@pytest.mark.usefixtures("from_scratch")
@pytest.mark.parametrize("name", NO_FILES)
@pytest.mark.parametrize("command", [["db", "init"], ["query", "SELECT 1"], ["db", "import", "folder"]])
def test_names_of_no_files_open_nothing(snql: Snql, name: str, command: list[str], tmp_path: Path) -> None:  # noqa: F811
    done = snql("--db", name, *command)
    assert done.code == 2 and len(done.err.splitlines()) == 1, done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(snql: Snql, kind: str, tmp_path: Path) -> None:  # noqa: F811
    path = Path("/dev/null") if kind == "device" else tmp_path / "x.duckdb"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    for command in COMMANDS:
        done = snql("--db", str(path), *command)
        if command != ["query", "-l"]:
            assert done.code == 2 and len(done.err.splitlines()) == 1, done.err
    assert path.exists() and not path.is_file()


EXTENSIONS = (
    "LOAD json",
    "INSTALL spatial",
    "FORCE INSTALL spatial",
    "UPDATE EXTENSIONS",
    "EXPLAIN ANALYZE LOAD json",
    "EXPLAIN LOAD json",
    "/* a */ EXPLAIN (FORMAT json) LOAD json",
    "-- a\nexplain analyze\nload json",
    "EXPLAIN EXPLAIN LOAD json",
    "SELECT 1; EXPLAIN ANALYZE LOAD 'x.duckdb_extension'",
)


@pytest.mark.parametrize("files", [False, True])
def test_extensions_are_never_loaded(tmp_path: Path, files: bool) -> None:
    path = crafted(tmp_path / "x.duckdb")
    with Database(path, access=Access(files=files)) as db:
        for sql in EXTENSIONS:
            with pytest.raises(InputError, match="extensions|syntax error"):
                query(db, sql)


def test_an_explained_query_runs(tmp_path: Path) -> None:
    with Database(crafted(tmp_path / "x.duckdb")) as db:
        for sql in ("EXPLAIN SELECT 1 AS load", "EXPLAIN ANALYZE SELECT 'copy' AS x", "EXPLAIN (FORMAT json) SELECT 1"):
            assert query(db, sql).height == 1


def test_files_that_may_be_written_are_not_the_databases_own(tmp_path: Path) -> None:
    path = crafted(tmp_path / "x.duckdb")
    shard = tmp_path / "x.duckdb.shards" / "1" / "000000.parquet"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"shard")
    (tmp_path / "link").symlink_to(path)
    kept = path.read_bytes()
    with Database(path, access=Access(files=True)) as db:
        for target in (path, f"{path}.wal", tmp_path / "y" / ".." / "x.duckdb", tmp_path / "link", shard, shard.parent):
            for sql in (
                f"COPY (SELECT 1) TO '{target}'",
                f"PREPARE p AS COPY (SELECT 1) TO '{target}'; EXECUTE p",
                f"EXPLAIN ANALYZE COPY (SELECT 1) TO '{target}'",
                f"EXPORT DATABASE '{target}'",
            ):
                with pytest.raises(InputError, match="is of the database itself"):
                    query(db, sql)
        query(db, f"COPY (SELECT 7 AS x) TO '{tmp_path / 'x.duckdb2.csv'}'")
    assert path.read_bytes() == kept and shard.read_bytes() == b"shard"
    assert (tmp_path / "x.duckdb2.csv").read_text() == "x\n7\n"


def test_a_link_among_the_shards_is_no_shard(tmp_path: Path, secret: Path) -> None:
    path = crafted(tmp_path / "x.duckdb")
    folder = tmp_path / "x.duckdb.shards" / "1"
    folder.mkdir(parents=True)
    (folder / "000000.parquet").symlink_to(secret)
    with Database(path) as db, pytest.raises(InputError, match="disabled"):
        query(db, f"SELECT content FROM read_text('{folder / '000000.parquet'}')")


@pytest.mark.parametrize(
    ("column", "value", "command"),
    [
        ("started_at", "'290000-01-01'", "runs"),
        ("started_at", "'0044-03-15 (BC) 00:00:00'", "runs"),
        ("config", "repeat('{\"a\":', 100000) || '1' || repeat('}', 100000)", "show"),
    ],
)
def test_values_out_of_all_range_are_one_line(
    snql: Snql,  # noqa: F811
    tmp_path: Path,
    column: str,
    value: str,
    command: str,
) -> None:
    path = tmp_path / "x.duckdb"
    with Database(path) as db:
        db.initialise()
        add_locate_run(db, "a", np.random.default_rng(0).random((2, 4)))
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"UPDATE runs SET {column} = {value}")
    done = snql("--db", str(path), command, *(["a"] if command == "show" else []))
    *others, last = done.err.splitlines()
    assert done.code == 2 and last.startswith("snql: ") and last.endswith("may be damaged, or not made by snql"), (
        done.err
    )
    assert not others or "panicked" in done.err, "but for what Rust says by itself"
