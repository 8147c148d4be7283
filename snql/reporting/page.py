"""The page ``index.html``: summary, figures, tables, completions and how to reproduce them, in one file.

Nothing is fetched: Vega is inside, once. A content security policy names the hashes of the two scripts, so a
script that got into the page by way of a model's text would not run even if escaping failed.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from snql.pages import asset, template
from snql.reporting import render, reproduce, summary
from snql.reporting.context import Context
from snql.reporting.latex import decimals
from snql.reporting.model import RenderedFigure, RenderedTable
from snql.reporting.text import decimal, slug, visible

EFFECTS_QUERY = "SELECT * FROM figure_effects ORDER BY run, series, judge_position, judge, dataset, n_neurons, variant"
COMPLETIONS_QUERY = "SELECT * FROM figure_completions ORDER BY run, ordinal, role, variant_id"
MAX_PROMPTS = 50
MISSING = "\u2013"


@dataclass(frozen=True)
class Cell:
    """One cell of a table in the page."""

    text: str
    number: bool


@dataclass(frozen=True)
class Writing:
    """One completion: who wrote it, with its judge's score."""

    role: str
    name: str
    text: str
    score: str


@dataclass(frozen=True)
class Comparison:
    """What the models of one run wrote to some of its prompts."""

    run: str
    judge: str | None
    n_prompts: int
    prompts: tuple[tuple[str, str, tuple[Writing, ...]], ...]


def index(
    figures: Sequence[RenderedFigure],
    specifications: Mapping[str, dict[str, Any]],
    tables: Sequence[RenderedTable],
    completions: pl.DataFrame,
    effects: pl.DataFrame,
    context: Context,
) -> str:
    """The text of the page."""
    page: str = template("index.html.j2").render(
        policy=render.policy(),
        style=asset("page.css"),
        library=render.library(),
        start=asset("charts.js"),
        findings=summary.findings(effects, context.runs),
        figures=[_figure(figure, specifications[figure.name]) for figure in figures if not figure.skipped],
        skipped=[figure for figure in figures if figure.skipped],
        tables=[_table(table) for table in tables],
        comparisons=comparisons(completions),
        runs=[_run(row) for row in context.runs.iter_rows(named=True)],
        shown=shown,
    )
    return page


def shown(text: object) -> str:
    """Text for the page, before the template escapes it."""
    return visible(str(text), keep="\n")


def _figure(figure: RenderedFigure, specification: dict[str, Any]) -> dict[str, Any]:
    picture = base64.b64encode(render.file_of(figure.picture, "svg")).decode()
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "chart": render.script_json(specification),
        "picture": f"data:image/svg+xml;base64,{picture}",
        "files": _links(figure.files),
    }


def _links(files: Sequence[Path]) -> list[tuple[str, str]]:
    return [(path.name, path.suffix[1:].upper()) for path in files]


def _table(table: RenderedTable) -> dict[str, Any]:
    columns = [_cells(table.frame[name]) for name in table.frame.columns]
    return {
        "name": table.name,
        "title": table.title,
        "caption": table.caption,
        "heads": [(name, table.frame[name].dtype.is_numeric()) for name in table.frame.columns],
        "rows": list(zip(*columns, strict=True)),
        "files": _links(table.files),
    }


def _cells(values: pl.Series) -> list[Cell]:
    """The cells of one column; its numbers have the same number of digits after the point."""
    places = max(3, decimals(values)) if values.dtype.is_float() else 0
    numeric = values.dtype.is_numeric()
    return [
        Cell(MISSING if value is None else decimal(value, places) if numeric else shown(value), numeric)
        for value in values
    ]


def comparisons(completions: pl.DataFrame) -> tuple[Comparison, ...]:
    """The first prompts of each patch run, ``MAX_PROMPTS`` in all: recipient, main set and donor of each."""
    runs = completions["run"].unique(maintain_order=True).to_list()
    each = max(1, MAX_PROMPTS // max(1, len(runs)))
    return tuple(_comparison(completions.filter(pl.col("run") == run), each) for run in runs[:MAX_PROMPTS])


def _comparison(rows: pl.DataFrame, n_prompts: int) -> Comparison:
    patched = rows.filter(pl.col("role") == "patched")["variant_id"].min()
    kept = rows.filter((pl.col("role") != "patched") | (pl.col("variant_id") == patched))
    prompts = [group for _, group in kept.group_by("ordinal", maintain_order=True)]
    return Comparison(
        rows["run"][0],
        rows["judge"][0],
        len(prompts),
        tuple((group["dataset"][0], group["prompt"][0], _writings(group)) for group in prompts[:n_prompts]),
    )


def _writings(group: pl.DataFrame) -> tuple[Writing, ...]:
    places = {"recipient": 0, "patched": 1, "donor": 2}
    rows = sorted(group.iter_rows(named=True), key=lambda row: places[row["role"]])
    return tuple(
        Writing(
            row["role"],
            row["variant"] if row["role"] == "patched" else "",
            row["text"],
            MISSING if row["score"] is None else decimal(row["score"]),
        )
        for row in rows
    )


def _run(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": slug(f"{row['kind']} {row['run']} {row['run_id']}"),
        "kind": row["kind"],
        "name": row["run"],
        "command": reproduce.command(row["kind"], row.get("name", row["run"]), row["config"]),
        "config": json.dumps(json.loads(row["config"]), indent=2, sort_keys=True, ensure_ascii=False),
        "facts": [
            ("snql", row["snql_version"]),
            ("git commit", row["git_commit"] or MISSING),
            ("device", row["device"] or MISSING),
            ("dtype", row["dtype"] or MISSING),
            ("seed", MISSING if row["seed"] is None else row["seed"]),
        ],
    }
