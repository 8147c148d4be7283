"""Terminals and locales without UTF-8: every command writes, and what it writes stays straight."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from snql.cli.encoding import like

from .conftest import Snql

ENCODINGS = ("ascii", "cp1252", "latin-1", "utf-8")


@pytest.fixture
def filled(snql: Snql, tmp_path: Path) -> Path:
    pair = ["--before", "demo:sft", "--after", "demo:safety", "--prompts", "demo:locate"]
    assert snql("-q", "locate", "one", *pair, "--limit", "2", "--max-new-tokens", "3").code == 0
    return tmp_path


def ran(folder: Path, encoding: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "80"}
    return subprocess.run([sys.executable, "-m", "snql", *arguments], cwd=folder, env=environment, capture_output=True)


def test_every_command_writes_in_every_encoding(filled: Path) -> None:
    commands = (["neurons", "one:3"], ["neuron", "L0.N0"], ["show", "one"], ["report", "--terminal", "layers"])
    for place, command in enumerate(commands):
        for encoding in ENCODINGS[:1] if place == 0 else ENCODINGS[place - 1 : place]:
            done = ran(filled, encoding, *command)
            assert done.returncode == 0, (command, encoding, done.stderr)
            text = done.stdout.decode(encoding)
            assert encoding == "utf-8" or "\ufffd" not in text
            if command[0] == "neurons":
                assert "L0.N" in text and max(map(len, text.splitlines())) <= 80


def test_a_locale_without_utf8(filled: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONIOENCODING"}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "snql", "neurons", "one:3"], cwd=filled, env=environment, capture_output=True
    )
    assert done.returncode == 0 and done.stdout.isascii(), done.stderr


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("4.7 ± 8.8, \u22122.4", "4.7 ~ 8.8, -2.4"),
        ("␣First …", "_First ."),
        ("┏━┳┓┃▁█⣿", "+-++|.#*"),
        ("“it’s”", '"it\'s"'),
        ("日本", "??"),
    ],
)
def test_one_character_becomes_one_like_it(text: str, shown: str) -> None:
    assert like(text) == shown and len(like(text)) == len(text)
