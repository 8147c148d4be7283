"""Rows to be written: those of a query that runs, or of a frame."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True)
class Rows:
    """Rows one by one, as Python values, while the query runs. numeric: which columns hold numbers."""

    columns: list[str]
    numeric: list[bool]
    values: Iterator[tuple[Any, ...]]


class Source(Protocol):
    """What can be written, once, by one of the methods (:class:`snql.querying.execute.Result`)."""

    def rows(self) -> Rows: ...

    def batches(self) -> "pa.RecordBatchReader": ...


class FrameSource:
    """The rows of a frame."""

    def __init__(self, frame: "pl.DataFrame") -> None:
        self._frame = frame

    def rows(self) -> Rows:
        """The rows as tuples."""
        numeric = [kind.is_numeric() for kind in self._frame.dtypes]
        return Rows(self._frame.columns, numeric, self._frame.iter_rows())

    def batches(self) -> "pa.RecordBatchReader":
        """The rows as Arrow batches."""
        return self._frame.to_arrow().to_reader()
