"""``snql adapter``: a set of neurons as an ordinary adapter or checkpoint."""

from pathlib import Path
from typing import Annotated

import typer

from snql.patching.options import AdapterOptions

from .render import note, print_table
from .state import state


def adapter(
    context: typer.Context,
    options: AdapterOptions,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the adapter or checkpoint.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what the folder holds.")] = False,
) -> None:
    """Write an adapter that multiplies these neurons and no others: ablation and steering as ordinary files."""
    from snql.patching.adapter import check_folder, rescaling, write

    here = state(context)
    check_folder(output, force=force)
    made = rescaling(here.open(), options)
    if made.costs.is_empty():
        note(
            f"what it costs is not known: no patch, perplexity or divergence run has these neurons of {options.base} "
            f"with --mode scale:{options.scale:g}",
            quiet=here.quiet,
        )
    else:
        print_table(made.costs, title=f"What {options.neurons} times {options.scale:g} costs", results=("after",))
    write(made, output, force=force)
    what = "checkpoint" if options.merge else "adapter"
    load = str(output) if options.merge else f"{options.base}+{output}"
    note(f"wrote the {what} to {output}: {len(made.members)} neurons; load it as {load}", quiet=here.quiet)
