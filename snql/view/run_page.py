"""One run: what it found, its tables and figures, what it was made of, and the command that repeats it."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from snql.db import scripts
from snql.db.connection import Database
from snql.reporting import figures, tables
from snql.reporting.showing import show_run
from snql.view.home import Row, read_runs, state
from snql.view.site import Page, Site

NEURONS_A_PAGE = 25

FIGURES = {
    "locate": (
        *("layers", "scores", "volcano", "shift", "activations", "tokens", "intervals", "stability"),
        *("cross-effects", "locating-prompts", "locating-pairs", "locating-positions", "transfer", "scorers"),
    ),
    "patch": (
        *(
            "effect-size",
            "graded-effects",
            "ablation",
            "verdicts",
            "tax",
            "transfer",
            "routes",
            "cross-effects",
            "windows",
        ),
        *("judges", "trace", "locating-prompts", "locating-pairs", "locating-positions", "scorers"),
    ),
    "guard": ("guard", "guard-costs"),
    "guard-test": ("guard", "guard-costs"),
    "guard-compare": ("guard-comparison",),
}
"""What may be drawn of runs of a kind, the most telling first; whether there is something to draw is seen then."""
TABLES = {
    "patch": ("effects", "controls", "costs", "tax", "transfer", "scorers"),
    "perplexity": ("capability",),
    "divergence": ("capability",),
    "lm-eval": ("capability",),
    "guard": ("guard",),
    "guard-test": ("guard",),
    "guard-compare": ("guard-comparison",),
    "lens": ("value-vectors",),
}


def run_of(db: Database, request: Request) -> Row:
    """The run that an address names; raises HTTPException 404 if there is none."""
    rows = read_runs(db, 1, only=request.path_params["run_id"])
    if not rows:
        raise HTTPException(404, "The database has no such run; it may have been deleted.")
    return rows[0]


def page(site: Site, request: Request) -> Page:
    """The run's own page."""
    with site.reading() as db:
        row = run_of(db, request)
        shown = show_run(db, row["name"], row["kind"])
        ((n_written,),) = db.rows("SELECT count(*) FROM completions WHERE run_id = ?", [row["run_id"]])
        located = row["kind"] == "locate" and row["status"] == "done"
        neurons = _rows(db, "first_ranked", run_id=row["run_id"], limit=NEURONS_A_PAGE) if located else []
        sets = _rows(db, "sets_of_run", run_id=row["run_id"])
    kind = row["kind"] if row["status"] == "done" else ""
    values: dict[str, Any] = {
        "run": {**row, **state(row)},
        "shown": shown,
        "n_written": n_written,
        "rows": neurons,
        "first": row,
        "sets": sets,
        "figures": [figure for name in FIGURES.get(kind, ()) for figure in figures.FIGURES if figure.name == name],
        "tables": [table for name in TABLES.get(kind, ()) for table in tables.TABLES if table.name == name],
    }
    return Page("view_run.html.j2", row["name"], "/", values)


def _rows(db: Database, query: str, **given: object) -> list[Row]:
    return db.frame(scripts.query(query), given).to_dicts()
