"""How long commands take on a database of 2,000 runs: 1,000 locate runs, 500 patch runs and 500 guards.

The runs are copies of four that the bundled models make, under names and numbers of their own. Each command is timed
from start to end in a process of its own, as users run it, the median of three. On two cores.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measured import Result, show

sys.path.insert(0, str(Path(__file__).parents[1]))

from snql.cli.app import run

from snql.db import catalog
from snql.db.catalog import quoted
from snql.db.connection import Database
from tests.hostile.prepared import prepare

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "neuron L1.N2 --html .": 1.0,
    "neuron L1.N2": 1.0,
    "neuron L1.N2 --run located7": 1.0,
    "show patched7 --kind patch": 2.0,
    "show located7": 2.0,
    "runs": 2.0,
    "judges": 2.0,
    "sets": 2.0,
    "neurons located7:3": 2.0,
    "overlap located7 other7": 2.0,
    "query SELECT~count(*)~FROM~runs": 2.0,
    "query FROM~effects~LIMIT~9": 2.0,
    "report --terminal": 2.0,
    "report --terminal --run located7": 2.0,
    "report scores --terminal --run located7": 2.0,
    "report effect-size --terminal": 2.0,
    "db schema": 2.0,
}
"""Command lines (``~`` for a blank within a word), with the seconds that each may take."""


def multiply(db: Database, n_copies: int) -> None:
    """Copy every run so often: each row of it in every table, under the run's number and name with the copy's."""
    with db.write() as connection:
        ((step,),) = connection.execute("SELECT max(run_id) FROM runs").fetchall()
        connection.execute("CREATE TEMP TABLE copies AS SELECT range AS copy FROM range(1, ?)", [n_copies])
        tables = {table: [column.name for column in columns] for table, columns in catalog.columns(connection).items()}
        tables = {table: names for table, names in tables.items() if "run_id" in names}
        for table in sorted(tables, key=lambda name: name != "runs"):
            chosen = ", ".join(
                f"run_id + {step} * copy"
                if name == "run_id"
                else "name || copy"
                if (table, name) == ("runs", "name")
                else quoted(name)
                for name in tables[table]
            )
            connection.execute(f"INSERT INTO {quoted(table)} SELECT {chosen} FROM {quoted(table)}, copies")  # noqa: S608


def seconds(folder: Path, line: str) -> float:
    """The median of three runs of a command line."""
    words = [word.replace("~", " ") for word in line.split()]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    taken = []
    for _ in range(3):
        begun = time.perf_counter()
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "snql", "-q", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        taken.append(time.perf_counter() - begun)
        if done.returncode != 0:
            raise RuntimeError(f"{line}: {done.stderr}")
    return statistics.median(taken)


def main() -> None:
    """Build the database, run the commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 runs")
    parser.add_argument("--json", type=Path, help="write a list of {name, value, target, met}")
    parser.add_argument("--keep", type=Path, help="a folder for the database, taken as it is if it is there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.keep or Path(name)
        if not (folder / "snql.duckdb").exists():
            folder.mkdir(exist_ok=True)
            os.chdir(folder)
            prepare(folder, run)
            multiply(Database(folder / "snql.duckdb"), 50 if given.quick else 500)
        results = []
        for line, most in COMMANDS.items():
            results.append(Result(line, seconds(folder, line), f"<= {most:g}"))
            sys.stderr.write(f"{line}: {results[-1].value:.2f} s\n")
    show(results, given.json)


if __name__ == "__main__":
    main()
