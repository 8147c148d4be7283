"""Bad values of every kind for every option of every command: one short line, no traceback, and nothing is written."""

import io
import json
import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from snql.cli.app import run

from ..cli.conftest import Snql, snql  # noqa: F401 - a fixture
from ..cli.test_parameters import CONTEXTS
from .commands import LINES, WORDS, Tried, generated
from .prepared import contents, prepare

EACH = 4
"""Values for each option: some 2,200 lines in all."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepare(folder, run)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The prepared folder's copy, the current one."""
    made = tmp_path / "own"
    shutil.copytree(prepared, made, symlinks=True)
    monkeypatch.chdir(made)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    yield made


def wrong(tried: Tried, snql: Snql, folder: Path, before: dict[str, str]) -> str:  # noqa: F811
    """What is wrong with what a line gives; nothing if it is said in one line, or can be done."""
    own = folder.parent / "own.toml"
    own.write_text(tried.config or "", "utf-8")
    words = [str(own) if word == "own.toml" else word for word in tried.words]
    with pytest.MonkeyPatch.context() as patch:
        os.chdir(folder)
        for name, value in tried.environment.items():
            patch.setenv(name, value)
        try:
            done = snql("-q", *words)
        except BaseException as error:  # noqa: BLE001 - of whatever kind
            return f"{type(error).__name__}: {str(error)[:200]}"
    lines = done.err.splitlines()
    if done.code not in (0, 1, 2) or any(len(line) > 510 for line in lines):
        return f"{done.code} {done.err[:200]!r}"
    if done.code == 2 and (len(lines) != 1 or not lines[0].startswith("snql: ")):
        return f"lines: {done.err[:200]!r}"
    if done.code == 2 and contents(folder) != before:
        return f"written: {json.dumps(sorted(contents(folder).items() ^ before.items()))[:200]}"
    return ""


def test_every_command_has_a_line_that_works_but_for_one_option() -> None:
    assert set(LINES) == set(CONTEXTS)


@pytest.mark.parametrize("every", [211, pytest.param(1, marks=pytest.mark.slow("all of them: 25 minutes"))])
def test_bad_values_are_one_line_and_change_nothing(
    every: int,
    snql: Snql,  # noqa: F811
    prepared: Path,
    folder: Path,
) -> None:
    before, failed = contents(folder), []
    for number, tried in enumerate(generated(EACH)):
        if number % every:
            continue
        if said := wrong(tried, snql, folder, before):
            failed.append(f"{tried}: {said}")
        if contents(folder) != before:
            os.chdir(folder.parent)
            shutil.rmtree(folder)
            shutil.copytree(prepared, folder, symlinks=True)
    assert not failed, f"{len(failed)}:\n" + "\n".join(failed)


SQL = (
    "SELECT",
    "1",
    ";",
    "'",
    '"',
    "(",
    ")",
    "--",
    "/*",
    "\n",
    ".help",
    ".x",
    "\\d",
    "FROM runs",
    "DROP TABLE runs",
    "\x00",
    "\x1b[31m",
    "é",
    ",",
    "@",
    "$1",
    "COPY runs TO 'x.csv'",
    "ATTACH 'y.db'",
    "SET threads = 0",
)


@pytest.mark.parametrize("every", [10, pytest.param(1, marks=pytest.mark.slow("all of them"))])
def test_the_shell_answers_whatever_is_typed(
    every: int,
    snql: Snql,  # noqa: F811
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw, before = random.Random(3), contents(folder)
    texts = [*WORDS, *(" ".join(draw.choices(SQL, k=draw.randrange(1, 9))) for _ in range(150))]
    for text in texts[::every]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        done = snql("shell")
        assert done.code in (0, 1, 2) and "Traceback" not in done.err, (text, done.err)
        assert all(len(line) <= 510 for line in done.err.splitlines()), (text[:60], done.err[:600])
    assert contents(folder) == before
