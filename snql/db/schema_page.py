"""docs/schema.md, and the diagram of tables that it begins with, in Mermaid's language."""

from collections.abc import Iterator, Mapping

import polars as pl

from snql.db.described import GROUPS, Described, described
from snql.db.documentation import TABLE
from snql.errors import InputError

_INTRODUCTION = """\
# The schema

What each view, macro and table of an snql database holds. The file opens in any DuckDB from 1.5 on, and every
description is in it too, as a comment (`SELECT column_name, comment FROM duckdb_columns() WHERE table_name =
'neuron_scores'`). `snql db schema` prints this page's content for the version that is installed, `snql db schema
NAME` one object, `snql db schema --diagram` the diagram.

Ask the views, not the tables: views name runs, and show those that are done unless they say otherwise. Names and
columns of the views to build on stay; columns are added at the end. Layers, experts and neurons are counted from 0,
times are UTC. This page is generated: change the header comments in `schema/`, then `snql db schema --markdown -o
docs/schema.md`.
"""

_GROUP_NOTES = {
    GROUPS[0]: "Stable names and columns.",
    GROUPS[1]: "Questions with parameters. A macro is used like a table, `FROM name(...)`, unless it gives one value.",
    GROUPS[2]: "What is stored. *Key*: no two rows have these values in common (NULL counts as a value).",
    GROUPS[3]: "What the charts of `snql report` are drawn from; these views change when the charts do.",
}

_DIAGRAM = """\
## Diagram

Tables with their keys (PK) and references (FK). What belongs to a run by way of another table has no line of its own
to `runs`.
"""

_KEYS = """\
## Keys and references

A key is a primary key that DuckDB enforces where the object says so. An index has a price: measured with DuckDB 2.0
on two cores, on the 458,752 neurons of one run of an 8B model, a primary key on `neuron_statistics` makes writing a
run take 0.28 s instead of 0.14 s, deleting one 0.25 s instead of 0.01 s, and the file 21 % larger; on 20 million rows
of token-level activations writing takes 9.3 s instead of 2.8 s and the file is twice as large. So
`neuron_statistics`, `scored_tokens`, `activation_rows`, `prompt_sums` and `score_intervals` have none, nor has
`neuron_set_members`, whose `expert` can be NULL. 120,000 judgements with a key take 0.1 s to write instead of 0.03 s.

No reference is a foreign key. With one, DuckDB refuses to delete a run together with its rows in one transaction, and
refuses most changes of the table that is referred to (dropping or renaming a column, another type, a NULL allowed),
which migrations need. `snql db check` finds rows that refer to nothing, and rows that a key which is not enforced has
twice.

## Adding to the schema

One object a file in `schema/`, stem = name. Views (`views/`) and macros (`macros/`) are replaced whenever a file
changes; tables are made by `migrations/NNNN_name.sql`, which are never edited once released, and described in
`tables/`. Each file but a migration begins with a header comment, from which this page, `snql db schema` and the
comments in the database come; the docstring of `snql/db/documentation.py` gives its form. Tests compare every header
with the database, check that each view's key is unique on data, and fail when this page is not current.

A table with a column `run_id` belongs to runs: `snql rm` deletes its rows with theirs. Rows are written by
`snql.db.tables.insert`, whatever the table. Questions that Python asks, other than those of a line or two, stand in
`queries/NAME.sql` with a comment about their purpose; `snql.db.scripts.query("NAME")` gives the text, and values are
bound by name. They are no part of a database: a change of one makes no view anew.
"""


def markdown() -> str:
    """The page."""
    parts = [
        _INTRODUCTION,
        _DIAGRAM,
        f"```mermaid\n{mermaid()}```\n",
    ]
    for group in GROUPS:
        parts.append(f"## {group}\n\n{_GROUP_NOTES[group]}\n")
        parts += [_section(each) for each in described() if each.group == group]
    return "\n".join([*parts, _KEYS])


def _section(each: Described) -> str:
    document = each.document
    lines = [f"### {each.signature}\n", f"{_sentence(document.purpose)}\n"]
    facts = {"Grain": document.grain, "Key": _key(each), "Units": document.units, "Caveats": document.caveats}
    lines += [f"- {name}: {_inline(text)}" for name, text in facts.items() if text]
    if document.example:
        lines.append(f"- Example: `{document.example}`")
    return "\n".join([*lines, "", *_table(each.columns())])


def _key(each: Described) -> str:
    key = ", ".join(each.document.key)
    return f"{key} (enforced)" if each.declared else key


def _table(columns: pl.DataFrame) -> Iterator[str]:
    if columns.is_empty():
        return
    yield "| column | type | unit | meaning |"
    yield "| --- | --- | --- | --- |"
    for row in columns.iter_rows(named=True):
        refers = f" → {row['refers_to']}" if row["refers_to"] else ""
        yield f"| {row['column']} | {row['type']} | {_inline(row['unit'] or '')} | {_inline(row['meaning'])}{refers} |"
    yield ""


def _sentence(text: str) -> str:
    return _inline(text[0].upper() + text[1:])


def _inline(text: str) -> str:
    """Text that Markdown shows as it is, in a table's cell too."""
    for character in "|<*":
        text = text.replace(character, f"\\{character}")
    return text


def mermaid() -> str:
    """An entity diagram of all tables: their keys, and what refers to what."""
    tables = sorted((each for each in described() if each.document.kind == TABLE), key=lambda each: each.name)
    by_name = {each.name: each for each in tables}
    lines = ["erDiagram", *(line for each in tables for line in _entity(each))]
    links = sorted(link for each in tables for link in _links(each, by_name))
    return "\n".join([*lines, *(f"    {link}" for link in links)]) + "\n"


def diagram(suffix: str) -> str:
    """The diagram as a file of that kind: .mmd, .md (in a Markdown block) or .svg; raises InputError for another."""
    if suffix == ".mmd":
        return mermaid()
    if suffix == ".md":
        return f"```mermaid\n{mermaid()}```\n"
    raise InputError(f"a diagram cannot be written as {suffix or 'a file without a suffix'}: name a .mmd or .md file")


def _entity(each: Described) -> Iterator[str]:
    yield f"    {each.name} {{"
    for column in each.document.columns:
        marks = [mark for mark, is_so in (("PK", column.name in each.document.key), ("FK", column.refers_to)) if is_so]
        if marks:
            yield f"        {each.types[column.name]} {column.name} {', '.join(marks)}"
    yield "    }"


def _links(each: Described, tables: Mapping[str, Described]) -> Iterator[str]:
    """``parent ||--o{ child : column``, or ``|o`` where the column can be NULL.

    The run is left out of tables that refer to it by way of another of their references.
    """
    parents = {column.name: column.refers_to.split(".")[0] for column in each.document.columns if column.refers_to}
    others = set(parents.values()) - {"runs", each.name}
    by_way = any("run_id" in tables[parent].document.key for parent in others)
    for name, parent in parents.items():
        if not (name == "run_id" and by_way):
            yield f"{parent} {'|o' if name in each.optional else '||'}--o{{ {each.name} : {name}"
