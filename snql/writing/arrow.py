"""Rows as Parquet and Arrow files, with the types and texts they have."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from snql.errors import InputError
from snql.writing.rows import Source


def write_parquet(source: Source, sink: BinaryIO) -> None:
    """Write a Parquet file."""
    import pyarrow.parquet as pq

    with (
        types_checked(),
        source.batches() as batches,
        pq.ParquetWriter(sink, batches.schema, compression="zstd") as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def write_ipc(source: Source, sink: BinaryIO) -> None:
    """Write an Arrow file."""
    import pyarrow as pa

    with types_checked(), source.batches() as batches, pa.ipc.new_file(sink, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


@contextmanager
def types_checked() -> Iterator[None]:
    """Errors about types that a format does not have, as InputError."""
    try:
        yield
    except BaseException as error:
        panicked = type(error).__name__ == "PanicException"  # a date that Polars has no room for
        if not panicked and not isinstance(error, _type_errors()):
            raise
        cause = " ".join(str(error).split())
        raise InputError(
            f"the rows have a type that cannot be written ({cause}): cast it, such as x::VARCHAR"
        ) from error


def _type_errors() -> tuple[type[Exception], ...]:
    """Polars' and Arrow's own errors, of those of the two that a writer has imported: each takes long to import."""
    polars, arrow = sys.modules.get("polars"), sys.modules.get("pyarrow")
    found = [polars.exceptions.PolarsError] if polars else []
    return (*found, *([arrow.ArrowException] if arrow else []))
