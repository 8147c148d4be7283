"""``snql sets``: neuron sets under names."""

from typing import Annotated

import typer

from .commands import command
from .render import note, print_rows
from .state import state

sets = typer.Typer(help="Neuron sets under names, to be written as @name in expressions; without a command, list them.")


Name = Annotated[str, typer.Argument(help="Name of the set; @NAME in expressions.")]


@sets.callback(invoke_without_command=True)
def listed(context: typer.Context) -> None:
    """List the saved sets."""
    if context.invoked_subcommand is None:
        from snql.db.named_sets import list_named

        here = state(context)
        print_rows(
            list_named(here.open()),
            as_json=here.json,
            title="Saved neuron sets",
            empty="none yet: `snql sets save NAME EXPRESSION` saves one",
        )


@command(sets)
def save(
    context: typer.Context,
    name: Name,
    expression: Annotated[str, typer.Argument(help="Neuron expression, such as 'safety:5% & helpful:5%'.")],
    like: Annotated[
        str | None, typer.Option(help="A locate run of the model that is meant, where the expression names none.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a set of this name.")] = False,
) -> None:
    """Save the neurons that an expression names now; later runs do not change them."""
    from snql.rankings.saved_sets import save_set

    here = state(context)
    members = save_set(here.open(), name, expression, like=like, force=force)
    note(f"@{name}: {len(members)} neurons of {members.shape} in {len(members.by_layer())} layers", quiet=here.quiet)


@command(sets)
def show(context: typer.Context, name: Name) -> None:
    """List the members of a saved set."""
    from snql.db.named_sets import members_of

    here = state(context)
    print_rows(members_of(here.open(), name), as_json=here.json, title=f"Neurons of @{name}")


@command(sets)
def rm(context: typer.Context, name: Name) -> None:
    """Forget a saved set; runs that used it keep its members."""
    from snql.db.named_sets import remove_named

    here = state(context)
    remove_named(here.open(), name)
    note(f"@{name} is forgotten", quiet=here.quiet)
