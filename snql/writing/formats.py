"""The formats that rows are written in: large results go batch by batch, text from models stays inert."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from snql.errors import InputError
from snql.querying.execute import Rows

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

FORMATS = ("table", "csv", "tsv", "json", "jsonl", "parquet", "arrow", "markdown", "latex")
BINARY = ("parquet", "arrow")
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Source(Protocol):
    """Rows to be written: those of a query that runs (:class:`snql.querying.execute.Result`), or of a frame."""

    def rows(self) -> Rows: ...

    def batches(self) -> "pa.RecordBatchReader": ...

    def frame(self) -> "pl.DataFrame": ...


class FrameSource:
    """The rows of a frame."""

    def __init__(self, frame: "pl.DataFrame") -> None:
        self._frame = frame

    def rows(self) -> Rows:
        numeric = [kind.is_numeric() for kind in self._frame.dtypes]
        return Rows(self._frame.columns, numeric, self._frame.iter_rows())

    def batches(self) -> "pa.RecordBatchReader":
        return self._frame.to_arrow().to_reader()

    def frame(self) -> "pl.DataFrame":
        return self._frame


def check_format(name: str) -> str:
    """The name; raises InputError if it is none of FORMATS."""
    if name not in FORMATS:
        raise InputError(f"--format {name!r} is not known: use {', '.join(FORMATS)}")
    return name


def render(frame: "pl.DataFrame", format_name: str) -> bytes:
    """The rows of a frame in one of FORMATS but ``table``; raises InputError for another."""
    buffer = BytesIO()
    write(FrameSource(frame), format_name, buffer)
    return buffer.getvalue()


def write(source: Source, format_name: str, sink: BinaryIO) -> None:
    """Write the rows in one of FORMATS but ``table``; raises InputError for another, or for a type it does not have.

    In CSV, TSV and Markdown characters that control a terminal become U+FFFD, and lists JSON text; CSV and TSV cells
    that a spreadsheet would run as a formula get a leading apostrophe. Parquet, Arrow and JSON hold the text as it is.
    """
    writers: dict[str, Callable[[Source, BinaryIO], None]] = {
        "csv": lambda rows, out: _separated(rows, out, ","),
        "tsv": lambda rows, out: _separated(rows, out, "\t"),
        "json": _json,
        "jsonl": lambda rows, out: out.writelines(f"{line}\n".encode() for line in _objects(rows)),
        "parquet": _parquet,
        "arrow": _arrow,
        "markdown": _markdown,
        "latex": _latex,
    }
    if format_name not in writers:
        raise InputError(f"--format {format_name!r} is not known: use {', '.join(FORMATS)}")
    writers[format_name](source, sink)


def _json(source: Source, sink: BinaryIO) -> None:
    start = b"["
    for line in _objects(source, indent=2):
        sink.write(start + b"\n  " + line.replace("\n", "\n  ").encode())
        start = b","
    sink.write(b"[]\n" if start == b"[" else b"\n]\n")


def _objects(source: Source, indent: int | None = None) -> Iterator[str]:
    """Each row as a JSON object; a float that is not finite becomes null, times become ISO 8601 text."""
    rows = source.rows()
    for values in rows.values:
        row = {name: plain(value) for name, value in zip(rows.columns, values, strict=True)}
        yield re.sub(
            "[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", json.dumps(row, indent=indent, ensure_ascii=False)
        )


def plain(value: Any) -> Any:
    """A value that JSON has."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date | datetime | time) else str(value)


def _separated(source: Source, sink: BinaryIO, separator: str) -> None:
    import polars as pl

    with _types_checked(), source.batches() as batches:
        if not batches.schema.names:
            return
        heads = _inert(pl.DataFrame([batches.schema.names], orient="row", schema=_numbered(batches.schema.names)))
        sink.write(heads.write_csv(separator=separator, include_header=False).encode())
        for batch in batches:
            rows = _inert(_flat(_polars(batch)))
            sink.write(rows.write_csv(separator=separator, include_header=False).encode())


def _numbered(names: list[str]) -> "dict[str, type[pl.String]]":
    import polars as pl

    return {str(number): pl.String for number in range(len(names))}


def _inert(frame: "pl.DataFrame") -> "pl.DataFrame":
    """No cell that begins as a formula does, nor characters that control a terminal."""
    import polars as pl

    frame = frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    texts = [
        pl.col(name).str.replace_all(_CONTROL, "\ufffd") for name, kind in frame.schema.items() if kind == pl.String
    ]
    return frame.with_columns(
        pl.when(pl.any_horizontal(text.str.starts_with(sign) for sign in _FORMULA))
        .then(pl.concat_str(pl.lit("'"), text))
        .otherwise(text)
        .alias(text.meta.output_name())
        for text in texts
    )


def _flat(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Columns that a text cell can hold: lists and structures as JSON text."""
    import polars as pl

    frame = frame.with_columns(pl.col(pl.Binary).bin.encode("hex"))
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    texts = [
        pl.Series(
            name,
            [None if v is None else json.dumps(plain(v), ensure_ascii=False) for v in frame[name].to_list()],
            pl.String,
        )
        for name in nested
    ]
    return frame.with_columns(texts)


def _polars(table: "pa.Table | pa.RecordBatch") -> "pl.DataFrame":
    import polars as pl

    frame = pl.from_arrow(table)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError("a batch of rows is no frame")
    return frame


@contextmanager
def _types_checked() -> Iterator[None]:
    """Errors about types that a format does not have, as InputError."""
    import polars as pl
    import pyarrow as pa

    try:
        yield
    except BaseException as error:
        panicked = type(error).__name__ == "PanicException"  # a date that Polars has no room for
        if not panicked and not isinstance(error, pl.exceptions.PolarsError | pa.ArrowException):
            raise
        cause = " ".join(str(error).split())
        raise InputError(
            f"the rows have a type that cannot be written ({cause}): cast it, such as x::VARCHAR"
        ) from error


def _parquet(source: Source, sink: BinaryIO) -> None:
    import pyarrow.parquet as pq

    with (
        _types_checked(),
        source.batches() as batches,
        pq.ParquetWriter(sink, batches.schema, compression="zstd") as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def _arrow(source: Source, sink: BinaryIO) -> None:
    import pyarrow as pa

    with _types_checked(), source.batches() as batches, pa.ipc.new_file(sink, batches.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _markdown(source: Source, sink: BinaryIO) -> None:
    rows = source.rows()
    rules = ["---:" if numeric else "---" for numeric in rows.numeric]
    for line in ([_cell(name) for name in rows.columns], rules):
        sink.write(f"| {' | '.join(line)} |\n".encode())
    for values in rows.values:
        sink.write(f"| {' | '.join(_cell(value) for value in values)} |\n".encode())


def _cell(value: Any) -> str:
    value = plain(value)
    text = "" if value is None else json.dumps(value) if isinstance(value, list | dict) else str(value)
    text = re.sub(_CONTROL, "\ufffd", text)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", "<br>")


def _latex(source: Source, sink: BinaryIO) -> None:
    from snql.writing.latex import tabular

    with _types_checked():
        sink.write(tabular(_flat(source.frame())).encode())
