"""Token-level activations from batches to rows, shards and digests."""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import torch

from snql.contrast import tokens as module
from snql.contrast.tokens import Layout, chunk_rows, encode_batch, read_chunk
from snql.db.activations import digest, store_of, write_shard
from snql.db.digest import sum_of
from snql.neurons.sets import NeuronSet, Shape

SHAPE = Shape(3, 10)
KEPT = NeuronSet.of(SHAPE, [(0, 1), (0, 2), (0, 9), (2, 0), (2, 4)])


def taken(seed: int, n_tokens: int, layout: Layout) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return {
        layer: (
            torch.randn(n_tokens, len(columns), generator=generator),
            torch.randn(n_tokens, len(columns), generator=generator),
        )
        for layer, columns in layout.columns.items()
    }


@pytest.mark.parametrize("rows_a_chunk", [1, 24, 1000])
def test_chunks_bring_all_batches_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_a_chunk: int) -> None:
    monkeypatch.setattr(module, "ROWS_A_CHUNK", rows_a_chunk)
    layout = Layout.of(KEPT, 12)
    first, second, third = taken(0, 5, layout), taken(1, 4, layout), taken(2, 3, layout)
    files = []
    for name, parts in (("a", [first]), ("b", [second, third])):
        files.append(tmp_path / name)
        files[-1].write_bytes(encode_batch(layout, parts))
    found = pa.concat_tables([chunk_rows(layout, chunk, *read_chunk(files, chunk)) for chunk in layout.chunks])
    assert len(layout.chunks) == {1: 5, 24: 3, 1000: 2}[rows_a_chunk]
    wanted = []
    for layer, columns in layout.columns.items():
        for place, column in enumerate(columns):
            before, after = (
                torch.cat([part[layer][side][:, place] for part in (first, second, third)]).tolist() for side in (0, 1)
            )
            wanted += [(layer, None, column, i, b, a) for i, (b, a) in enumerate(zip(before, after, strict=True))]
    assert [tuple(row.values()) for row in found.to_pylist()] == wanted


def test_activations_that_changed_on_the_disk_are_not_read(tmp_path: Path) -> None:
    layout = Layout.of(KEPT, 5)
    parts = taken(0, 5, layout)
    written, values = encode_batch(layout, [parts]), parts[0][0][:, 0].numpy().tobytes()
    assert written.count(values) == 1
    at = written.index(values)
    (tmp_path / "whole").write_bytes(written)
    (tmp_path / "changed").write_bytes(written[:at] + bytes([written[at] ^ 1]) + written[at + 1 :])
    read_chunk([tmp_path / "whole"], layout.chunks[0])
    with pytest.raises(OSError, match="checksum"):
        read_chunk([tmp_path / "changed"], layout.chunks[0])


def test_experts_have_rows_only_where_both_models_went(tmp_path: Path) -> None:
    shape = Shape(1, 6, 2)
    layout = Layout.of(NeuronSet.of(shape, [(0, 0, 2), (0, 1, 0)]), 3)
    nan = float("nan")
    before = torch.tensor([[1.0, 2.0], [nan, 3.0], [4.0, nan]])
    after = torch.tensor([[1.5, nan], [nan, 3.5], [4.5, nan]])
    (tmp_path / "a").write_bytes(encode_batch(layout, [{0: (before, after)}]))
    (chunk,) = layout.chunks
    rows = chunk_rows(layout, chunk, *read_chunk([tmp_path / "a"], chunk)).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (0, 0, 2, 0, 1.0, 1.5),
        (0, 0, 2, 2, 4.0, 4.5),
        (0, 1, 0, 1, 3.0, 3.5),
    ]


def rows(n: int = 50) -> pa.Table:
    generator = np.random.default_rng(3)
    return pa.table(
        {
            "layer": np.repeat(np.arange(5, dtype=np.int16), n // 5),
            "expert": pa.nulls(n, pa.int16()),
            "neuron": np.arange(n, dtype=np.int32),
            "token_index": np.tile(np.arange(10, dtype=np.int32), n // 10),
            "before": generator.normal(size=n).astype(np.float32),
            "after": generator.normal(size=n).astype(np.float32),
        }
    )


def test_digest_does_not_depend_on_order_or_parts() -> None:
    table = rows()
    shuffled = table.take(np.random.default_rng(1).permutation(len(table)))
    assert digest(table) == digest(shuffled) == sum_of([digest(table.slice(0, 17)), digest(table.slice(17))])
    assert digest(table.slice(0, 0)) == 0


@pytest.mark.parametrize("column", ["layer", "expert", "neuron", "token_index", "before", "after"])
def test_digest_sees_any_change(column: str) -> None:
    table = rows()
    values = table[column].fill_null(-1).to_numpy().copy()
    values[20] = np.nextafter(values[20], np.float32(9)) if values.dtype == np.float32 else values[20] + 1
    changed = table.set_column(table.schema.get_field_index(column), column, pa.array(values))
    assert digest(changed) != digest(table)


def test_digest_sees_values_that_changed_places() -> None:
    table = rows()
    before = table["before"].to_numpy().copy()
    before[[3, 4]] = before[[4, 3]]
    assert digest(table.set_column(4, "before", pa.array(before))) != digest(table)
    sides = table.set_column(4, "before", table["after"]).set_column(5, "after", table["before"])
    assert digest(sides) != digest(table)
    assert digest(pa.concat_tables([table, table.slice(0, 1)])) != digest(table)


def test_shards_are_half_precision_unless_a_value_is_too_large(tmp_path: Path) -> None:
    database = tmp_path / "x.duckdb"
    table = rows()
    large = table["before"].to_numpy().copy()
    large[7] = 1e6
    for chunk, (given, exact) in enumerate(((table, False), (table.set_column(4, "before", pa.array(large)), True))):
        name, stored = write_shard(database, 3, chunk, given)
        path = tmp_path / "x.duckdb.shards" / name
        read = duckdb.read_parquet(str(path)).to_arrow_table().drop_columns(["run_id"])
        assert digest(read) == digest(stored)
        assert (digest(stored) == digest(given)) == exact
        np.testing.assert_allclose(read["after"].to_numpy(), given["after"].to_numpy(), rtol=2**-11)
        assert np.isfinite(read["before"].to_numpy()).all()


def test_store_auto_goes_by_size() -> None:
    assert [store_of(*given) for given in (("auto", 10**6), ("auto", 10**9), ("rows", 10**9), ("parquet", 1))] == [
        "rows",
        "parquet",
        "rows",
        "parquet",
    ]
