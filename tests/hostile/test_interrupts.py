"""Ctrl-C at any moment: one line within a second or so, no traceback, exit code 130."""

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from snql.cli import app
from snql.cli.interrupts import WATCH

from ..cli.conftest import Outcome, Snql, snql  # noqa: F401 - a fixture
from .commands import LINES
from .prepared import prepare

BLOCKING = """
import ctypes, os, signal
def block():
    signal.siginterrupt(signal.SIGINT, False)  # as in a library that computes: no return to Python before its end
    os.write(1, b"ready\\n")
    ctypes.CDLL(None).read(os.pipe()[0], ctypes.create_string_buffer(1), 1)
from snql.cli.interrupts import WATCH
from snql.interrupts import held_back
WATCH.listen()
WATCH.begin("; go on with: snql x --resume")
"""
IN_A_FINALIZER = """
import time
class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        raise KeyboardInterrupt
try:
    os.write(1, b"ready\\n")
    Last()
    for _ in range(600):
        time.sleep(0.1)
except KeyboardInterrupt:
    WATCH.say()
    os._exit(130)
"""
INTERRUPTED = "snql: interrupted; go on with: snql x --resume\n"


def _listening() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def begun(program: list[str], folder: Path) -> subprocess.Popen[str]:
    """A program in a group of its own, as a terminal starts it."""
    return subprocess.Popen(
        program,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_listening,
    )


def pressed(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("block()", [INTERRUPTED]),
        ("with held_back(lambda: os.write(2, b'stopping\\n')): block()", ["stopping\n", INTERRUPTED]),
    ],
)
def test_what_python_cannot_interrupt_ends_all_the_same(tmp_path: Path, program: str, said: list[str]) -> None:
    with begun([sys.executable, "-c", BLOCKING + program], tmp_path) as process:
        assert process.stdout is not None and process.stderr is not None and process.stdout.readline() == "ready\n"
        for line in said:
            time.sleep(0.2)  # until it blocks
            pressed(process)
            assert process.stderr.readline() == line
        assert process.wait(timeout=60) == 130 and process.stderr.read() == ""


def test_ctrl_c_in_a_finalizer_is_not_lost(tmp_path: Path) -> None:
    with begun([sys.executable, "-c", BLOCKING + textwrap.dedent(IN_A_FINALIZER)], tmp_path) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "ready\n", INTERRUPTED)


def test_an_error_that_ctrl_c_made_is_an_interruption(snql: Snql, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def fails(*_: object) -> None:
        raise ImportError("initialization of _C raised an exception that nobody reported")

    assert snql("db", "init").code == 0
    monkeypatch.setattr("snql.db.connection.Database.frame", fails)
    with pytest.raises(ImportError):
        snql("runs")
    with monkeypatch.context() as patch:
        patch.setattr(type(WATCH), "ending", True)
        assert snql("runs") == Outcome(130, "", "snql: interrupted\n")

    def duckdb_has_seen_it(*_: object, **__: object) -> None:
        raise RuntimeError("Query interrupted")

    monkeypatch.setattr("snql.db.connection.Database.frame", duckdb_has_seen_it)
    assert snql("runs") == Outcome(130, "", "snql: interrupted\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [(["demo", "--force"], "; go on with: snql demo"), (["paper", "fig2"], "; go on with: snql paper fig2")],
)
def test_what_goes_on_by_itself_says_so(words: list[str], said: str) -> None:
    assert app._going_on(words) == said


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare(folder, app.run)
    return folder


@pytest.mark.slow("every command at several moments: 15 minutes")
@pytest.mark.parametrize("name", LINES)
def test_every_command_is_interrupted_at_any_moment(prepared: Path, tmp_path: Path, name: str) -> None:
    words = [*name.split()[1:], *(word.replace("~", " ") for word in LINES[name].split())]
    program, draw = [sys.executable, "-m", "snql", *words], random.Random(name)
    began = time.monotonic()
    subprocess.run(program, cwd=shutil.copytree(prepared, tmp_path / "whole", symlinks=True), stdin=subprocess.DEVNULL)
    took = time.monotonic() - began
    for moment in range(5):
        folder = shutil.copytree(prepared, tmp_path / str(moment), symlinks=True)
        with begun(program, folder) as process:
            time.sleep(max(0.15, took * (moment + draw.random()) / 5))
            if process.poll() is not None:
                continue
            pressed(process)
            time.sleep(1)
            if process.poll() is None:
                pressed(process)  # it said that it would stop
            out, err = process.communicate(timeout=60)
        said = [line for line in err.splitlines() if line.startswith("snql: ")]
        assert process.returncode in (0, 2, 130) and "Traceback" not in err and "Exception ignored" not in err, err
        assert len(said) == (process.returncode != 0) and len(out) < 100_000, (process.returncode, err)
