"""What a short job saves by keeping its connection for a moment, against opening the file for each use.

A locate and a patch run of the bundled models, in turn the two ways, in one process: openings of the file, processor
time and seconds. ``--quick``: three times each.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch as replaced

import duckdb
from measured import Result, arguments, show

from snql import (
    JudgingOptions,
    LocateOptions,
    PatchOptions,
    PromptOptions,
    WritingOptions,
    locate,
    patch,
)
from snql.db.connection import Database

WRITING = WritingOptions(max_new_tokens=8)
LOCATE = LocateOptions(
    before="demo:sft",
    after="demo:safety",
    prompts=PromptOptions(("demo:locate",), limit=8),
    writing=WRITING,
    keep="none",
)
PATCH = PatchOptions(
    recipient="demo:sft",
    donor="demo:safety",
    neurons=("safety:5%",),
    prompts=PromptOptions(("demo:harmful",), limit=8),
    writing=WRITING,
    judging=JudgingOptions(("refusal",)),
)


def once() -> tuple[int, float, float]:
    """Openings, processor seconds and seconds of both jobs, with a database of their own."""
    openings = 0
    connect: Callable[..., duckdb.DuckDBPyConnection] = Database._connect

    def counted(database: Database, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        nonlocal openings
        openings += 1
        return connect(database, read_only=read_only)

    with tempfile.TemporaryDirectory() as folder, replaced.object(Database, "_connect", counted):
        db = Database(Path(folder) / "x.duckdb")
        db.initialise()
        openings, begun, processor = 0, time.perf_counter(), time.process_time()
        locate(db, "safety", LOCATE)
        patch(db, "main", PATCH)
        return openings, time.process_time() - processor, time.perf_counter() - begun


def main() -> None:
    """Measure, and print the ratios."""
    given = arguments(__doc__)
    kept, anew = [], []
    once()  # models are checked, and remembered
    for _ in range(3 if given.quick else 9):
        kept.append(once())
        with replaced.object(Database, "lingering", lambda *_, **__: nullcontext()):
            anew.append(once())
    results = []
    for place, name in enumerate(("openings", "processor time [s]", "seconds")):
        ours, other = (statistics.median(row[place] for row in rows) for rows in (kept, anew))
        results += [
            Result(f"{name}, kept for a moment", ours),
            Result(f"{name}, opened for each use", other),
            Result(f"{name}: kept / each use", ours / other),
        ]
    show(results, given.json)


if __name__ == "__main__":
    sys.exit(main())
