"""``snql db schema``: what the tables, views and macros hold."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from snql.errors import InputError

from .render import note, print_json, print_lines, print_table
from .state import State

if TYPE_CHECKING:
    from snql.db.described import Described

_COLUMNS = {"column": "column", "type": "type", "unit": "unit", "described": "meaning"}


def show(here: State, names: Sequence[str], output: Path | None, *, markdown: bool, diagram: bool) -> None:
    """Print, or write to ``output``, the page, the diagram, the objects of these names, or a list of all objects."""
    from snql.db.described import columns_of, described, find, overview

    if diagram or markdown:
        _text(here, names, output, markdown=markdown, diagram=diagram)
        return
    if output is not None:
        raise InputError(f"--output {output} needs --markdown or --diagram")
    if here.json:
        print_json(columns_of(find(names) if names else described()))
    elif names:
        for each in find(names):
            _object(each)
    else:
        _overview(overview())
        note("`snql db schema NAME` shows the columns of one; --markdown shows everything", quiet=here.quiet)


def _text(here: State, names: Sequence[str], output: Path | None, *, markdown: bool, diagram: bool) -> None:
    from snql.db import schema_page
    from snql.db.durable import written

    if markdown and diagram:
        raise InputError("--markdown and --diagram exclude each other: the page has the diagram in it")
    if names:
        raise InputError(f"--{'diagram' if diagram else 'markdown'} is of all objects: leave out {', '.join(names)}")
    if output is None:
        sys.stdout.write(schema_page.mermaid() if diagram else schema_page.markdown())
        return
    text = schema_page.diagram(output.suffix) if diagram else schema_page.markdown()
    try:
        with written(output, here.database) as file:
            file.write(text.encode())
    except OSError as error:
        raise InputError(f"--output {output} cannot be written: {error.strerror}") from error
    note(f"wrote {output}", quiet=here.quiet)


def _overview(objects: pl.DataFrame) -> None:
    for (group,), rows in objects.group_by("group", maintain_order=True):
        print_table(rows, {"name": "name", "purpose": "what it is", "grain": "a row"}, str(group))


def _object(each: "Described") -> None:
    document = each.document
    facts = {"Grain": document.grain, "Key": ", ".join(document.key), "Units": document.units}
    facts |= {"Caveats": document.caveats, "Example": document.example}
    print_lines(f"{document.kind} {each.signature}: {document.purpose}", [f"{k}: {v}" for k, v in facts.items() if v])
    columns = each.columns()
    if len(columns):
        refers = pl.when(pl.col("refers_to").is_null()).then(pl.lit("")).otherwise(" -> " + pl.col("refers_to"))
        print_table(
            columns.with_columns(pl.col("unit").fill_null(""), (pl.col("meaning") + refers).alias("described")),
            _COLUMNS,
        )
