"""A question that is put to the database: SQL of anybody's, or one of the library with its parameters."""

import shlex
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import polars as pl

from snql.db.connection import Database
from snql.errors import InputError
from snql.querying.execute import Parameter, Result, parse_parameters, run
from snql.querying.questions import ask
from snql.reporting.page import MISSING
from snql.view.site import Site
from snql.view.watched import Cancel
from snql.writing.formats import write
from snql.writing.values import short
from snql.writing.words import decimal, decimals

MOST_ROWS = 1_000
"""That a page shows; files hold all."""
LONGEST_SQL = 100_000
FORMATS = {"csv": "text/csv; charset=utf-8", "json": "application/json", "parquet": "application/vnd.apache.parquet"}
_PREFIX = "p_"


@dataclass(frozen=True)
class Asked:
    """What a form says. question: the name of one of the library, or empty; given: ``NAME=VALUE`` words, or values by
    parameter of the question."""

    sql: str = ""
    question: str = ""
    given: tuple[str, ...] = ()

    @classmethod
    def of(cls, form: Mapping[str, str]) -> "Asked":
        """From the fields of a form; raises InputError for parameters that are no words."""
        question = form.get("question", "")
        if question:
            pairs = ((name.removeprefix(_PREFIX), value) for name, value in form.items() if name.startswith(_PREFIX))
            return cls(question=question, given=tuple(f"{name}={value}" for name, value in pairs if value))
        sql = form.get("sql", "")
        if len(sql) > LONGEST_SQL:
            raise InputError(f"the query has more than {LONGEST_SQL:,} characters")
        try:
            return cls(sql=sql, given=tuple(shlex.split(form.get("given", ""))))
        except ValueError as error:
            raise InputError(f"the parameters are malformed ({error}): write NAME=VALUE, with quotes around") from error

    def fields(self) -> dict[str, str]:
        """The fields of a form that asks the same."""
        if not self.question:
            return {"sql": self.sql, "given": shlex.join(self.given)}
        pairs = (word.partition("=") for word in self.given)
        return {"question": self.question, **{f"{_PREFIX}{name}": value for name, _, value in pairs}}

    def script(self, db: Database) -> tuple[str, dict[str, Parameter]]:
        """The SQL, and values for its parameters."""
        given = parse_parameters(self.given)
        return ask(db, self.question, given) if self.question else (self.sql, given)


@dataclass(frozen=True)
class Answer:
    """The first rows of an answer. frame: values as they are; more: whether there are more rows than these."""

    frame: pl.DataFrame
    texts: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    more: bool
    seconds: float
    sql: str


def answer(site: Site, asked: Asked, cancel: Cancel) -> Answer:
    """Ask, and read the first rows. Raises InputError for SQL that fails, RunError if it takes too long or is left."""
    began = time.monotonic()

    def read(result: Result) -> Answer:
        found = result.rows()
        rows = list(islice(found.values, MOST_ROWS + 1))
        took = time.monotonic() - began
        return _answer(found.columns, found.numeric, rows, took, sql)

    with site.reading(long=True) as db:
        sql, given = asked.script(db)
        return run(db, sql, read, given, timeout=site.options.timeout, cancel=cancel)


def _answer(columns: list[str], numeric: list[bool], rows: list[tuple[Any, ...]], took: float, sql: str) -> Answer:
    shown = rows[:MOST_ROWS]
    by_column = list(zip(*shown, strict=True)) if shown else [() for _ in columns]
    numbers = {
        name: pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)
        for name, values, is_number in zip(columns, by_column, numeric, strict=True)
        if is_number
    }
    words = {
        name: pl.Series(name, [None if value is None else str(value) for value in values], pl.String)
        for name, values, is_number in zip(columns, by_column, numeric, strict=True)
        if not is_number
    }
    frame = pl.DataFrame([(numbers | words)[name] for name in columns])
    texts = [_column(values, is_number) for values, is_number in zip(by_column, numeric, strict=True)]
    by_row = tuple(zip(*texts, strict=True)) if shown else ()
    return Answer(frame, by_row, tuple(numeric), len(rows) > MOST_ROWS, took, sql)


def _column(values: tuple[Any, ...], is_number: bool) -> list[str]:
    """A column's cells: whole numbers as they are, others with as many digits after the point each."""
    if not is_number:
        return [MISSING if value is None else short(value) for value in values]
    if all(value is None or isinstance(value, int) for value in values):
        return [MISSING if value is None else str(value).replace("-", "\u2212") for value in values]
    numbers = [None if value is None else float(value) for value in values]
    places = max(3, decimals(numbers))
    return [MISSING if value is None else decimal(value, places, small=True) for value in numbers]


def file_of(site: Site, asked: Asked, format_name: str, cancel: Cancel) -> BinaryIO:
    """The whole answer as a file without a name, from its beginning. Raises as :func:`answer` does."""
    if format_name not in FORMATS:
        raise InputError(f"format {format_name!r} is not known: use {', '.join(FORMATS)}")
    sink = tempfile.TemporaryFile()  # noqa: SIM115 - who sends it closes it
    try:
        with site.reading(long=True) as db:
            sql, given = asked.script(db)
            run(db, sql, lambda it: write(it, format_name, sink), given, timeout=site.options.timeout, cancel=cancel)
    except BaseException:
        sink.close()
        raise
    sink.seek(0)
    return sink
