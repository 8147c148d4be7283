"""``snql runs``, ``snql show``, ``snql rm``: what is in the database."""

import sys
from contextlib import suppress
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated

import typer

from snql.errors import InputError

from .render import is_table, note, plain, print_lines, print_rows, print_sentence
from .state import State, state

if TYPE_CHECKING:
    import polars as pl

NO_RUNS = "no runs yet: `snql demo` makes some"


def runs(context: typer.Context) -> None:
    """List the runs of the database."""
    here = state(context)
    found = listed(here)
    imported = ("imported",) if found["imported"].is_not_null().any() else ()
    columns = ("kind", "name", "status", *imported, *("started_at", "seconds", "progress", "device", "dtype", "error"))
    at_work = ("progress",) if (found["status"] == "running").any() else ()
    print_rows(found, as_json=here.json, columns=columns, results=("status", *imported, *at_work), empty=NO_RUNS)


def listed(here: State) -> "pl.DataFrame":
    """A row a run; what went wrong names options as they can be typed."""
    import polars as pl

    from snql.db.run_list import list_runs

    found = list_runs(here.open())
    said = [_said(here, kind, error) for kind, error in found.select("kind", "error").iter_rows()]
    return found.with_columns(pl.Series("error", said, pl.String))


def say_found(here: State, run: str, kind: str | None) -> None:
    """Say what a run found, in sentences, before its tables; nothing where results are for a program."""
    if here.json or not is_table():
        return
    from snql.db.run_list import find
    from snql.reporting.showing import findings_of

    with suppress(InputError):  # somebody has deleted it meanwhile
        for sentence in findings_of(here.open(), *find(here.open(), run, kind)):
            print_sentence(sentence)


def _said(here: State, kind: str, error: str | None) -> str | None:
    from snql.reporting.reproduce import words_of_kind

    return None if error is None else here.flagged(error, *words_of_kind(kind))


def show(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="Name of a run.")],
    kind: Annotated[str | None, typer.Option(help="Its kind, if runs of several kinds have that name.")] = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="Show everything recorded instead: settings, hashes, versions, counts."),
    ] = False,
    prompts: Annotated[
        bool, typer.Option("--prompts", help="Show the exact text and token ids of each prompt instead.")
    ] = False,
) -> None:
    """Show one run: what it found, what it was made of, and the command that repeats it."""
    import polars as pl

    from snql.db.run_list import describe_run, prompts_of_run

    here = state(context)
    if prompts:
        columns = ("prompt_id", "dataset", "n_tokens", "formatted", "input_ids")
        print_rows(prompts_of_run(here.open(), run, kind), as_json=here.json, columns=columns)
        return
    if not every and is_table():
        _show_first(here, run, kind)
        return
    found = describe_run(here.open(), run, kind)
    facts = dict(found.iter_rows())
    said = pl.lit(_said(here, facts["kind"], facts["error"]), pl.String)
    shown = found.with_columns(value=pl.when(key="error").then(said).otherwise("value"))
    print_rows(shown, as_json=here.json)


def _show_first(here: State, run: str, kind: str | None) -> None:
    from snql.reporting.showing import show_run

    shown = show_run(here.open(), run, kind)
    sys.stdout.write(f"{plain(here.flagged(shown.head, *words_of(shown.command)))}\n")
    if shown.found:
        print_lines("Found", shown.found, folded=True)
    if shown.notes:
        print_lines("To be read with it", shown.notes, folded=True)
    if shown.settings:
        made = [f"{name}: {value}" for name, value in shown.settings]
        print_lines("Made with (other settings are the defaults)", made)
    print_lines("To repeat it", [shown.command])
    note(f"snql show {run} --all has everything recorded: hashes, versions, counts", quiet=here.quiet)


def words_of(line: str) -> tuple[str, ...]:
    """The words of a command, without its options."""
    return tuple(takewhile(lambda word: not word.startswith("-"), line.split()[1:]))[:2]


def rm(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="Name of a run.")],
    kind: Annotated[str | None, typer.Option(help="Its kind, if runs of several kinds have that name.")] = None,
) -> None:
    """Delete a run and all its rows."""
    from snql.db.run_list import remove_run

    here = state(context)
    removed = remove_run(here.open(), run, kind)
    note(f"deleted {removed} run {run}", quiet=here.quiet)
