"""The ledger: what is applied is recorded, and databases that do not fit are refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from snql.db import migrate, scripts
from snql.db.check import check
from snql.db.connection import Database
from snql.errors import DatabaseError
from tests.db.filled import fill


def edit(db: Database, sql: str) -> None:
    with duckdb.connect(str(db.path)) as connection:
        connection.execute(sql)


@pytest.mark.usefixtures("from_scratch")
def test_initialise_records_every_migration(db: Database) -> None:
    assert db.initialise() == [script.name for script in scripts.migrations()]
    assert db.initialise() == []
    ledger = db.rows("SELECT number, name, sha256 FROM snql_migrations ORDER BY number")
    assert ledger == [(script.number, script.name, script.sha256) for script in scripts.migrations()]


def test_every_view_and_macro_is_created_and_answers(db: Database) -> None:
    db.initialise()
    with db.reading():
        made = {name for (name,) in db.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal")}
        macros = {name for (name,) in db.rows("SELECT function_name FROM duckdb_functions() WHERE NOT internal")}
        assert {script.name for script in scripts.objects()} == made | macros
        for view in made:
            db.rows(f"SELECT * FROM {view}")
        db.rows("FROM top_neurons('x', 3)")
        db.rows("FROM layer_histogram('x', 3)")
        assert db.rows("SELECT overlap_at('x', 'y', 3)") == [(None,)]


def test_reading_never_creates_a_file(db: Database) -> None:
    with pytest.raises(DatabaseError, match=r"no database at .*test.duckdb: run `snql demo`"):
        db.rows("SELECT 1")
    assert not db.path.exists()


def test_a_newer_database_is_refused(db: Database) -> None:
    db.initialise()
    edit(db, "INSERT INTO snql_migrations VALUES (9999, '9999_later', 'x', now()::TIMESTAMP)")
    with pytest.raises(DatabaseError, match="has schema version 9999, newer than this snql's"):
        db.rows("SELECT 1")


def test_an_edited_migration_is_refused(db: Database) -> None:
    db.initialise()
    edit(db, "UPDATE snql_migrations SET sha256 = 'x' WHERE number = 1")
    with pytest.raises(DatabaseError, match="another text of migration 0001_initial"), db.write():
        pass


def test_a_renamed_migration_is_refused(db: Database) -> None:
    db.initialise()
    edit(db, "UPDATE snql_migrations SET name = '0001_other' WHERE number = 1")
    with pytest.raises(DatabaseError, match="records migration 1 as '0001_other'"):
        db.initialise()


def test_an_older_database_asks_for_migration(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    db.initialise()
    later = scripts.Script(f"{len(scripts.migrations()) + 1:04d}_more", "CREATE TABLE more (x INTEGER)")
    both = (*scripts.migrations(), later)
    monkeypatch.setattr(scripts, "migrations", lambda: both)
    with pytest.raises(DatabaseError, match="older schema: run `snql --db .* db migrate`"):
        db.rows("SELECT 1")
    with pytest.raises(DatabaseError, match="older schema"), db.write():
        pass
    assert db.initialise() == [later.name]
    assert db.rows("SELECT count(*) FROM more") == [(0,)]


def test_a_migration_that_fails_leaves_no_trace(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    db.initialise()
    n_sound = len(scripts.migrations())
    broken = scripts.Script(f"{n_sound + 1:04d}_broken", "CREATE TABLE half (x INTEGER); SELECT nothing")
    both = (*scripts.migrations(), broken)
    monkeypatch.setattr(scripts, "migrations", lambda: both)
    with pytest.raises(duckdb.Error):
        db.initialise()
    monkeypatch.undo()
    assert "half" not in {name for (name,) in db.rows("SELECT table_name FROM duckdb_tables()")}
    assert db.rows("SELECT max(number) FROM snql_migrations") == [(n_sound,)]


@pytest.mark.parametrize(
    "names", [("0001_a", "0003_b"), ("0001_a", "0001_b"), ("0002_a",), ("first",)], ids=["gap", "twice", "late", "name"]
)
def test_shipped_migrations_must_be_numbered_in_order(names: tuple[str, ...]) -> None:
    with pytest.raises(DatabaseError, match="should have number"):
        scripts.check_numbering(tuple(scripts.Script(name, "") for name in names))


def test_a_foreign_database_is_refused(db: Database) -> None:
    edit(db, "CREATE TABLE theirs (x INTEGER)")
    for use in (lambda: db.rows("SELECT 1"), db.initialise):
        with pytest.raises(DatabaseError, match="is a DuckDB database but not one of snql's"):
            use()
    with duckdb.connect(str(db.path)) as connection:
        assert migrate.tables(connection) == {"theirs"}


def test_a_file_that_is_no_database(db: Database) -> None:
    db.path.write_text("hello " * 2000)
    with pytest.raises(DatabaseError, match="is not a DuckDB database: name another file with `db`"):
        db.rows("SELECT 1")
    with pytest.raises(DatabaseError, match="is not a DuckDB database"), db.write():
        pass


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="no folder .*missing to hold the database"):
        Database(tmp_path / "missing" / "x.duckdb").initialise()


def test_views_are_the_same_in_every_process() -> None:
    ask = "from snql.db import scripts; print(scripts.objects_sha256(), [script.name for script in scripts.objects()])"
    answers = {
        subprocess.run(
            [sys.executable, "-c", ask], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(answers) == 1


def test_views_of_another_snql_are_refused(db: Database) -> None:
    db.initialise()
    edit(db, "UPDATE snql_objects SET sha256 = 'old'")
    with pytest.raises(DatabaseError, match="has the views of another snql: run `snql --db .* db migrate`"):
        db.rows("SELECT 1")
    assert db.initialise() == []
    assert db.rows("SELECT 1") == [(1,)]


def test_changed_views_are_replaced_by_the_next_write(db: Database) -> None:
    db.initialise()
    edit(db, "DROP VIEW neuron_scores; UPDATE snql_objects SET sha256 = 'old'")
    with db.write():
        pass
    assert db.rows("SELECT count(*) FROM neuron_scores") == [(0,)]


def test_a_write_that_fails_is_rolled_back(db: Database) -> None:
    db.initialise()

    def half_way() -> None:
        with db.write() as connection:
            connection.execute("INSERT INTO judges VALUES ('x', 'x', '1', '{}')")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        half_way()
    assert db.rows("SELECT count(*) FROM judges") == [(0,)]


def test_readers_can_neither_write_nor_reach_files(db: Database) -> None:
    db.initialise()
    for sql, message in (
        ("CREATE TABLE x (y INTEGER)", "read-only"),
        ("SELECT * FROM read_csv('/etc/hosts')", "file system operations are disabled"),
        ("COPY runs TO 'x.csv'", "file system operations are disabled"),
        ("SET enable_external_access = true", "locked"),
        ("ATTACH 'other.duckdb'", "disabled"),
    ):
        with pytest.raises(duckdb.Error, match=message):
            db.rows(sql)


def test_waiting_for_a_lock_and_giving_up(db: Database) -> None:
    db.initialise()
    hold = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(1.5)"
    with subprocess.Popen([sys.executable, "-c", hold, str(db.path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(DatabaseError, match="is locked by another program"):
            Database(db.path, lock_timeout=0.1).rows("SELECT 1")
        assert db.rows("SELECT 1") == [(1,)]


def test_duckdb_1_5_reads_the_file(db: Database) -> None:
    """A table, a view, a macro and the descriptions, with rows and keys in the file."""
    with db.write() as connection:
        fill(connection)
    top = "SELECT layer, neuron, score, rank FROM top_neurons('safety', 2) ORDER BY rank"
    effect = "SELECT effect FROM causal_effects WHERE run = 'again' AND variant = 'safety:10%' AND dataset = '*'"
    kept = "SELECT count(*) FROM token_activations WHERE run = 'experts'"
    steps = "SELECT count(*) FROM judgements JOIN completions USING (run_id, variant_id, prompt_id, sample)"
    comment = "SELECT comment FROM duckdb_columns() WHERE table_name = 'neuron_scores' AND column_name = 'run'"
    about = "SELECT comment FROM duckdb_functions() WHERE function_name = 'overlap_at'"
    for query in (top, effect, kept, steps, comment, about):
        assert read_by_1_5(db, query) == db.frame(query).to_dicts()
    assert db.rows(kept) == [(20,)]
    with db.write() as connection:  # an index that was changed after it was made
        connection.execute("DELETE FROM completions WHERE run_id = 5 AND sample = 1")
    assert read_by_1_5(db, steps) == db.frame(steps).to_dicts()


def read_by_1_5(db: Database, query: str) -> list[dict[str, object]]:
    """What DuckDB's command-line program of version 1.5 answers."""
    program = Path(sys.executable).with_name("duckdb")
    done = subprocess.run(
        [program, db.path, "-readonly", "-json", "-c", f"SELECT version() AS v; {query}"],
        capture_output=True,
        text=True,
        check=True,
    )
    version, rows = done.stdout.split("]", 1)
    assert '"v":"v1.5.' in version
    found: list[dict[str, object]] = json.loads(rows)
    return found


