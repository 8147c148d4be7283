"""Streams that are closed, and names that no file system takes: no traceback, and an exit code that is meant."""

import subprocess
import sys
from pathlib import Path

import pytest

from snql.db.runs import check_name
from snql.errors import InputError

PROGRAM = f"{sys.executable} -m snql"
LONG = "b" * 300


def ran(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("streams")
    assert ran(made, f"{PROGRAM} db init").returncode == 0
    return made


@pytest.mark.parametrize(
    "command", ["runs", "--csv runs", "query 'SELECT 1' --format csv", "query 'SELECT 1'", "--help"]
)
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-", "| true"])
def test_closed_streams(folder: Path, command: str, closed: str) -> None:
    done = ran(folder, f"{PROGRAM} {command} {closed}")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (f"query 'SELECT 1' --format csv -o {LONG}", "File name too long"),
        (f"--db {LONG} runs", "File name too long"),
        (f"query -f {LONG}", "cannot be read"),
        (f"prompts {LONG}", "File name too long"),
    ],
)
def test_names_that_are_too_long(folder: Path, command: str, words: str) -> None:
    done = ran(folder, f"{PROGRAM} {command}")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert words in done.stderr and done.stderr.startswith("snql: ")


def test_a_runs_name_has_an_end() -> None:
    check_name("b" * 200)
    with pytest.raises(InputError, match="has 300 letters: use at most 200"):
        check_name(LONG)
