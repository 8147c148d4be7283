"""Export and import: an equal database comes back, and nothing half-written or tampered with does."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from snql.db import catalog, manifest, migrate, scripts, shards, transfer
from snql.db.catalog import quoted
from snql.db.check import check
from snql.db.connection import Database
from snql.db.transfer import export_database, import_database
from snql.errors import DatabaseError, InputError, RunError, SnqlError

from ..filled import fill, fill_database

Edit = Callable[[dict[str, Any]], object]
EACH = pytest.mark.slow("each way with each verb: one of both is tried always")


@pytest.fixture
def copy(tmp_path: Path) -> Database:
    return Database(tmp_path / "elsewhere" / "copy.duckdb")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database whose every table is filled, and its export."""
    folder = tmp_path_factory.mktemp("finished")
    with Database(folder / "test.duckdb") as filled:
        fill_database(filled)
        export_database(filled, folder / "out")
    return folder


@pytest.fixture
def exported(finished: Path, tmp_path: Path, copy: Database) -> Path:
    """An export of ``db``, with every table filled; the folder for ``copy`` is there."""
    copy.path.parent.mkdir()
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "out"


def edit_manifest(folder: Path, change: Edit) -> None:
    path = folder / manifest.NAME
    found = json.loads(path.read_text("utf-8"))
    change(found)
    path.write_text(json.dumps(found), "utf-8")


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rows_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, in their order, with plain DuckDB."""
    with duckdb.connect(str(path), read_only=True) as connection:
        names = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return {name: connection.execute(f"SELECT * FROM {quoted(name)}").fetchall() for name in names}


def rows_of_table(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT * FROM {quoted(table)}").fetchall()


def test_an_equal_database_comes_back(db: Database, copy: Database, exported: Path) -> None:
    done = import_database(copy, exported)
    before, after = rows_of(db.path), rows_of(copy.path)
    assert before == after
    assert all(before.values()), "a table has no rows: extend tests/filled.py"
    assert done.n_rows == sum(map(len, before.values())) - 1  # snql_objects is made anew
    with duckdb.connect() as connection:
        for name, path in (("a", db.path), ("b", copy.path)):
            connection.execute(f"ATTACH '{path}' AS {name} (READ_ONLY)")
        for table in before:
            for one, other in (("a", "b"), ("b", "a")):
                differ = f"SELECT count(*) FROM (FROM {one}.{table} EXCEPT ALL FROM {other}.{table})"
                assert connection.execute(differ).fetchall() == [(0,)], table
        objects = "SELECT view_name, sql FROM duckdb_views() WHERE NOT internal AND database_name = ? ORDER BY 1"
        views = [connection.execute(objects, [name]).fetchall() for name in ("a", "b")]
        assert views[0] == views[1] != []
    assert check(copy) == check(db) == []
    activations = "FROM token_activations WHERE run = 'located' ORDER BY ALL"
    assert copy.rows(activations) == db.rows(activations)
    assert len(copy.rows(activations)) == 4
    assert copy.rows("FROM top_neurons('located', 3)") == db.rows("FROM top_neurons('located', 3)")


def test_sequences_go_on_where_they_were(db: Database, copy: Database, exported: Path, tmp_path: Path) -> None:
    """Beyond the ids in the tables (up to 23), for runs were deleted; lower values in a manifest cannot collide."""
    with db.write() as connection:
        for sequence, n in (("run_ids", 40), ("prompt_ids", 50), ("set_ids", 60)):
            connection.execute(f"SELECT max(nextval('{sequence}')) FROM range({n})").fetchall()
    export_database(db, exported, force=True)
    import_database(copy, exported)
    export_database(copy, tmp_path / "again")  # unused since: the numbers must not be lost on the way
    again = Database(tmp_path / "again.duckdb")
    import_database(again, tmp_path / "again")
    for sequence in ("run_ids", "prompt_ids", "set_ids"):
        values = []
        for each in (db, copy, again):
            with each.write() as connection:
                values.append(connection.execute(f"SELECT nextval('{sequence}')").fetchall())
        assert values[0] == values[1] == values[2], sequence
        assert values[0] == [({"run_ids": 43, "prompt_ids": 51, "set_ids": 61}[sequence],)]
    edit_manifest(exported, lambda m: m.update(sequences=dict.fromkeys(m["sequences"], -5)))
    import_database(copy, exported, force=True)
    with copy.write() as connection:
        for sequence, table in (("run_ids", "runs"), ("prompt_ids", "prompts"), ("set_ids", "neuron_sets")):
            largest = max(row[0] for row in rows_of_table(connection, table))
            assert connection.execute(f"SELECT nextval('{sequence}')").fetchall() == [(largest + 1,)] == [(24,)]


def test_the_manifest_says_what_the_files_hold(db: Database, exported: Path) -> None:
    told = json.loads((exported / "manifest.json").read_text("utf-8"))
    assert told["schema_version"] == len(scripts.migrations())
    assert [m["sha256"] for m in told["migrations"]] == [script.sha256 for script in scripts.migrations()]
    files = {path.relative_to(exported).as_posix() for path in exported.rglob("*.parquet")}
    assert files == {t["file"] for t in told["tables"]} | {f"shards/{s['name']}" for s in told["shards"]}
    stored = rows_of(db.path)
    for table in told["tables"]:
        found = duckdb.execute("FROM read_parquet(?)", [str(exported / table["file"])]).fetchall()
        assert found == stored[table["name"]], table["name"]
        assert len(found) == table["rows"]
    codecs = duckdb.execute(
        "SELECT DISTINCT compression FROM parquet_metadata(?)", [str(exported / "tables/runs.parquet")]
    )
    assert codecs.fetchall() == [("ZSTD",)]


def test_tables_that_are_not_snqls_are_left_out_and_named(db: Database, tmp_path: Path) -> None:
    db.initialise()
    with duckdb.connect(str(db.path)) as connection:
        connection.execute('CREATE TABLE "mine; ../x" (y INTEGER)')
    assert export_database(db, tmp_path / "out").left_out == ("mine; ../x",)
    assert import_database(Database(tmp_path / "copy.duckdb"), tmp_path / "out").n_rows == len(scripts.migrations())


def test_tables_that_others_refer_to_come_first() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE z (i INTEGER PRIMARY KEY); CREATE TABLE m (i INTEGER PRIMARY KEY REFERENCES z (i));"
            "CREATE TABLE a (i INTEGER REFERENCES m (i))"
        )
        assert list(catalog.columns(connection)) == ["z", "m", "a"]


TAMPERED: dict[str, tuple[Edit, str]] = {
    "newer format": (lambda m: m.update(format=99), "format 99, newer than 1: upgrade snql"),
    "no format": (lambda m: m.update(format=-3), "format is -3"),
    "newer schema": (
        lambda m: m["migrations"].append({"number": 9999, "name": "9999_x", "sha256": "x"}),
        r"has schema version 9999, newer than this snql's \d+: upgrade",
    ),
    "edited migration": (lambda m: m["migrations"][0].update(sha256="x"), "another text of migration 0001_initial"),
    "no migrations": (lambda m: m.update(migrations=[], schema_version=0), "contradicts itself about its schema"),
    "fewer migrations": (
        lambda m: m.update(migrations=m["migrations"][:3], schema_version=3),
        "has other tables or columns than schema 3",
    ),
    "another schema version": (lambda m: m.update(schema_version=2), "contradicts itself"),
    "a path upwards": (lambda m: m["tables"][0].update(file="../../etc/passwd"), "no name that an export gives"),
    "an absolute path": (lambda m: m["tables"][0].update(file="/etc/passwd"), "no name that an export gives"),
    "a shard upwards": (lambda m: m["shards"][0].update(name="../1/0.parquet"), "no name that an export gives"),
    "an unknown table": (lambda m: m["tables"][0].update(name='x"; DROP TABLE runs; --'), "other tables or columns"),
    "a table twice": (lambda m: m["tables"].append(m["tables"][0]), "a table is there twice"),
    "a table less": (lambda m: m["tables"].pop(), "other tables or columns"),
    "another type": (lambda m: m["tables"][0]["columns"][0].update(type="VARCHAR"), "other tables or columns"),
    "another file": (
        lambda m: m["tables"][0].update({k: m["tables"][1][k] for k in ("file", "sha256", "rows")}),
        r"does not fit its table|has 3 rows",
    ),
    "another count": (lambda m: m["tables"][0].update(rows=999), "rows, not the 999 that were exported"),
    "a shard less": (lambda m: m["shards"].clear(), "other shards than the tables"),
    "an unknown sequence": (lambda m: m["sequences"].update({'x" START 1; --': 1}), "has other sequences"),
    "no number": (lambda m: m["tables"][0].update(rows="many"), "rows is 'many'"),
    "no list": (lambda m: m.update(tables={}), "tables is {}"),
    "no tables": (lambda m: m.pop("tables"), "tables is None"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_an_edited_manifest_is_refused_in_one_line(copy: Database, exported: Path, how: str) -> None:
    change, message = TAMPERED[how]
    edit_manifest(exported, change)
    with pytest.raises(SnqlError, match=message) as raised:
        import_database(copy, exported)
    assert "\n" not in str(raised.value)
    assert leftovers(copy.path.parent) == []


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format": 1}', "[" * 100_000])
def test_what_is_no_manifest_is_refused(copy: Database, exported: Path, text: str) -> None:
    (exported / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"is not JSON|is not a manifest as snql writes it"):
        import_database(copy, exported)


def test_missing_damaged_and_linked_files_are_refused(copy: Database, exported: Path, tmp_path: Path) -> None:
    for file in ("tables/runs.parquet", next(exported.glob("shards/*/*")).relative_to(exported).as_posix()):
        path, kept = exported / file, tmp_path / "kept"
        path.replace(kept)
        with pytest.raises(InputError, match=f"{file} is missing"):
            import_database(copy, exported)
        path.symlink_to(kept)
        with pytest.raises(InputError, match=f"{file} is missing"):
            import_database(copy, exported)
        path.unlink()
        data = bytearray(kept.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(InputError, match=f"{file} is not the file that was exported"):
            import_database(copy, exported)
        kept.replace(path)
    shutil.rmtree(exported)
    with pytest.raises(InputError, match=r"has no manifest\.json"):
        import_database(copy, exported)
    assert leftovers(copy.path.parent) == []


def test_a_shard_named_outside_its_folder_is_neither_exported_nor_imported(
    db: Database, copy: Database, exported: Path, tmp_path: Path
) -> None:
    """Also where the table's own rows name it: the file and its hash in the manifest agree."""
    chunks = exported / "tables/activation_chunks.parquet"
    evil = tmp_path / "evil.parquet"
    query = "COPY (SELECT * REPLACE (CASE WHEN file IS NOT NULL THEN '../../x.parquet' END AS file) FROM '{}') TO '{}'"
    duckdb.execute(query.format(chunks, evil))
    evil.replace(chunks)
    sha256 = manifest.hashed(chunks)
    edit_manifest(
        exported, lambda m: [t.update(sha256=sha256) for t in m["tables"] if t["name"] == "activation_chunks"]
    )
    with pytest.raises(InputError, match="has other shards than the tables"):
        import_database(copy, exported)
    with db.write() as connection:
        connection.execute("UPDATE activation_chunks SET file = '../../x.parquet' WHERE file IS NOT NULL")
    with pytest.raises(DatabaseError, match="which snql never does"):
        export_database(db, tmp_path / "other")


