"""The ``snql`` command: global options, the list of commands, and the one place where errors become exit codes."""

import errno
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

import snql
from snql.errors import SnqlError, lacks_memory, line

from .addresses import refuse_without_room
from .commands import EVERYTHING, Commands
from .config import read_config
from .encoding import check_given, make_writable
from .interrupts import EXIT_CODE, WATCH
from .render import plain, set_format
from .state import State
from .words import join_words

_PATH_ERRORS = (
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR),
    *(errno.EACCES, errno.EPERM, errno.EROFS),
)
_OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

app = typer.Typer(
    cls=Commands,
    name="snql",
    help="Find which neurons of a language model carry a behaviour, patch them, and put SQL to the results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"auto_envvar_prefix": "SNQL", "help_option_names": ["-h", "--help"]},
)


_START = "Start with: snql demo"
_SAME_AGAIN = ("demo", "paper")
"""Commands that go on where they were interrupted, without being told to."""
_HELP_ALL = "--help-all"


def _version(context: typer.Context, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        typer.echo(f"snql {snql.__version__}")
        raise typer.Exit()


def _config(context: typer.Context, path: Path | None) -> Path | None:
    if path is not None and not context.resilient_parsing:
        context.default_map = read_config(path, context.command)
    return path


@app.callback()
def options(
    context: typer.Context,
    db: Annotated[Path, typer.Option("--db", envvar="SNQL_DB", help="The database file.")] = Path("snql.duckdb"),
    json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print results as CSV.")] = False,
    table_format: Annotated[
        str, typer.Option("--format", help="Print results as table, csv, tsv, json, jsonl, markdown or latex.")
    ] = "table",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")] = False,
    config: Annotated[  # noqa: ARG001
        Path | None,
        typer.Option(
            "--config", callback=_config, is_eager=True, help="Options from a TOML file, one table a command."
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Find which neurons of a language model carry a behaviour, patch them, and put SQL to the results.

    Every option can also come from the environment (SNQL_DB, SNQL_LOCATE_BEFORE, ...) or from --config.
    """
    chosen = "csv" if csv else "json" if json else table_format
    set_format(chosen)
    context.obj = State(db, chosen == "json", quiet, context.command)


def _command(arguments: Sequence[str]) -> object:
    """The command that the words name, as far as they name one."""
    command: object = typer.main.get_command(app)
    for word in arguments:
        command = getattr(command, "commands", {}).get(word, command)
    return command


def _going_on(arguments: Sequence[str]) -> str:
    """The command that goes on where this one was interrupted, if one can."""
    command = _command(arguments)
    words = ["snql", *(word for word in arguments if word not in ("--force", "--resume"))]
    if any("--resume" in parameter.opts for parameter in getattr(command, "params", ())):
        words.append("--resume")
    elif getattr(command, "name", None) not in _SAME_AGAIN:
        return ""
    return f"; go on with: {plain(shlex.join(words))}"


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 the run failed, 2 bad input, 130 interrupted."""
    WATCH.listen()
    refuse_without_room()
    try:
        code = run(arguments)
    except KeyboardInterrupt:  # while something else was being said
        code = EXIT_CODE
    if code == EXIT_CODE:
        WATCH.say()
    WATCH.leave(code)
    if code == EXIT_CODE or _runs_on():
        _flush()
        os._exit(code)  # Python would wait for threads, such as that of a query that DuckDB does not stop
    sys.exit(code)


def _runs_on() -> bool:
    """Whether a query that was to stop has not."""
    module = sys.modules.get("snql.stoppable")
    return module is not None and module.runs_on()


def _flush() -> None:
    """Write out what is written, as far as there is somebody to read it."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code. Foreseen errors become one line on standard error."""
    given = sys.argv[1:] if arguments is None else arguments
    make_writable()
    WATCH.begin("")
    join_words(os.environ)
    EVERYTHING.set(_HELP_ALL in given)
    given = ["--help" if word == _HELP_ALL else word for word in given]
    try:
        check_given(given)
        WATCH.begin(_going_on(given))
        code = int(typer.main.get_command(app).main(list(given), prog_name="snql", standalone_mode=False) or 0)
    except BaseException as error:  # noqa: BLE001 - a library written in Rust has panics, which are no Exception
        code = EXIT_CODE if WATCH.ending else _said(error)
    finally:
        set_format("table")  # of this command alone
    if code == EXIT_CODE:
        WATCH.say()
    return code


def _said(error: BaseException) -> int:
    """Say a foreseen error in one line; returns the exit code. One that is not foreseen is raised again."""
    if isinstance(error, KeyboardInterrupt | typer.Abort) or str(error) == "Query interrupted":  # DuckDB's word for it
        return EXIT_CODE
    if isinstance(error, SnqlError):
        return _line(error.exit_code, str(error))
    if type(error).__name__ == "NoArgsIsHelpError":  # a group alone: its message is the help
        sys.stdout.write(f"{getattr(error, 'message', '')}\n\n{_START}\n")
        return 0
    if isinstance(error, typer.TyperException):
        return _line(error.exit_code, f"{line(error.format_message())} (see --help)")
    if lacks_memory(error):
        return _line(1, "there is not enough memory: ask for less, such as fewer rows or a smaller batch, or free some")
    if isinstance(error, OSError):
        return _said_of_files(error)
    if type(error).__name__ == "PanicException" or isinstance(error, RecursionError) or str(error).startswith("year "):
        reason = line(" ".join(str(error).split()), 200)
        return _line(2, f"a value is out of range ({reason}): the database may be damaged, or not made by snql")
    if type(error).__module__ == "_duckdb":
        reason = line(" ".join(str(error).split()), 300)
        return _line(2, f"the database fails ({reason}): it may be damaged, or not made by snql")
    raise error


def _said_of_files(error: OSError) -> int:
    if error.errno in _PATH_ERRORS and error.filename is not None:
        return _line(2, f"{line(str(error.filename), 200)}: {error.strerror}: check the path")
    if error.errno in _OUTPUT_ERRORS:
        return _line(1, f"the output cannot be written: {error.strerror}")
    raise error


def _line(code: int, text: str) -> int:
    sys.stderr.write(f"snql: {plain(text)}\n")
    return code
