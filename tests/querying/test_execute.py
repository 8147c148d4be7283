"""Running SQL: parameters, several statements, what is refused, and how a query is stopped."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import polars as pl
import pytest

from snql.db.connection import Access, Database
from snql.errors import DatabaseError, InputError, RunError
from snql.querying.execute import Result, query, run

ENDLESS = "SELECT sum(a.range * b.range) FROM range(100000000) AS a, range(100000) AS b"


@pytest.fixture
def empty(db: Database) -> Database:
    db.initialise()
    return db


def test_several_statements_share_variables_and_parameters(empty: Database) -> None:
    sql = "SET VARIABLE x = 40; CREATE TEMP TABLE t AS SELECT $a AS a; SELECT getvariable('x') + a + $b AS y FROM t;"
    assert query(empty, sql, {"a": 1, "b": 1}).rows() == [(42,)]
    assert query(empty, "SET VARIABLE x = 1").is_empty()


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT $a", r"needs a value for \$a: give it with `parameters` a=VALUE"),
        ("SELECT 1", r"`parameters` b: no statement uses \$b; the parameters are none"),
        ("-- nothing", "no statement"),
        ("  ", "the query is empty"),
        ("SELEC 1", 'Parser Error: syntax error at or near "SELEC"$'),
        ("SELECT scor FROM neuron_scores", r'column "scor" not found.*; near: score \(neuron_scores\)$'),
        ("SELECT s.scor FROM neuron_scores AS s", r'column named "scor"; near: score \(neuron_scores\)$'),
        ("SELECT mean FROM neuron_scores", r"near: .*mean_before \(neuron_scores\)"),
        ("FROM neuron_score", "near: neuron_scores"),
        ("FROM top_neuron('x', 1)", r"near: top_neurons\(\)"),
        ("SELECT xyzzy FROM neuron_scores", "xyzzy"),
    ],
)
def test_bad_queries_in_one_line(empty: Database, sql: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        query(empty, sql, {"b": 1} if sql == "SELECT 1" else {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "INSTALL httpfs",
        "LOAD httpfs",
        "UPDATE EXTENSIONS",
        "SET autoload_known_extensions = true",
        "FROM read_csv('https://example.org/x.csv')",
    ],
)
@pytest.mark.parametrize("files", [False, True])
def test_no_network_with_or_without_files(tmp_path: Path, sql: str, files: bool) -> None:
    db = Database(tmp_path / "x.duckdb", access=Access(files=files))
    db.initialise()
    with pytest.raises(InputError, match="extensions are not loaded|locked|disabled|httpfs"):
        query(db, sql)


def test_files_only_where_they_are_allowed(tmp_path: Path) -> None:
    path, other = tmp_path / "x.duckdb", tmp_path / "o.csv"
    Database(path).initialise()
    other.write_text("a\n5\n")
    for sql in (f"FROM '{other}'", f"COPY (SELECT 1) TO '{tmp_path / 'new.csv'}'", f"ATTACH '{tmp_path / 'y.duckdb'}'"):
        with pytest.raises(InputError, match="disabled"):
            query(Database(path), sql)
    assert not (tmp_path / "new.csv").exists()
    open_to_files = Database(path, access=Access(files=True))
    assert query(open_to_files, f"FROM '{other}'").rows() == [(5,)]
    query(open_to_files, f"COPY (SELECT 7 AS b) TO '{tmp_path / 'new.csv'}'")
    assert (tmp_path / "new.csv").read_text() == "b\n7\n"
    with pytest.raises(InputError, match="read-only"):
        query(open_to_files, "CREATE TABLE t (x INTEGER)")


def test_limits_of_memory_and_threads(tmp_path: Path) -> None:
    Database(tmp_path / "x.duckdb").initialise()
    db = Database(tmp_path / "x.duckdb", access=Access(memory="100MB", threads=1))
    settings = "SELECT current_setting('memory_limit'), current_setting('threads')"
    assert query(db, settings).rows() == [("95.3 MiB", 1)]
    with pytest.raises(InputError, match="Out of Memory"):
        query(db, "SELECT len(list(range || repeat('x', 100))) FROM range(10000000)")
    for access, message in (
        (Access(memory="much"), "`memory` much.*4GB"),
        (Access(threads=0), "`threads` 0.*from 1 to"),
    ):
        with pytest.raises(InputError, match=message):
            query(Database(tmp_path / "x.duckdb", access=access), "SELECT 1")


def test_a_query_that_takes_too_long_is_stopped(empty: Database) -> None:
    start = time.monotonic()
    with pytest.raises(RunError, match="longer than `timeout` 0.2 s"):
        query(empty, ENDLESS, timeout=0.2)
    assert time.monotonic() - start < 10
    assert query(empty, "SELECT 1", timeout=60).rows() == [(1,)]


def test_a_result_that_is_read_slowly_is_stopped(empty: Database) -> None:
    def read(result: Result) -> int:
        return sum(1 for _ in result.rows().values)

    with pytest.raises(RunError, match="longer than"):
        run(empty, "SELECT range FROM range(10000000000)", read, timeout=0.2)


def test_control_c_stops_a_query(empty: Database) -> None:
    program = [sys.executable, "-m", "snql", "--db", str(empty.path), "query", ENDLESS]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(1.5)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "snql: interrupted\n")


def test_large_results_are_read_batch_by_batch(empty: Database) -> None:
    with empty.reading() as connection:
        result = Result(connection, "SELECT range AS x FROM range($n)", {"n": 1_000_000})
        sizes = [len(batch) for batch in result.batches()]
        rows = result.rows()
        assert sum(sizes) == 1_000_000
        assert max(sizes) <= 200_000
        assert next(rows.values) == (0,)
        assert (rows.columns, rows.numeric) == (["x"], [True])


def test_types_that_count_as_numbers(empty: Database) -> None:
    values = "1::HUGEINT a, 1.5 b, 2::FLOAT c, 'x' d, [1] e, DATE '2020-01-01' f, TRUE g, 3::UTINYINT h, 1::UHUGEINT i"
    found = run(empty, f"SELECT {values}", lambda result: result.rows())
    assert dict(zip(found.columns, found.numeric, strict=True)) == {
        "a": True,
        "b": True,
        "c": True,
        "d": False,
        "e": False,
        "f": False,
        "g": False,
        "h": True,
        "i": True,
    }


def test_a_query_does_not_change_the_file(empty: Database) -> None:
    before = empty.path.read_bytes()
    query(empty, "CREATE TEMP TABLE t AS SELECT 1; SELECT * FROM t")
    assert empty.path.read_bytes() == before
    with duckdb.connect(str(empty.path)) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchall() == [(0,)]
    assert isinstance(query(empty, "FROM runs"), pl.DataFrame)


def test_threads_that_open_one_file_at_once(empty: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share the file's settings, which the first one locks; each is slow between looking and locking."""
    monkeypatch.setattr(Database, "_set_limits", lambda *_: time.sleep(0.1))
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: Database(empty.path).rows("SELECT count(*) FROM runs"), range(3)))
    assert found == [[(0,)]] * 3


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("inf"), float("nan"), 1e300])
def test_timeouts_out_of_range(empty: Database, timeout: float) -> None:
    with pytest.raises(InputError, match="is out of range"):
        query(empty, "SELECT 1", timeout=timeout)


