"""Streams that are closed, and names that no file system takes: no traceback, and an exit code that is meant."""

import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from snql.db.runs import check_name
from snql.errors import InputError

from ..cli.conftest import Snql, snql  # noqa: F401 - a fixture

PROGRAM = f"{sys.executable} -m snql"
LONG = "b" * 300


def ran(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("streams")
    assert ran(made, f"{PROGRAM} db init").returncode == 0
    return made


COMMANDS = ("query 'SELECT 1' --format csv", "runs", "--csv runs", "query 'SELECT 1'", "--help")
CLOSED = (">&-", "2>&-", ">&- 2>&-", "<&-", "| true")
OTHERS = pytest.mark.slow("each command with each stream: one of both is looked at always")


@pytest.mark.parametrize(
    ("command", "closed"),
    [
        *zip(COMMANDS, CLOSED, strict=True),
        (COMMANDS[0], CLOSED[-1]),
        *(
            pytest.param(command, closed, marks=OTHERS)
            for command in COMMANDS
            for closed in CLOSED
            if COMMANDS.index(command) != CLOSED.index(closed) and (command, closed) != (COMMANDS[0], CLOSED[-1])
        ),
    ],
)
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


class _Panic(BaseException):
    """As libraries written in Rust have it."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np.linalg.LinAlgError("SVD: unable to allocate 4 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("can't start new thread"),
        ImportError("libx.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
        duckdb.OutOfMemoryException("Out of Memory Error: failed to pin block"),
        _Panic("could not spawn threads: ThreadPoolBuildError"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_memory_is_one_line(snql: Snql, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:  # noqa: F811
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("snql.db.connection.Database.frame", fails)
    assert snql("db", "init").code == 0
    done = snql("runs")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "snql: there is not enough memory: ask for less, such as fewer rows or a smaller batch, or free some\n"
    )


def test_other_errors_keep_their_traceback(snql: Snql, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    assert snql("db", "init").code == 0
    monkeypatch.setattr("snql.db.connection.Database.frame", fails)
    with pytest.raises(RuntimeError, match="a defect"):
        snql("runs")


def test_a_query_that_needs_more_than_the_system_gives(folder: Path) -> None:
    done = ran(folder, f"ulimit -v 2000000; {PROGRAM} query \"SELECT length(repeat('a', 3000000000))\"")
    assert done.returncode in (1, 2) and done.stderr.count("\n") == 1 and "emory" in done.stderr, done.stderr


def test_libraries_that_would_wait_for_ever_are_not_loaded(folder: Path) -> None:
    line = f"{PROGRAM} locate x --before demo:sft --after demo:safety --prompts demo:harmful"
    done = ran(folder, f"ulimit -v 1500000; timeout 60 {line}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and "1.54 GB of addresses (ulimit -v)" in done.stderr
    assert ran(folder, f"ulimit -v 1500000; {PROGRAM} runs").returncode == 0, "which needs none"


@pytest.mark.slow("a run in address spaces of six sizes: two minutes")
@pytest.mark.parametrize("kilobytes", [800_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000, 4_000_000])
def test_a_run_in_a_small_address_space(folder: Path, kilobytes: int) -> None:
    """Libraries may abort there, of themselves; the file stays sound, and the run goes on where there is room.

    They may not wait for ever.
    """
    line = f"{PROGRAM} locate at{kilobytes} --before demo:sft --after demo:safety --prompts demo:harmful --limit 2"
    done = ran(folder, f"ulimit -v {kilobytes}; {line} --max-new-tokens 1 -q")
    aborted = done.returncode < 0 or done.returncode > 128
    assert aborted or "Traceback" not in done.stderr, done.stderr
    if not aborted and done.returncode:
        said = [each for each in done.stderr.splitlines() if not each.startswith("<jemalloc>")]  # a library's own words
        assert (done.returncode, len(said)) == (1, 1) and "not enough memory" in said[0], done.stderr[:2_000]
    assert ran(folder, f"{PROGRAM} db check").returncode == 0
    assert done.returncode == 0 or ran(folder, f"{line} --max-new-tokens 1 -q --resume").returncode == 0
