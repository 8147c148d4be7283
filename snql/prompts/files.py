"""The rows of prompt files: JSONL, JSON, CSV, TSV, Parquet and plain text, also compressed with gzip or xz."""

import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl

from snql.errors import InputError

Row = dict[str, Any]

_UNPACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".xz": lzma.decompress}


def read_rows(path: Path, source: str) -> list[Row]:
    """All rows of a file, by column name; a line of plain text is a row with the column ``prompt``.

    ``source`` is what the user wrote, for messages. Raises InputError if the file's type is unknown or it is damaged.
    """
    name, unpack = _packed(path.name.lower())
    suffix = Path(name).suffix
    if suffix not in _READERS:
        raise InputError(f"prompt file {source} has an unknown type: use {', '.join(_READERS)}, or one with .gz or .xz")
    try:
        return list(_READERS[suffix](unpack(path.read_bytes())))
    except UnicodeDecodeError as error:
        raise InputError(f"prompt file {source} is not UTF-8 text (byte {error.start}): convert it first") from error
    except (OSError, EOFError, ValueError, RecursionError, lzma.LZMAError, csv.Error, pl.exceptions.PolarsError) as bad:
        raise InputError(f"prompt file {source} cannot be read as {suffix}: {' '.join(str(bad).split())}") from bad


def read_text(path: Path, source: str) -> str:
    """All of a plain text file, compressed or not; raises InputError if it is no UTF-8 text, or damaged."""
    _, unpack = _packed(path.name.lower())
    try:
        return unpack(path.read_bytes()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"text file {source} is not UTF-8 text (byte {error.start}): convert it first") from error
    except (OSError, EOFError, lzma.LZMAError) as bad:
        raise InputError(f"text file {source} cannot be read: {' '.join(str(bad).split())}") from bad


def is_readable(name: str) -> bool:
    """Whether a file of that name is of a known type."""
    return Path(_packed(name.lower())[0]).suffix in _READERS


def is_untyped(path: Path) -> bool:
    """Whether all that the file holds is text, also its numbers."""
    return Path(_packed(path.name.lower())[0]).suffix in (".csv", ".tsv")


def _packed(name: str) -> tuple[str, Callable[[bytes], bytes]]:
    """A file's name without the suffix of its compression, and what undoes the compression."""
    for suffix, unpack in _UNPACKERS.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), unpack
    return name, bytes


def _lines(data: bytes) -> list[str]:
    """The lines of a text. Other separators than line feeds may stand inside a JSON string, so they end no line."""
    return [line.removesuffix("\r") for line in data.decode("utf-8-sig").split("\n")]


def _text(data: bytes) -> list[Row]:
    return [{"prompt": line} for line in _lines(data) if line.strip()]


def _jsonl(data: bytes) -> list[Row]:
    rows = []
    for number, line in enumerate(_lines(data), start=1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not an object")
            rows.append(row)
    return rows


def _json(data: bytes) -> list[Row]:
    text = data.decode("utf-8-sig")
    rows = json.loads(text) if text.strip() else []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it should hold a list of objects")
    return rows


def _separated(data: bytes, delimiter: str) -> list[Row]:
    reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter)
    rows = []
    for row in reader:
        if None in row:
            raise ValueError(f"line {reader.line_num} has more cells than the first line has column names")
        rows.append(row)
    return rows


def _parquet(data: bytes) -> Iterable[Row]:
    return pl.read_parquet(io.BytesIO(data)).iter_rows(named=True)


_READERS: dict[str, Callable[[bytes], Iterable[Row]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": lambda data: _separated(data, ","),
    ".tsv": lambda data: _separated(data, "\t"),
    ".parquet": _parquet,
    ".txt": _text,
}
