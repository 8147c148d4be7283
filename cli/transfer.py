"""``snql db export``, ``snql db import``, ``snql db import-scores``: databases and scores from and to other places."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snql.rankings.options import About

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
    file: Annotated[
        Path,
        typer.Argument(
            help="Scores or a set: .pt of the published code or a tensor, .npy, .npz, .safetensors, .csv, .tsv, "
            ".parquet, .json, or .txt with a neuron (12.345) a line."
        ),
    ],
    name: Annotated[str, typer.Argument(help="Name of the run that it becomes.")],
    about: About,
    force: opt.Force = False,
) -> None:
    """Store scores or a set of neurons of another program as a locate run."""
    from snql.rankings.imported import import_scores as store

    here = state(context)
    done = store(here.open(), name, file, about, force=force)
    note(
        f"locate run {name}, marked imported: {done.n_ranked:,} neurons ranked of {done.shape} ({done.shape.parts}), "
        f"from {file} ({done.what})",
        quiet=here.quiet,
    )
    for line in done.notes:
        note(f"{line}; if it has more, say so with --like RUN, or --layers and --neurons", quiet=here.quiet)


def _counts(done: "Transfer") -> str:
    shards = f", {done.n_shards:,} shards" if done.n_shards else ""
    return f"{done.n_rows:,} rows in {done.n_tables} tables{shards}"
