"""``snql shell``: harlequin on the database if it is installed, else a prompt; statements from a pipe."""

import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from .encoding import standard_input
from .render import note
from .session import Session
from .state import State, state


def shell(
    context: typer.Context,
    plain_prompt: Annotated[
        bool, typer.Option("--plain", help="A plain prompt, also where harlequin is installed.")
    ] = False,
) -> None:
    """Put one question after the other to the database, read-only: in harlequin (extra: shell) or at a prompt.

    Without a terminal, runs the statements on standard input.
    """
    from snql.querying.suggest import read_names

    here = state(context)
    read_names(here.open())  # a database that cannot be read is said at once
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        Session(here).run(standard_input("the query"))
    elif not plain_prompt and find_spec("harlequin") is not None:
        raise typer.Exit(harlequin(here))
    else:
        from .converse import converse

        converse(here)


def harlequin(here: State) -> int:
    """Run harlequin on the database; return its exit code."""
    from snql.querying.shell import harlequin_script

    note("harlequin keeps the database open: jobs wait until you leave (--plain does not)", quiet=here.quiet)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "snql.sql"
        script.write_text(harlequin_script(here.open()), "utf-8")
        return subprocess.call(harlequin_command(here.database, script))  # noqa: S603


def harlequin_command(database: Path, script: Path) -> list[str]:
    """The command line: read-only, with a script that closes off other files, and without a profile of the user's."""
    options = ["--profile", "None", "--adapter", "duckdb", "--read-only", "--init-path", str(script)]
    return [sys.executable, "-m", "harlequin", *options, str(database.absolute())]
