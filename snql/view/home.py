"""Home: the runs in the order of time, newest first, with what each found; those at work with how far they are."""

from typing import Any

from starlette.requests import Request

from snql.db import scripts
from snql.db.connection import Database
from snql.db.owner import is_dead
from snql.reporting.showing import findings_of
from snql.view.site import Page, Site
from snql.writing.words import count, number

RUNS_A_PAGE = 50
Row = dict[str, Any]


def page(site: Site, request: Request) -> Page:
    """The runs, RUNS_A_PAGE at a time."""
    place = page_number(request)
    with site.reading() as db:
        ((total,),) = db.rows("SELECT count(*) FROM runs")
        runs = [_run(site, db, row) for row in read_runs(db, RUNS_A_PAGE, RUNS_A_PAGE * (place - 1))]
    values = {"runs": runs, "total": total, "page": place, "pages": max(1, -(-total // RUNS_A_PAGE))}
    return Page("view_home.html.j2", "Runs", "/", values)


def read_runs(db: Database, most: int, skipped: int = 0, only: int | None = None) -> list[Row]:
    """Rows of runs, newest first; only: the id of one."""
    given = {"most": most, "skipped": skipped, "only": only}
    return db.frame(scripts.query("viewed_runs"), given).to_dicts()


def page_number(request: Request) -> int:
    """Which page of a list is asked for, from 1."""
    text = request.query_params.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else 1


def progress(site: Site, _: Request) -> dict[str, object]:
    """How far the runs are that are not done, and a mark that changes whenever a run begins or ends."""
    with site.reading() as db:
        rows = db.frame(scripts.query("viewed_progress")).to_dicts()
        ((mark,),) = db.rows("SELECT hash(list((run_id, status, finished_at) ORDER BY run_id)) FROM runs")
    return {"mark": str(mark), "runs": [state(row) for row in rows]}


def state(row: Row) -> Row:
    """How a run is, in words. row: status, owner, stage, done, total, unit, tokens_per_second."""
    status, done, total = row["status"], row["done"] or 0, row["total"]
    if status == "running" and row["owner"] and is_dead(f"{row['owner']}."):
        status = "stopped"
    speed = row["tokens_per_second"]
    words = "" if total is None else f"{row['stage']}: {number(done)} of {number(total)}"
    words += f", {number(round(speed))} tokens/s" if speed and status == "running" else ""
    share = min(1.0, done / total) if total else None
    return {"run_id": row["run_id"], "status": status, "words": words, "share": share}


def found(site: Site, db: Database, row: Row) -> tuple[str, ...]:
    """What a finished run found; remembered, since it changes only with the run or with its effects."""
    key = ("found", row["run_id"], row["finished_at"], row["n_effects"])
    if key not in site.remembered:
        site.remembered[key] = tuple(findings_of(db, row["run_id"], row["kind"]))
    known = site.remembered[key]
    assert isinstance(known, tuple)
    return known


def _run(site: Site, db: Database, row: Row) -> Row:
    """One run of the list."""
    shown = state(row)
    said = found(site, db, row) if row["status"] == "done" else ()
    facts = [row["started_at"], *([row["device"]] if row["device"] else []), *took(row["seconds"])]
    return {**row, **shown, "found": " ".join(said[:2]), "facts": " · ".join(facts)}


def took(seconds: float | None) -> list[str]:
    """How long a run took, for people."""
    if seconds is None:
        return []
    if seconds < 120:
        return [f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"]
    minutes = round(seconds / 60)
    return [count(minutes, "minute")] if minutes < 120 else [f"{minutes // 60} h {minutes % 60:02d} min"]
