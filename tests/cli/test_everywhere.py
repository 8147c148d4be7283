"""Options of all commands where hands put them, and what is said when nothing is asked."""

import pytest
from snql.cli.app import hoisted

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
    assert hoisted(given) == expected


def test_they_work_after_the_command(snql: Snql) -> None:
    assert snql("db", "init", "--db", "a.duckdb", "--quiet").err == ""
    before, after = snql("--db", "a.duckdb", "--json", "runs"), snql("runs", "--json", "--db=a.duckdb")
    assert (before.code, before.out, before.err) == (after.code, after.out, after.err) == (0, "[]\n", "")


@pytest.mark.parametrize("group", [[], ["db"], ["guard"], ["train"]])
def test_a_group_alone_shows_its_help_and_where_to_start(snql: Snql, group: list[str]) -> None:
    done = snql(*group)
    assert done.code == 0 and done.err == ""
    assert done.out.startswith("Usage: snql") and "Commands:" in done.out
    assert done.out.endswith("Start with: snql demo\n")
