"""Where a report's rows come from: one database, or several side by side.

With several, every run's name ends in the label of its database, as in ``safety [llama]``. So runs of the same name
stand next to each other, as panels of one figure on one scale, and as neighbours in the tables.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import polars.selectors as cs

from snql.db import Database
from snql.db.catalog import literal
from snql.db.outputs import resolved
from snql.errors import DatabaseError, InputError
from snql.writing.inert import visible
from snql.writing.words import listing

RUNS_QUERY = "SELECT * FROM figure_runs ORDER BY kind, run"
PAIRS = ("figure_overlap", "figure_stability")
"""Views with a row for pairs of locate runs: of thousands of runs there are millions."""
MOST_PAIRED = 100
LOCATED = (*PAIRS, "figure_layers", "figure_scores")
"""Views of nothing but locate runs: of a few of them, their rows are made without those of all others."""
_LOCATED = "SELECT run FROM locate_runs WHERE null_of IS NULL AND ($1 IS NULL OR scorer = $1) ORDER BY run"
DUST = 1e-12
"""What is smaller in size is what adding left of nothing."""
RUN_COLUMNS = ("run", "run_a", "run_b")


@dataclass(frozen=True)
class Sources:
    """Databases with a label each; the label of a single one is empty.

    only: names of the runs that the report is about; all if empty.
    """

    databases: tuple[Database, ...]
    labels: tuple[str, ...]
    only: tuple[str, ...] = ()
    _names: dict[tuple[int, str | None], list[str]] = field(default_factory=dict, compare=False, repr=False)

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

    def labelled(self) -> tuple[tuple[Database, str], ...]:
        """Each database with what its runs' names end in: nothing if there is one only."""
        ends = [f" [{label}]" if label else "" for label in self.labels]
        return tuple(zip(self.databases, ends, strict=True))

    def runs(self) -> pl.DataFrame:
        """The finished runs; ``name`` is each one's name in its own database."""
        runs = self.frame(RUNS_QUERY)
        name = pl.col("run")
        for label in filter(None, self.labels):
            name = name.str.strip_suffix(f" [{label}]")
        return runs.with_columns(name.alias("name"))

    def frame(self, query: str, most: int | None = None) -> pl.DataFrame:
        """The rows of a query about the report's runs, in the order of its ORDER BY, which names columns only.

        most: of a view of LOCATED, the rows about so many runs of each database, the first by name; the default is all,
        or MOST_PAIRED for pairs of runs. Numbers are as :func:`rows` gives them. Raises DatabaseError if a
        database cannot be read, or lacks the views of this snql.
        """
        if most is None and any(view in query for view in PAIRS):
            most = MOST_PAIRED
        few = any(view in query for view in LOCATED) and (most is not None or bool(self.only))
        restricted = self.restricted(query)
        frames = []
        for database, end in self.labelled():
            names = self._located(database, query)[:most] if few else None
            frames.append(_labelled(_about(database, restricted, names), end))
        if len(frames) == 1:
            return frames[0]
        joined = pl.concat(frames, how="vertical_relaxed")
        order = [name.strip() for name in query.rpartition(" ORDER BY ")[2].split(",")]
        return joined.sort(order, nulls_last=True, maintain_order=True)

    def n_located(self, query: str) -> list[int]:
        """How many locate runs a query about a view of LOCATED is about, in each database."""
        return [len(self._located(database, query)) for database in self.databases]

    def _located(self, database: Database, query: str) -> list[str]:
        if self.only:
            return list(self.only)
        scorer = "change-score" if "figure_scores" in query else None
        key = id(database), scorer
        if key not in self._names:
            self._names[key] = [name for (name,) in database.rows(_LOCATED, [scorer])]
        return self._names[key]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read each database with one connection for the whole block."""
        with ExitStack() as stack:
            for database in self.databases:
                stack.enter_context(database.reading())
            yield

    def restricted(self, query: str) -> str:
        """The query that gives only the rows about the report's runs; a row about two runs is about both."""
        if not self.only:
            return query
        body, _, order = query.rpartition(" ORDER BY ")
        columns = rows(self.databases[0], f"SELECT * FROM ({body}) LIMIT 0").columns  # noqa: S608  (this package's)
        names = ", ".join(literal(name) for name in self.only)
        tests = " AND ".join(f"{column} IN ({names})" for column in RUN_COLUMNS if column in columns)
        return f"SELECT * FROM ({body}) WHERE {tests} ORDER BY {order}"  # noqa: S608  (names are quoted)

    def kept(self, runs: pl.DataFrame) -> pl.DataFrame:
        """Those rows of a frame with a column ``run`` that are about the report's runs."""
        return runs.filter(pl.col("run").is_in(list(self.only))) if self.only else runs


