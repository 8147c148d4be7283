"""``snql db``: the database file itself."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from snql.errors import InputError

from . import options as opt
from .commands import command
from .render import note, print_rows
from .state import State, state
from .transfer import export, import_, import_scores

if TYPE_CHECKING:
    from snql.db.check import Problem

db = typer.Typer(help="Create, migrate and check the database file.", no_args_is_help=True)


@command(db)
def init(context: typer.Context) -> None:
    """Create the database file, or bring it to this snql's schema."""
    _migrate(context)


@command(db)
def migrate(context: typer.Context) -> None:
    """Apply the migrations that the database lacks."""
    here = state(context)
    if not here.database.exists():
        raise InputError(f"no database at {here.database}: create it with `snql db init`")
    _migrate(context)


@command(db)
def check(
    context: typer.Context,
    deep: Annotated[
        bool, typer.Option("--deep", help="First read every block of the file, used or free, against its checksum.")
    ] = False,
) -> None:
    """Check the schema, and that scores, token activations and shards are what their runs stored; 1 if not."""
    import polars as pl

    from snql.db.check import check as check_database

    here = state(context)
    found = _deep(here) if deep else []
    found = found or check_database(here.open())
    if not found:
        note(f"{here.database} is sound: its schema is this snql's, its results are those stored", quiet=here.quiet)
        return
    rows = pl.DataFrame([asdict(problem) for problem in found])
    print_rows(rows, as_json=here.json, title=f"What is not sound in {here.database}")
    raise typer.Exit(1)


@command(db)
def schema(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Tables, views and macros; all, in short, if none.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Everything, as docs/schema.md has it.")] = False,
    diagram: Annotated[bool, typer.Option("--diagram", help="What refers to what: a Mermaid diagram.")] = False,
    output: opt.Output = None,
) -> None:
    """Say what each table, view and macro of this snql's databases holds; needs no database."""
    from . import describe

    describe.show(state(context), names or [], output, markdown=markdown, diagram=diagram)


command(db, "export")(export)
command(db, "import")(import_)
command(db)(import_scores)


def _deep(here: State) -> list["Problem"]:
    """What is wrong with blocks; says what was read."""
    from snql.db.blocks import read_blocks
    from snql.db.check import check_blocks

    read = read_blocks(here.open())
    empty = f", {read.n_empty} of them never written" if read.n_empty else ""
    size = f"{read.n_bytes / 1e6:,.1f} MB"
    note(f"read all {read.n_blocks} blocks of {here.database} ({size}{empty})", quiet=here.quiet)
    return check_blocks(read)


def _migrate(context: typer.Context) -> None:
    here = state(context)
    applied = here.open().initialise(anew=here.database.exists())
    done = f"applied {', '.join(applied)}" if applied else "the schema is current"
    note(f"{here.database}: {done}", quiet=here.quiet)
