"""``snql db export``, ``import`` and ``import-scores`` as a user runs them."""

import json
from pathlib import Path

import torch

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


def test_import_scores(snql: Snql, tmp_path: Path) -> None:
    scores = torch.tensor([[1.0, 3.0, 2.0]])
    ranks = torch.tensor([[0, 1], [0, 2], [0, 0]])
    torch.save((scores, ranks, scores, scores, scores, scores), tmp_path / "x.pt")
    done = snql("db", "import-scores", "x.pt", "theirs", "--before", "sft", "--after", "dpo", "--layers", "2")
    assert (done.code, done.out) == (0, "")
    assert done.err == "locate run theirs: 3 neurons ranked of 2x3, from x.pt\n"
    done = snql("--json", "query", "SELECT run, n_ranked, n_all, n_tokens, before, after FROM locate_runs")
    assert json.loads(done.out) == [
        {"run": "theirs", "n_ranked": 3, "n_all": 6, "n_tokens": None, "before": "sft", "after": "dpo"}
    ]
    (tmp_path / "x.pt").write_text("text")
    done = snql("db", "import-scores", "x.pt", "other")
    assert (done.code, done.err.count("\n")) == (2, 1)
