"""Rows as CSV and TSV. Numbers are as they are; text is guarded against spreadsheets, see docs/formats.md."""

from typing import TYPE_CHECKING, BinaryIO

from snql.writing import inert
from snql.writing.arrow import types_checked
from snql.writing.rows import Source
from snql.writing.values import exact

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


def write(source: Source, sink: BinaryIO, separator: str) -> None:
    """Write a line of heads, and one for each row; nothing if there are no columns."""
    import polars as pl

    with types_checked(), source.batches() as batches:
        if not batches.schema.names:
            return
        heads = {str(place): [inert.separated(name)] for place, name in enumerate(batches.schema.names)}
        sink.write(pl.DataFrame(heads).write_csv(separator=separator, include_header=False).encode())
        for batch in batches:
            rows = inert.frame(_flat(batch), inert.separated)
            sink.write(rows.write_csv(separator=separator, include_header=False).encode())


def _flat(batch: "pa.RecordBatch") -> "pl.DataFrame":
    """Columns that a cell can hold: lists and structures as JSON text, bytes as hexadecimal digits."""
    import polars as pl

    frame = pl.from_arrow(batch)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError("a batch of rows is no frame")
    frame = frame.with_columns(pl.col(pl.Binary).bin.encode("hex"), pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    texts = (
        pl.Series(name, [None if value is None else exact(value) for value in frame[name].to_list()], pl.String)
        for name in nested
    )
    return frame.with_columns(texts)
