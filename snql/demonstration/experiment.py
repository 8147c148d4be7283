"""``snql demo``: the whole experiment on the bundled organism, from weights to report."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from snql.db import runs
from snql.db.connection import Database
from snql.demonstration.plan import TAX, Plan, short_plan, whole_plan
from snql.distribution import own_version
from snql.patching.findings import effects_of
from snql.progress import ProgressCallback, silent
from snql.rankings.overlaps import compare
from snql.reporting.folder import INDEX, check_place, is_made_of

if TYPE_CHECKING:
    from snql.demonstration.steps import Steps


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    report: the page. sweep, transfer and tax: rows of ``causal_effects``, of the tax none unless it was asked for;
    overlaps: rows of :class:`snql.stats.overlap.Overlap`.
    """

    database: Path
    report: Path
    sweep: pl.DataFrame
    transfer: pl.DataFrame
    tax: pl.DataFrame
    overlaps: pl.DataFrame


def demo(
    db: Database,
    out: Path,
    *,
    seed: int = 0,
    full: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> DemoResult:
    """Run every step that is not already in the database, then write the report into ``out``, if it is not there.

    full: more rankings, sizes, prompts and formats, and the alignment tax; what a shorter demo has done is used, or
    replaced where it has less. Raises InputError if the database has runs of the demo's names with other settings
    (``force`` replaces them), or if there can be no folder ``out``.
    """
    check_place(out)
    wanted, other = (whole_plan(seed), short_plan(seed)) if full else (short_plan(seed), whole_plan(seed))
    plans = [wanted] if full else [wanted, other]
    if force or not is_finished(db, plans):
        if not db.path.exists():
            db.initialise()  # before the libraries are loaded: who asks meanwhile finds an empty one
        _steps(db, force, progress).run(wanted, other)
    made_of = [data_state(db, plan) for plan in plans]
    if force or not is_made_of(out, made_of):
        _steps(db, force, progress).report(out, wanted, made_of[0])
    return read(db, out, wanted)


def _steps(db: Database, force: bool, progress: ProgressCallback) -> "Steps":
    """What needs the model libraries, which take longer to load than all else that a finished demo does."""
    from snql.demonstration.steps import Steps

    return Steps(db, force, progress)


def is_finished(db: Database, plans: Sequence[Plan]) -> bool:
    """Whether every run of the first plan is done, with the settings that it has in one of the plans."""
    with db.reading() if db.path.exists() else nullcontext():
        for kind, name in plans[0].configs:
            found = runs.find_run(db, kind, name)
            if found is None or found.status != "done":
                return False
            if found.config not in [plan.configs[kind, name] for plan in plans]:
                return False
    return True


def data_state(db: Database, plan: Plan) -> str:
    """What a report of the plan is made of, as a line; another one once anything has been written to the database."""
    file = db.path.stat()
    return (
        f"snql {own_version()}; {', '.join(plan.formats)}; {db.path.resolve()}, {file.st_size} bytes, written at "
        f"{file.st_mtime_ns}\n"
    )


def read(db: Database, out: Path, plan: Plan) -> DemoResult:
    """What the finished runs of a plan found."""
    with db.reading():
        found = {name: _effects(db, name) for kind, name in plan.configs if kind == "patch"}
        return DemoResult(
            database=db.path,
            report=out / INDEX,
            sweep=found["sweep"],
            transfer=found["transfer"],
            tax=pl.concat([found["sweep"].clear(), *(found[name] for name in found if name.startswith(f"{TAX}-"))]),
            overlaps=compare(db, plan.located, "5%"),
        )


def _effects(db: Database, name: str) -> pl.DataFrame:
    ((run_id,),) = db.rows("SELECT run_id FROM runs WHERE kind = 'patch' AND name = ?", [name])
    return effects_of(db, run_id)
