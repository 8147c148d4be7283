"""``snql db export``, ``import`` and ``import-scores`` as a user runs them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from snql.db.connection import Database

from ..filled import fill_database
from .conftest import Snql


def test_export_and_import(snql: Snql, tmp_path: Path) -> None:
    fill_database(Database(tmp_path / "snql.duckdb"))
    done = snql("db", "export", "out")
    assert (done.code, done.out) == (0, "")
    assert "snql.duckdb is exported to out: " in done.err
    assert " tables, 2 shards\n" in done.err
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


def test_import_scores(snql: Snql, tmp_path: Path) -> None:
    scores = torch.tensor([[1.0, 3.0, 2.0]])
    ranks = torch.tensor([[0, 1], [0, 2], [0, 0]])
    torch.save((scores, ranks, scores, scores, scores, scores), tmp_path / "x.pt")
    done = snql("db", "import-scores", "x.pt", "theirs", "--before", "sft", "--after", "dpo", "--layers", "2")
    assert (done.code, done.out) == (0, "")
    assert done.err == (
        "locate run theirs, marked imported: 3 neurons ranked of 2x3 (layers x neurons), from x.pt (change_scores)\n"
    )
    done = snql("--json", "query", "SELECT run, n_ranked, n_all, n_tokens, before, after FROM locate_runs")
    assert json.loads(done.out) == [
        {"run": "theirs", "n_ranked": 3, "n_all": 6, "n_tokens": None, "before": "sft", "after": "dpo"}
    ]
    (tmp_path / "few.csv").write_text("layer,neuron,score\n0,0,3\n0,1,5\n")
    done = snql("db", "import-scores", "few.csv", "few")
    assert "all that it names; if it has more, say so with --like RUN, or --layers and --neurons\n" in done.err
    rows = [line.split("│") for line in snql("runs").out.splitlines() if "│ locate" in line]
    assert [(row[2].strip(), row[4].strip()) for row in rows] == [("theirs", "x.pt"), ("few", "few.csv")]
    assert "Made with" in snql("show", "few").out
    (tmp_path / "x.pt").write_text("text")
    done = snql("db", "import-scores", "x.pt", "other")
    assert (done.code, done.err.count("\n")) == (2, 1)


HELD = """
import sys
from snql.db import transfer
from snql.cli.app import run
def held(*given):
    copied(*given)
    print("here", flush=True)
    sys.stdin.readline()
