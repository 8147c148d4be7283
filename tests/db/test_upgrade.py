"""Databases of every earlier schema version, with rows in every table: nothing that was put in is lost or changed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import pytest

from snql.db import migrate, scripts
from snql.db.check import check
from snql.db.connection import Database
from snql.errors import DatabaseError
from tests import ready_made
from tests.db import filled
from tests.db.filled import Row, fill

LAST = len(scripts.migrations())
OFTEN = (1, 9, LAST - 1, LAST)
"""The first, one that made tables anew, and the newest."""
SLOW = pytest.mark.slow("versions between: the same migrations, on rows of some tables more")
VERSIONS = [pytest.param(n, marks=[] if n in OFTEN else SLOW) for n in range(1, LAST + 1)]
SINCE = {"batch": 5, "kept_set_id": 5, "donor_ids": 6, "unpatched_ids": 6, "notes": 13}
"""Columns that were added, with the version that did: NULL in rows that are older."""


def made_by_version(db: Database, version: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Row]]:
    """Make a database of an earlier version, with rows in all of its tables."""
    first = scripts.migrations()[:version]
    with duckdb.connect(str(db.path)) as connection, monkeypatch.context() as older:
        older.setattr(scripts, "migrations", lambda: first)
        older.setattr(migrate, "refresh_objects", lambda _: False)
        migrate.migrate(connection, db.path)
        inserted = fill(connection)
        made = migrate.tables(connection) - {"snql_migrations", "snql_objects"}
        assert inserted.keys() == made
        assert all(inserted.values())
    return inserted


def shown(db: Database, source: str, columns: Iterable[str]) -> list[Any]:
    return sorted(db.rows(f"SELECT {', '.join(columns)} FROM {source}"), key=str)


def put_in(rows: Iterable[Row], columns: Iterable[str]) -> list[Any]:
    return sorted((tuple(row[column] for column in columns) for row in rows), key=str)


@dataclass(frozen=True)
class Upgraded:
    """A database that had ``version`` when ``rows`` were put into it, and is current now."""

    version: int
    db: Database
    rows: dict[str, list[Row]]


@pytest.fixture(scope="module", params=VERSIONS)
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    version = int(request.param)
    with Database(tmp_path_factory.mktemp("db") / "old.duckdb") as db:
        with ready_made.from_scratch(), pytest.MonkeyPatch.context() as monkeypatch:
            inserted = made_by_version(db, version, monkeypatch)
        assert db.initialise() == [script.name for script in scripts.migrations()[version:]]
        yield Upgraded(version, db, inserted)


def test_what_was_put_in_is_there(upgraded: Upgraded) -> None:
    with upgraded.db.reading():
        for table, rows in upgraded.rows.items():
            columns = [name for (name, *_) in upgraded.db.rows(f"DESCRIBE {table}")]
            added = {name: None for name in columns if upgraded.version < SINCE.get(name, 0)}
            assert shown(upgraded.db, table, columns) == put_in(({**row, **added} for row in rows), columns), table


def test_users_read_what_was_put_in(upgraded: Upgraded) -> None:
    names = {run_id: name for run_id, (name, *_) in filled.RUNS.items()}
    statistics = [{**row, "run": names[row["run_id"]]} for row in upgraded.rows["neuron_statistics"]]
    columns = ["run", "layer", "expert", "neuron", "score", "rank", "mean_before", "std_after", "n_tokens"]
    assert shown(upgraded.db, "neuron_scores", columns) == put_in(statistics, columns)

    kept = [
        {**row, "run": names[row["run_id"]], "token": f"t{row['position']}"} for row in upgraded.rows["activation_rows"]
    ]
    columns = ["run", "prompt_id", "position", "token", "layer", "expert", "neuron", "before", "after"]
    assert shown(upgraded.db, "token_activations", columns) == put_in(kept, columns)

    variants = {(row["run_id"], row["variant_id"]): row for row in upgraded.rows["variants"]}
    found = []
    for row in upgraded.rows["completions"]:
        variant = variants[row["run_id"], row["variant_id"]]
        found.append({**row, "variant": variant["name"], "dataset": filled.DATASETS[row["prompt_id"]]})
    columns = ["run_id", "variant", "prompt_id", "dataset", "text", "token_ids", "sample"]
    assert shown(upgraded.db, "run_completions", columns) == put_in(found, columns)

    effects = []
    for row in upgraded.rows["effects"]:
        variant = variants[row["run_id"], row["variant_id"]]
        controlled = variants.get((row["run_id"], variant["control_of"]), {"name": None})
        more = {"variant": variant["name"], "control_kind": variant["control_kind"], "control_of": controlled["name"]}
        effects.append({**row, **more})
    columns = ["run_id", "variant", "judge", "dataset", "effect", "gap", "control_kind", "control_of"]
    assert shown(upgraded.db, "causal_effects", columns) == put_in(effects, columns)


def test_nothing_is_amiss(upgraded: Upgraded) -> None:
    assert check(upgraded.db) == []


def test_the_schema_is_that_of_a_new_database(upgraded: Upgraded) -> None:
    columns = "table_name, column_name, data_type, is_nullable, column_default, comment"
    query = f"SELECT {columns} FROM duckdb_columns() ORDER BY ALL"
    keys = "SELECT table_name, constraint_type, constraint_column_names FROM duckdb_constraints() ORDER BY ALL"
    new = Database(upgraded.db.path.with_name("new.duckdb"))
    new.initialise()
    for each in (query, keys):
        assert upgraded.db.rows(each) == new.rows(each)


def test_the_current_version_can_be_written_again(upgraded: Upgraded) -> None:
    """Keys hold, and rows can be taken out and put in again in one transaction."""
    with pytest.raises(duckdb.ConstraintException), upgraded.db.write() as connection:
        connection.execute("INSERT INTO variants SELECT * FROM variants LIMIT 1")
    before = upgraded.db.rows("SELECT * FROM completions ORDER BY ALL")
    with upgraded.db.write() as connection:
        connection.execute("CREATE TEMP TABLE taken AS FROM completions")
        for _ in range(2):
            connection.execute("DELETE FROM completions; INSERT INTO completions FROM taken")
    assert upgraded.db.rows("SELECT * FROM completions ORDER BY ALL") == before


def test_rows_that_are_there_twice(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    before_keys = next(script.number for script in scripts.migrations() if script.name == "0008_keys") - 1
    made_by_version(db, before_keys, monkeypatch)
    with duckdb.connect(str(db.path)) as connection:
        connection.execute("INSERT INTO variants SELECT * FROM variants LIMIT 1")
    with pytest.raises(
        DatabaseError, match=r"migration 0008_keys does not allow \(ALTER TABLE variants ADD PRIMARY KEY"
    ):
        db.initialise()
    with duckdb.connect(str(db.path)) as connection:
        assert migrate.check(connection, db.path) == len(scripts.migrations()) - before_keys
        keys = "SELECT table_name FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY'"
        assert ("run_models",) not in connection.execute(keys).fetchall()
