"""What ``snql db check`` says of rows that refer to nothing, and of rows that are there twice."""

import shutil
from pathlib import Path

import pytest

from snql.db.check import Problem, check
from snql.db.connection import Database
from tests.db.filled import fill


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = Database(tmp_path_factory.mktemp("db") / "filled.duckdb")
    with database.write() as connection:
        fill(connection)
    return database.path


@pytest.fixture
def full(filled: Path, db: Database) -> Database:
    shutil.copy(filled, db.path)
    return db


def test_a_sound_database(full: Database) -> None:
    assert check(full) == []


NO_ROW = [
    ("DELETE FROM models WHERE model_id = 'b2'", "experts", "run_models.model_id refers to no models.model_id: b2"),
    ("DELETE FROM variants WHERE run_id = 2", "helpful", "completions.variant_id refers to no variants.variant_id: 0"),
    (
        "DELETE FROM run_prompts WHERE run_id = 6 AND prompt_id IN (3, 4)",
        "again",
        "judgements.prompt_id refers to no run_prompts.prompt_id: 3, 4",
    ),
    ("DELETE FROM judges WHERE judge = 'reward'", "again", "effects.judge refers to no judges.judge: reward"),
    ("DELETE FROM neuron_sets WHERE set_id = 1", None, "named_sets.set_id refers to no neuron_sets.set_id: 1"),
    ("DELETE FROM neuron_sets WHERE set_id = 1", "safety", "runs.kept_set_id refers to no neuron_sets.set_id: 1"),
    ("DELETE FROM adapters", None, "models.adapter_ids refers to no adapters.adapter_id: ad"),
    (
        "DELETE FROM scored_tokens WHERE run_id = 4 AND token_index = 2",
        "experts",
        "activation_rows.token_index refers to no scored_tokens.token_index: 2",
    ),
    (
        "UPDATE variants SET control_of = 99 WHERE variant_id = 3 AND run_id = 5",
        "safety",
        "variants.control_of refers to no variants.variant_id: 99",
    ),
    (
        "INSERT INTO prompt_sums VALUES (99, 0, NULL, 0, 1, 1, 0)",
        None,
        "prompt_sums.run_id refers to no runs.run_id: 99",
    ),
]
TWICE = [
    ("neuron_statistics", "run_id = 4 AND neuron < 2", "experts", "8 keys (run_id, layer, expert, neuron)"),
    ("score_intervals", "run_id = 1 AND layer = 1 AND neuron = 5", "safety", "1 keys (run_id, layer, expert, neuron)"),
    ("neuron_set_members", "set_id < 3 AND neuron = 1", None, "4 keys (set_id, layer, expert, neuron)"),
    ("scored_tokens", "run_id = 2 AND position = 3", "helpful", "2 keys (run_id, token_index)"),
    ("prompt_sums", "run_id = 1 AND neuron = 0", "safety", "6 keys (run_id, layer, expert, neuron, prompt_id)"),
]


def test_rows_that_refer_to_nothing(full: Database) -> None:
    with full.write() as connection:
        for sql, _, _ in NO_ROW:
            connection.execute(sql)
    found = check(full)
    for sql, run, what in NO_ROW:
        assert Problem(run, what) in found, sql


def test_rows_that_are_there_twice(full: Database) -> None:
    with full.write() as connection:
        for table, rows, _, _ in TWICE:
            connection.execute(f"INSERT INTO {table} SELECT * FROM {table} WHERE {rows}")
    found = check(full)
    for table, _, run, keys in TWICE:
        assert Problem(run, f"{table} has {keys} more than once") in found, table


def test_many_values_are_cut(full: Database) -> None:
    with full.write() as connection:
        connection.execute("DELETE FROM run_prompts WHERE run_id = 5")
    assert Problem("safety", "judgements.prompt_id refers to no run_prompts.prompt_id: 1, 2, 3, …") in check(full)
