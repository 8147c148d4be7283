"""The rows of prompt files: JSONL, JSON, CSV, TSV, Parquet and plain text, also compressed with gzip or xz."""

import csv
import gzip
import io
import json
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from snql.errors import SURROGATE, InputError
from snql.prompts.sizes import check_size, read_parquet

Row = dict[str, Any]

_DAMAGE = (
    *(OSError, EOFError, ValueError, RecursionError, OverflowError, zlib.error, lzma.LZMAError),
    *(csv.Error, pl.exceptions.PolarsError, pa.ArrowException),
)
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"))

_OPENERS: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".xz": lzma.open}
"""What undoes a compression, by a file's ending."""

_AT_ONCE = 1 << 20


def read_rows(path: Path, source: str) -> list[Row]:
    """All rows of a file, by column name; a line of plain text is a row with the column ``prompt``.

    ``source`` is what the user wrote, for messages. Raises InputError if the file's type is unknown or it is damaged.
    """
    name = _unpacked_name(path.name.lower())
    suffix = Path(name).suffix
    if suffix not in _READERS:
        raise InputError(f"prompt file {source} has an unknown type: use {', '.join(_READERS)}, or one with .gz or .xz")
    try:
        return list(_READERS[suffix](_contents(path)))
    except UnicodeDecodeError as error:
        raise InputError(f"prompt file {source} is not UTF-8 text (byte {error.start}): convert it first") from error
    except _DAMAGE as bad:
        raise InputError(f"prompt file {source} cannot be read as {suffix}: {' '.join(str(bad).split())}") from bad


def read_text(path: Path, source: str) -> str:
    """All of a plain text file, compressed or not; raises InputError if it is no UTF-8 text, or damaged."""
    try:
        return _contents(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"text file {source} is not UTF-8 text (byte {error.start}): convert it first") from error
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as bad:
        raise InputError(f"text file {source} cannot be read: {' '.join(str(bad).split())}") from bad


def is_readable(name: str) -> bool:
    """Whether a file of that name is of a known type."""
    return Path(_unpacked_name(name.lower())).suffix in _READERS


def is_untyped(path: Path) -> bool:
    """Whether all that the file holds is text, also its numbers."""
    return Path(_unpacked_name(path.name.lower())).suffix in (".csv", ".tsv")


def _unpacked_name(name: str) -> str:
    """A file's name without the suffix of its compression."""
    return name.removesuffix(next((suffix for suffix in _OPENERS if name.endswith(suffix)), ""))


def _contents(path: Path) -> bytes:
    """What a file holds, unpacked; raises ValueError if that is more than it may."""
    unpack, data = _OPENERS.get(path.suffix.lower()), bytearray()
    with path.open("rb") if unpack is None else unpack(path) as file:
        while part := file.read(_AT_ONCE):
            data += part
            check_size(len(data))
    return bytes(data)


def _lines(data: bytes) -> list[str]:
    """The lines of a text. Other separators than line feeds may stand inside a JSON string, so they end no line."""
    return [line.removesuffix("\r") for line in data.decode("utf-8-sig").split("\n")]


def _text(data: bytes) -> list[Row]:
    return [{"prompt": line} for line in _lines(data) if line.strip()]


def _jsonl(data: bytes) -> list[Row]:
    return [_object(line, number) for number, line in enumerate(_lines(data), start=1) if line.strip()]


def _object(line: str, number: int) -> Row:
    try:
        row = json.loads(line, object_pairs_hook=_once)
        _check_text(line, row)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number}, column {error.colno}: {error.msg}") from error
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error
    if not isinstance(row, dict):
        raise ValueError(f"line {number} is not an object")
    return row


def _check_text(source: str, value: Any) -> None:
    """Raise ValueError if JSON holds a character that is none; it can only be written as one's number."""
    if _HALF.search(source) and (half := SURROGATE.search(json.dumps(value, ensure_ascii=False))):
        raise ValueError(f"it holds half of a surrogate pair (\\u{ord(half[0]):x}), which is no text: repair the file")


def _once(pairs: list[tuple[str, Any]]) -> Row:
    """A JSON object; raises ValueError if it has a key twice, of which JSON readers would keep the last in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"an object has the key {_twice([key for key, _ in pairs])!r} twice: rename one of the two")
    return found


def _twice(names: list[str]) -> str:
    return max(Counter(names).items(), key=lambda item: item[1])[0]


def _json(data: bytes) -> list[Row]:
    text = data.decode("utf-8-sig")
    rows = json.loads(text, object_pairs_hook=_once) if text.strip() else []
    _check_text(text, rows)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it should hold a list of objects")
    return rows


def _separated(data: bytes, delimiter: str) -> list[Row]:
    """Rows of CSV or TSV, read strictly: what a lenient reader would merge or drop is an error that names its line."""
    text = data.decode("utf-8-sig")
    rows = _cells(text, delimiter)
    names = rows[0][1] if rows else []
    if len(set(names)) < len(names):
        twice = _twice(names)
        named = f"are named {twice!r}: rename one of the two" if twice else "have no name: name them in the first line"
        raise ValueError(f"two columns {named}")
    for line, cells in rows:
        if len(cells) != len(names):
            more = "more" if len(cells) > len(names) else "fewer"
            raise ValueError(
                f"line {line} has {more} cells than the first line has column names ({len(cells)} and {len(names)})"
            )
    _check_breaks(text, rows, delimiter)
    return [dict(zip(names, cells, strict=True)) for _, cells in rows[1:]]


def _cells(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """The line that each row begins on, from 1, and its cells; empty lines are no rows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return rows
        except csv.Error as error:
            raise ValueError(
                f"line {line} has a quotation mark that opens a cell and does not end it ({error}); a cell with "
                'quotation marks is written between two more, and each of its own twice: """Yes"", he said"'
            ) from error
        if cells:
            rows.append((line, cells))


def _check_breaks(text: str, rows: list[tuple[int, list[str]]], delimiter: str) -> None:
    """Raise ValueError if what is read as one row with line breaks in a cell is as well several rows."""
    lines = list(io.StringIO(text, newline=""))
    for (line, cells), (after, _) in list(pairwise([*rows, (len(lines) + 1, [])]))[1:]:
        if any("\n" in cell for cell in cells) and _are_rows(lines[line - 1 : after - 1], len(cells), delimiter):
            raise ValueError(
                f"line {line} begins a cell in quotation marks that runs over whole rows: write each quotation mark of "
                "a text twice, between two more; or, if the lines belong together, use JSONL"
            )


def _are_rows(lines: list[str], n_cells: int, delimiter: str) -> bool:
    """Whether each of several lines could be a row by itself: as many cells, a number first if the first line has one.

    Commas of prose, and not those between cells, have a blank or the end of the line after them; those of code are
    within brackets.
    """
    split = [line.rstrip("\r\n").split(delimiter) for line in lines if line.strip()]
    is_numbered = {cells[0].strip('" ').isdecimal() for cells in split}
    if n_cells == 1 or len(is_numbered) > 1 or {len(cells) for cells in split} != {n_cells}:
        return False
    prose = any(not cell or cell[0] == " " for cells in split for cell in cells[1:])
    code = any(cell.count(left) != cell.count(right) for cells in split for cell in cells for left, right in _BRACKETS)
    return delimiter != "," or not (prose or code)


_READERS: dict[str, Callable[[bytes], Iterable[Row]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": lambda data: _separated(data, ","),
    ".tsv": lambda data: _separated(data, "\t"),
    ".parquet": lambda data: read_parquet(io.BytesIO(data)).iter_rows(named=True),
    ".txt": _text,
}
