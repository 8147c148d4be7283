"""The demo, small: it finishes, a second run reuses what is done, and its numbers are those of its tables."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from snql.db.connection import Database
from snql.demonstration import experiment, plan, steps
from snql.demonstration.experiment import DemoResult, data_state, demo, is_finished
from snql.demonstration.plan import TAX, Plan, short_plan, whole_plan
from snql.options import values
from snql.patching.options import DIRECTIONS, run_name
from snql.progress import Progress, silent
from snql.querying.execute import query
from snql.reporting.build import catalogue
from snql.reporting.folder import MADE_OF, is_made_of

from .small import NAME, small_plan

REPOSITORY = Path(__file__).resolve().parents[2]


Made = tuple[Database, DemoResult]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A small demo with its report, which is the demo of this module."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (plan, experiment):
            patch.setattr(module, NAME, small_plan)
        yield _made(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def finished_short(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The demo as users have it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, NAME, short_plan)
        return _made(tmp_path_factory.mktemp("short"))


def _made(folder: Path) -> Made:
    """The demo with its report, and a query, offline: nothing of it may reach for a network."""
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


def test_every_step_is_done_and_reported(finished: Made) -> None:
    check_steps(finished, small_plan())


@pytest.mark.slow("test_every_step_is_done_and_reported, of fewer prompts, rankings and sizes")
def test_every_step_of_the_short_demo(finished_short: Made) -> None:
    """High-ranked neurons carry far more than random ones; the bound is loose, so that only a broken demo fails."""
    db, found = finished_short
    check_steps(finished_short, short_plan())
    chosen, controls = chosen_and_controls(found)
    assert chosen > 0.25 > 0.1 > max(controls)
    assert "carries 4.35% [0.843%, 9.75%]" in shown(db, found, ""), "docs/organism.md has it, too"


def check_steps(made: Made, wanted: Plan) -> None:
    """Every run of the plan is done, and every figure is drawn that its runs have rows for."""
    db, found = made
    assert {name for (name,) in db.rows("SELECT name FROM runs")} == {name for _, name in wanted.configs}
    assert db.rows("SELECT count(*) FROM runs WHERE status <> 'done'") == [(0,)]
    assert found.report.is_file()
    drawn = {path.stem for path in found.report.parent.glob("*.sql")}
    # What the demo leaves to its readers: windows of ranks, other ways of locating, --bootstrap, scorers, guards.
    left = {f"locating-{way}" for way in ("prompts", "pairs", "positions")} | {"ablation", "windows", "stability"}
    left |= {"intervals", "scorers", "guard", "guard-comparison", "guard-costs", "routes", "cross-effects"}
    assert {name for name, _ in catalogue()} - drawn == left
    assert set(found.transfer["dataset"]) == {*wanted.red_team, "*"}
    assert found.tax.is_empty() and found.tax.columns == found.sweep.columns


def chosen_and_controls(found: DemoResult) -> tuple[float, pl.Series]:
    """Of the sweep's largest set, the lower end of its effect, and the upper ends of its controls'."""
    sweep = found.sweep.filter((pl.col("judge") == "demo:cost") & (pl.col("run") == "sweep"))
    controls = sweep.filter(pl.col("control_of") == "safety:20%")["ci_high"]
    assert len(controls) == 5
    return sweep.filter(pl.col("variant") == "safety:20%")["ci_low"].item(), controls


def test_what_the_demo_is_meant_to_show(finished: Made) -> None:
    chosen, controls = chosen_and_controls(finished[1])
    assert chosen > max(controls)


def shown(db: Database, found: DemoResult, before: str) -> str:
    """What the command prints of a finished demo, in a process of its own that loads no model library."""
    line = f"{before}import sys; from snql.cli.app import run; run(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    words = ["--db", str(db.path), "demo", "--out", str(found.report.parent)]
    command = [sys.executable, "-c", line, *words]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].startswith("The whole took ")
    assert sum(line.startswith("  snql ") for line in done.stderr.splitlines()) == 3
    return done.stdout


def test_a_second_run_finds_everything_and_loads_no_model_library(finished: Made) -> None:
    db, first = finished
    before = {path: path.stat().st_mtime_ns for path in first.report.parent.rglob("*")}
    reports: list[Progress] = []
    again = demo(db, first.report.parent, progress=reports.append)
    for name in ("sweep", "transfer", "tax", "overlaps"):
        assert getattr(first, name).equals(getattr(again, name)), name
    assert not reports and {path: path.stat().st_mtime_ns for path in first.report.parent.rglob("*")} == before
    assert " carries " in shown(db, first, "from tests.demonstration.small import use; use(); ")


def test_a_report_is_made_again_when_it_is_not_of_what_the_database_has(finished: Made) -> None:
    db, found = finished
    out, state = found.report.parent, data_state(db, small_plan())
    assert is_made_of(out, [state]) and not is_made_of(out, [data_state(db, whole_plan())])
    with db.write() as connection:
        connection.execute("UPDATE runs SET notes = [] WHERE name = 'sweep'")
    assert not is_made_of(out, [data_state(db, small_plan())])
    (out / MADE_OF).write_text(data_state(db, small_plan()))
    assert is_made_of(out, [data_state(db, small_plan())])
    (out / "effect-size.svg").unlink()
    assert not is_made_of(out, [data_state(db, small_plan())])


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
    finished: Made, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    db, _ = finished
    short, whole = small_plan(), whole_plan()
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
