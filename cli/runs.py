"""``snql runs``, ``snql show``, ``snql rm``: what is in the database."""

from typing import Annotated

import typer

from .render import note, print_rows
from .state import state


def runs(context: typer.Context) -> None:
    """List the runs of the database."""
    from snql.db.run_list import list_runs

    here = state(context)
    columns = ("kind", "name", "status", "started_at", "seconds", "progress", "device", "dtype", "error")
    print_rows(list_runs(here.open()), as_json=here.json, columns=columns)


def show(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="Name of a run.")],
    kind: Annotated[str | None, typer.Option(help="Its kind, if runs of several kinds have that name.")] = None,
    prompts: Annotated[
        bool, typer.Option("--prompts", help="Show the exact text and token ids of each prompt instead.")
    ] = False,
) -> None:
    """Show one run: configuration, models with file hashes, versions, counts; or the prompts as the models got them."""
    from snql.db.run_list import describe_run, prompts_of_run

    here = state(context)
    if prompts:
        columns = ("prompt_id", "dataset", "n_tokens", "formatted", "input_ids")
        print_rows(prompts_of_run(here.open(), run, kind), as_json=here.json, columns=columns)
        return
    print_rows(describe_run(here.open(), run, kind), as_json=here.json)


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