def test_a_file_of_activations_elsewhere_is_not_read(empty: Database, tmp_path: Path) -> None:
    """The names of shards are in the database, which may come from anybody."""
    (tmp_path / "secret.txt").write_text("secret")
    with empty.write() as connection:
        connection.execute(
            "INSERT INTO runs BY NAME SELECT 1 AS run_id, 'x' AS name, 'locate' AS kind, 'done' AS status,"
            " now()::TIMESTAMP AS started_at, '{}' AS config, 'x' AS config_sha256, '0' AS snql_version,"
            " '{}' AS libraries, 'x' AS platform"
        )
        connection.execute("INSERT INTO activation_chunks VALUES (1, 0, 0, 1, 0, '../secret.txt')")
    with pytest.raises(DatabaseError, match=r"names '../secret.txt' as a file of token activations"):
        query(empty, f"FROM read_text('{tmp_path / 'secret.txt'}')")


@pytest.mark.parametrize("name", ["test.duckdb", "test.duckdb.shards/1/x.csv", "link"])
def test_output_never_replaces_the_database(empty: Database, tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(empty.path)
    before = empty.path.read_bytes()
    program = ["--db", str(empty.path), "query", "SELECT 1", "--format", "csv", "-o", str(tmp_path / name)]
    done = subprocess.run([sys.executable, "-m", "snql", *program], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is the database" in done.stderr
    assert empty.path.read_bytes() == before


def test_what_is_not_utf_8(empty: Database) -> None:
    program = [sys.executable, "-m", "snql", "--db", str(empty.path), "query"]
    done = subprocess.run([*program, "-"], input=b"SELECT '\xff\xfe'", capture_output=True)
    assert (done.returncode, done.stderr) == (
        2,
        b"snql: the query is not UTF-8: save it in that encoding\n",
    )
    done = subprocess.run([*program, b"SELECT '\xff'"], capture_output=True)
    assert (done.returncode, done.stderr) == (2, b"snql: an argument is not UTF-8: write it in that encoding\n")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*program, "SELECT 1", "--format", "csv"], stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
