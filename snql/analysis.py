"""``snql.open``: a database as a researcher asks it, in frames that Polars reads."""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from polars.io.plugins import register_io_source

from snql.db.connection import Database
from snql.db.run_list import list_runs
from snql.db.scores import read_scores, read_shape
from snql.errors import InputError
from snql.neurons.sets import NeuronSet, Shape
from snql.rankings.evaluate import Evaluator
from snql.rankings.overlaps import compare
from snql.rankings.shapes import shape_of
from snql.writing.html import line, table

if TYPE_CHECKING:
    from snql.view.notebook import Shown

_ACTIVATIONS = """
    SELECT prompt_id, position, token, layer, expert, neuron, before, after, token_id FROM token_activations
    WHERE run = ?
    """
_OF_NEURONS = """
    AND (layer, coalesce(expert, 0), neuron)
        IN (SELECT (unnest(?::INTEGER[]), unnest(?::INTEGER[]), unnest(?::INTEGER[])))
    """
_BATCH_ROWS = 100_000


class Analysis(Database):
    """A database with the questions that are asked of it most; everything else is SQL (:meth:`sql`).

    A context manager. Every method opens the file, reads and closes it, so that jobs can write meanwhile; only
    relations of :meth:`sql` keep it open, until :meth:`close` or the end of the block.
    """

    def __enter__(self) -> "Analysis":
        return self

    def __repr__(self) -> str:
        return f"Analysis({str(self.path)!r})"

    @property
    def runs(self) -> pl.DataFrame:
        """One row per run, in order of their start: kind, name, status, started_at, seconds, …"""
        return list_runs(self)

    def scores(self, run: str) -> pl.DataFrame:
        """All neurons of a finished locate run with their scores, ranks, means and deviations, in order of rank.

        Raises InputError if there is no such run.
        """
        return read_scores(self, run).sort("rank", nulls_last=True, maintain_order=True)

    def overlap(self, *runs: str, top: str = "5%") -> pl.DataFrame:
        """Every pair of these runs compared at the top of their rankings, beside chance.

        Columns are those of :class:`snql.stats.overlap.Overlap`. Raises InputError for fewer than two runs, an
        unknown run, or a malformed ``top``.
        """
        return compare(self, runs, top)

    def neurons(self, expression: str, *, like: str | None = None) -> NeuronSet:
        """The neurons that an expression names, such as ``safety:5% & helpful:5%``.

        like: a locate run of the model that is meant, where the expression names none. Raises ExpressionError for a
        malformed expression, InputError where the model is not known.
        """
        return Evaluator(self, self._shape(expression, like)).evaluate(expression)

    def activations(self, run: str, neurons: str | None = None) -> pl.LazyFrame:
        """The token-level activations that a locate run kept: a row per prompt, position and neuron, under both models.

        Lazy: the file is read when the frame is collected, in batches; columns, number of rows and plain comparisons
        are left to DuckDB, which then reads no more than it must. neurons: an expression; None for all that were kept.
        Raises InputError if there is no such run, ExpressionError for a malformed expression.
        """
        shape = read_shape(self, run)
        query, parameters = _ACTIVATIONS, [run]
        if neurons is None:
            return _lazily(self.path.absolute(), query, parameters)
        chosen = Evaluator(self, shape).evaluate(neurons)
        experts = chosen.experts if chosen.experts is not None else [0] * len(chosen)
        places = [[int(value) for value in values] for values in (chosen.layers, experts, chosen.neurons)]
        return _lazily(self.path.absolute(), query + _OF_NEURONS, [run, *places])

    def completions(self, run: str, *, kind: str | None = None) -> pl.DataFrame:
        """What the models of a run wrote: a row per variant, prompt and sample, with the prompt.

        kind: locate or patch, if both have a run of that name. Raises InputError if there is no such run.
        """
        self._check_run(run, kind)
        return self.frame(
            """
            SELECT kind, variant, role, dataset, prompt_id, sample, prompt, text, token_ids, finish_reason
            FROM run_completions WHERE run = $1 AND kind = coalesce($2, kind)
            ORDER BY kind, variant_id, prompt_id, sample
            """,
            [run, kind],
        )

    def effects(self, run: str, *, controls: bool = False) -> pl.DataFrame:
        """The causal effects of a patch run's neuron sets, with intervals: rows of ``causal_effects``.

        controls: those of their random controls, too. Raises InputError if there is no such run.
        """
        self._check_run(run, "patch")
        return self.frame("FROM causal_effects WHERE run = ? AND (? OR control_of IS NULL)", [run, controls])

    def view(self, height: int = 800) -> "Shown":
        """Serve the database to this machine's browser (``snql view``), and show it in a frame where a notebook can.

        The server is a process of its own, so that jobs of this one can write; it ends with this one, or by ``stop()``
        of what is given. height: of the frame, in pixels. Raises InputError without the extra ``view``, DatabaseError
        if there is no database.
        """
        from snql.view.notebook import show

        return show(self.path, height)

    def _shape(self, expression: str, like: str | None) -> Shape:
        shape = read_shape(self, like) if like is not None else shape_of(self, expression)
        if shape is None:
            raise InputError(f"of which model is {expression!r}? name a locate run of it with like=RUN")
        return shape

    def _check_run(self, run: str, kind: str | None) -> None:
        """Raise InputError if there is no run that writes of that name and kind, or one of each and none is named."""
        found = self.rows(
            "SELECT kind FROM runs WHERE name = $1 AND kind = coalesce($2, kind) AND kind IN ('locate', 'patch')",
            [run, kind],
        )
        if not found:
            raise InputError(
                f"no {f'{kind} run' if kind else 'run'} {run!r} in {self.path}: `snql runs` lists those it has"
            )
        if len(found) > 1:
            raise InputError(f"locate and patch runs are both named {run!r}: say which with kind=")

    def _repr_html_(self) -> str:
        if not self.path.exists():
            return line(f"{self.path}: no database yet")
        columns = ("kind", "name", "status", "seconds", "progress", "device", "dtype", "seed")
        return table(self.runs, columns, title=f"{self.path.name}: {len(self.runs)} runs")


