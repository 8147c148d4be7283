"""The demo, whole: it finishes, a second run reuses what is done, and its numbers are those of its tables."""

import socket
import subprocess
import sys
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from snql.db.connection import Database
from snql.demonstration import steps
from snql.demonstration.experiment import DemoResult, data_state, demo, is_finished
from snql.demonstration.plan import TAX, short_plan, whole_plan
from snql.options import values
from snql.patching.options import DIRECTIONS, run_name
from snql.progress import Progress, silent
from snql.querying.execute import query
from snql.reporting.build import catalogue
from snql.reporting.folder import MADE_OF, is_made_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Database, DemoResult]:
    """The demo with its report, and a query, offline: nothing of it may reach for a network."""
    folder = tmp_path_factory.mktemp("demo")
    db = Database(folder / "demo.duckdb")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, _refuse)
        patch.setattr(socket, "getaddrinfo", _refuse)
        found = demo(db, folder / "report")
        assert len(query(db, "FROM causal_effects"))
        return db, found


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("the demo needs no network")


def test_every_step_is_done_and_reported(finished: tuple[Database, DemoResult]) -> None:
    db, found = finished
    assert {name for (name,) in db.rows("SELECT name FROM runs")} == {name for _, name in short_plan().configs}
    assert db.rows("SELECT count(*) FROM runs WHERE status <> 'done'") == [(0,)]
    assert found.report.is_file()
    drawn = {path.stem for path in found.report.parent.glob("*.sql")}
    # What the demo leaves to its readers: windows of ranks, other ways of locating, --bootstrap, scorers, guards.
    left = {f"locating-{way}" for way in ("prompts", "pairs", "positions")} | {"ablation", "windows", "stability"}
    left |= {"intervals", "scorers", "guard", "guard-comparison", "guard-costs", "routes", "cross-effects"}
    assert {name for name, _ in catalogue()} - drawn == left
    assert set(found.transfer["dataset"]) == {*short_plan().red_team, "*"}
    assert found.tax.is_empty() and found.tax.columns == found.sweep.columns


def test_what_the_demo_is_meant_to_show(finished: tuple[Database, DemoResult]) -> None:
    """High-ranked neurons carry far more than random ones; the bound is loose, so that only a broken demo fails."""
    _, found = finished
    sweep = found.sweep.filter((pl.col("judge") == "demo:cost") & (pl.col("run") == "sweep"))
    chosen = sweep.filter(pl.col("variant") == "safety:20%")["ci_low"].item()
    controls = sweep.filter(pl.col("control_of") == "safety:20%")["ci_high"]
    assert len(controls) == 5
    assert chosen > 0.25 > 0.1 > max(controls)


def test_a_second_run_finds_everything_and_loads_no_model_library(finished: tuple[Database, DemoResult]) -> None:
    db, first = finished
    before = {path: path.stat().st_mtime_ns for path in first.report.parent.rglob("*")}
    reports: list[Progress] = []
    again = demo(db, first.report.parent, progress=reports.append)
    for name in ("sweep", "transfer", "tax", "overlaps"):
        assert getattr(first, name).equals(getattr(again, name)), name
    assert not reports and {path: path.stat().st_mtime_ns for path in first.report.parent.rglob("*")} == before
    line = "import sys; from snql.cli.app import run; run(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    words = ["--db", str(db.path), "demo", "--out", str(first.report.parent)]
    done = subprocess.run([sys.executable, "-c", line, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "carries 4.35% [0.843%, 9.75%]" in done.stdout, "docs/organism.md has it, too"
    assert done.stderr.splitlines()[-1].startswith("The whole took ")
    assert sum(line.startswith("  snql ") for line in done.stderr.splitlines()) == 3


def test_a_report_is_made_again_when_it_is_not_of_what_the_database_has(finished: tuple[Database, DemoResult]) -> None:
    db, found = finished
    out, state = found.report.parent, data_state(db, short_plan())
    assert is_made_of(out, [state]) and not is_made_of(out, [data_state(db, whole_plan())])
    with db.write() as connection:
        connection.execute("UPDATE runs SET notes = [] WHERE name = 'sweep'")
    assert not is_made_of(out, [data_state(db, short_plan())])
    (out / MADE_OF).write_text(data_state(db, short_plan()))
    assert is_made_of(out, [data_state(db, short_plan())])
    (out / "effect-size.svg").unlink()
    assert not is_made_of(out, [data_state(db, short_plan())])


def test_a_short_demo_is_part_of_the_whole_one() -> None:
    short, whole = short_plan(), whole_plan()
    assert short.rankings.items() <= whole.rankings.items()
    for name, options in short.patches.items():
        differ = {key for key, value in values(options).items() if value != values(whole.patches[name])[key]}
        assert differ <= {"sweep", "prompts"}
    assert set(short.sizes) < set(whole.sizes) and set(short.red_team) < set(whole.red_team)
    assert set(whole.configs) - set(short.configs) >= {("patch", run_name(TAX, *way)) for way in DIRECTIONS}


@pytest.mark.parametrize("wanted", ["short", "whole", "smaller"])
def test_of_another_extent_what_has_more_is_used_and_what_has_less_replaced(
    finished: tuple[Database, DemoResult], monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    db, _ = finished
    short, whole = short_plan(), whole_plan()
    smaller = replace(short, sizes=("5%",)), replace(short, is_whole=True)  # as if what is there were all
    plan, other = {"short": (short, whole), "whole": (whole, short), "smaller": smaller}[wanted]
    asked: list[tuple[Any, bool]] = []
    monkeypatch.setattr(steps, "locate", lambda *_, **__: None)
    monkeypatch.setattr(steps, "tax", lambda *_, **__: None)
    monkeypatch.setattr(steps, "patch", lambda _, __, options, **how: asked.append((options, how["force"])))
    assert is_finished(db, [plan, other]) == (wanted != "whole")
    steps.Steps(db, False, silent).run(plan, other)
    there = whole if wanted == "whole" else short
    assert asked == [(options, wanted == "whole") for options in there.patches.values()]
