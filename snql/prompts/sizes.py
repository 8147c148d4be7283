"""How much a file may hold once it is unpacked: little on disk can be more than any memory."""

import os
import zipfile
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pyarrow.parquet as pq

from snql.errors import InputError

MOST_BYTES = "SNQL_MOST_BYTES"
"""The environment variable with what a file may hold, unpacked."""
_MOST_BYTES = 2_000_000_000
_CELL = 8
"""Bytes that a cell of a Parquet file takes at least once it is read."""


def most_bytes() -> int:
    """Raises InputError for a number that is none."""
    given = os.environ.get(MOST_BYTES) or str(_MOST_BYTES)
    if not (given.isascii() and given.isdecimal() and len(given) < 19):
        raise InputError(f"{MOST_BYTES} {given[:40]!r} is no number of bytes: write one such as {_MOST_BYTES}")
    return int(given)


def check_size(n_bytes: int) -> None:
    """Raise ValueError for more than a file may hold."""
    most = most_bytes()
    if n_bytes > most:
        raise ValueError(f"it holds more than {most:,} bytes, unpacked: split it, or allow more with {MOST_BYTES}")


def read_parquet(file: BinaryIO) -> pl.DataFrame:
    """A Parquet file as a frame; raises ValueError for one that holds too much."""
    about = pq.read_metadata(file)
    sizes = (about.row_group(group).total_byte_size for group in range(about.num_row_groups))
    check_size(max(sum(sizes), _CELL * about.num_rows * about.num_columns))
    file.seek(0)
    frame = pl.read_parquet(file)
    lengths = frame.select(pl.col(pl.String).str.len_bytes().sum())  # a page can repeat one text for ever
    check_size(sum(map(sum, lengths.rows())))
    return frame


def check_zip(path: Path) -> None:
    """Raise ValueError if a file is a zip archive whose files are too much; another kind of file is not looked at."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            check_size(sum(entry.file_size for entry in archive.infolist()))
