"""SQL that takes longer than it may, and that DuckDB does not stop: the command ends all the same, and soon."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from snql.db.connection import Database

from ..synthetic import add_locate_run

PROGRAM = [sys.executable, "-m", "snql"]
UNSTOPPABLE = {
    "one call": "SELECT levenshtein(repeat('a', 60000), repeat('b', 60000))",
    "one list": "SELECT list_sort(list_reverse(range(60000000)))[1]",
    "long text": "SELECT length(replace(repeat('a', 900000000), 'a', 'bb'))",
    "joins": "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range * b.range % 7 = 3",
    "parsing": "SELECT " + "(" * 3000 + "1" + ")" * 3000,
    "recursion": "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) SELECT max(x) FROM t",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Database(tmp_path / "snql.duckdb") as db:
        add_locate_run(db, "located", np.ones((2, 4)))
    return tmp_path


ALWAYS = ("one call", "joins")
OTHERS = pytest.mark.slow("of the same command, ended in the same way")


@pytest.mark.parametrize(
    "name", [*ALWAYS, *(pytest.param(each, marks=OTHERS) for each in UNSTOPPABLE if each not in ALWAYS)]
)
def test_a_query_ends_when_its_time_is_over(folder: Path, name: str) -> None:
    begun = time.monotonic()
    command = [*PROGRAM, "query", UNSTOPPABLE[name], "--timeout", "1", "--memory", "4GB"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    took = time.monotonic() - begun
    assert done.returncode in (0, 1, 2) and done.stderr.count("\n") <= 1 and "Traceback" not in done.stderr, done.stderr
    assert took < 30, "a generous bound: start, one second, and a second to stop"
    if name in ("one call", "joins", "recursion"):
        assert (done.returncode, done.stderr.partition(":")[2].strip()) == (
            1,
            "the query took longer than --timeout 1 s: allow more, or ask for less",
        )


@pytest.mark.parametrize("name", ["one call", pytest.param("joins", marks=OTHERS)])
def test_ctrl_c_ends_what_duckdb_does_not_stop(folder: Path, name: str) -> None:
    with subprocess.Popen(
        [*PROGRAM, "query", UNSTOPPABLE[name]], cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=_listening
    ) as process:
        time.sleep(3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "snql: interrupted\n")
    assert time.monotonic() - begun < 15


def _listening() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_sql_of_a_set_and_conditions_end_on_ctrl_c(folder: Path) -> None:
    (folder / "p.jsonl").write_text('{"prompt": "a"}\n')
    endless = UNSTOPPABLE["joins"]
    commands = [
        ["neurons", f"sql(SELECT 0 AS layer, 0 AS neuron WHERE ({endless}) > 0)"],
        ["prompts", "p.jsonl", "--where", f"({endless}) > 0"],
    ]
    for command in commands:
        with subprocess.Popen(
            [*PROGRAM, *command],
            cwd=folder,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=_listening,
        ) as process:
            time.sleep(3)
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        assert process.returncode == 130 and said == "snql: interrupted\n", (command, process.returncode, said)


ALIKE = pytest.mark.slow("written as one of the others is")


@pytest.mark.parametrize(
    "format_name",
    ["csv", "json", "parquet", *(pytest.param(each, marks=ALIKE) for each in ("tsv", "jsonl", "markdown", "arrow"))],
)
def test_an_error_after_the_first_rows_is_one_line_and_leaves_no_file(folder: Path, format_name: str) -> None:
    sql = "SELECT CASE WHEN i = 290000 THEN error('boom') ELSE 'a' END AS x FROM range(300000) AS t(i)"
    for output in ([], ["-o", "rows"]):
        command = [*PROGRAM, "query", sql, "--format", format_name, *output]
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
        assert done.returncode == 2 and done.stderr.count(b"\n") == 1 and b"boom" in done.stderr, done.stderr
    assert [path.name for path in folder.iterdir()] == ["snql.duckdb"]
