"""``snql db check``: whether what runs recorded about their results is what the database and its files hold."""

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from snql.db import activations, altered, scripts, shards, storage
from snql.db.activations import ChunkRow
from snql.db.blocks import Blocks
from snql.db.connection import Database
from snql.db.damage import check_length
from snql.db.digest import sum_of
from snql.db.integrity import keys, references
from snql.db.scores import DIGESTED, statistics_digest

_ROWS_AT_ONCE = 1_000_000
_COLUMNS = ("layer", "expert", "neuron", "token_index", *activations.SIDES)


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was recorded. run: None where it belongs to none."""

    run: str | None
    what: str


def check_blocks(found: Blocks) -> list[Problem]:
    """What is damaged of the blocks that were read."""
    if not found.is_known:
        return [Problem(None, "its blocks have checksums of a kind that this snql does not know: none was compared")]
    said = [Problem(None, "a header of the file does not have its checksum")] if found.headers_damaged else []
    return said + [
        Problem(None, f"block {number} of {found.n_blocks} does not have its checksum: restore the file from a copy")
        for number in found.damaged
    ]


def check(db: Database) -> list[Problem]:
    """Everything in the database that is not as its run left it; reads all statistics and all token activations.

    Also rows that refer to nothing, and rows that are there twice. What it does not compare with anything: texts of
    prompts and completions, notes, and rows of runs that are not done.

    Raises DatabaseError if the file is not a database of this snql at all.
    """
    with db.reading() as connection:
        check_length(db.path, connection)
        found = [Problem(None, f"files beside the database are of no run: {run_id}") for run_id in storage.orphans(db)]
        parts = (references, keys, altered.objects, altered.configurations, altered.effects)
        found += [Problem(*finding) for part in parts for finding in part(connection)]
        finished = "SELECT run_id, name FROM runs WHERE kind = 'locate' AND status = 'done' ORDER BY run_id"
        for run_id, name in connection.execute(finished).fetchall():
            for part in (_statistics, _completions, _tokens, _activations, _prompt_sums):
                found += [Problem(name, what) for what in part(db, connection, run_id)]
    return found


def _statistics(_: Database, connection: duckdb.DuckDBPyConnection, run_id: int) -> Iterator[str]:
    ((recorded, n_wanted),) = connection.execute(
        """
        SELECT any_value(r.statistics_digest), any_value(m.n_layers * m.n_neurons)
        FROM runs AS r LEFT JOIN run_models USING (run_id) LEFT JOIN models AS m USING (model_id) WHERE r.run_id = ?
        """,
        [run_id],
    ).fetchall()
    columns = ", ".join(DIGESTED)
    query = f"SELECT {columns} FROM neuron_statistics WHERE run_id = ?"  # noqa: S608
    statistics = pl.from_arrow(_rows(connection, query, [run_id]).read_all())
    if not isinstance(statistics, pl.DataFrame):
        raise TypeError("a query gave no table")
    if n_wanted is not None and len(statistics) != n_wanted:
        yield f"{len(statistics)} neurons have statistics, the model has {n_wanted}"
    elif recorded is not None and statistics_digest(statistics) != recorded:
        yield "neuron statistics are not those that the run wrote"
    ranked = statistics.drop_nulls("rank").sort("rank")
    if ranked["rank"].to_list() != list(range(1, len(ranked) + 1)) or not ranked["score"].is_sorted(descending=True):
        yield "ranks are not 1, 2, 3, … by falling score"


def _completions(_: Database, connection: duckdb.DuckDBPyConnection, run_id: int) -> Iterator[str]:
    ((n_prompts, n_written, writes),) = connection.execute(
        scripts.query("check_completions"), {"run_id": run_id}
    ).fetchall()
    if writes and n_prompts != n_written:
        yield f"{n_written} completions of {n_prompts} prompts"


def _tokens(_: Database, connection: duckdb.DuckDBPyConnection, run_id: int) -> Iterator[str]:
    ((n_counted, n_stored),) = connection.execute(
        """
        SELECT (SELECT sum(n_tokens) FROM run_batches WHERE run_id = $1 AND stage = 'keep'),
            (SELECT count(DISTINCT token_index) FROM scored_tokens WHERE run_id = $1)
        """,
        [run_id],
    ).fetchall()
    if n_counted is not None and n_counted != n_stored:
        yield f"{n_stored} scored tokens are stored, {n_counted} were scored"


def _prompt_sums(_: Database, connection: duckdb.DuckDBPyConnection, run_id: int) -> Iterator[str]:
    """Sums per prompt are in single precision: together they give the scores but for its rounding."""
    ((n_other,),) = connection.execute(scripts.query("check_prompt_sums"), {"run_id": run_id}).fetchall()
    if n_other:
        yield f"the sums per prompt of {n_other} neurons do not add up to their scores"


def _activations(db: Database, connection: duckdb.DuckDBPyConnection, run_id: int) -> Iterator[str]:
    chunks = activations.stored_chunks(db, run_id)
    in_rows = [chunk for chunk in chunks if chunk.file is None]
    for layer in sorted({chunk.layer for chunk in in_rows}):
        yield from _layer(connection, run_id, layer, [chunk for chunk in in_rows if chunk.layer == layer])
    for chunk in chunks:
        if chunk.file is not None:
            yield from _shard(db, chunk, chunk.file)
    ((n_other,),) = connection.execute(
        """
        SELECT count(*) FROM activation_rows WHERE run_id = $1 AND layer NOT IN (
            SELECT layer FROM activation_chunks WHERE run_id = $1 AND file IS NULL
        )
        """,
        [run_id],
    ).fetchall()
    if n_other:
        yield f"{n_other} token activations are of layers of which the run stored none"


def _layer(connection: duckdb.DuckDBPyConnection, run_id: int, layer: int, chunks: list[ChunkRow]) -> Iterator[str]:
    n_wanted = sum(chunk.n_rows for chunk in chunks)
    query = f"SELECT {', '.join(_COLUMNS)} FROM activation_rows WHERE run_id = ? AND layer = ?"  # noqa: S608
    n_found, digests = 0, []
    for batch in _rows(connection, query, [run_id, layer]):
        n_found += len(batch)
        digests.append(activations.digest(batch))
    if n_found != n_wanted:
        yield f"layer {layer} has {n_found} token activations, {n_wanted} were stored"
    elif all(c.digest is not None for c in chunks) and sum_of(digests) != sum_of(c.digest or 0 for c in chunks):
        yield f"the token activations of layer {layer} are not those that were stored"


def _rows(connection: duckdb.DuckDBPyConnection, query: str, parameters: list[int]) -> pa.RecordBatchReader:
    return connection.sql(query, params=parameters).to_arrow_reader(_ROWS_AT_ONCE)


def _shard(db: Database, chunk: ChunkRow, name: str) -> Iterator[str]:
    path = shards.path_of(db.path, name)
    if not path.is_file():
        yield f"the shard {path} is missing: put it back, or repeat the run: `snql locate … --force`"
        return
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            parts = [activations.digest(batch) for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(_COLUMNS))]
            n_found = file.metadata.num_rows
    except (OSError, ValueError) as error:
        yield f"the shard {path} cannot be read: {' '.join(str(error).split())[:160]}"
        return
    if n_found != chunk.n_rows or sum_of(parts) != chunk.digest:
        yield f"the shard {path} does not hold what was stored"
