"""The neurons of the page: the top of every locate run's ranking, to sort and to filter."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from snql.db import Database, scripts
from snql.neurons.sets import neuron_name
from snql.reporting.sources import Sources, figures, rows
from snql.writing.inert import visible
from snql.writing.words import count

MAX_NEURONS = 10_000
"""Rows in all; each run has an equal share."""
MAX_RUNS = 40
MAX_COMPARED = 12
"""Runs whose ranks are given beside the others'."""

RUNS = """
SELECT run_id, run, n_all, n_layers, n_ranked FROM locate_runs WHERE n_ranked > 0 ORDER BY run_id
"""
ALL = "SELECT * FROM neuron_scores WHERE run = $run ORDER BY rank"
PLACE = ["layer", "expert", "neuron"]
NUMBERS = ("score", "mean_before", "std_before", "mean_after", "std_after", "mean_difference")


@dataclass(frozen=True)
class Neurons:
    """Neurons for the page. runs: names by their place in the column ``run`` of ``frame``, compared: the names of
    those whose ranks are in the columns ``rank_0``, ``rank_1``, … (null where models have other shapes).

    frame: run, layer, expert, neuron, rank, NUMBERS and the ranks, a row a run and neuron, in order of run and rank.
    left_out: what is not here and how to see it, as a sentence; empty if all is here.
    """

    runs: tuple[str, ...]
    compared: tuple[str, ...]
    frame: pl.DataFrame
    left_out: str

    def first(self, n_rows: int) -> list[dict[str, Any]]:
        """The first rows, each with its run's name and the neuron's name."""
        return [
            {
                **row,
                "place": row["run"],
                "run": self.runs[row["run"]],
                "name": neuron_name(row["layer"], row["neuron"], row["expert"]),
            }
            for row in self.frame.head(n_rows).iter_rows(named=True)
        ]

    def data(self) -> dict[str, Any]:
        """Columns for the page's script; numbers have four figures."""
        whole: dict[str, Any] = {name: self.frame[name].to_list() for name in ("run", *PLACE, "rank")}
        if self.frame["expert"].is_null().all():
            whole["expert"] = None
        ranks = [self.frame[f"rank_{place}"].to_list() for place in range(len(self.compared))]
        return {
            "runs": [visible(name) for name in self.runs],
            "compared": [visible(name) for name in self.compared],
            **whole,
            **{name: figures(self.frame[name]) for name in NUMBERS},
            "ranks": ranks,
        }


def read(source: Sources) -> Neurons | None:
    """The top neurons of all finished locate runs; None if none is ranked."""
    most = MAX_NEURONS // len(source.databases)
    found = [_of_database(db, end, most, source) for db, end in source.labelled()]
    parts = [part for part in found if part is not None]
    return _joined(parts) if parts else None


def _joined(parts: Sequence[Neurons]) -> Neurons:
    """Neurons of several databases: the ranks of one database's runs are unknown in the other's."""
    frames: list[pl.DataFrame] = []
    runs: list[str] = []
    compared: list[str] = []
    for part in parts:
        names = {f"rank_{place}": f"rank_{len(compared) + place}" for place in range(len(part.compared))}
        frames.append(part.frame.rename(names).with_columns(pl.col("run") + len(runs)))
        runs += part.runs
        compared += part.compared
    left_out = [part.left_out for part in parts if part.left_out]
    return Neurons(tuple(runs), tuple(compared), pl.concat(frames, how="diagonal_relaxed"), " ".join(left_out))


def _of_database(db: Database, end: str, room: int, source: Sources) -> Neurons | None:
    """The top neurons of one database, ``room`` rows at most. end: what names of runs get added."""
    found = source.kept(rows(db, RUNS))
    if found.is_empty():
        return None
    shown = found.head(MAX_RUNS)
    most = max(1, room // shown.height)
    ids = shown["run_id"].to_list()
    compared = shown.head(MAX_COMPARED) if shown.height > 1 else shown.head(0)
    first = rows(db, scripts.query("top_neurons_of_runs"), runs=ids, most=most)
    top = _with_ranks(first, _ranks(db, ids, most, compared), shown, compared)
    names = dict(zip(ids, range(len(ids)), strict=True))
    frame = top.with_columns(pl.col("run_id").replace_strict(names, return_dtype=pl.Int64).alias("run"))
    labels = [tuple(name + end for name in each["run"]) for each in (shown, compared)]
    return Neurons(labels[0], labels[1], frame.drop("run_id"), _left_out(found, shown, most))


def _ranks(db: Database, ids: list[int], most: int, compared: pl.DataFrame) -> pl.DataFrame:
    return rows(db, scripts.query("ranks_of_top_neurons"), runs=ids, most=most, compared=compared["run_id"].to_list())


def _with_ranks(top: pl.DataFrame, ranks: pl.DataFrame, shown: pl.DataFrame, compared: pl.DataFrame) -> pl.DataFrame:
    """The rows with a column ``rank_N`` for each run that is compared, where models have the same shape."""
    for place, (run_id, _, n_all, n_layers, _) in enumerate(compared.iter_rows()):
        peers = shown.filter((pl.col("n_all") == n_all) & (pl.col("n_layers") == n_layers))["run_id"]
        of_run = ranks.filter(pl.col("run_id") == run_id).select(*PLACE, pl.col("rank").alias(f"rank_{place}"))
        top = top.join(of_run, on=PLACE, how="left", nulls_equal=True, maintain_order="left").with_columns(
            pl.when(pl.col("run_id").is_in(peers.implode())).then(f"rank_{place}").alias(f"rank_{place}")
        )
    return top


def _left_out(found: pl.DataFrame, shown: pl.DataFrame, most: int) -> str:
    cut = shown.filter(pl.col("n_ranked") > most)
    if cut.is_empty() and found.height == shown.height:
        return ""
    n_left = sum(found["n_ranked"].to_list()) - sum(min(most, n) for n in shown["n_ranked"].to_list())
    words = f"Of each run the top {most:,} are here" + (
        f", of the first {shown.height} of {count(found.height, 'run')}" if found.height > shown.height else ""
    )
    run = visible((shown if cut.is_empty() else cut)["run"][0])
    words += f"; {count(n_left, 'ranked neuron')} of lower ranks are left out. All of a run: "
    return words + shlex.join(["snql", "query", ALL, "-p", f"run={run}"])
