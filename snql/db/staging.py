"""Parquet files beside the database, where a job collects rows before one short commit."""

import shutil
from pathlib import Path

import duckdb
import polars as pl


class Staging:
    """A folder for one run's rows; it is empty at the start and gone at the end, whatever happens."""

    def __init__(self, database: Path, run_id: int) -> None:
        self._parent = database.with_name(database.name + ".staging")
        self._folder = self._parent / str(run_id)
        self._run_id = run_id
        self._files = 0

    def __enter__(self) -> "Staging":
        shutil.rmtree(self._folder, ignore_errors=True)
        for name in ("tokens", "activations"):
            (self._folder / name).mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._parent.is_dir() and not any(self._parent.iterdir()):
            self._parent.rmdir()

    def add_tokens(self, rows: pl.DataFrame) -> None:
        """Add rows of ``scored_tokens`` without their run_id."""
        self._write("tokens", rows)

    def add_activations(self, rows: pl.DataFrame) -> None:
        """Add rows of ``activation_rows`` without their run_id."""
        self._write("activations", rows)

    def import_activations(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Insert what was added, ordered so that one neuron's rows lie together."""
        connection.execute(
            """
            INSERT INTO scored_tokens BY NAME
            SELECT ? AS run_id, * FROM read_parquet(?) ORDER BY prompt_id, position
            """,
            [self._run_id, str(self._folder / "tokens" / "*.parquet")],
        )
        connection.execute(
            """
            INSERT INTO activation_rows BY NAME
            SELECT ? AS run_id, * FROM read_parquet(?)
            ORDER BY layer, expert, neuron, prompt_id, position
            """,
            [self._run_id, str(self._folder / "activations" / "*.parquet")],
        )

    def _write(self, name: str, rows: pl.DataFrame) -> None:
        rows.write_parquet(self._folder / name / f"{self._files:08d}.parquet")
        self._files += 1
