"""The pages of a run of recipes: a small report for each, one page over all, and the rows as Markdown and CSV."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from markupsafe import Markup

from snql.db import Database
from snql.paper import words
from snql.paper.beside import Beside
from snql.paper.files import Recipe, Scale
from snql.paper.plan import Plan
from snql.paper.results import VERDICTS, Outcome, listing, outcomes, published
from snql.reporting.build import build
from snql.reporting.model import RenderedFigure, Report
from snql.reporting.options import Parts, ReportOptions
from snql.writing import html
from snql.writing.formats import render
from snql.writing.pages import asset, template
from snql.writing.values import exact

FORMATS = ("svg", "pdf", "png")
MOST_ROWS = 40


@dataclass(frozen=True)
class Pages:
    """What was written. counts: verdicts and how many rows of tested claims have each."""

    index: Path
    words: Path
    counts: pl.DataFrame


@dataclass(frozen=True)
class Section:
    """One recipe of the page."""

    recipe: Recipe
    report: Report
    rows: Markup
    listings: list[tuple[str, Markup, int]]
    commands: list[str]


def write(db: Database, plan: Plan, out: Path, besides: Sequence[Beside] = ()) -> Pages:
    """Draw each recipe's figures and tables, of its own runs only, into ``out``/NAME, then the page over all.

    Raises DatabaseError if the database lacks views, InputError if ``out`` cannot be written.
    """
    found = [(recipe, outcomes(db, recipe, plan.runs[recipe.name])) for recipe in plan.recipes]
    sections = [_section(db, plan, recipe, rows, out, besides) for recipe, rows in found]
    everything = build(db, out / "report", ReportOptions(formats=("svg",)))
    commands = [section.commands for section in sections]
    text = words.markdown(found, plan.scale, commands, besides)
    (out / "paper.md").write_text(text, "utf-8", newline="\n")
    (out / "rows.csv").write_bytes(_csv(found, plan.scale))
    index = out / "index.html"
    page = template("paper.html.j2").render(
        style=asset("page.css") + asset("report.css"),
        scale=plan.scale,
        summary=words.summary(found),
        verdicts=VERDICTS,
        sections=sections,
        everything=everything.index.relative_to(out),
        picture=_picture,
        most=MOST_ROWS,
    )
    index.write_text(page, "utf-8", newline="\n")
    return Pages(index, out / "paper.md", _counts(found))


def _section(
    db: Database, plan: Plan, recipe: Recipe, found: Sequence[Outcome], out: Path, besides: Sequence[Beside]
) -> Section:
    runs = plan.runs[recipe.name]
    options, parts = ReportOptions(formats=FORMATS, runs=tuple(runs)), Parts(recipe.figures, recipe.tables)
    report = build(db, out / recipe.name, options, parts=parts)
    listings = [_listing(each.title, listing(db, each, runs)) for each in recipe.listings]
    claims, heads = words.rows(found, plan.scale, recipe.name, besides), words.heads(besides)
    rows = html.rows(heads, [False] * len(heads), claims) if claims else Markup()
    lines = [step.line for step in plan.of(recipe)]
    return Section(recipe, report, rows, listings, lines)


def _listing(title: str, frame: pl.DataFrame) -> tuple[str, Markup, int]:
    heads = [name.replace("_", " ") for name in frame.columns]
    cells = ([exact(value) for value in row] for row in frame.head(MOST_ROWS).iter_rows())
    return title, html.rows(heads, [False] * len(heads), cells), frame.height


def _picture(figure: RenderedFigure) -> str:
    """The figure as a data address: a page opened from the file system then needs no other file."""
    svg = next(path for path in figure.files if path.suffix == ".svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.read_bytes()).decode()}"


def _counts(found: Sequence[tuple[Recipe, Sequence[Outcome]]]) -> pl.DataFrame:
    verdicts = [one.verdict for _, rows in found for one in rows if words.counts(one)]
    counted = [(name, verdicts.count(name), words_of) for name, words_of in VERDICTS.items() if name in verdicts]
    return pl.DataFrame(counted, schema={"verdict": pl.String, "rows": pl.Int64, "means": pl.String}, orient="row")


def _csv(found: Sequence[tuple[Recipe, Sequence[Outcome]]], scale: Scale) -> bytes:
    rows = [
        {
            "recipe": recipe.name,
            "claim": one.claim.says,
            "published": published(one.claim, scale),
            "row": one.label,
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "n": one.n,
            "chance": one.chance,
            "rule": words.rule(one.claim),
            "verdict": one.verdict,
        }
        for recipe, outcomes in found
        for one in outcomes
    ]
    return render(pl.DataFrame(rows, infer_schema_length=None), "csv")
