"""One run in a few lines: its result first, then only what differs from the defaults, and a command that repeats it."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from snql.cli.app import app
from typer.main import get_command

from snql.capability.divergence import divergence
from snql.capability.options import PerplexityOptions, SubjectOptions, TextOptions
from snql.capability.perplexity import perplexity
from snql.db.connection import Database
from snql.errors import InputError
from snql.patching.patch import patch
from snql.reporting.showing import Shown, show_run

from ..patching.located import locate_run
from ..patching.test_patch import options


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, tiny_adapter: Path) -> Database:
    db = Database(tmp_path_factory.mktemp("shown") / "made.duckdb")
    locate_run(db, tiny_llama, tiny_adapter)
    patch(db, "run", options(tiny_llama, tiny_adapter, sweep=("20%",), random=1))
    divergence(db, "run")
    read = PerplexityOptions(
        subject=SubjectOptions(model=str(tiny_llama)), text=TextOptions(text=("demo:benign",), limit=2)
    )
    perplexity(db, "read", read)
    return db


def parsed(shown: Shown) -> Any:
    """The command line as the program understands it; raises if it does not."""
    words, command, parent = shlex.split(shown.command)[1:], get_command(app), None
    command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
    return command.make_context("x", words, parent=parent, auto_envvar_prefix="X")


def test_a_ranking(made: Database) -> None:
    shown = show_run(made, "found")
    assert shown.head.startswith("locate run found: done in ")
    ranked, top = shown.found
    ((n, tokens),) = made.rows("SELECT n_ranked, n_tokens FROM locate_runs WHERE run = 'found'")
    ((name, score),) = made.rows("SELECT name, score FROM top_neurons('found', 1)")
    assert ranked == f"{n:,} neurons ranked by change-score, over {tokens} tokens of 12 prompts."
    assert top.startswith(f"Highest: {name} ({score:.4g}), ")
    assert dict(shown.settings)["max-new-tokens"] == "6" and "template" in dict(shown.settings)
    assert "device" not in dict(shown.settings) and "scorer" not in dict(shown.settings)
    parsed(shown)


def test_a_patch_and_what_reads_it(made: Database) -> None:
    shown = show_run(made, "run")
    assert shown.found and all(line.startswith("By refusal: ") for line in shown.found)
    assert dict(shown.settings)["sweep"] == "20%" and dict(shown.settings)["allow-overlap"] == "yes"
    parsed(shown)
    (line,) = show_run(made, "run-divergence").found
    ((closed,),) = made.rows("SELECT DISTINCT closed FROM screened_effects WHERE control_of IS NULL")
    assert line.startswith(f"found:20% closes {closed:.4g} [") and line.endswith(
        " of the divergence from the donor on prompts.jsonl."
    )


def test_unfinished_runs_say_so_and_claim_nothing(made: Database) -> None:
    with made.write() as connection:
        connection.execute("UPDATE runs SET status = 'failed', error = 'no room' WHERE name = 'read'")
    shown = show_run(made, "read")
    assert "perplexity run read: failed" in shown.head and shown.head.endswith("; no room") and not shown.found


def test_a_run_that_there_is_not(made: Database) -> None:
    with pytest.raises(InputError, match="no run 'lost'"):
        show_run(made, "lost")
