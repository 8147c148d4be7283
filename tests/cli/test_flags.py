"""Names of options in errors: Python's in Python, flags on the command line."""

import json
from pathlib import Path

import pytest
from snql.cli.app import app
from snql.cli.flags import with_flags
from typer.main import get_command

import snql as library
from snql.db.connection import Database
from snql.errors import InputError

from .conftest import Snql

ROOT = get_command(app)


@pytest.mark.parametrize(
    ("command", "message", "shown"),
    [
        ("patch", "give `judges`, or `max_new_tokens`", "give --judge, or --max-new-tokens"),
        ("tax", "`neurons` 'odd' is not known", "--set 'odd' is not known"),
        ("patch", "`neurons` 'odd' is not known", "--neurons 'odd' is not known"),
        ("patch", "use `trace=False`", "use --no-trace"),
        (
            "stability",
            "locate it with `bootstrap` 1000, or use another `db`",
            "locate it with --bootstrap 1000, or use another --db",
        ),
        ("query", "`snql demo`, `no_option_of_any` and `x`", "`snql demo`, `no_option_of_any` and `x`"),
    ],
)
def test_names_become_flags(command: str, message: str, shown: str) -> None:
    assert with_flags(message, ROOT.commands[command], ROOT) == shown  # type: ignore[attr-defined]


def test_what_went_wrong_with_a_run_names_what_can_be_typed(snql: Snql, tmp_path: Path) -> None:
    """The file has Python's names; lists have the flags of the run's command."""
    with Database(tmp_path / "snql.duckdb").write() as connection:
        for run_id, (kind, name) in enumerate((("patch", "p"), ("guard-test", "g")), start=1):
            connection.execute(
                "INSERT INTO runs (run_id, kind, name, status, error, config, config_sha256, started_at, snql_version, "
                "libraries, platform) VALUES (?, ?, ?, 'failed', 'lower `max_new_tokens`, not `judges` or `after`', "
                "'{}', '', TIMESTAMP '2026-01-01', '1', '{}', '')",
                [run_id, kind, name],
            )
    said = "lower --max-new-tokens, not --judge or --after"
    assert {row["error"] for row in json.loads(snql("--json", "runs").out)} == {said}
    assert {row["key"]: row["value"] for row in json.loads(snql("--json", "show", "g").out)}["error"] == said


def test_each_reader_sees_the_names_that_can_be_typed(snql: Snql) -> None:
    with pytest.raises(InputError, match="`skip_last_layers` must be at least 0"):
        library.LocateOptions(before="a", after="b", skip_last_layers=-1)
    done = snql("locate", "x", "--before", "a", "--after", "b", "--prompts", "p", "--skip-last-layers", "-1")
    assert (done.code, done.err) == (2, "snql: --skip-last-layers must be at least 0\n")
