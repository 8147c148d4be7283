"""``snql db export``, ``snql db import``, ``snql db import-scores``: databases and scores from and to other places."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt
from .render import note
from .state import state

if TYPE_CHECKING:
    from snql.db.transfer import Transfer


Folder = Annotated[Path, typer.Argument(help="The folder of the export.")]


def export(
    context: typer.Context,
    folder: Folder,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export in the folder.")] = False,
) -> None:
    """Write every table as Parquet, with the shards and a manifest, into a new folder."""
    from snql.db.transfer import export_database

    here = state(context)
    done = export_database(here.open(), folder, force=force)
    note(f"{here.database} is exported to {folder}: {_counts(done)}", quiet=here.quiet)
    if done.left_out:
        note(f"left out, for they are not snql's: {', '.join(done.left_out)}", quiet=here.quiet)


def import_(
    context: typer.Context,
    folder: Folder,
    force: Annotated[bool, typer.Option("--force", help="Replace a database that holds something.")] = False,
) -> None:
    """Make the database named by --db from an exported folder, after checking every file of it."""
    from snql.db.transfer import import_database

    here = state(context)
    done = import_database(here.open(), folder, force=force)
    migrated = f"; migrated: {', '.join(done.applied)}" if done.applied else ""
    note(f"{here.database} is made from {folder}: {_counts(done)}{migrated}", quiet=here.quiet)


def import_scores(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Score file (.pt) that the published code saved.")],
    name: Annotated[str, typer.Argument(help="Name of the run that it becomes.")],
    before: Annotated[str | None, typer.Option(help="Which model before is, in words.")] = None,
    after: Annotated[str | None, typer.Option(help="Which model after (the aligned one) is, in words.")] = None,
    layers: Annotated[
        int | None,
        typer.Option(help="Layers of the model, if the file leaves out the last; default: those in the file."),
    ] = None,
    force: opt.Force = False,
) -> None:
    """Store change scores of the published code as a locate run, ranked as they are in the file."""
    from snql.rankings.published import import_scores as store

    here = state(context)
    done = store(here.open(), name, file, before=before, after=after, n_layers=layers, force=force)
    note(f"locate run {name}: {done.n_ranked:,} neurons ranked of {done.shape}, from {file}", quiet=here.quiet)


def _counts(done: "Transfer") -> str:
    shards = f", {done.n_shards:,} shards" if done.n_shards else ""
    return f"{done.n_rows:,} rows in {done.n_tables} tables{shards}"
