"""Half of a surrogate pair, and bytes that are no UTF-8, wherever a text can come from: one line, or something like it.

JSON can write such a half as a number, Python reads bytes of other encodings as some, and no encoding can write it.
"""

import io
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snql as library
from snql.db.connection import Database
from snql.errors import SnqlError

from ..cli.conftest import Outcome, Snql, snql  # noqa: F401 - a fixture
from ..synthetic import add_locate_run

HALVES = ("\ud800", "\udfff", "a\udc00b", "\udcff")
NAMES = ("prompt", "category", "label", "system", "context", "history", "other")
ROW: dict[str, Any] = {"prompt": "a", "category": "b", "label": "c", "system": "d", "other": {"e": ["f"]}}


def holds(value: Any, half: str, draw: random.Random) -> Any:
    """The value with a half in one of its texts or keys."""
    if isinstance(value, dict):
        key = draw.choice(list(value))
        if draw.random() < 0.2:
            return {**value, f"{key}{half}": "x"}
        return {**value, key: holds(value[key], half, draw)}
    if isinstance(value, list):
        return [*value[:-1], holds(value[-1], half, draw)]
    return f"{value}{half}"


def rows(seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    base = draw.choice([ROW, {"messages": messages, "category": "b"}, {"chosen": messages, "rejected": messages}])
    return [base, holds(base, draw.choice(HALVES), draw)]


def said_in_one_line(done: Outcome) -> None:
    lines = done.err.splitlines()
    assert done.code == 2 and len(lines) == 1 and len(lines[0]) < 510 and lines[0].startswith("snql: "), done.err
    done.err.encode()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "snql.duckdb"
    with Database(path) as db:
        add_locate_run(db, "located", np.ones((2, 4)))
    return path


@pytest.fixture
def here(stored: Path, tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "snql.duckdb").write_bytes(stored.read_bytes())
    yield tmp_path


@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=pytest.mark.slow("other places")) if n % 3 else n for n in range(24)]
)
def test_files_of_prompts_texts_and_examples(snql: Snql, tmp_path: Path, seed: int) -> None:  # noqa: F811
    found = rows(seed)
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, found)))
    (tmp_path / "p.json").write_text(json.dumps(found))
    (tmp_path / "p.csv").write_text("prompt,messages\n" + f'x,"{json.dumps(found).replace(chr(34), chr(34) * 2)}"\n')
    train = ["train", "dpo", "out", "--model", "demo:sft", "--dry-run", "--device", "cpu", "--data", "p.jsonl"]
    for words in (
        ["prompts", "p.jsonl"],
        ["prompts", "p.json", "--where", "true"],
        ["prompts", "p.csv", "--prompt-column", "messages"],
        ["perplexity", "x", "--text", "p.jsonl", "--model", "demo:sft", "--text-column", next(iter(found[1]))],
        train,
    ):
        done = snql(*words)
        said_in_one_line(done)
        assert "half of a surrogate pair" in done.err or "p.csv" in words


@pytest.mark.parametrize("value", HALVES)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SNQL_QUERY_FORMAT", ["query", "SELECT 1"]),
        ("SNQL_PROMPTS_SYSTEM", ["prompts", "p.txt"]),
        ("SNQL_DB", ["runs"]),
        ("SNQL_\udcff", ["runs"]),
        (None, ["sets", "save", "a", "located:1"]),
        (None, ["query", "SELECT 1"]),
        (None, ["judges"]),
    ],
)
def test_the_environment_and_arguments(
    snql: Snql,  # noqa: F811
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str | None,
    words: list[str],
    value: str,
) -> None:
    if name is None:
        words = [*words[:-1], words[-1] + value]
    elif not "\udc80" <= value <= "\udcff":
        return  # no bytes are read so
    else:
        monkeypatch.setenv(name, value)
    done = snql(*words)
    said_in_one_line(done)
    assert "is not UTF-8" in done.err and (here / "snql.duckdb").is_file()


