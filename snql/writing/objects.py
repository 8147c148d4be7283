"""Rows as JSON: an array of objects, or an object a line. Text is exact; numbers that JSON lacks are null."""

import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from snql.writing.rows import Source
from snql.writing.values import plain


def write_list(source: Source, sink: BinaryIO) -> None:
    """Write one array, an object for each row."""
    start = b"["
    for line in _objects(source, indent=2):
        sink.write(start + b"\n  " + line.replace("\n", "\n  ").encode())
        start = b","
    sink.write(b"[]\n" if start == b"[" else b"\n]\n")


def write_lines(source: Source, sink: BinaryIO) -> None:
    """Write an object for each row, on a line of its own."""
    sink.writelines(f"{line}\n".encode() for line in _objects(source))


def _objects(source: Source, indent: int | None = None) -> Iterator[str]:
    rows = source.rows()
    for values in rows.values:
        row = {name: plain(value) for name, value in zip(rows.columns, values, strict=True)}
        yield re.sub(
            "[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", json.dumps(row, indent=indent, ensure_ascii=False)
        )
