"""``manifest.json`` of an exported database: what is in the folder, and what it must look like when it is read back.

A manifest is not trusted: names are those that an export gives, files are inside the folder, and nothing else is read.
"""

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from snql.db.shards import NAME as SHARD_NAME
from snql.errors import InputError

NAME = "manifest.json"
FORMAT = 1

_TABLE_FILE = re.compile(r"tables/\w{1,100}\.parquet", re.ASCII)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Column:
    """A column and its DuckDB type."""

    name: str
    type: str


@dataclass(frozen=True)
class Table:
    """One table: its columns in order, and the file with its rows in their order."""

    name: str
    columns: tuple[Column, ...]
    rows: int
    file: str
    sha256: str


@dataclass(frozen=True)
class Shard:
    """One file of token-level activations. name: RUN_ID/CHUNK.parquet."""

    name: str
    sha256: str

    @property
    def file(self) -> str:
        return f"shards/{self.name}"


@dataclass(frozen=True)
class Migration:
    """One row of the ledger."""

    number: int
    name: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """An export. tables: in an order in which they can be filled; sequences: the next value of each."""

    format: int
    snql_version: str
    exported_at: str
    schema_version: int
    migrations: tuple[Migration, ...]
    sequences: dict[str, int]
    tables: tuple[Table, ...]
    shards: tuple[Shard, ...]

    @property
    def ledger(self) -> list[tuple[int, str, str]]:
        return [(m.number, m.name, m.sha256) for m in self.migrations]

    def text(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def read(folder: Path) -> Manifest:
    """The manifest of a folder; raises InputError if it is missing, of another format or malformed."""
    path = folder / NAME
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{folder} is no exported database: it has no {NAME} that can be read") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: export the database again") from error
    if isinstance(found, dict) and isinstance(found.get("format"), int) and found["format"] > FORMAT:
        raise InputError(f"{folder} was exported in format {found['format']}, newer than {FORMAT}: upgrade snql")
    try:
        manifest = _manifest(found)
        if manifest.format != FORMAT:
            raise ValueError(f"format is {manifest.format}")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a manifest as snql writes it ({error}): export the database again") from error
    return manifest


def check_file(folder: Path, name: str, sha256: str) -> Path:
    """The path of an exported file; raises InputError if it is missing, a link, or not what was exported."""
    path = folder / name
    if not path.is_file() or path.resolve() != folder.resolve() / name:
        raise InputError(f"{path} is missing: the export is not complete; export the database again")
    if hashed(path) != sha256:
        raise InputError(f"{path} is not the file that was exported (another SHA-256): restore it, or export again")
    return path


def hashed(path: Path, *, flush: bool = False) -> str:
    """A file's SHA-256. flush: also wait until it is on the disk."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if flush:
            os.fsync(file.fileno())
    return digest


def _manifest(found: Any) -> Manifest:
    tables = tuple(_table(each) for each in _of(found, "tables", list))
    shards = tuple(
        Shard(_named(each, "name", SHARD_NAME), _of(each, "sha256", str)) for each in _of(found, "shards", list)
    )
    for what, names in (("table", [t.name for t in tables]), ("shard", [s.name for s in shards])):
        if len(set(names)) != len(names):
            raise ValueError(f"a {what} is there twice")
    sequences = _of(found, "sequences", dict)
    return Manifest(
        format=_of(found, "format", int),
        snql_version=_of(found, "snql_version", str),
        exported_at=_of(found, "exported_at", str),
        schema_version=_of(found, "schema_version", int),
        migrations=tuple(
            Migration(_of(m, "number", int), _of(m, "name", str), _of(m, "sha256", str))
            for m in _of(found, "migrations", list)
        ),
        sequences={name: _of(sequences, name, int) for name in sequences},
        tables=tables,
        shards=shards,
    )


def _table(found: Any) -> Table:
    columns = tuple(Column(_of(each, "name", str), _of(each, "type", str)) for each in _of(found, "columns", list))
    return Table(
        name=_of(found, "name", str),
        columns=columns,
        rows=_of(found, "rows", int),
        file=_named(found, "file", _TABLE_FILE),
        sha256=_of(found, "sha256", str),
    )


def _of(record: Any, key: str, kind: type[_T]) -> _T:
    """A value of a JSON object; raises KeyError, TypeError or ValueError, with words for the user."""
    if not isinstance(record, dict):
        raise TypeError(f"{record!r:.40} is no object")
    value = record.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{key} is {value!r:.40}")
    return value


def _named(record: Any, key: str, pattern: re.Pattern[str]) -> str:
    name = _of(record, key, str)
    if not pattern.fullmatch(name):
        raise ValueError(f"{name!r:.60} is no name that an export gives")
    return name
