"""The page ``index.html``: summary, figures, tables, neurons, completions and how to reproduce them, in one file.

Nothing is fetched: Vega is inside, once. A content security policy names the hashes of the scripts, so that one that
got into the page by way of a model's text would not run even if escaping failed. Long tables come as data; the page's
own script makes rows of them, a page at a time, and puts all text in as text. Without it the first rows are there.
"""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from snql.neuron_pages.html import ground
from snql.neuron_pages.model import Example
from snql.neuron_pages.shade import token_text
from snql.reporting import fonts, heat, neuron_files, neuron_rows, opening, render, reproduce, summary, writings
from snql.reporting.context import Context
from snql.reporting.figures import effect_size
from snql.reporting.model import RenderedFigure, RenderedTable
from snql.reporting.sources import Sources
from snql.writing import html
from snql.writing.pages import asset, template
from snql.writing.words import decimal, decimals, lead_of, listing, number, slug

SCRIPTS = ("charts.js", "rows.js", "neurons.js", "completions.js")
"""The page's own script, in this order; it runs after the library."""
FIRST_ROWS = 20
FIRST_PROMPTS = 5
MAX_TABLE_ROWS = 500
LEAD = 165
"""Characters of a caption that are not folded: three lines on a phone."""
MISSING = "\u2013"


@dataclass(frozen=True)
class Content:
    """What the page shows beside figures and tables. effects and sizes: rows of ``figure_effects`` and of the chart
    of effects by size. n_linked: how many neurons of each run have a page of their own."""

    effects: pl.DataFrame
    sizes: pl.DataFrame
    neurons: neuron_rows.Neurons | None
    written: writings.Writings | None
    heat_maps: tuple[heat.HeatMap, ...]
    n_linked: int = 0


def read(source: Sources, *, linked: bool = True) -> Content:
    """Read it all from the databases. linked: whether the highest neurons have pages of their own."""
    effects, sizes = (source.frame(query) for query in (summary.EFFECTS_QUERY, effect_size.FIGURE.query))
    neurons = neuron_rows.read(source)
    n_linked = neuron_files.linked(neurons) if linked and neurons is not None else 0
    return Content(effects, sizes, neurons, writings.read(source), heat.read(source), n_linked)


def index(
    source: Sources,
    content: Content,
    figures: Sequence[RenderedFigure],
    tables: Sequence[RenderedTable],
    context: Context,
) -> str:
    """The text of the page."""
    script = Markup("\n").join(map(asset, SCRIPTS))
    neurons, written = content.neurons, content.written
    runs = () if written is None else written.runs
    opened = opening.read(source, context, content.effects, content.sizes, runs)
    page: str = template("index.html.j2").render(
        policy=render.policy(script),
        style=Markup(fonts.faces()) + asset("page.css") + asset("report.css"),  # noqa: S704  (this package's fonts)
        library=render.library(),
        script=script,
        facts=_facts(context),
        opening=opened,
        figures=[_figure(figure) for figure in figures if not figure.skipped],
        skipped=[figure for figure in figures if figure.skipped],
        tables=[_table(table) for table in tables],
        neurons=None if neurons is None else _neurons(neurons, content.n_linked),
        heat_maps=[_heat_map(each) for each in content.heat_maps],
        context_tokens=heat.CONTEXT,
        completions=None if written is None else _completions(written),
        runs=[_run(row) for row in context.runs.iter_rows(named=True)],
        **_findings(content.effects, context, opened),
        number=number,
        percent=summary.percent,
        ground=ground,
        decimal=lambda value: MISSING if value is None else decimal(value),
    )
    return page


def _findings(effects: pl.DataFrame, context: Context, opened: opening.Opening) -> dict[str, Any]:
    groups, n_more = summary.groups(effects, context.runs, opened.run)
    return {"findings": groups, "n_more_findings": n_more, "without_donor": summary.without_donor(context.runs)}


