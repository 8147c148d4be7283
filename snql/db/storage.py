"""What runs keep beside the database file: staging folders while they work, Parquet shards afterwards."""

from pathlib import Path

from snql.db import runs, shards, staging
from snql.db.connection import Database


def remove_files(database: Path, run_id: int) -> None:
    """Remove everything that a run keeps beside the database."""
    staging.Staging(database, run_id).remove()
    shards.remove(database, run_id)


def orphans(db: Database) -> set[int]:
    """Runs that have files beside the database but no row in it."""
    # Folders first: a run's row is there before its folder, so one that begins meanwhile is not taken for an orphan.
    found = staging.run_ids(db.path) | shards.run_ids(db.path)
    return found - runs.run_ids(db) if found else set()


def remove_orphans(db: Database) -> None:
    """Remove the files of runs that were deleted or replaced."""
    for run_id in orphans(db):
        remove_files(db.path, run_id)
