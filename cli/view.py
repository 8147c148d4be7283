"""``snql view``: the database in a browser."""

import sys
import webbrowser
from typing import Annotated

import typer

from snql.view.options import ViewOptions

from .interrupts import WATCH
from .render import note, plain
from .state import state


def view(
    context: typer.Context,
    options: ViewOptions,
    browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser; --no-open only prints its address.")
    ] = True,
) -> None:
    """Look at the database in a browser: runs, neurons, sets, SQL. Read-only, on this machine, while jobs write.

    The address that is printed holds the key to the pages: who has it can read the database while this runs.
    """
    from snql.errors import InputError

    here = state(context)
    try:
        from snql.view.serving import is_open, serve
    except ModuleNotFoundError as error:
        from snql.distribution import install

        if error.name not in ("starlette", "uvicorn"):
            raise
        raise InputError(f"`snql view` needs {error.name}: {install('view')}") from error
    served = serve(here.database, options)
    if is_open(options):
        note(
            f"warning: {options.host} can be reached from other machines, without encryption: who sees the address "
            "or the traffic can read the database",
            quiet=False,
        )
    sys.stdout.write(f"{plain(served.address)}\n")
    sys.stdout.flush()
    note("Ctrl-C stops it", quiet=here.quiet)
    if browser:
        webbrowser.open(served.address)
    try:
        served.run()
    except KeyboardInterrupt:
        WATCH.answered()
        note("stopped", quiet=here.quiet)
