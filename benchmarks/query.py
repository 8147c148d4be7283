"""How fast questions are answered: from a database of Llama-3-8B's size, and beside it in Polars from plain files.

Seven locate runs of 32 layers of 14,336 neurons, the last layer not ranked, with correlated lognormal scores. The first
keeps the activations of its top 5 % over the tokens of 200 prompts: 300 million rows, neuron by neuron as a run writes
them. The second keeps as many of its own in half-precision shards, which ``--store auto`` chooses for so many; they are
added once the rows have been measured.

Beside it the same in Polars, over what is left by code that saves each run's scores as a tensor file (``.pt``: change
scores, ranks, means, standard deviations) and activations as one Parquet file, sorted by neuron. Written as well as
can be: neurons are compared by a join, not as Python tuples (which is measured too), and the Parquet file is filtered
lazily, so that row groups of other neurons are not read. It gives shared neurons and Spearman's rho only.

Times are medians of repeated calls, in milliseconds unless they say seconds. *opened*: the file is opened for each
call, as the command line does; *kept*: one open connection. Files are in the page cache. On two cores.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import torch
from measured import Result, arguments, show

import snql
from snql.contrast.tokens import Layout
from snql.db import activations, records, runs
from snql.db.connection import Access, Database
from snql.db.scores import read_scores, statistics_frame, write_statistics
from snql.neurons.sets import NeuronSet, Shape
from snql.querying.execute import query
from snql.querying.questions import ask
from snql.rankings.overlaps import compare

THREADS = 2
N_PROMPTS = 200
TOKENS_OF_RUN = "SELECT * FROM token_activations WHERE run = $run AND layer = $layer AND neuron = $neuron"

# A row's place gives its neuron and its token. Box and Muller's normal numbers: before has a spread of 1, after differs
# from it by the neuron's score.
ACTIVATIONS = """
SELECT
    $layer::SMALLINT AS layer,
    NULL::SMALLINT AS expert,
    list_extract($neurons, i // $n_tokens + 1)::INTEGER AS neuron,
    (i % $n_tokens)::INTEGER AS token_index,
    size.before::REAL AS before,
    (size.before + size.change)::REAL AS after
FROM (
    SELECT i, {
        'before': sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()),
        'change': list_extract($scores, i // $n_tokens + 1) * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())
    } AS size
    FROM range($n_rows) AS places(i)
)
"""
PROMPTS = """
INSERT INTO prompts SELECT i + 1, 'synthetic', 'prompt ' || i, sha256('prompt ' || i), NULL, NULL FROM range($n) AS p(i)
"""
TOKENS = """
INSERT INTO scored_tokens
SELECT
    $run_id, i, i * $n_prompts // $n_tokens + 1, 20 + i - min(i) OVER (PARTITION BY i * $n_prompts // $n_tokens),
    hash(i) % 5000, ' word' || hash(i) % 5000
FROM range($n_tokens) AS tokens(i) ORDER BY i
"""


@dataclass(frozen=True)
class Size:
    """What is built. n_ranked: layers whose neurons have ranks."""

    n_runs: int
    shape: Shape
    n_tokens: int
    repeats: int

    @property
    def n_ranked(self) -> int:
        return self.shape.n_layers - 1

    @property
    def k(self) -> int:
        """5 % of the ranked neurons."""
        return round(0.05 * self.n_ranked * self.shape.n_neurons)

    @property
    def names(self) -> list[str]:
        return [f"run{number}" for number in range(1, self.n_runs + 1)]


FULL = Size(7, Shape(32, 14_336), 13_501, 9)
QUICK = Size(3, Shape(16, 4_096), 3_000, 5)


def build_scores(db: Database, size: Size) -> None:
    """All runs with their statistics: half of the scores' spread is common to all, more in later layers."""
    generator = np.random.default_rng(0)
    shape = (size.shape.n_layers, size.shape.n_neurons)
    common = generator.normal(size=shape) + np.linspace(0, 1, shape[0])[:, None]
    counts = np.full(shape, size.n_tokens)
    for name in size.names:
        scores = np.exp(0.7 * common + 0.7 * generator.normal(size=shape) - 3)
        other = {
            column: generator.normal(size=shape) ** 2
            for column in ("mean_before", "mean_after", "std_before", "std_after", "mean_difference")
        }
        frame = statistics_frame(size.shape, scores, other, counts, size.n_ranked)
        new = runs.NewRun("locate", name, {"before": "x", "after": "y", "positions": "generating"}, 0)
        with runs.stored_at_once(db, new) as (connection, run_id):
            write_statistics(connection, run_id, frame)


def build_activations(db: Database, size: Size, run_id: int, store: str) -> None:
    """A run's kept neurons with all tokens: rows, layer by layer, or shards, chunk by chunk."""
    top = read_scores(db, size.names[run_id - 1]).filter(pl.col("rank") <= size.k)
    kept = NeuronSet.of(size.shape, top.select("layer", "neuron").iter_rows())
    scores = dict(zip(top.select("layer", "neuron").iter_rows(), top["score"], strict=True))
    with db.write() as connection:
        if run_id == 1:
            connection.execute(PROMPTS, {"n": N_PROMPTS})
        connection.execute(
            "INSERT INTO run_prompts SELECT ?, prompt_id, prompt_id - 1, text, range(20), 0 FROM prompts", [run_id]
        )
        connection.execute(TOKENS, {"run_id": run_id, "n_tokens": size.n_tokens, "n_prompts": N_PROMPTS})
        runs.set_kept(connection, run_id, records.save_set(connection, kept), store)
    for index, (layer, columns) in enumerate(_parts(Layout.of(kept, size.n_tokens), store)):
        given = {
            "layer": layer,
            "neurons": columns.tolist(),
            "scores": [scores[layer, neuron] for neuron in columns.tolist()],
            "n_tokens": size.n_tokens,
            "n_rows": size.n_tokens * len(columns),
        }
        _store(db, run_id, index, given, store)


def _parts(layout: Layout, store: str) -> list[tuple[int, np.ndarray]]:
    if store == "rows":  # one commit for a layer: a run's own, of 2 million rows each, would take longer
        return list(layout.columns.items())
    return [(chunk.layer, chunk.columns) for chunk in layout.chunks]


def _store(db: Database, run_id: int, index: int, given: dict[str, object], store: str) -> None:
    file = None
    if store == "parquet":
        with db.reading() as connection:
            rows = connection.sql(ACTIVATIONS, params=given).to_arrow_table()
        file, _ = activations.write_shard(db.path, run_id, index, rows)
    with db.write() as connection:
        if file is None:
            connection.execute(
                f"INSERT INTO activation_rows BY NAME SELECT $run_id AS run_id, * FROM ({ACTIVATIONS})",  # noqa: S608
                given | {"run_id": run_id},
            )
        chunk = [run_id, index, given["layer"], given["n_rows"], file]
        connection.execute("INSERT INTO activation_chunks VALUES (?, ?, ?, ?, NULL, ?)", chunk)


def write_plain_files(db: Database, size: Size, folder: Path) -> None:
    """The runs' scores as tensor files, and the first run's tokens and activations as Parquet."""
    shape = (size.n_ranked, size.shape.n_neurons)
    for name in size.names:
        frame = read_scores(db, name).filter(pl.col("rank").is_not_null())
        ranks = frame.sort("rank").select("layer", "neuron").to_numpy().astype(np.int64)
        columns = ("score", "mean_after", "std_after", "mean_before", "std_before")
        scores, *other = (torch.from_numpy(frame[c].to_numpy().reshape(shape).astype(np.float32)) for c in columns)
        torch.save((scores, torch.from_numpy(ranks), *other), folder / f"{name}.pt")
    with db.write() as connection:
        for table, columns in (
            ("activation_rows", "layer, neuron, token_index, before, after"),
            ("scored_tokens", "token_index, prompt_id, position, token_id, token"),
        ):
            connection.execute(
                f"COPY (SELECT {columns} FROM {table} WHERE run_id = 1) "  # noqa: S608
                f"TO '{folder / table}.parquet' (COMPRESSION zstd)"
            )


def took(size: Size, work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of the first call, and the median of those after it."""
    seconds = []
    for _ in range(size.repeats + 1):
        began = time.perf_counter()
        work()
        seconds.append(1000 * (time.perf_counter() - began))
    return seconds[0], statistics.median(seconds[1:])


def warm(size: Size, name: str, work: Callable[[], object], target: str | None = None) -> Result:
    """The median of repeated calls after a first one."""
    return Result(name, took(size, work)[1], target)


def opened(db: Database, work: Callable[[], object]) -> Callable[[], object]:
    """The work with a file that is opened for it, whatever was open."""

    def anew() -> object:
        db.close()
        return work()

    return anew


def overlaps(db: Database, size: Size, folder: Path) -> Iterator[Result]:
    """Two runs, all runs, and the macro; in Polars."""
    two = size.names[:2]
    pair = warm(size, "overlap of two runs, opened", opened(db, lambda: compare(db, two)), "<= 150")
    yield pair
    every = warm(size, "matrix of all runs, opened", opened(db, lambda: compare(db, size.names)), "<= 2000")
    yield every
    parameters = {"a": two[0], "b": two[1], "k": size.k}
    sql = "FROM overlap_statistics($a, $b, $k)"
    yield warm(size, "the macro overlap_statistics, opened", opened(db, lambda: query(db, sql, parameters)))
    sql = "SELECT overlap_at($a, $b, $k)"
    yield warm(size, "the macro overlap_at, opened", opened(db, lambda: query(db, sql, parameters)))
    files = [folder / f"{name}.pt" for name in size.names]
    (shared, rho), found = polars_overlaps(files[:2], size.k)[0], compare(db, two).row(0, named=True)
    if found["shared"] != shared or abs(found["spearman_all"] - rho) > 1e-6:
        raise RuntimeError(f"snql and Polars disagree: {found}, {shared}, {rho}")
    plain = warm(size, "Polars: overlap of two runs, .pt files", lambda: polars_overlaps(files[:2], size.k))
    all_plain = warm(size, "Polars: matrix of all runs, .pt files", lambda: polars_overlaps(files, size.k))
    yield from (plain, Result("Polars / snql, two runs", plain.value / pair.value))
    yield from (all_plain, Result("Polars / snql, matrix", all_plain.value / every.value))
    yield warm(size, "Python tuples: shared neurons of two runs", lambda: tuple_overlap(*files[:2], size.k))


def polars_overlaps(files: list[Path], k: int) -> list[tuple[int, float]]:
    """For each pair the shared neurons of the top k, and Spearman's rho over all ranked neurons."""
    loaded = [torch.load(file, weights_only=True) for file in files]
    tops = [pl.DataFrame(ranks[:k].numpy(), schema=["layer", "neuron"]) for _, ranks, *_ in loaded]
    scores = pl.DataFrame({str(i): part[0].numpy().ravel() for i, part in enumerate(loaded)})
    scores = scores.select(pl.all().rank())  # once for each run: of ranks, Pearson's coefficient is Spearman's
    pairs = list(combinations(range(len(files)), 2))
    rhos = scores.select([pl.corr(str(a), str(b)).alias(f"{a} {b}") for a, b in pairs]).row(0)
    shared = [tops[a].join(tops[b], on=["layer", "neuron"], how="semi").height for a, b in pairs]
    return list(zip(shared, rhos, strict=True))


def tuple_overlap(a: Path, b: Path, k: int) -> float:
    """As ranks are used in Python: sets of (layer, neuron)."""
    tops = [set(map(tuple, torch.load(file, weights_only=True)[1][:k].tolist())) for file in (a, b)]
    return len(tops[0] & tops[1]) / k


def polars_tokens(folder: Path, layer: int, neuron: int) -> pl.LazyFrame:
    """One neuron's tokens from plain Parquet files."""
    rows = pl.scan_parquet(folder / "activation_rows.parquet")
    tokens = pl.scan_parquet(folder / "scored_tokens.parquet")
    return rows.filter(layer=layer, neuron=neuron).join(tokens, on="token_index")


def neurons(db: Database, size: Size, run: str, where: str, target: str | None = None) -> Iterator[Result]:
    """Another neuron in each call, of those that the run keeps."""
    top = read_scores(db, run).filter(pl.col("rank") <= size.k)
    chosen = top.sample(200, seed=1, shuffle=True).select("layer", "neuron").rows()
    place = iter(chosen)

    def parameters() -> dict[str, str | int]:
        layer, neuron = next(place)
        return {"run": run, "layer": layer, "neuron": neuron}

    def rows() -> None:
        found = query(db, TOKENS_OF_RUN, parameters())
        if len(found) != size.n_tokens:
            raise RuntimeError(f"{len(found)} tokens")

    def top_tokens() -> pl.DataFrame:
        return query(db, *ask(db, "driving_tokens", {**parameters(), "least": 2}))

    def page() -> object:
        layer, neuron = next(place)
        return snql.describe_neuron(db, f"L{layer}.N{neuron}", [run])

    yield warm(size, f"one neuron's tokens, {where}, opened", opened(db, rows), target)
    with db.reading():
        yield warm(size, f"one neuron's tokens, {where}, kept", rows, target)
    yield warm(size, f"@driving_tokens, {where}, opened", opened(db, top_tokens))
    yield warm(size, f"describe_neuron, {where}, opened", opened(db, page))


def plain_neurons(db: Database, size: Size, folder: Path) -> Iterator[Result]:
    """One neuron's tokens, and its top tokens, in Polars over the Parquet files."""
    top = read_scores(db, "run1").filter(pl.col("rank") <= size.k)
    place = iter(top.sample(200, seed=2, shuffle=True).select("layer", "neuron").rows())

    def rows() -> None:
        if polars_tokens(folder, *next(place)).collect().height != size.n_tokens:
            raise RuntimeError("another number of tokens")

    def top_tokens() -> pl.DataFrame:
        mine = polars_tokens(folder, *next(place)).group_by("token")
        figures = mine.agg(pl.len(), pl.col("after").abs().mean().alias("size"), pl.col("before").mean())
        return figures.filter(pl.col("len") >= 2).sort("size", descending=True).collect()

    yield warm(size, "Polars: one neuron's tokens from Parquet", rows)
    yield warm(size, "Polars: its top tokens", top_tokens)


def starts(folder: Path) -> Iterator[Result]:
    """The command line from start to end."""
    small = Database(folder / "small.duckdb")
    small.initialise()
    command = [str(Path(sys.executable).with_name("snql")), "--db", str(small.path), "query", "SELECT 1"]
    seconds = []
    for _ in range(11):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        seconds.append(time.perf_counter() - began)
    yield Result('snql query "SELECT 1" start to end, seconds', statistics.median(seconds), "<= 0.4")


def measured(size: Size, folder: Path) -> Iterator[Result]:
    """Everything, in an order in which the shards come last."""
    db = Database(folder / "big.duckdb", access=Access(threads=THREADS))
    db.initialise()
    began = time.perf_counter()
    build_scores(db, size)
    yield Result("built: statistics, seconds", time.perf_counter() - began)
    began = time.perf_counter()
    build_activations(db, size, 1, "rows")
    yield Result("built: million activation rows", size.k * size.n_tokens / 1e6)
    yield Result("built: activation rows, seconds", time.perf_counter() - began)
    yield Result("database, GB", db.path.stat().st_size / 1e9)
    write_plain_files(db, size, folder)
    yield Result("Parquet file of the same activations, GB", (folder / "activation_rows.parquet").stat().st_size / 1e9)
    yield from starts(folder)
    yield from overlaps(db, size, folder)
    yield from neurons(db, size, "run1", "rows", "<= 50")
    yield from plain_neurons(db, size, folder)
    (folder / "activation_rows.parquet").unlink()
    build_activations(db, size, 2, "parquet")
    yield from neurons(db, size, "run2", "shards", "<= 50")
    yield from neurons(db, size, "run1", "rows with shards beside them", "<= 50")


def main() -> None:
    """Measure, print, and write JSON if asked."""
    given = arguments(__doc__)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    with tempfile.TemporaryDirectory() as name:
        results = []
        for result in measured(QUICK if given.quick else FULL, Path(name)):
            sys.stderr.write(f"{result.name}: {result.value:,.3f}\n")
            results.append(result)
    show(results, given.json)


if __name__ == "__main__":
    main()
