"""How fast and how small results are stored.

Token-level activations of random numbers (which do not compress: real ones take a little less) go the way of a locate
run: batches are staged as Parquet, brought together chunk by chunk, and committed as rows or as half-precision shards.
Beside it the same rows the plain way: staged as long rows, sorted by DuckDB while they are imported in one commit. A
value is one activation of one model, so a row has two. Then the statistics of a model of Llama-2-7B's size (32 layers
of 11,008 neurons) are ranked and inserted.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from measured import Result, arguments, show

from snql.contrast.store import store_chunks
from snql.contrast.tokens import Layout, encode_batch
from snql.db.connection import Database
from snql.db.scores import statistics_frame, write_statistics
from snql.neurons.sets import NeuronSet, Shape

SHAPE = Shape(32, 11_008)
BATCH_TOKENS = 4_096


def batches(layout: Layout, n_tokens: int) -> Iterator[dict[int, tuple[torch.Tensor, torch.Tensor]]]:
    """Random activations of the kept neurons, a batch of tokens at a time."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, n_tokens, BATCH_TOKENS):
        n = min(BATCH_TOKENS, n_tokens - start)
        yield {
            layer: (torch.randn(n, len(c), generator=generator), torch.randn(n, len(c), generator=generator))
            for layer, c in layout.columns.items()
        }


def stored(folder: Path, layout: Layout, n_tokens: int, store: str) -> tuple[float, int]:
    """Seconds and bytes of storing as a locate run does."""
    db = Database(folder / f"{store}.duckdb")
    db.initialise()
    seconds, files = 0.0, []
    for index, batch in enumerate(batches(layout, n_tokens)):
        began = time.perf_counter()
        files.append(folder / f"{store}-{index}.parquet")
        files[-1].write_bytes(encode_batch(layout, [batch]))
        seconds += time.perf_counter() - began
    began = time.perf_counter()
    for _ in store_chunks(db, 1, layout, files, store):
        pass
    seconds += time.perf_counter() - began
    size = db.path.stat().st_size
    if store == "parquet":
        size = sum(path.stat().st_size for path in (folder / "parquet.duckdb.shards").rglob("*.parquet"))
    return seconds, size


def sorted_by_duckdb(folder: Path, layout: Layout, n_tokens: int) -> float:
    """Seconds of staging long rows and letting DuckDB sort them."""
    db = Database(folder / "sorted.duckdb")
    db.initialise()
    seconds, first = 0.0, 0
    (folder / "long").mkdir()
    for batch in batches(layout, n_tokens):
        n = len(next(iter(batch.values()))[0])
        began = time.perf_counter()
        for layer, (before, after) in batch.items():
            columns = layout.columns[layer]
            frame = pl.DataFrame(
                {
                    "layer": np.full(before.numel(), layer, dtype=np.int16),
                    "neuron": np.repeat(columns.astype(np.int32), n),
                    "token_index": np.tile(np.arange(first, first + n, dtype=np.int32), len(columns)),
                    "before": before.T.numpy().ravel(),
                    "after": after.T.numpy().ravel(),
                }
            )
            frame.write_parquet(folder / "long" / f"{first}-{layer}.parquet")
        first += n
        seconds += time.perf_counter() - began
    began = time.perf_counter()
    with db.write() as connection:
        connection.execute(
            "INSERT INTO activation_rows BY NAME SELECT 1 AS run_id, * FROM read_parquet(?) "
            "ORDER BY layer, neuron, token_index",
            [str(folder / "long" / "*.parquet")],
        )
    return seconds + time.perf_counter() - began


def tokens(folder: Path, n_kept: int, n_tokens: int) -> Iterator[Result]:
    """Rates and sizes of token-level activations."""
    kept = NeuronSet.from_ids(SHAPE, np.random.default_rng(0).choice(SHAPE.size, n_kept, replace=False))
    layout = Layout.of(kept, n_tokens)
    n_values = 2 * n_kept * n_tokens
    in_rows, row_bytes = stored(folder, layout, n_tokens, "rows")
    in_shards, shard_bytes = stored(folder, layout, n_tokens, "parquet")
    plain = sorted_by_duckdb(folder, layout, n_tokens)
    yield Result("million values", n_values / 1e6)
    yield Result("rows: million values/s", n_values / in_rows / 1e6, ">= 8")
    yield Result("rows: bytes a value", row_bytes / n_values, "<= 4.5")
    yield Result("shards: million values/s", n_values / in_shards / 1e6, ">= 8")
    yield Result("shards: bytes a value", shard_bytes / n_values, "<= 2.2")
    yield Result("sorted by DuckDB / rows, seconds", plain / in_rows)


def scores(folder: Path, repeats: Sequence[int]) -> Iterator[Result]:
    """Ranking and inserting the statistics of 352,256 neurons."""
    generator = np.random.default_rng(0)
    size = (SHAPE.n_layers, SHAPE.n_neurons)
    columns = {
        name: generator.normal(size=size)
        for name in ("mean_before", "mean_after", "std_before", "std_after", "mean_difference")
    }
    changes, counts = np.abs(generator.normal(size=size)), np.full(size, 25_600)
    seconds = []
    for run_id in repeats:
        db = Database(folder / f"scores{run_id}.duckdb")
        db.initialise()
        began = time.perf_counter()
        frame = statistics_frame(SHAPE, changes, columns, counts, SHAPE.n_layers - 1)
        with db.write() as connection:
            write_statistics(connection, run_id, frame)
        seconds.append(time.perf_counter() - began)
    yield Result("scores of 352,256 neurons ranked and inserted, seconds", float(np.median(seconds)), "<= 1")


def main() -> None:
    """Measure, print, and write JSON if asked."""
    given = arguments(__doc__)
    n_kept, n_tokens = (1_024, 8_192) if given.quick else (4_096, 25_600)
    with tempfile.TemporaryDirectory() as name:
        results = [*tokens(Path(name), n_kept, n_tokens), *scores(Path(name), (1, 2, 3))]
    show(results, given.json)


if __name__ == "__main__":
    main()
