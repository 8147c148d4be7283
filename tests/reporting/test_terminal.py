"""Figures as text: numbers, places of the marks, width, colours, and text that stays text."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from snql.db import Database
from snql.errors import DatabaseError, InputError
from snql.reporting import terminal
from snql.reporting.textplots import Plot, Series, bar, plot
from snql.writing.terminal import table
from snql.writing.terminal import width as cell_width

from .conftest import Builder, small
from .hostile import HOSTILE, hostile_database

SGR = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize(
    "width", [40, 80, *(pytest.param(width, marks=pytest.mark.slow("40 and 80")) for width in (60, 120, 300))]
)
def test_no_line_is_wider_than_the_terminal(database: Database, width: int) -> None:
    text = terminal.draw(database, (), width)
    assert max(map(cell_width, text.splitlines())) <= width
    assert "\x1b" not in text


def test_every_figure_is_there_with_its_numbers(database: Database) -> None:
    text = terminal.draw(database, (), 100)
    for title in (
        "Causal effect of the patched neurons",
        "Layers of the",
        "Distribution of",
        "Agreement",
        "Mean scores",
    ):
        assert title in text
    # The builder's 5 % set: effect 0.8 +- 0.1; controls 0.02 * seed + 0.1 * 0.8 - 0.05.
    assert re.search(r"\u25cf safety +50 +0\.80 \[0\.70, 0\.90\] +3: 0\.05 \[0\.03, 0\.07\]", text)
    assert "95 % bootstrap intervals over prompts (2,000 resamples, seed 7)" in text
    assert "chance 20.0 %" in text, "five ranked layers"
    assert re.search(r"overlap of the top 50 of 1,000 \(chance 0\.050\)", text)
    assert re.search(
        r"beavertails \(n = 20\) +2\.00 +\u22121\.20 +\u22122\.00 +\u22123\.20 \[\u22123\.60, \u22122\.80\]", text
    )


def test_an_undefined_effect_says_so(tmp_path: Path) -> None:
    with Database(tmp_path / "x.duckdb") as database:
        with database.write() as connection:
            Builder(connection).patch("sweep", ((0.01, 0.2), (0.05, None)), datasets=("a", "b"))
        text = terminal.draw(database, ("effect-size", "transfer"), 100)
    assert re.search(r"\u25cf safety +50 +undefined", text)
    assert re.search(r"\u25cf safety +10 +0\.20 \[0\.10, 0\.30\]", text)


def test_what_is_lacking_is_said(tmp_path: Path) -> None:
    with Database(tmp_path / "x.duckdb") as database:
        with database.write() as connection:
            Builder(connection).patch("single", ((0.05, 0.5),))
        text = terminal.draw(database, ("effect-size", "tax"), 80)
    assert "Not drawn: no finished patch run with a donor has sets of several sizes" in text
    assert "single: safety:5%: cost" in text


def test_marks_stand_where_their_values_are() -> None:
    series = Series("\u25cf", "blue", [(0.0, 0.0), (1.0, 1.0), (2.0, 0.5)], [None, (0.8, 1.2), None])
    drawn = Plot("x", (-0.5, 1.5), [series], x_limits=(0.0, 2.0), height=24)
    lines = plot(drawn, 60, colour=False)
    found = [(line.index("\u25cf"), place) for place, line in enumerate(lines) if "\u25cf" in line]
    (top, half, bottom) = found
    assert bottom[0] < top[0] < half[0]
    assert top[0] == pytest.approx((bottom[0] + half[0]) / 2, abs=1)
    assert half[1] == pytest.approx((top[1] + bottom[1]) / 2, abs=1)
    above, below = lines[top[1] - 1], lines[top[1] + 1]
    assert above[top[0]] == below[top[0]] == "\u2502", "its interval"


def test_bar_places_marks_by_their_share_of_the_scale() -> None:
    assert bar((0, 10), 11, [(2, 5, "\u2500")], [(3, "o"), (10, "x")]) == "  \u2500o\u2500\u2500    x"
    assert bar((0, 10), 11, [], [(-50, "<"), (99, ">")]) == "<         >"
    assert bar((1, 1), 5, [], [(1, "o")]) == "  o  "


def test_columns_line_up_with_wide_letters() -> None:
    lines = table([("\u6f22\u5b57", "1"), ("abc", "12")], 20)
    assert lines == ["\u6f22\u5b57   1", "abc   12"]
    assert [cell_width(line) for line in lines] == [8, 8]
    (cut,) = table([("a long name for a run", "0.5")], 16)
    assert cell_width(cut) <= 16 and cut.endswith("0.5")


def test_colours_only_when_asked(database: Database) -> None:
    plain, coloured = (terminal.draw(database, ("layers",), 80, colour=colour) for colour in (False, True))
    assert "\x1b" not in plain and SGR.search(coloured)
    lines = [line.rstrip() for line in SGR.sub("", coloured).splitlines()]
    assert lines == plain.splitlines()


def test_hostile_text_moves_nothing(tmp_path: Path) -> None:
    with hostile_database(tmp_path / "x.duckdb") as database:
        for colour in (False, True):
            text = terminal.draw(database, (), 100, colour=colour)
            assert not re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]", SGR.sub("", text))
            assert max(cell_width(line) for line in SGR.sub("", text).splitlines()) <= 100
    assert "<script>alert(1)</script>" in text
    assert HOSTILE[6].replace("\x1b", "\u241b").replace("\x07", "\u2407")[:10] in text


def test_bad_input(database: Database, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"figure 'fig' is not drawn in a terminal: choose from effect-size, layers"):
        terminal.draw(database, ("fig",))
    with Database(tmp_path / "empty.duckdb") as empty:
        empty.initialise()
        with pytest.raises(InputError, match="no finished run"):
            terminal.draw(empty)
    with pytest.raises(DatabaseError, match="no database at"):
        terminal.draw(Database(tmp_path / "none.duckdb"))


def test_two_databases(tmp_path: Path) -> None:
    first, second = small(tmp_path / "a.duckdb"), small(tmp_path / "b.duckdb", seed=1)
    text = terminal.draw(first, ("overlap", "tax"), 100, compare=[second])
    for words in ("safety [a]", "safety [b]", "sweep [b]: safety:5%", "[a] is a.duckdb and [b] is b.duckdb"):
        assert words in text


def in_terminal(command: list[str], columns: int, folder: Path, **environment: str) -> str:
    """What a command writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "TERM")}
    process = subprocess.Popen(
        command, stdout=theirs, stderr=subprocess.DEVNULL, cwd=folder, env={**clean, "TERM": "xterm", **environment}
    )
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    assert process.wait() == 0
    return b"".join(parts).decode()


def test_command_fits_its_terminal_and_writes_no_file(database: Database, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "snql", "--db", str(database.path.resolve()), "report", "--terminal", "scores"]
    seen = in_terminal(command, 70, tmp_path)
    assert SGR.search(seen)
    assert max(cell_width(line) for line in SGR.sub("", seen).splitlines()) == 70
    assert "\x1b" not in in_terminal(command, 70, tmp_path, NO_COLOR="1")
    piped = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "\x1b" not in piped.stdout and "Distribution of change scores" in piped.stdout
    assert piped.stderr == ""
    assert list(tmp_path.iterdir()) == []
