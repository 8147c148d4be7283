"""Options of all commands where hands put them, and what is said when nothing is asked."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from snql.cli.app import _going_on, app
from snql.cli.commands import COMMANDS, GROUPS
from snql.cli.examples import EXAMPLES
from snql.cli.words import hoisted
from typer.main import get_command

from .conftest import Snql


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["runs", "--json"], ["--json", "runs"]),
        (["query", "SELECT 1", "--db", "x", "--quiet"], ["--db", "x", "--quiet", "query", "SELECT 1"]),
        (["--json", "runs", "--db=x"], ["--json", "--db=x", "runs"]),
        (["query", "--", "--json"], ["query", "--", "--json"]),
        (["runs", "--db"], ["--db", "runs"]),
        ([], []),
    ],
)
def test_options_of_all_commands_go_in_front(given: list[str], expected: list[str]) -> None:
    assert hoisted(given, set()) == expected


def test_they_work_after_the_command(snql: Snql) -> None:
    assert snql("db", "init", "--db", "a.duckdb", "--quiet").err == ""
    before, after = snql("--db", "a.duckdb", "--json", "runs"), snql("runs", "--json", "--db=a.duckdb")
    assert (before.code, before.out, before.err) == (after.code, after.out, after.err) == (0, "[]\n", "")


@pytest.mark.parametrize("group", [[], ["db"], ["guard"], ["train"]])
def test_a_group_alone_shows_its_help_and_where_to_start(snql: Snql, group: list[str]) -> None:
    done = snql(*group)
    assert done.code == 0 and done.err == ""
    assert done.out.startswith("Usage: snql") and ("Commands:" in done.out or "Find neurons:" in done.out)
    assert done.out.endswith("Start with: snql demo\n")


def test_every_command_is_in_one_group_and_its_words_are_whole(snql: Snql, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(COMMANDS)
    monkeypatch.setenv("COLUMNS", "80")
    shown = " ".join(snql("--help").out.split())
    assert all(words in shown for _, words in COMMANDS.values())


def test_examples_are_of_commands_and_options_that_there_are() -> None:
    for path, lines in EXAMPLES.items():
        for line in lines:
            command: Any = get_command(app)
            words = shlex.split(line)[1:]
            assert " ".join(words).startswith(path)
            while hasattr(command, "commands"):
                command = command.commands[words.pop(0)]
            command.make_context(path, words, resilient_parsing=False, auto_envvar_prefix="X")


def test_help_has_examples_and_one_sentence_about_the_environment(snql: Snql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = snql("guard", "test", "--help").out
    assert (
        "Examples:\n  snql guard test watch --prompts demo:harmful-wrapped --benign \\\n      demo:benign-edgy\n"
        in done
    )
    assert "(SNQL_GUARD_TEST_PROMPTS for --prompts, …)" in " ".join(done.split())
    assert "env var" not in done and max(map(len, done.splitlines())) <= 80


@pytest.mark.parametrize(
    ("name", "command"),
    [("SNQL_QUERY_FORMAT", ["query", "SELECT 1 AS one"]), ("SNQL_PAPER_LIST", ["paper"])],
)
def test_variables_are_called_as_the_options_are(
    snql: Snql, monkeypatch: pytest.MonkeyPatch, name: str, command: list[str]
) -> None:
    snql("db", "init")
    monkeypatch.setenv(name, "csv" if name.endswith("FORMAT") else "1")
    done = snql(*command)
    assert done.code == 0 and done.out.startswith(("one\n1\n", "one\r\n1\r\n", "┏"))


def test_a_file_of_options_calls_them_as_the_command_line_does(snql: Snql, tmp_path: Path) -> None:
    snql("db", "init")
    (tmp_path / "own.toml").write_text('[query]\nformat = "csv"\n')
    assert snql("--config", "own.toml", "query", "SELECT 1 AS one").out.split() == ["one", "1"]
    (tmp_path / "own.toml").write_text('[query]\nformat_name = "csv"\n')
    assert "[query] format_name is no option" in snql("--config", "own.toml", "query", "SELECT 1").err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["locate", "x y", "--before", "a", "--force"], "; go on with: snql locate 'x y' --before a --resume"),
        (["--db", "d", "guard", "train", "g"], "; go on with: snql --db d guard train g --resume"),
        (["train", "sft", "out", "--resume"], "; go on with: snql train sft out --resume"),
        (["query", "SELECT 1"], ""),
        ([], ""),
    ],
)
def test_an_interrupted_command_says_how_to_go_on(given: list[str], words: str) -> None:
    assert _going_on(given) == words


def test_help_names_what_few_need_and_says_all_when_asked(snql: Snql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    short, long = snql("locate", "--help").out, snql("locate", "--help-all").out
    assert "Others, with --help-all: --prompt-column, " in " ".join(short.split()) and "Others" not in long
    for parameter in get_command(app).commands["locate"].params:  # type: ignore[attr-defined]
        assert parameter.opts[0] in short or parameter.name == "name"
        assert "".join((parameter.help or "").split()) in "".join(long.split())
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        for words in [[name], *([name, inner] for inner in getattr(command, "commands", ()))]:
            lines = snql(*words, "--help").out.splitlines()
            assert len(lines) <= 60 and max(map(len, lines)) <= 80, words


def test_rows_of_any_command_in_any_format(snql: Snql) -> None:
    pair = ["--before", "demo:sft", "--after", "demo:safety", "--prompts", "demo:locate"]
    done = snql("-q", "locate", "one", *pair, "--limit", "2", "--max-new-tokens", "2", "--csv")
    assert done.out.splitlines()[0].startswith("name,layer,expert,neuron,score,rank")
    for command in (["runs"], ["neurons", "one:3"], ["show", "one"], ["prompts", "demo:harmful"], ["judges"], ["sets"]):
        found = snql(*command, "--format", "jsonl")
        rows = [json.loads(line) for line in found.out.splitlines()]
        assert found.code == 0 and all(isinstance(row, dict) for row in rows), command
        assert snql(*command, "--csv").out == snql("--format=csv", *command).out
    assert "┃" in snql("runs").out, "the format of one command is not that of the next"
    assert snql("query", "SELECT 1 AS one", "--format", "csv").out.split() == ["one", "1"]
    assert snql("query", "SELECT 1 AS one", "--csv").out.split() == ["one", "1"]
    refused = snql("runs", "--format", "parquet")
    assert refused.code == 2 and "--format 'parquet' is not known: use table, csv, tsv, json" in refused.err