def sources(database: Database, others: Sequence[Database] = (), only: Sequence[str] = ()) -> Sources:
    """One database, or several with a label each: the stem of its file, and of its folders where stems are equal.

    ``only`` restricts them to runs of these names. Raises InputError if the same file is given twice, or a name is
    that of no finished run.
    """
    databases = (database, *others)
    if others:
        _check_different([one.path for one in databases])
    found = Sources(databases, labels([one.path for one in databases]) if others else ("",))
    if not only:
        return found
    known = found.runs()["name"].unique().sort().to_list()
    unknown = [name for name in only if name not in known]
    if unknown:
        raise InputError(f"no finished run is named {unknown[0]!r} in {found.names}: its runs are {listing(known, 12)}")
    return replace(found, only=tuple(dict.fromkeys(only)))


def labels(paths: Sequence[Path]) -> tuple[str, ...]:
    """Labels of files: as few of the last parts of their paths as make them different."""
    whole = [resolved(path).with_suffix("").parts for path in paths]
    for length in range(1, max(len(parts) for parts in whole) + 1):
        found = tuple(visible("/".join(parts[-length:])) for parts in whole)
        if len(set(found)) == len(found):
            return found
    return tuple(visible(path.name) for path in paths)


def _check_different(paths: Sequence[Path]) -> None:
    for place, path in enumerate(paths):
        for other in paths[:place]:
            same = path.samefile(other) if path.exists() and other.exists() else resolved(path) == resolved(other)
            if same:
                raise InputError(f"{path} is the same database as {other}: name another one with `compare`")


def rows(database: Database, query: str, **parameters: Any) -> pl.DataFrame:
    """The rows of a query about one database, ``parameters`` bound by name.

    Numbers keep 12 figures, the last ones depend on the order in which threads add; what these leave of nothing is 0.
    Raises DatabaseError if the database lacks a view.
    """
    try:
        frame = database.frame(query, parameters)
    except duckdb.CatalogException as error:
        raise DatabaseError(
            f"{database.path} lacks the views of this snql: run `snql --db {database.path} db migrate`"
        ) from error
    floats = pl.col(pl.Float64).round_sig_figs(12)
    measured = cs.float() - cs.contains("p_value")
    return frame.with_columns(floats).with_columns(
        pl.when(measured.abs() < DUST).then(0.0).otherwise(measured).name.keep()
    )


def _about(database: Database, query: str, names: Sequence[str] | None) -> pl.DataFrame:
    """The rows of a query, where views have no locate runs but these; all if None."""
    if names is None:
        return rows(database, query)
    with database.reading() as connection:
        connection.execute("SET VARIABLE snql_only = $1", [list(names)])
        try:
            return rows(database, query)
        finally:
            connection.execute("RESET VARIABLE snql_only")


def figures(values: pl.Series, n_figures: int = 4) -> list[float | int | None]:
    """Numbers with few significant figures, as short as JSON can write them; None for what is not finite."""
    known = values.is_not_null() & values.is_finite()
    return [
        (int(value) if value == int(value) and abs(value) < 1e15 else value) if kept else None
        for value, kept in zip(values.round_sig_figs(n_figures).to_list(), known.to_list(), strict=True)
    ]


def _labelled(frame: pl.DataFrame, end: str) -> pl.DataFrame:
    if not end:
        return frame
    named = [name for name in RUN_COLUMNS if name in frame.columns]
    return frame.with_columns(pl.concat_str(pl.col(name), pl.lit(end)).alias(name) for name in named)
