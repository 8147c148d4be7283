"""Files that are damaged, or no databases at all: one line each, nothing is changed, and nothing is fetched."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from snql.db.check import check
from snql.db.connection import Database
from snql.db.run_list import list_runs
from snql.errors import DatabaseError
from snql.querying.execute import query

_LOG = """
import duckdb, os, sys
made = duckdb.connect(sys.argv[1])
made.execute("PRAGMA disable_checkpoint_on_shutdown")
made.execute("SET wal_autocheckpoint = '1TB'")
made.execute("CREATE TABLE extra AS SELECT range AS a FROM range(100)")
os._exit(0)
"""


@pytest.fixture
def large(db: Database) -> Path:
    """A database of several blocks."""
    with db.write() as connection:
        connection.execute("CREATE TABLE many AS SELECT range AS a, hash(range) AS b FROM range(200_000)")
    db.close()
    return db.path


def everything(path: Path) -> list[str]:
    """What reading the whole file, listing its runs, checking it and migrating it say; nothing where they work."""
    said = []
    for work in (
        lambda own: query(own, "SELECT sum(a), bit_xor(b) FROM many"),
        list_runs,
        check,
        lambda own: own.frame("FROM many"),
        lambda own: own.initialise(),
    ):
        try:
            with Database(path) as own:
                work(own)
        except DatabaseError as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize("share", [0.001, 0.3, 0.6, 0.9])
def test_a_file_that_was_cut_short(large: Path, share: float) -> None:
    whole = large.read_bytes()
    assert everything(large) == []
    large.write_bytes(whole[: int(len(whole) * share)])
    said = everything(large)
    assert said
    assert set(said) == {
        f"{large} is damaged (it ends before its last block, as after a full disk or a copy that was "
        "cut off): restore it from a copy"
    }


def test_a_damaged_log_is_named(large: Path) -> None:
    subprocess.run([sys.executable, "-c", _LOG, str(large)], check=True)
    log = large.with_name(large.name + ".wal")
    torn = bytearray(log.read_bytes())
    torn[500:560] = bytes(byte ^ 0x55 for byte in torn[500:560])
    log.write_bytes(torn)
    said = everything(large)
    assert len(said) == 5
    assert all(line.startswith(f"{log}, the log of what was written last, is damaged: move it away") for line in said)
    log.rename(large.with_name("away"))
    assert everything(large) == []


def test_a_block_that_was_overwritten(large: Path) -> None:
    torn = bytearray(large.read_bytes())
    torn[12288:] = os.urandom(len(torn) - 12288)
    large.write_bytes(torn)
    assert set(everything(large)) == {
        f"{large} is damaged (a block does not have its checksum): restore it from a copy"
    }


def test_other_files_are_no_databases_and_nothing_is_fetched(tmp_path: Path) -> None:
    other = tmp_path / "lite.db"
    made = sqlite3.connect(other)
    made.execute("CREATE TABLE t (a)")
    made.commit()
    made.close()
    before = other.read_bytes()
    assert set(everything(other)) == {f"{other} is an SQLite database, not a DuckDB one: name another file with `db`"}
    assert other.read_bytes() == before
    text = tmp_path / "text.db"
    text.write_text("prompt\n" * 100, "utf-8")
    assert set(everything(text)) == {f"{text} is not a DuckDB database: name another file with `db`"}
