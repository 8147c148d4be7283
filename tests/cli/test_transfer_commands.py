"""``snql db export`` and ``snql db import`` as a user runs them."""

from pathlib import Path

from snql.db.connection import Database

from ..filled import fill_database
from .conftest import Snql


def test_export_and_import(snql: Snql, tmp_path: Path) -> None:
    fill_database(Database(tmp_path / "snql.duckdb"))
    done = snql("db", "export", "out")
    assert (done.code, done.out) == (0, "")
    assert "snql.duckdb is exported to out: " in done.err
    assert " tables, 1 shards\n" in done.err
    done = snql("db", "export", "out")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "replace it with --force" in done.err
    assert snql("db", "export", "out", "--force").code == 0
    done = snql("--db", "copy.duckdb", "db", "import", "out")
    assert done.code == 0
    assert "copy.duckdb is made from out: " in done.err
    assert snql("--db", "copy.duckdb", "db", "check").code == 0
    done = snql("--db", "copy.duckdb", "db", "import", "out")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "holds data already" in done.err
    done = snql("--quiet", "--db", "copy.duckdb", "db", "import", "out", "--force")
    assert (done.code, done.err) == (0, "")
    done = snql("--db", "other.duckdb", "db", "import", "nowhere")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert not (tmp_path / "other.duckdb").exists()