def open_database(path: str | Path) -> Analysis:
    """Open an snql database; the file is read or created when it is first used."""
    return Analysis(path)


def _lazily(path: Path, query: str, parameters: Sequence[object]) -> pl.LazyFrame:
    """The rows of a query, read with a connection of their own whenever the frame is collected."""

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_rows: int | None
    ) -> Iterator[pl.DataFrame]:
        with Database(path).reading() as connection:
            frame: pl.LazyFrame = connection.sql(query, params=list(parameters)).pl(lazy=True)
            if predicate is not None:
                frame = frame.filter(_conditions(predicate))
            if columns is not None:
                frame = frame.select(columns)
            if n_rows is not None:
                frame = frame.head(n_rows)
            yield from frame.collect_batches(chunk_size=batch_rows or _BATCH_ROWS)

    with Database(path).reading() as connection:
        schema = connection.sql(f"FROM ({query}) LIMIT 0", params=list(parameters)).pl().schema
    return register_io_source(read, schema=schema, explain_name="snql", is_pure=True)


def _conditions(predicate: pl.Expr) -> list[pl.Expr]:
    """What a predicate demands, without the hints of a limit that stand in it: Polars cannot evaluate them itself."""
    waiting, found = [json.loads(predicate.meta.serialize(format="json"))], []
    while waiting:
        tree = waiting.pop()
        both = tree.get("BinaryExpr", {})
        text = json.dumps(tree)
        if both.get("op") == "And":
            waiting += [both["left"], both["right"]]
        elif '"dynamic_pred' not in text:
            found.append(pl.Expr.deserialize(io.BytesIO(text.encode()), format="json"))
    return found
