"""Where a report's rows come from: one database, or several side by side.

With several, every run's name ends in the label of its database, as in ``safety [llama]``. So runs of the same name
stand next to each other, as panels of one figure on one scale, and as neighbours in the tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from snql.db import Database
from snql.errors import DatabaseError, InputError
from snql.reporting.text import listing, visible

RUNS_QUERY = "SELECT * FROM figure_runs ORDER BY kind, run"
RUN_COLUMNS = ("run", "run_a", "run_b")


@dataclass(frozen=True)
class Sources:
    """Databases with a label each; the label of a single one is empty."""

    databases: tuple[Database, ...]
    labels: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The first file."""
        return self.databases[0].path

    @property
    def names(self) -> str:
        """The files, for people."""
        return " and ".join(str(database.path) for database in self.databases)

    @property
    def words(self) -> str:
        """What a caption says of the databases; nothing if there is one only."""
        if len(self.databases) == 1:
            return ""
        pairs = zip(self.labels, self.databases, strict=True)
        files = [f"[{label}] is {visible(database.path.name)}" for label, database in pairs]
        return f"Databases: {listing(files)}."

    @property
    def sql_note(self) -> str:
        """A comment for files of SQL: where to run it; nothing if there is one database only."""
        return f"-- Run it in each of the databases. {self.words}\n" if self.words else ""

    def runs(self) -> pl.DataFrame:
        """The finished runs; ``name`` is each one's name in its own database."""
        runs = self.frame(RUNS_QUERY)
        name = pl.col("run")
        for label in filter(None, self.labels):
            name = name.str.strip_suffix(f" [{label}]")
        return runs.with_columns(name.alias("name"))

    def frame(self, query: str) -> pl.DataFrame:
        """The rows of a query, in the order of its ORDER BY, which names columns only.

        Numbers keep 12 figures: the last ones depend on the order in which threads add. Raises DatabaseError if a
        database cannot be read, or lacks the views of this snql.
        """
        pairs = zip(self.databases, self.labels, strict=True)
        frames = [_labelled(_read(database, query), label) for database, label in pairs]
        if len(frames) == 1:
            return frames[0]
        joined = pl.concat(frames, how="vertical_relaxed")
        order = [name.strip() for name in query.rpartition(" ORDER BY ")[2].split(",")]
        return joined.sort(order, nulls_last=True, maintain_order=True)


def sources(database: Database, others: Sequence[Database] = ()) -> Sources:
    """One database, or several with a label each: the stem of its file, and of its folders where stems are equal.

    Raises InputError if the same file is given twice.
    """
    databases = (database, *others)
    if not others:
        return Sources(databases, ("",))
    _check_different([one.path for one in databases])
    return Sources(databases, labels([one.path for one in databases]))


def labels(paths: Sequence[Path]) -> tuple[str, ...]:
    """Labels of files: as few of the last parts of their paths as make them different."""
    whole = [path.resolve().with_suffix("").parts for path in paths]
    for length in range(1, max(len(parts) for parts in whole) + 1):
        found = tuple(visible("/".join(parts[-length:])) for parts in whole)
        if len(set(found)) == len(found):
            return found
    return tuple(visible(path.name) for path in paths)


def _check_different(paths: Sequence[Path]) -> None:
    for place, path in enumerate(paths):
        for other in paths[:place]:
            same = path.samefile(other) if path.exists() and other.exists() else path.resolve() == other.resolve()
            if same:
                raise InputError(f"{path} is the same database as {other}: name another one with --compare")


def _read(database: Database, query: str) -> pl.DataFrame:
    try:
        frame = database.frame(query)
    except duckdb.CatalogException as error:
        raise DatabaseError(
            f"{database.path} lacks the views of this snql: run `snql --db {database.path} db migrate`"
        ) from error
    return frame.with_columns(pl.col(pl.Float64).round_sig_figs(12))


def _labelled(frame: pl.DataFrame, label: str) -> pl.DataFrame:
    if not label:
        return frame
    named = [name for name in RUN_COLUMNS if name in frame.columns]
    return frame.with_columns(pl.concat_str(pl.col(name), pl.lit(f" [{label}]")).alias(name) for name in named)
