"""The tables of commands at four widths, of a database with something of everything: nothing is cut or hidden."""

import io
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from snql.cli import neuron_view, render
from snql.cli.table import Column

from snql.capability import divergence, lm_eval, perplexity
from snql.contrast import locate
from snql.db.connection import Database
from snql.lens import lens
from snql.patching import patch

from ..db.filled import fill
from .conftest import Snql

WIDTHS = (60, 80, 100, 120)
MODELS = ["--before", "b", "--after", "a", "--prompts", "demo:harmful"]
PATCHED = ["--recipient", "b", "--donor", "a", "--neurons", "safety:5%", "--prompts", "demo:harmful", "--judge", "cost"]
READING = [
    "runs",
    "show safety --kind patch --all",
    "show safety --kind locate --prompts",
    "sets",
    "sets show mine",
    "judges",
    "judges compare safety cost reward --kind patch",
    "overlap safety helpful other",
    "overlap safety helpful --curve",
    "stability safety helpful",
    "neurons safety:10",
    "neuron L0.N3",
    "neuron L0.N3 --all",
    "query --list",
    "db schema runs",
    "db schema",
    "report --list",
    "paper --list",
    "paper fig2 --dry-run",
    "prompts demo:harmful",
]
Found = Callable[[Database], Any]
JOBS: dict[str, tuple[list[str], Found]] = {
    "snql.contrast.locate.locate": (["locate", "x", *MODELS], lambda db: locate._summary(db, "safety")),
    "snql.patching.patch.patch": (["patch", "x", *PATCHED], lambda db: patch._summary(db, "safety", 5)),
    "snql.capability.divergence.divergence": (["divergence", "x"], lambda db: divergence._summary(db, "screen", 8)),
    "snql.capability.perplexity.perplexity": (
        ["perplexity", "x", "--model", "b", "--text", "demo:benign"],
        lambda db: perplexity._summary(db, "screen", 8),
    ),
    "snql.capability.lm_eval.lm_eval": (
        ["lm-eval", "x", "--model", "b", "--tasks", "t"],
        lambda db: lm_eval._summary(db, "screen", 8),
    ),
    "snql.lens.lens.lens": (["lens", "L0.N3", "--model", "b"], lambda db: lens.read_lens(db, "values")),
}
"""Jobs by the function that they call, in place of which what the database has is read."""

Table = tuple[Sequence[Column], list[str], str, int]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "x.duckdb"
    with Database(path).write() as connection:
        fill(connection)
    return path


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> list[Table]:
    """What is printed as tables: the whole columns, those left out, and the text with its width."""
    found: list[Table] = []
    original = render.print_columns

    def printed(columns: Sequence[Column], title: str, console: Console | None = None) -> list[str]:
        width = render.terminal_width() or 0
        page = Console(width=width, file=io.StringIO())
        left_out = original(columns, title, page)
        assert isinstance(page.file, io.StringIO)
        found.append((columns, left_out, page.file.getvalue(), width))
        hidden: list[str] = original(columns, title, console)
        return hidden

    for module in (render, neuron_view):
        monkeypatch.setattr(module, "print_columns", printed)
    return found


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def check(columns: Sequence[Column], left_out: Sequence[str], text: str, width: int) -> None:
    assert max(map(len, text.splitlines())) <= width
    shown = [column for column in columns if column.heading not in left_out]
    assert {column.heading for column in columns} == {column.heading for column in shown} | set(left_out)
    rows = [line.split("│")[1:-1] for line in text.splitlines() if line.startswith("│")]
    if rows:
        for place, column in enumerate(shown):
            assert squeezed("".join(row[place] for row in rows)) == squeezed("".join(column.cells)), column.heading
    else:
        for column in shown:
            assert all(squeezed(f"{column.heading}:{cell}") in squeezed(text) for cell in column.cells)
    whole, told = (set(zip(*(column.cells for column in some), strict=True)) for some in (columns, shown))
    assert len(told) == len(whole), "rows that differ look alike"


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_or_hidden(
    snql: Snql, database: Path, tables: list[Table], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    commands = [(line, line.split()) for line in READING]
    for function, (words, found) in JOBS.items():
        module, _, name = function.rpartition(".")
        monkeypatch.setattr(import_module(module), name, lambda db, *_, found=found, **__: found(db))
        commands.append((" ".join(words), words))
    for line, words in commands:
        tables.clear()
        done = snql("--db", str(database), *words)
        assert done.code == 0, (line, done.err)
        boxes = [len(text) for text in done.out.splitlines() if text[:1] in tuple("┏┃┡│└")]
        assert max(boxes, default=0) <= width, line
        for columns, left_out, text, at in tables:
            check(columns, left_out, text, at)
            named = [part for part in done.err.splitlines() if part.startswith("left out at this width: ")]
            assert all(any(heading in part for part in named) for heading in left_out), line
        assert tables or line.startswith(("neurons", "show", "db schema", "paper fig2")), line


def test_a_neuron_fits_two_screens(snql: Snql, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(neuron_view, "_MOST_LINES", 34)
    short, whole = (snql("--db", str(database), "neuron", "L0.N0", *words) for words in ((), ("--all",)))
    n_short, n_whole = (len((done.out + done.err).splitlines()) for done in (short, whole))
    assert n_short <= 37 < n_whole
    assert "--all has the rest" in short.err and "--all" not in whole.err
    for heading in ("Scores", "In run"):
        assert heading in short.out and heading in whole.out
    assert whole.out.count("Lowest before") == 1 and "Lowest before" not in short.out