copied, transfer._copy = transfer._copy, held
sys.exit(run(sys.argv[1:]))
"""
"""Waits for a line after each copied shard."""


@contextmanager
def held(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``snql ARGUMENTS`` in another process, which waits in the middle of its copying."""
    program = [sys.executable, "-c", HELD, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "here\n"
        yield other


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("verb", ["export", pytest.param("import", marks=pytest.mark.slow("as with export"))])
def test_two_at_once_do_not_disturb_each_other(snql: Snql, tmp_path: Path, verb: str) -> None:
    fill_database(Database(tmp_path / "snql.duckdb"))
    assert snql("db", "export", "out").code == 0
    arguments = ("db", "export", "new") if verb == "export" else ("--db", "new.duckdb", "db", "import", "out")
    with held(*arguments) as other:
        assert len(hidden(tmp_path)) == 1
        assert snql(*arguments).code == 0
        assert len(hidden(tmp_path)) == 1, "the folder of a process that lives is its own"
        _, err = other.communicate("\n" * 9)
    assert (other.returncode, err.count("\n")) == (2, 1)
    assert "replace it with --force" in err
    assert hidden(tmp_path) == []
    if verb == "export":
        assert snql("--db", "new.duckdb", "db", "import", "new").code == 0
    assert snql("--db", "new.duckdb", "db", "check").code == 0
    assert content(tmp_path / "new.duckdb") == content(tmp_path / "snql.duckdb")


def content(path: Path) -> dict[str, bytes | list[Any]]:
    """The runs of a database and its shards."""
    found: dict[str, bytes | list[Any]] = {"": Database(path).rows("FROM runs ORDER BY ALL")}
    root = path.with_name(path.name + ".shards")
    return found | {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*.parquet"))}


KILLED = """
import os, signal, sys
from pathlib import Path
from snql.cli.app import run
names, replace = int(sys.argv[1]), Path.replace
def dying(self, target):
    global names
    if ".snql-" in str(self) + str(target):
        if names == 0:
            if sys.argv[2] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            names = -1
            raise OSError(5, "Input/output error")
        names -= 1
    return replace(self, target)
Path.replace = dying
sys.exit(run(sys.argv[3:]))
"""
"""Dies, or fails once, at the renaming of that number."""


EACH = pytest.mark.slow("each way with each verb, at each renaming: one of both is tried always")


@pytest.mark.parametrize(
    ("how", "verb", "every"),
    [
        ("kill", "import", 2),
        ("fail", "export", 1),
        *(pytest.param(*each, 1, marks=EACH) for each in (("kill", "import"), ("kill", "export"), ("fail", "import"))),
    ],
)
def test_what_is_replaced_is_kept_until_the_new_is_there(
    snql: Snql, tmp_path: Path, how: str, verb: str, every: int
) -> None:
    """Stopped at every renaming, or every second: the old comes back whole, with its shards, or the new is there."""
    old, new = tmp_path / "old.duckdb", tmp_path / "snql.duckdb"
    for path, name in ((old, "old"), (new, "new")):
        run_id = fill_database(Database(path))
        with Database(path).write() as connection:
            connection.execute("UPDATE runs SET name = ? WHERE run_id = ?", [name, run_id])
    (tmp_path / "old.duckdb.shards" / "old.parquet").write_text("told from the new by its shards, too")
    assert snql("db", "export", "out").code == 0
    way = ("db", "export", "out") if verb == "export" else ("--db", str(old), "db", "import", "out")
    (tmp_path / "out" / "tables" / "old.parquet").touch()

    def state() -> object:
        return content(old) if verb == "import" else tree(tmp_path / "out")

    before, renamings = state(), 3 if verb == "export" else 5
    for number in range(every - 1, renamings, every):
        program = [sys.executable, "-c", KILLED, str(number), how, *way, "--force"]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        if how == "fail":
            assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        else:
            assert len(hidden(tmp_path)) == 1
            refused = snql(*way)  # it looks first for what a killed process left
            assert (refused.code, "replace it with --force" in refused.err) == (2, True)
        assert state() == before, number
        assert hidden(tmp_path) == []
    program[3] = str(renamings)
    assert subprocess.run(program, capture_output=True, check=False).returncode == 0, "there are more renamings"
    assert state() == content(new) if verb == "import" else "tables/old.parquet" not in tree(tmp_path / "out")
    assert hidden(tmp_path) == []


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "folder",
    ["x.duckdb.shards", "x.duckdb.staging", "x.duckdb.shards/1", "x.duckdb.shards/new", "link/new", "x.duckdb.wal"],
)
def test_an_export_into_what_is_the_databases_own_is_refused(snql: Snql, tmp_path: Path, folder: str) -> None:
    fill_database(Database(tmp_path / "x.duckdb"))
    (tmp_path / "link").symlink_to(tmp_path / "x.duckdb.shards")
    before = tree(tmp_path)
    for force in ((), ("--force",)):
        done = snql("--db", "x.duckdb", "db", "export", folder, *force)
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "belongs to the database" in done.err
    assert tree(tmp_path) == before


def test_an_export_around_its_database_is_not_replaced(snql: Snql, tmp_path: Path) -> None:
    fill_database(Database(tmp_path / "snql.duckdb"))
    assert snql("db", "export", "out").code == 0
    assert snql("--db", "out/in.duckdb", "db", "import", "out").code == 0
    done = snql("--db", "out/in.duckdb", "db", "export", "out", "--force")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert (tmp_path / "out" / "in.duckdb").is_file()
