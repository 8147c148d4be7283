"""The demo, whole: it finishes, a second run reuses what is done, and its numbers are those of its tables."""

import socket
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from snql.db.connection import Database
from snql.demonstration import experiment
from snql.demonstration.experiment import LOCATED, RED_TEAM, DemoResult, demo
from snql.progress import Progress
from snql.querying.execute import query
from snql.reporting.build import build
from snql.reporting.options import ReportOptions


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
    names = {name for (name,) in db.rows("SELECT name FROM runs WHERE status = 'done'")}
    assert names >= {*LOCATED, "sweep", "transfer"}
    assert db.rows("SELECT count(*) FROM runs WHERE status <> 'done'") == [(0,)]
    assert found.report.index.is_file()
    skipped = {figure.name for figure in found.report.figures if figure.skipped}
    # What the demo leaves to its readers: windows of ranks, other ways of locating, --bootstrap, scorers, guards.
    ways = {f"locating-{way}" for way in ("prompts", "pairs", "positions")}
    more = {
        "ablation",
        "windows",
        "stability",
        "intervals",
        "scorers",
        "guard",
        "guard-costs",
        "routes",
        "cross-effects",
    }
    assert skipped == more | ways
    assert set(found.transfer["dataset"]) == {*RED_TEAM, "*"}


def test_what_the_demo_is_meant_to_show(finished: tuple[Database, DemoResult]) -> None:
    """High-ranked neurons carry far more than random ones; the bound is loose, so that only a broken demo fails."""
    _, found = finished
    sweep = found.sweep.filter((pl.col("judge") == "demo:cost") & (pl.col("run") == "sweep"))
    chosen = sweep.filter(pl.col("variant") == "safety:20%")["ci_low"].item()
    controls = sweep.filter(pl.col("control_of") == "safety:20%")["ci_high"]
    assert len(controls) == 5
    assert chosen > 0.25 > 0.1 > max(controls)


def test_a_second_run_reuses_everything(
    finished: tuple[Database, DemoResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of its report one figure is enough: tests/reporting look at all of them."""
    db, first = finished
    reports: list[Progress] = []
    monkeypatch.setattr(experiment, "build", partial(build, options=ReportOptions(figures=("effect-size",))))
    again = demo(db, tmp_path / "report", progress=reports.append)
    for name in ("sweep", "transfer", "tax", "overlaps"):
        assert getattr(first, name).equals(getattr(again, name)), name
    assert {report.stage.partition(":")[0] for report in reports} == {"report"}
    drawn = list((tmp_path / "report").glob("effect-size.*"))
    assert {"effect-size.svg", "effect-size.pdf", "effect-size.csv"} <= {path.name for path in drawn}
    for path in drawn:
        assert path.read_bytes() == (first.report.out / path.name).read_bytes(), path.name
