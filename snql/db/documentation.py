"""What each table, view and macro means, read from the header comment of its SQL file.

The headers are the one source of docs/schema.md, of ``snql db schema`` and of the comments inside the database::

    -- Purpose: what it is for, in a clause that ends with a full stop.
    -- Grain:   one row per run and layer.
    -- Key:     run, layer
    -- Columns:
    --   run -> runs.name: the run
    --   layer: layer of the neuron, from 0
    --   score [activation]: change score; a meaning that is too long for a line
    --     goes on with two more spaces
    -- Units:   what holds for several columns.
    -- Caveats: what a reader could get wrong; text goes on
    --          like this.

A column is ``NAME [UNIT] -> TABLE.COLUMN: MEANING``; unit and reference are left out where there is none. A reference
means the row of the same run where both tables have a run_id. Key: the columns that no two rows have in common, NULL
counting as a value. Views need all of these parts, tables (schema/tables, no statement: migrations make them) all but
Units. Macros need Purpose, Grain and Example, one statement, which for a table macro is ``FROM name(...)``;
Parameters, in the form of columns, if they have any; and Columns if they give a table.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from snql.db import scripts
from snql.db.catalog import literal
from snql.db.scripts import Script
from snql.errors import DatabaseError

TABLE, VIEW, MACRO = "table", "view", "macro"

_PARTS = ("Purpose", "Grain", "Key", "Parameters", "Columns", "Units", "Caveats", "Example")
_REQUIRED = {
    TABLE: {"Purpose", "Grain", "Key", "Columns", "Caveats"},
    VIEW: {"Purpose", "Grain", "Key", "Columns", "Units", "Caveats"},
    MACRO: {"Purpose", "Grain", "Example"},
}
_PART = re.compile(rf"^-- ({'|'.join(_PARTS)}):(.*)$")
_FIELD = re.compile(
    r"^--   (?P<name>\w+)(?: \[(?P<unit>[^\]]+)\])?(?: -> (?P<refers_to>\w+\.\w+))?: (?P<meaning>\S.*)$"
)
_MORE = re.compile(r"^--     +(\S.*)$")


@dataclass(frozen=True)
class ColumnDoc:
    """A column or a macro's parameter. refers_to: ``table.column``."""

    name: str
    meaning: str
    unit: str | None = None
    refers_to: str | None = None

    @property
    def text(self) -> str:
        """All of it but the name, in a line."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.meaning}{unit}" + (f" -> {self.refers_to}" if self.refers_to else "")


@dataclass(frozen=True)
class ObjectDoc:
    """A table, view or macro. kind: one of TABLE, VIEW, MACRO; columns are empty for a macro that gives one value."""

    name: str
    kind: str
    purpose: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[ColumnDoc, ...]
    parameters: tuple[ColumnDoc, ...] = ()
    units: str | None = None
    caveats: str | None = None
    example: str | None = None

    @property
    def text(self) -> str:
        """What a comment in the database says of the whole object; of a macro, which has no columns, all there is."""
        parts = {"Grain": self.grain, "Key": ", ".join(self.key), "Units": self.units, "Caveats": self.caveats}
        if self.kind == MACRO:
            fields = {"Parameters": self.parameters, "Columns": self.columns}
            parts |= {name: "; ".join(f"{f.name}: {f.text}" for f in given) for name, given in fields.items()}
            parts["Example"] = self.example
        return "\n".join([self.purpose, *(f"{name}: {text}" for name, text in parts.items() if text)])


@cache
def documents() -> tuple[ObjectDoc, ...]:
    """Every table, view and macro; tables after those they refer to, views and macros after those they use.

    Raises DatabaseError if a header is malformed.
    """
    return (
        *(parse(script, TABLE) for script in scripts.tables()),
        *(parse(each, _kind(each)) for each in scripts.objects()),
    )


def _kind(script: Script) -> str:
    return MACRO if script.name in {macro.name for macro in scripts.macros()} else VIEW


def parse(script: Script, kind: str) -> ObjectDoc:
    """Read the header of one SQL file; raises DatabaseError, naming file and line, if it is malformed."""
    parts = _parts(script)
    if lacking := sorted(_REQUIRED[kind] - parts.keys()):
        raise DatabaseError(f"the header of {script.name}.sql lacks {', '.join(lacking)}: see snql/db/documentation.py")
    texts = {name: " ".join(lines) for name, lines in parts.items() if name not in ("Parameters", "Columns")}
    return ObjectDoc(
        script.name,
        kind,
        texts["Purpose"],
        texts["Grain"],
        tuple(re.findall(r"\w+", texts.get("Key", ""))),
        _fields(script, parts.get("Columns", [])),
        _fields(script, parts.get("Parameters", [])),
        texts.get("Units"),
        texts.get("Caveats"),
        texts.get("Example"),
    )


def _parts(script: Script) -> dict[str, list[str]]:
    """The lines of each part: stripped texts, or whole lines of Parameters and Columns."""
    found: dict[str, list[str]] = {}
    part = ""
    for line in _header(script.sql):
        if match := _PART.match(line):
            part = match[1]
            found[part] = [match[2].strip()] if match[2].strip() else []
        elif part in ("Parameters", "Columns"):
            found[part].append(line)
        elif part and line.removeprefix("--").strip():
            found[part].append(line.removeprefix("--").strip())
        else:
            raise _malformed(script, line)
    return found


def _header(sql: str) -> Iterator[str]:
    for line in sql.splitlines():
        if not line.startswith("--"):
            return
        yield line


def _fields(script: Script, lines: Iterable[str]) -> tuple[ColumnDoc, ...]:
    found: list[dict[str, str | None]] = []
    for line in lines:
        if match := _FIELD.match(line):
            found.append(match.groupdict())
        elif found and (match := _MORE.match(line)):
            found[-1]["meaning"] = f"{found[-1]['meaning']} {match[1]}"
        else:
            raise _malformed(script, line)
    return tuple(ColumnDoc(str(f["name"]), str(f["meaning"]), f["unit"], f["refers_to"]) for f in found)


def _malformed(script: Script, line: str) -> DatabaseError:
    return DatabaseError(f"the header of {script.name}.sql has a malformed line {line!r}: see snql/db/documentation.py")


def comments(documented: Iterable[ObjectDoc]) -> str:
    """The statements that write descriptions into a database, for any DuckDB program to show."""
    return "".join(statement for document in documented for statement in _comments(document))


def _comments(document: ObjectDoc) -> Iterator[str]:
    kind = document.kind.upper()
    if document.kind == MACRO:
        yield f"COMMENT ON MACRO{' TABLE' if document.columns else ''} {document.name} IS {literal(document.text)};\n"
        return
    yield f"COMMENT ON {kind} {document.name} IS {literal(document.text)};\n"
    for column in document.columns:
        yield f'COMMENT ON COLUMN {document.name}."{column.name}" IS {literal(column.text)};\n'
