"""``snql paper`` as a user runs it."""

import json
from pathlib import Path

import polars as pl
import pytest

from snql.db import Database
from snql.reporting.build import build
from snql.reporting.options import Parts, ReportOptions
from tests.cli.conftest import Snql

from ..cli.conftest import snql  # noqa: F401  (a fixture)


def test_a_recipe_from_steps_to_page(
    snql: Snql,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = snql("--quiet", "paper", "fig5a", "table6", "--set", "top=2%")
    assert (done.code, done.err) == (0, "")
    assert "None of these rows is tested against the paper." in done.out
    out = tmp_path / "snql-paper"
    page = (out / "index.html").read_text("utf-8")
    assert "data:image/svg+xml;base64," in page
    assert (out / "steps" / "locate-safety.txt").read_text("utf-8").startswith("$ snql locate safety --before demo:sft")
    assert (out / "fig5a" / "scores.svg").exists()
    assert (out / "report" / "index.html").exists()
    assert list((out / "report" / "neurons" / "0").glob("L*.html")) and not (out / "fig5a" / "neurons").exists()
    assert 'href="neurons/' not in (out / "fig5a" / "index.html").read_text("utf-8"), "they are in the whole report"
    text = (out / "paper.md").read_text("utf-8")
    with Database(tmp_path / "snql.duckdb") as db:
        skewness = db.frame("SELECT DISTINCT skewness FROM figure_scores WHERE run = 'safety'").item()
        finished = db.frame("SELECT finished_at FROM runs").item()
    assert f"{skewness:.3g}" in text
    rows = pl.read_csv(out / "rows.csv")
    assert rows["value"][0] == pytest.approx(skewness)

    svg, one = ReportOptions(formats=("svg",)), Parts(("scores",), ("runs",))
    monkeypatch.setattr("snql.paper.page.build", lambda db, out, *_, **__: build(db, out, svg, parts=one))
    again = snql("paper", "fig5a")
    assert again.code == 0
    assert "step 1 of 1: snql locate safety" in again.err
    with Database(tmp_path / "snql.duckdb") as db:
        assert db.frame("SELECT finished_at FROM runs").item() == finished, "a finished step is not repeated"


def test_lists_and_costs(snql: Snql, tmp_path: Path) -> None:  # noqa: F811
    listed = json.loads(snql("--json", "paper", "--list").out)
    assert {"recipe": "fig5a", "paper": "figure 5a", "shows": "Distribution of change scores"} in listed
    costs = snql("--json", "paper", "fig2", "--scale", "mistral-7b", "--dry-run", "--card", "h200")
    steps = json.loads(costs.out)
    assert [step["step"] for step in steps][-3:] == ["patch-sweep-sft", "patch-sweep-base", "all"]
    assert all(step["command"].startswith("snql ") for step in steps[:-1])
    assert "No run on a GPU was measured" in costs.err
    assert not list(tmp_path.iterdir()), "nothing is run or written"


def test_bad_input(snql: Snql, tmp_path: Path) -> None:  # noqa: F811
    for arguments, words in (
        ((), "no recipe is named: name some (`snql paper --list` has them), or take --all"),
        (("fig99",), "no recipe is named 'fig99': choose from fig2"),
        (("fig2", "--scale", "huge"), "no scale is named 'huge': choose from demo"),
        (("fig2", "--set", "top"), "--set 'top' is no NAME=VALUE"),
        (("fig2", "--set", "nope=1"), "scale demo has no variable 'nope'"),
        (("fig2", "--dry-run", "--card", "abacus"), "no rates of a card named 'abacus'"),
    ):
        done = snql("paper", *arguments)
        assert (done.code, done.out) == (2, "")
        assert words in done.err
        assert done.err.count("\n") == 1
    failed = snql("--quiet", "paper", "fig5a", "--set", "safety=no/such/model")
    assert failed.code == 2
    assert "step `snql locate safety" in failed.err
    assert "no/such/model" in failed.err


def test_what_is_missing_is_said_at_once_before_anything_runs(
    snql: Snql,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("snql.paper.missing.find_spec", lambda name: None if name == "trl" else name)
    done = snql("paper", "fig2", "seeds", "--scale", "smollm2-135m")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "trl (pip install 'snql-neurons[train]'" in done.err
    for name in ("sft", "advbench-train", "hh-locate", "advbench-test"):
        assert f"file data/{name}.jsonl" in done.err
    assert "refusals.jsonl" not in done.err, "a step makes it"
    assert not list(tmp_path.iterdir())


def test_a_dry_run_prints_commands_that_can_be_pasted(snql: Snql) -> None:  # noqa: F811
    lines = snql("paper", "fig2", "--dry-run").out.split("\n\n")[0].splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["snql", "locate", "safety"],
        ["snql", "patch", "sweep-sft"],
        ["snql", "patch", "sweep-base"],
    ]