def _facts(context: Context) -> list[tuple[str, object]]:
    """What the whole page is about, in a line."""
    kinds = context.runs["kind"]
    models = pl.concat([context.runs["model_a"], context.runs["model_b"]]).drop_nulls().unique(maintain_order=True)
    return [
        ("Runs", f"{(kinds == 'locate').sum()} locate, {(kinds == 'patch').sum()} patch"),
        ("Models", listing(models.to_list(), 6)),
        ("Finished", context.runs["finished_at"].dt.date().max()),
        ("snql", listing(context.runs["snql_version"].unique(maintain_order=True).to_list(), 3)),
    ]


def _figure(figure: RenderedFigure) -> dict[str, Any]:
    picture = base64.b64encode(render.in_millimetres(figure.picture).encode()).decode()
    lead, rest = lead_of(figure.caption, LEAD)
    return {
        "name": figure.name,
        "title": figure.title,
        "lead": lead,
        "rest": rest,
        "chart": figure.chart,
        "picture": f"data:image/svg+xml;base64,{picture}",
        "files": _links(figure.files),
    }


def ground_of(specification: Mapping[str, Any]) -> str:
    """The colour behind a chart as it may stand in a style: a name or hexadecimal digits, else white."""
    name = specification.get("background")
    return str(name) if re.fullmatch(r"#[0-9a-fA-F]{3,8}|[a-z]{3,20}", str(name)) else "white"


def _links(files: Sequence[Path]) -> list[tuple[str, str]]:
    return [(path.name, path.suffix[1:].upper()) for path in files]


def _table(table: RenderedTable) -> dict[str, Any]:
    frame = table.frame.head(MAX_TABLE_ROWS)
    lead, rest = lead_of(table.caption, LEAD)
    return {
        "name": table.name,
        "title": table.title,
        "lead": lead,
        "rest": rest,
        "n_rows": frame.height,
        "rows": table_rows(frame),
        "n_more": table.frame.height - frame.height,
        "files": _links(table.files),
    }


def table_rows(frame: pl.DataFrame) -> Markup:
    """Head and body of a table."""
    columns = [_cells(frame[name]) for name in frame.columns]
    return html.rows(frame.columns, [kind.is_numeric() for kind in frame.dtypes], zip(*columns, strict=True))


def _cells(values: pl.Series) -> list[str]:
    """The cells of one column; its numbers have the same number of digits after the point."""
    places = max(3, decimals(values)) if values.dtype.is_float() else 0
    write = (lambda value: decimal(value, places)) if values.dtype.is_numeric() else str
    return [MISSING if value is None else write(value) for value in values]


def _neurons(neurons: neuron_rows.Neurons, n_linked: int) -> dict[str, Any]:
    return {
        "n": neurons.frame.height,
        "n_runs": len(neurons.runs),
        "rows": neurons.first(FIRST_ROWS),
        "linked": n_linked,
        "left_out": neurons.left_out,
        "data": render.script_json(neurons.data() | {"linked": n_linked}),
    }


def _completions(written: writings.Writings) -> dict[str, Any]:
    first = written.runs[0]
    columns = first.columns()
    return {
        "n": written.n_completions,
        "n_runs": len(written.runs),
        "run": first,
        "judge": first.judges[0] if first.judges else None,
        "prompts": [first.compared(place, columns) for place in range(min(FIRST_PROMPTS, len(first.prompts)))],
        "left_out": written.left_out,
        "data": render.script_json(written.data()),
    }


def _heat_map(each: heat.HeatMap) -> dict[str, Any]:
    strips = [
        (example, token_text(example.lead) if example.lead else "", _tokens(example, each.scale))
        for example in each.examples
    ]
    return {"map": each, "strips": strips}


def _tokens(example: Example, scale: float) -> list[dict[str, Any]]:
    """Tokens with their numbers as text: all have as many digits after the point as three figures of the scale."""
    places = max(0, 2 - floor(log10(scale))) if scale else 0
    return [
        {
            "text": token_text(token.text),
            "peak": place == example.peak,
            "sides": [
                (side, MISSING if value is None else decimal(value, places), ground(value, scale))
                for side, value in (("before", token.before), ("after", token.after))
            ],
        }
        for place, token in enumerate(example.tokens)
    ]


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