BYTES = (b"\xff", b"\xed\xa0\x80", b"SELECT '\xc3'", "SELECT 'ü'".encode("latin-1"), b"\xfe\xff\x00a")


FROM_STREAM: tuple[list[str], ...] = (["query", "-"], ["shell"], ["guard", "run", "x", "--prompt", "-"])
FROM_FILE: tuple[list[str], ...] = (
    ["query", "-f", "file"],
    ["--config", "file", "runs"],
    ["prompts", "file.txt"],
    ["prompts", "file.csv"],
    ["prompts", "file.jsonl"],
    ["db", "import-scores", "file.txt", "x"],
    ["db", "import-scores", "file.json", "x"],
    ["paper", "file.toml", "--dry-run"],
    ["judge", "located", "--judge", "rubric:file"],
    ["prompts", "p.txt", "--model", "demo:sft", "--template", "file.jinja"],
)


@pytest.mark.parametrize("content", BYTES)
@pytest.mark.parametrize(
    ("words", "errors"),
    [
        *((words, errors) for words in FROM_STREAM for errors in ("strict", "surrogateescape")),
        *((words, "strict") for words in FROM_FILE),
    ],
)
def test_bytes_of_no_text(
    snql: Snql,  # noqa: F811
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    content: bytes,
    errors: str,
) -> None:
    (here / "p.txt").write_text("a\n")
    for ending in ("", ".txt", ".csv", ".jsonl", ".json", ".toml", ".jinja"):
        (here / f"file{ending}").write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8", errors))
    said_in_one_line(snql(*words))


@pytest.mark.parametrize("half", HALVES)
def test_json_that_other_programs_wrote(snql: Snql, here: Path, half: str) -> None:  # noqa: F811
    (here / "s.json").write_text(json.dumps([f"L1.N2{half}"]))
    said_in_one_line(snql("db", "import-scores", "s.json", "x"))
    (here / "t.json").write_text(json.dumps({"chat_template": f"{{{{ messages[0].content }}}}{half}"}))
    (here / "p.txt").write_text("a\n")
    said_in_one_line(snql("prompts", "p.txt", "--model", "demo:sft", "--template", "t.json"))
    assert snql("-q", "db", "export", "out").code == 0
    manifest = json.loads((here / "out" / "manifest.json").read_text())
    for seed in (2 * HALVES.index(half), 2 * HALVES.index(half) + 1):
        changed = holds(manifest, half, random.Random(seed))
        (here / "out" / "manifest.json").write_text(json.dumps(changed))
        done = snql("--db", f"new{seed}.duckdb", "db", "import", "out")
        if done.code:
            said_in_one_line(done)


@pytest.mark.parametrize("half", HALVES)
def test_python_raises_errors_of_its_own_kind(here: Path, half: str) -> None:
    with library.open(here / "snql.duckdb") as db:
        acts: tuple[Callable[[], object], ...] = (
            lambda: library.query(db, f"SELECT '{half}'"),
            lambda: library.query(db, "SELECT $x", {"x": half}),
            lambda: db.sql(f"SELECT '{half}'"),
            lambda: db.neurons(f"located{half}:1"),
            lambda: db.neurons(f"sql(SELECT 0 AS layer, 0 AS neuron WHERE '{half}' = '')"),
            lambda: library.save_set(db, f"a{half}", "located:1"),
            lambda: db.scores(f"located{half}"),
            lambda: db.rows("SELECT ?", [half]),
        )
        for act in acts:
            with pytest.raises(SnqlError) as caught:
                act()
            str(caught.value).encode()


def test_a_folder_whose_name_is_no_text(snql: Snql, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    folder = here / os.fsdecode(b"a\xff")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    (here / "snql.duckdb").rename(folder / "snql.duckdb")
    monkeypatch.chdir(folder)
    for words in (["runs"], ["db", "check"], ["neurons", "located:2"], ["report", "--terminal"], ["query", "SELECT 1"]):
        done = snql(*words)
        if done.code:
            said_in_one_line(done)
