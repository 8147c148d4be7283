"""``snql shell``: the prompt with keys pressed, statements from a pipe, and harlequin's command line."""

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from snql.cli import converse, shell
from snql.cli.app import app
from snql.cli.session import Session
from snql.cli.state import State
from typer.main import get_command

from snql.db.connection import Database
from snql.querying import suggest
from snql.querying.shell import harlequin_script

from ..filled import fill_database
from ..synthetic import add_locate_run
from .conftest import Snql

TAB, CTRL_C, CTRL_D = "\t", "\x03", "\x04"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    """A database with two runs; the history goes into a folder of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    db = Database(tmp_path / "snql.duckdb")
    for seed, name in enumerate(("safety", "helpful")):
        add_locate_run(db, name, np.random.default_rng(seed).gamma(2.0, size=(4, 50)))
    return State(db.path, json=False, quiet=False, root=get_command(app))


def typed(here: State, keys: str, capfd: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What the prompt prints when these keys are pressed, and what it says on standard error.

    What Tab looks up is waited for before the next key.
    """
    capfd.readouterr()
    looked_up = threading.Event()

    def complete(*arguments: Any) -> Any:
        looked_up.set()
        return suggest.complete(*arguments)

    def press() -> None:
        for part in re.split(f"(?<={TAB})", keys):
            looked_up.clear()
            pipe.send_text(part)
            if part.endswith(TAB):
                assert looked_up.wait(20)
                time.sleep(0.5)

    with create_pipe_input() as pipe, pytest.MonkeyPatch.context() as patch:
        patch.setattr(converse, "complete", complete)
        pressing = threading.Thread(target=press)
        pressing.start()
        converse.converse(here, input=pipe, output=DummyOutput())
        pressing.join()
    return capfd.readouterr()


def test_statements_of_several_lines_and_commands(here: State, capfd: pytest.CaptureFixture[str]) -> None:
    keys = ".mode csv\rSELECT run,\rcount(*) AS n\rFROM neuron_scores GROUP BY run ORDER BY run;\r.runs\r.quit\r"
    out, err = typed(here, keys, capfd)
    assert out.splitlines()[:3] == ["run,n", "helpful,200", "safety,200"]
    assert out.splitlines()[3].startswith("kind,name,status,")
    assert "Ctrl-D leaves" in err
    out, _ = typed(here, f".schema runs\r.tables\r.help\r{CTRL_D}", capfd)
    assert "config_sha256" in out
    assert "top_neurons" in out
    assert "Ctrl-C stops a statement" in out


def test_errors_are_a_line_and_the_session_goes_on(here: State, capfd: pytest.CaptureFixture[str]) -> None:
    keys = "SELECT nothing;\r.nothing\r.mode pdf\r.schema nothing\rDELETE FROM runs;\r.mode csv\rSELECT 7 AS a;\r"
    out, err = typed(here, keys + CTRL_D, capfd)
    assert out == "a\n7\n"
    lines = err.splitlines()[1:]
    assert len(lines) == 5
    assert all(line.startswith("snql: ") for line in lines)
    for line, said in zip(
        lines, ("nothing", "'.nothing' is no command", ".mode needs one of", "no table", "read-only"), strict=True
    ):
        assert said in line


def test_tab_completes(here: State, capfd: pytest.CaptureFixture[str]) -> None:
    keys = f".mode csv\rSELECT count(*) AS n FROM neuron_sc{TAB} WHERE run = 'saf{TAB}' AND rank <= 5;\r"
    assert typed(here, keys + CTRL_D, capfd)[0] == "n\n5\n"


def test_ctrl_c_drops_what_is_being_written(here: State, capfd: pytest.CaptureFixture[str]) -> None:
    out, _ = typed(here, f".mode csv\rSELECT 1 AS wrong,{CTRL_C}SELECT 2 AS right;\r{CTRL_D}", capfd)
    assert out == "right\n2\n"


def test_ctrl_c_stops_a_statement(here: State, capfd: pytest.CaptureFixture[str]) -> None:
    session = Session(here)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    session.enter("SELECT sum(a.i * b.i) FROM range(1000000) AS a(i), range(1000000) AS b(i);")
    assert time.monotonic() - began < 20
    assert capfd.readouterr() == ("", "stopped\n")
    session.enter(".mode csv\nSELECT 1 AS a;")
    assert capfd.readouterr().out == "a\n1\n"


def test_long_results_are_cut_and_say_so(here: State, capfd: pytest.CaptureFixture[str]) -> None:
    session = Session(here)
    session.enter("SELECT i AS n FROM range(1000000000000) AS t(i);")
    out, err = capfd.readouterr()
    assert "the first 100 rows; there are more" in err
    assert [line.strip("│ ") for line in out.splitlines() if "│" in line] == [str(i) for i in range(100)]
    session.enter("SELECT i AS n FROM range(100) AS t(i) ORDER BY i DESC -- all\n;")
    out, err = capfd.readouterr()
    assert err == ""
    assert [line.strip("│ ") for line in out.splitlines() if "│" in line] == [str(99 - i) for i in range(100)]


