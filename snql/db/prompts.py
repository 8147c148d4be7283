"""Prompts in the database: what became of the sets that runs read, and which texts runs were given."""

from collections.abc import Iterable, Sequence

import duckdb
import polars as pl

from snql.db.connection import Database
from snql.db.tables import replace
from snql.errors import InputError
from snql.prompts.select import SetCounts
from snql.prompts.types import Prompt


def write_sets(
    connection: duckdb.DuckDBPyConnection, run_id: int, counts: Iterable[SetCounts], disjoint_from: Sequence[str]
) -> None:
    """Record what became of a run's prompt sets, in place of what was recorded before."""
    rows = [
        {name if name == "dataset" else f"n_{name}": value for name, value in vars(each).items()}
        | {"ordinal": ordinal, "disjoint_from": disjoint_from}
        for ordinal, each in enumerate(counts)
    ]
    replace(connection, "run_prompt_sets", rows, run_id=run_id)


def read_sets(db: Database, run_id: int) -> list[SetCounts]:
    """What became of a run's prompt sets, in their order."""
    frame = db.frame("SELECT dataset, COLUMNS('^n_') FROM run_prompt_sets WHERE run_id = ? ORDER BY ordinal", [run_id])
    counts = frame.rename(lambda name: name.removeprefix("n_"))
    return [SetCounts(**row) for row in counts.iter_rows(named=True)]


def locate_runs(db: Database, names: Iterable[str]) -> list[str]:
    """Those of the names that are finished locate runs; the database is not read for no names."""
    if not (wanted := set(names)):
        return []
    known = {name for (name,) in db.rows("SELECT name FROM runs WHERE kind = 'locate' AND status = 'done'")}
    return sorted(known & wanted)


def texts_of_runs(db: Database, names: Iterable[str]) -> set[str]:
    """SHA-256 of all prompt texts that the runs were given; of two runs with one name, the locate run is meant.

    Raises InputError if there is no run of a name.
    """
    texts: set[str] = set()
    for name in names:
        runs = db.rows("SELECT run_id FROM runs WHERE name = ? ORDER BY kind = 'locate' DESC, kind LIMIT 1", [name])
        if not runs:
            raise InputError(f"`disjoint_from` {name}: no such run in {db.path}; `snql runs` lists those it has")
        query = "SELECT sha256 FROM run_prompts JOIN prompts USING (prompt_id) WHERE run_id = ?"
        texts |= {sha256 for (sha256,) in db.rows(query, list(runs[0]))}
    return texts


def same_prompts(db: Database, run_id: int, prompts: Sequence[Prompt]) -> bool:
    """Whether a run began with exactly these prompts and token ids; true if it ended before it had any."""
    begun = db.rows(
        """
        SELECT dataset, sha256, input_ids FROM run_prompts JOIN prompts USING (prompt_id)
        WHERE run_id = ? ORDER BY ordinal
        """,
        [run_id],
    )
    return not begun or begun == [(prompt.dataset, prompt.sha256, list(prompt.input_ids)) for prompt in prompts]


def planned_batches(db: Database, run_id: int, prompts: Sequence[Prompt]) -> list[int] | None:
    """The batch of each of a run's prompts in the plan that it began with; None if it began without one."""
    rows = db.rows("SELECT batch FROM run_prompts WHERE run_id = ? ORDER BY ordinal", [run_id])
    batches = [batch for (batch,) in rows]
    return batches if len(batches) == len(prompts) and None not in batches else None


def prompts_of(db: Database, run_id: int) -> list[Prompt]:
    """The prompts of a run, in order, with the token ids that its models were given."""
    rows = db.rows(
        """
        SELECT dataset, text, category, label, formatted, input_ids, prompt_id
        FROM run_prompts JOIN prompts USING (prompt_id) WHERE run_id = ? ORDER BY ordinal
        """,
        [run_id],
    )
    return [
        Prompt(dataset, text, category, label, formatted=formatted, input_ids=tuple(ids), prompt_id=prompt_id)
        for dataset, text, category, label, formatted, ids, prompt_id in rows
    ]


def given_prompts(db: Database, run_id: int) -> pl.DataFrame:
    """A run's prompts in order, with the exact text and token ids that the models were given."""
    return db.frame(
        """
        SELECT prompt_id, dataset, category, label, text, formatted, len(input_ids) AS n_tokens, input_ids
        FROM run_prompts JOIN prompts USING (prompt_id) WHERE run_id = ? ORDER BY ordinal
        """,
        [run_id],
    )
