"""Options of the command line alone, which several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Force = Annotated[bool, typer.Option("--force", help="Replace a run of this name.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead of standard output.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the sample and of all draws.")]