def test_jobs_can_write_between_statements(here: State, capfd: pytest.CaptureFixture[str]) -> None:
    session = Session(here)
    session.enter("SELECT 1;")
    write = [sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1]).close()", str(here.database)]
    assert subprocess.run(write, capture_output=True).returncode == 0


def test_what_was_entered_is_kept(here: State, capfd: pytest.CaptureFixture[str]) -> None:
    typed(here, f".mode csv\rSELECT\r41 + 1 AS a;\r{CTRL_D}", capfd)
    path = converse.history_file()
    assert path == here.database.parent / "state" / "snql" / "history"
    assert "41 + 1" in path.read_text("utf-8")
    assert path.stat().st_mode & 0o077 == 0
    assert list(converse.history().load_history_strings()) == ["SELECT\n41 + 1 AS a;", ".mode csv"]


@pytest.mark.parametrize("state", ["", "relative"])
def test_the_history_is_in_the_users_folder(state: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", state)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert converse.history_file() == tmp_path / ".local" / "state" / "snql" / "history"


def test_a_history_that_cannot_be_written_is_done_without(here: State, capfd: pytest.CaptureFixture[str]) -> None:
    (here.database.parent / "state").write_text("a file")
    assert typed(here, f".mode csv\rSELECT 1 AS a;\r{CTRL_D}", capfd)[0] == "a\n1\n"


def test_statements_from_a_pipe(snql: Snql, here: State, monkeypatch: pytest.MonkeyPatch) -> None:
    def piped(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    piped(".mode jsonl\nSELECT 1 AS a; SELECT 'b;c' AS d;\nSELECT count(*) AS n FROM runs")
    done = snql("shell")
    assert (done.code, done.out, done.err) == (0, '{"a": 1}\n{"d": "b;c"}\n{"n": 2}\n', "")
    piped("SELECT 1 AS a; SELECT nothing; SELECT 3 AS c;")
    done = snql("--json", "shell")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert '"a": 1' in done.out
    assert '"c"' not in done.out
    piped("SELECT 1;")
    done = snql("--db", "none.duckdb", "shell")
    assert (done.code, done.out) == (2, "")
    assert "no database at none.duckdb" in done.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_harlequin_where_it_is_installed(snql: Snql, here: State, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def harlequin(_: State) -> int:
        begun.append("harlequin")
        return 3

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(converse, "converse", lambda _: begun.append("prompt"))
    monkeypatch.setattr(shell, "harlequin", harlequin)
    monkeypatch.setattr(shell, "find_spec", lambda name: None)
    assert snql("shell").code == 0
    monkeypatch.setattr(shell, "find_spec", lambda name: name == "harlequin")
    assert snql("shell").code == 3
    assert snql("shell", "--plain").code == 0
    assert begun == ["prompt", "harlequin", "prompt"]


def test_harlequin_is_given_the_database_read_only(here: State, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []

    def call(command: list[str]) -> int:
        script = Path(command[command.index("--init-path") + 1])
        ran.extend((command, [script.read_text("utf-8"), str(script)]))
        return 5

    monkeypatch.setattr(subprocess, "call", call)
    assert shell.harlequin(here) == 5
    command, (script, path) = ran
    assert command[:3] == [sys.executable, "-m", "harlequin"]
    assert command[3:] == [
        "--profile",
        "None",
        "--adapter",
        "duckdb",
        "--read-only",
        "--init-path",
        path,
        str(here.database),
    ]
    assert script == "SET enable_external_access = false;\nSET lock_configuration = true;\n"
    assert not Path(path).exists()


def test_harlequins_script_opens_the_shards_and_nothing_else(tmp_path: Path) -> None:
    """Also where the path has what ends a statement or a text; harlequin cuts the script at every ``;``."""
    folder = tmp_path / "it's; a\nfolder"
    folder.mkdir()
    (folder / "secret.csv").write_text("a\n1\n")
    db = Database(folder / "x.duckdb")
    fill_database(db)
    script = harlequin_script(db)
    with duckdb.connect(str(db.path), read_only=True) as connection:
        for line in script.splitlines():
            for statement in line.split(";"):
                if statement.strip():
                    connection.execute(statement)
        query = "FROM token_activations WHERE run = 'located' ORDER BY ALL"
        found = connection.execute(query).fetchall()
        with pytest.raises(duckdb.Error, match="file system operations are disabled"):
            connection.execute("FROM read_csv(?)", [str(folder / "secret.csv")]).fetchall()
        with pytest.raises(duckdb.Error, match="locked"):
            connection.execute("SET enable_external_access = true")
    assert found == db.rows(query)
    assert len(found) == 4
