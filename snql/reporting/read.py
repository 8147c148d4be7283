"""Reading the rows that a report shows."""

import duckdb
import polars as pl

from snql.db import Database
from snql.errors import DatabaseError


def rows(db: Database, query: str, **parameters: object) -> pl.DataFrame:
    """The rows of a query, ``parameters`` bound by name.

    Numbers keep 12 figures: the last ones depend on the order in which threads add. Raises DatabaseError if the
    database lacks a view.
    """
    try:
        with db.reading() as connection:
            frame: pl.DataFrame = connection.sql(query, params=parameters).pl()
    except duckdb.CatalogException as error:
        raise DatabaseError(f"{db.path} lacks the views of this snql: run `snql --db {db.path} db migrate`") from error
    return frame.with_columns(pl.col(pl.Float64).round_sig_figs(12))


def figures(values: pl.Series, n_figures: int = 4) -> list[float | int | None]:
    """Numbers with few significant figures, as short as JSON can write them; None for what is not finite."""
    known = values.is_not_null() & values.is_finite()
    return [
        (int(value) if value == int(value) and abs(value) < 1e15 else value) if kept else None
        for value, kept in zip(values.round_sig_figs(n_figures).to_list(), known.to_list(), strict=True)
    ]
