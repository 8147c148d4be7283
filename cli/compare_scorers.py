"""``snql compare-scorers``: the causal effects of rankings by several scorers."""

from typing import Annotated

import typer

from snql.jobs.options import RunFlags
from snql.scorers.options import CompareOptions

from .progress import progress_shown
from .render import note_prompts, print_json, print_lines, print_table
from .state import state

COLUMNS = {
    "scorer": "scorer",
    "n_neurons": "neurons",
    "n_prompts": "n",
    "effect": "effect",
    "ci_low": "low",
    "ci_high": "high",
    "n_controls": "controls",
    "control_mean": "control mean",
    "control_max": "control max",
    "overlap": "in change-score's",
    "chance": "by chance",
}


def compare_scorers(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the patch run; rankings are the runs NAME-SCORER.")],
    options: CompareOptions,
    run: RunFlags,
) -> None:
    """Rank neurons by several scorers, patch the top of each ranking, and compare the causal effects."""
    from snql.scorers.compare import compare_scorers as compare

    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = compare(here.open(), name, options, resume=run.resume, force=run.force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    if here.json:
        print_json(found.effects)
        return
    print_table(found.effects, COLUMNS, f"Causal effects by scorer ({found.run})", results=("effect",))
    print_lines("Scorers", found.words)
