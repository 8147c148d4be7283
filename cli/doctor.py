"""``snql doctor``: is a model read soundly?"""

from typing import Annotated

import typer

from snql.models.options import LoadOptions

from .render import note, print_json, print_table
from .state import state


def doctor(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="BASE[@REV][+ADAPTER[@REV]]… or demo:NAME.")],
    options: LoadOptions,
) -> None:
    """Show what snql finds in a model, and check that its neurons are read and overwritten in the right place."""
    from snql.models.doctor import diagnose

    found = diagnose(model, options)
    if state(context).json:
        print_json(found.checks)
    else:
        print_table(found.facts, title=found.model)
        print_table(found.checks, title="Checks")
    for text in found.notes:
        note(f"note: {text}", quiet=state(context).quiet)
    if not found.sound:
        raise typer.Exit(1)
