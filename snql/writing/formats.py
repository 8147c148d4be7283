"""The formats that rows are written in: a writer each. Large results go batch by batch, and text stays inert.

In CSV, TSV, Markdown and LaTeX the text of cells and heads goes through the format's rule in :mod:`snql.writing.inert`;
JSON, Parquet and Arrow are for programs and hold the text as it is.
"""

from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO

from snql.errors import InputError
from snql.writing import arrow, latex, markdown, objects, separated
from snql.writing.rows import FrameSource, Source

if TYPE_CHECKING:
    import polars as pl

WRITERS: dict[str, Callable[[Source, BinaryIO], None]] = {
    "csv": partial(separated.write, separator=","),
    "tsv": partial(separated.write, separator="\t"),
    "json": objects.write_list,
    "jsonl": objects.write_lines,
    "parquet": arrow.write_parquet,
    "arrow": arrow.write_ipc,
    "markdown": markdown.write,
    "latex": latex.write,
}
FORMATS = ("table", *WRITERS)
BINARY = ("parquet", "arrow")


def check_format(name: str) -> str:
    """The name; raises InputError if it is none of FORMATS."""
    if name not in FORMATS:
        raise _unknown(name)
    return name


def render(frame: "pl.DataFrame", format_name: str) -> bytes:
    """The rows of a frame in one of FORMATS but ``table``; raises InputError for another."""
    buffer = BytesIO()
    write(FrameSource(frame), format_name, buffer)
    return buffer.getvalue()


def write(source: Source, format_name: str, sink: BinaryIO) -> None:
    """Write the rows in one of FORMATS but ``table``; raises InputError for another, or for a type it does not have."""
    if format_name not in WRITERS:
        raise _unknown(format_name)
    WRITERS[format_name](source, sink)


def _unknown(name: str) -> InputError:
    return InputError(f"`format_name` {name!r} is not known: use {', '.join(FORMATS)}")