def test_token_activations_of_an_older_database_are_kept(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to schema 4 they named their prompt and position; since then they name a token of their run."""
    first = scripts.migrations()[:4]
    with duckdb.connect(str(db.path)) as connection, monkeypatch.context() as older:
        older.setattr(scripts, "migrations", lambda: first)
        older.setattr(migrate, "refresh_objects", lambda _: False)
        migrate.migrate(connection, db.path)
        for run_id, name, prompts in ((1, "a", (7, 9)), (2, "b", (9, 11))):
            connection.execute(
                "INSERT INTO runs VALUES (?, ?, 'locate', 'done', now()::TIMESTAMP, now()::TIMESTAMP, NULL, '{}',"
                " sha256('{}'),"
                " '0.1', NULL, '{}', 'x', 'cpu', 'float32', 0, NULL)",
                [run_id, name],
            )
            for prompt in reversed(prompts):
                connection.execute(
                    "INSERT OR IGNORE INTO prompts VALUES ($1, 'set', 'text', 's' || $1, NULL, NULL)", [prompt]
                )
                connection.execute("INSERT INTO run_prompts VALUES (?, ?, 0, 'text', [1])", [run_id, prompt])
                for position in (5, 4):
                    token = [run_id, prompt, position]
                    connection.execute("INSERT INTO scored_tokens VALUES (?, ?, ?, 3, 'tok')", token)
                    for layer, neuron in ((1, 2), (0, 8)):
                        values = [*token, layer, neuron, run_id + prompt + position + layer, -neuron]
                        connection.execute("INSERT INTO activation_rows VALUES (?, ?, ?, ?, NULL, ?, ?, ?)", values)
    assert db.initialise() == [script.name for script in scripts.migrations()[4:]]
    columns = "run, prompt_id, position, layer, neuron, before, after, token_id, token"
    found = db.rows(f"SELECT {columns} FROM token_activations ORDER BY ALL")
    assert found == [
        (run, prompt, position, layer, neuron, run_id + prompt + position + layer, -neuron, 3, "tok")
        for run_id, run, prompts in ((1, "a", (7, 9)), (2, "b", (9, 11)))
        for prompt in prompts
        for position in (4, 5)
        for layer, neuron in ((0, 8), (1, 2))
    ]
    indices = "SELECT run_id, list(token_index ORDER BY prompt_id, position) FROM scored_tokens GROUP BY 1 ORDER BY 1"
    assert db.rows(indices) == [(1, [0, 1, 2, 3]), (2, [0, 1, 2, 3])]
    assert check(db) == []


def test_patch_runs_of_an_older_database_are_kept(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to schema 5 there was one sample, one kind of control, and always a donor."""
    first = scripts.migrations()[:5]
    with duckdb.connect(str(db.path)) as connection, monkeypatch.context() as older:
        older.setattr(scripts, "migrations", lambda: first)
        older.setattr(migrate, "refresh_objects", lambda _: False)
        migrate.migrate(connection, db.path)
        connection.execute(
            "INSERT INTO runs VALUES (1, 'p', 'patch', 'done', now()::TIMESTAMP, now()::TIMESTAMP, NULL, '{}',"
            " sha256('{}'),"
            " '0.1', NULL, '{}', 'x', 'cpu', 'float32', 0, NULL, NULL, NULL, NULL)"
        )
        connection.execute("INSERT INTO prompts VALUES (7, 'set', 'Hello', 'sha', NULL, NULL)")
        connection.execute("INSERT INTO run_prompts VALUES (1, 7, 0, 'Hello', [1, 2], NULL)")
        connection.execute("INSERT INTO judges VALUES ('j', 'test', '1', '{}')")
        for variant, name, role, control_of, seed in (
            (0, "recipient", "recipient", None, None),
            (1, "donor", "donor", None, None),
            (2, "a:5%", "patched", None, None),
            (3, "random(a:5%, seed=1)", "patched", 2, 1),
        ):
            row = [variant, name, role, None, None, 4, 0.1, control_of, seed]
            connection.execute("INSERT INTO variants VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            connection.execute("INSERT INTO completions VALUES (1, ?, 7, 'text', [3, 4], 'length')", [variant])
            connection.execute("INSERT INTO judgements VALUES (1, ?, 7, 'j', ?)", [variant, variant / 2])
            if role == "patched":
                effect = "(1, ?, 'j', 'set', 1, 0, 1, 0.5, 1, 1, 1, 0.5, 0.5, 0.5, ?, 0.4, 0.6, 0.95, 2000, 0)"
                connection.execute(f"INSERT INTO effects VALUES {effect}", [variant, variant / 4])
    assert db.initialise() == [script.name for script in scripts.migrations()[5:]]
    columns = "variant, sample, token_ids, donor_ids, unpatched_ids"
    assert db.rows(f"SELECT {columns} FROM run_completions WHERE variant = 'a:5%'") == [("a:5%", 0, [3, 4], None, None)]
    assert db.rows("SELECT variant_id, sample, score FROM judgements ORDER BY 1") == [
        (variant, 0, variant / 2) for variant in range(4)
    ]
    found = db.rows(
        "SELECT variant, effect, gap, control_kind, control_of, n_controls FROM causal_effects ORDER BY ALL"
    )
    assert found == [("a:5%", 0.5, 1, None, None, None), ("random(a:5%, seed=1)", 0.75, 1, "matched", "a:5%", None)]
    assert db.rows("SELECT variant, n_controls FROM figure_effects") == [("a:5%", 1)]
    assert db.rows("SELECT DISTINCT changed, agrees FROM patch_steps") == [(None, None)]
    with db.write() as connection:
        connection.execute("UPDATE effects SET gap = NULL, mean_donor = NULL")
    made_up = "effects are not those that its judgements give"
    assert [found for found in check(db) if made_up not in found.what] == []


def test_reading_waits_for_nobody_and_keeps_nobody(db: Database) -> None:
    """A query leaves the file free; a relation, and the block of ``reading``, hold it until they end."""
    db.initialise()
    other = [sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1]).close()", str(db.path)]

    def free() -> bool:
        return subprocess.run(other, capture_output=True).returncode == 0

    db.rows("SELECT 1")
    db.frame("SELECT 1")
    assert free()
    with db.reading():
        db.rows("SELECT 1")
        assert not free()
    assert free()
    relation = db.sql("SELECT 1")
    db.rows("SELECT 1")
    assert not free()
    assert relation.fetchall() == [(1,)]
    db.close()
    assert free()
