"""What shells complete: names that a database has or snql knows, with no model library and not a word of error."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from snql.cli.app import app, run
from snql.cli.completing import NAMES
from snql.cli.words import joined
from typer.main import get_command

from snql.db.connection import Database

from ..db.filled import RUNS, fill

Complete = Callable[..., list[str]]
LOCATED = sorted({name for name, kind, _ in RUNS.values() if kind == "locate"})


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completing") / "x.duckdb"
    with Database(path).write() as connection:
        fill(connection)
    return path


@pytest.fixture
def complete(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Complete:
    """What bash is offered for the last of these words."""

    def call(*words: str) -> list[str]:
        monkeypatch.setenv("_SNQL_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(("snql", *words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            run([])
        captured = capfd.readouterr()
        assert (ended.value.code, captured.err) == (0, "")
        return captured.out.split()

    return call


CASES = [
    (["show", ""], sorted({name for name, _, _ in RUNS.values()})),
    (["overlap", "safety", "o"], ["other"]),
    (["divergence", ""], ["again", "cut", "cut-again", "safety"]),
    (["guard", "run", ""], ["safety"]),
    (["neurons", "safe"], ["safety"]),
    (["neurons", ""], [*LOCATED, "@mine", "@yours"]),
    (["neurons", "@", "m"], ["mine"]),
    (["neurons", "'safety:5% - he"], ["safety:5% - helpful"]),
    (["neurons", "safety", ":", "5%-he"], ["5%-helpful"]),
    (["sets", "rm", ""], ["mine", "yours"]),
    (["query", "@", "spec"], ["specific_neurons"]),
    (["report", "eff"], ["effect-size"]),
    (["paper", "table10"], ["table10"]),
    (["paper", "--scale", "ll"], ["llama-2-7b"]),
    (["locate", "x", "--before", "demo", ":", "saf"], ["safety", "safety-seed2", "safety-seed3"]),
    (
        ["locate", "x", "--before", "d"],
        [
            f"demo:{n}"
            for n in ["base", "sft", "safety", "safety-seed2", "safety-seed3", "helpful", "concise", "polite", "format"]
        ],
    ),
    (["locate", "x", "--prompts", "=", "demo", ":", "ben"], ["benign", "benign-edgy"]),
    (["locate", "x", "--prompts=demo", ":", "ben"], ["benign", "benign-edgy"]),
    (["patch", "x", "--judge", "demo", ":"], ["cost", "reward"]),
    (["tax", "x", "--set", ""], []),
    (["lo"], ["locate"]),
    (["locate", "x", "--bef"], ["--before"]),
]


@pytest.mark.parametrize(("words", "offered"), CASES)
def test_what_is_offered(database: Path, complete: Complete, words: list[str], offered: list[str]) -> None:
    found = complete("--db", str(database), *words)
    assert " ".join(found) == " ".join(offered)
    command, *rest = words
    if rest:
        assert complete(command, "--db", str(database), *rest) == found, "as if --db stood in front"


def test_the_file_is_only_read_and_none_is_made(database: Path, complete: Complete, tmp_path: Path) -> None:
    before = database.stat().st_mtime_ns
    assert "safety" in complete("--db", str(database), "show", "")
    assert database.stat().st_mtime_ns == before
    assert complete("--db", str(tmp_path / "none.duckdb"), "show", "") == [] and not any(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["text", "an older schema", "locked", "a folder"])
def test_nothing_is_offered_or_said_where_names_cannot_be_had(
    database: Path, complete: Complete, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "x.duckdb"
    if damage == "text":
        path.write_text("no database")
    elif damage == "a folder":
        path.mkdir()
    elif damage == "an older schema":
        path.write_bytes(database.read_bytes())
        with Database(path).write() as connection:
            connection.execute("DELETE FROM snql_migrations WHERE number > 1")
    else:
        path = database
        hold = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); input()"
        with subprocess.Popen([sys.executable, "-c", hold, str(path)], stdin=-1, stdout=-1) as other:
            assert other.stdout is not None and other.stdout.readline()
            assert complete("--db", str(path), "show", "") == []
            other.communicate(b"\n")
        return
    assert complete("--db", str(path), "show", "") == []


def test_other_options_do_nothing_meanwhile(database: Path, complete: Complete) -> None:
    front = ["--config", "none.toml", "--db", str(database)]
    assert complete(*front, "show", "values") == ["values"]
    assert complete("--version", *front, "show", "values") == ["values"]


def test_no_model_library_is_loaded(database: Path) -> None:
    """Nor one of frames or charts: a key's press has no time for them."""
    code = """
import json, os, sys
os.environ["_SNQL_COMPLETE"] = "complete_bash"
from snql.cli.app import run
for words in json.loads(sys.argv[1]):
    os.environ |= {"COMP_WORDS": "\\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    try:
        run([])
    except SystemExit:
        pass
loaded = {"torch", "transformers", "polars", "altair", "pandas", "scipy"} & set(sys.modules)
sys.exit(f"loaded: {loaded}" if loaded else 0)
"""
    words = json.dumps([["snql", "--db", str(database), *words] for words, _ in CASES])
    done = subprocess.run([sys.executable, "-c", code, words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"specific_neurons", "effect-size", "table10", "@mine"} <= set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "place", "arguments", "unseen", "begun"),
    [
        (["snql", "x", "--before", "demo", ":"], 4, ["snql", "x", "--before"], "demo:", ""),
        (["snql", "x", "--before", "demo", ":", "sa"], 5, ["snql", "x", "--before"], "demo:", "sa"),
        (["snql", "x", "--before", "=", "demo", ":", "s"], 6, ["snql", "x", "--before"], "demo:", "s"),
        (["snql", "x", "--before", "="], 3, ["snql", "x", "--before"], "", ""),
        (["snql", "query", "@"], 2, ["snql", "query"], "@", ""),
        (["snql", "x", "demo", ":"], 4, ["snql", "x", "demo:"], "", ""),
        (["snql", "x", ""], 2, ["snql", "x"], "", ""),
        (["snql", "x"], 2, ["snql", "x"], "", ""),
        (["snql", "x", "y", "z"], 2, ["snql", "x"], "", "y"),
    ],
)
def test_words_that_bash_splits_are_put_together(
    words: list[str], place: int, arguments: list[str], unseen: str, begun: str
) -> None:
    """The words as bash 5.2 gives them to a completion, which it was asked for at a terminal."""
    assert joined(words, place) == (arguments, unseen, begun)


def test_what_is_offered_is_of_options_that_there_are() -> None:
    def parameters(command: object) -> set[str]:
        own = {parameter.name for parameter in getattr(command, "params", ())}
        below = getattr(command, "commands", {})
        return own.union(*(parameters(below[name]) for name in below))

    assert parameters(get_command(app)) >= NAMES