def test_an_export_of_an_older_schema_is_migrated(
    db: Database, copy: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database that comes back is the one that migrating the exported database gives."""
    older = scripts.migrations()[:4]
    with monkeypatch.context() as then:
        then.setattr(scripts, "migrations", lambda: older)
        then.setattr(migrate, "refresh_objects", lambda _: False)
        then.setattr(migrate, "objects_current", lambda _: True)
        then.setattr(shards, "selection", lambda *_: ("", []))
        then.setattr(transfer, "_shard_names", lambda *_: [])
        db.initialise()
        with duckdb.connect(str(db.path)) as connection:
            fill(connection)
        export_database(db, tmp_path / "old")
    copy.path.parent.mkdir()
    applied = import_database(copy, tmp_path / "old").applied
    assert list(applied) == [script.name for script in scripts.migrations()[4:]] == db.initialise()
    found, wanted = rows_of(copy.path), rows_of(db.path)
    for rows in (found, wanted):
        rows["snql_migrations"] = [row[:3] for row in rows["snql_migrations"]]  # not when they were applied
        rows["activation_chunks"].sort()  # migration 5 makes them in no order
    assert found == wanted
    assert found["activation_rows"]


def test_a_database_that_holds_something_is_replaced_only_with_force(
    db: Database, copy: Database, exported: Path
) -> None:
    run_id = fill_database(copy)
    (copy.path.parent / "copy.duckdb.staging" / "7").mkdir(parents=True)
    with copy.write() as connection:
        connection.execute("UPDATE runs SET name = 'other' WHERE run_id = ?", [run_id])
    with pytest.raises(InputError, match="holds data already: name a new file with `db`, or replace it with `force`"):
        import_database(copy, exported)
    assert copy.rows("SELECT count(*) FROM runs WHERE name = 'other'") == [(1,)]
    import_database(copy, exported, force=True)
    assert rows_of(copy.path) == rows_of(db.path)
    assert leftovers(copy.path.parent) == ["copy.duckdb", "copy.duckdb.shards"]
    assert check(copy) == []


def test_an_empty_database_is_filled(db: Database, copy: Database, exported: Path) -> None:
    copy.initialise()
    import_database(copy, exported)
    assert rows_of(copy.path) == rows_of(db.path)


def test_files_of_a_database_that_is_gone_are_not_taken_over(copy: Database, exported: Path) -> None:
    shutil.copytree(exported / "shards", shards.folder_of(copy.path, 1).parent)
    with pytest.raises(InputError, match=r"copy\.duckdb\.shards is there without its database"):
        import_database(copy, exported)
    import_database(copy, exported, force=True)
    assert check(copy) == []


def test_no_other_file_is_replaced(copy: Database, exported: Path) -> None:
    copy.path.write_text("a thesis " * 1000)
    for force in (False, True):
        with pytest.raises(DatabaseError, match="is not a DuckDB database"):
            import_database(copy, exported, force=force)
    assert copy.path.read_text().startswith("a thesis")


def test_an_export_replaces_only_an_export(db: Database, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds an exported database: name another folder, or replace it with `force`"):
        export_database(db, exported)
    (exported / "tables" / "stray.parquet").touch()
    export_database(db, exported, force=True)
    assert not (exported / "tables" / "stray.parquet").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "notes").touch()
    with pytest.raises(InputError, match="exists and is no exported database"):
        export_database(db, mine, force=True)
    with pytest.raises(InputError, match="no folder .*missing to hold"):
        export_database(db, tmp_path / "missing" / "out")
    with pytest.raises(DatabaseError, match="no database at"):
        export_database(Database(tmp_path / "no.duckdb"), tmp_path / "out2")
    assert leftovers(tmp_path) == ["elsewhere", "mine", "out", "test.duckdb", "test.duckdb.shards"]


def test_a_failure_half_way_leaves_nothing(
    db: Database, copy: Database, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = leftovers(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(transfer, "_copy", full)
        with pytest.raises(RunError, match=r"new cannot be written \(No space left on device\)"):
            export_database(db, tmp_path / "new")
        with pytest.raises(RunError, match=r"copy\.duckdb cannot be written"):
            import_database(copy, exported)
    shards.path_of(db.path, next(exported.glob("shards/*/*")).relative_to(exported / "shards").as_posix()).unlink()
    with pytest.raises(DatabaseError, match="the shard .* is missing: put it back"):
        export_database(db, tmp_path / "new")
    assert leftovers(tmp_path) == before
    assert leftovers(copy.path.parent) == []


@pytest.mark.parametrize(
    ("verb", "how"),
    [
        ("import_database", signal.SIGKILL),
        ("export_database", signal.SIGINT),
        pytest.param("export_database", signal.SIGKILL, marks=EACH),
        pytest.param("import_database", signal.SIGINT, marks=EACH),
    ],
)
def test_a_killed_process_leaves_nothing_that_counts(
    db: Database, copy: Database, exported: Path, tmp_path: Path, verb: str, how: signal.Signals
) -> None:
    """It is stopped while it copies the shards, after the tables; what SIGKILL leaves goes with the next try."""
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from snql.db import transfer\nfrom snql.db.connection import Database\n"
        "def wait(*_): print('here', flush=True); time.sleep(60)\ntransfer._copy = wait\n"
        f"transfer.{verb}(Database(sys.argv[1]), Path(sys.argv[2]))"
    )
    path, folder = (db.path, tmp_path / "new") if verb == "export_database" else (copy.path, exported)
    program = [sys.executable, "-c", script, str(path), str(folder)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "here\n"
        time.sleep(0.05)
        os.kill(other.pid, how)
    assert not copy.path.exists()
    assert not (tmp_path / "new").exists()
    if how is signal.SIGINT:
        assert leftovers(copy.path.parent) == []
        assert "new" not in " ".join(leftovers(tmp_path))
    export_database(db, tmp_path / "new")
    import_database(copy, tmp_path / "new")
    assert rows_of(copy.path) == rows_of(db.path)
    assert leftovers(copy.path.parent) == ["copy.duckdb", "copy.duckdb.shards"]
    assert leftovers(tmp_path) == ["elsewhere", "new", "out", "test.duckdb", "test.duckdb.shards"]


def test_a_relation_that_is_open_elsewhere_is_named(db: Database, tmp_path: Path) -> None:
    db.initialise()
    other = Database(db.path)
    relation = other.sql("SELECT 1")
    with pytest.raises(DatabaseError, match="is open elsewhere in this Python process"):
        export_database(db, tmp_path / "out")
    assert relation.fetchall() == [(1,)]
    other.close()
    export_database(db, tmp_path / "out")
