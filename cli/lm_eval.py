"""``snql lm-eval``: tasks of the evaluation harness, plain and patched."""

from typing import Annotated

import typer

from snql.capability.options import LmEvalOptions
from snql.jobs.options import RunFlags

from .progress import progress_shown
from .render import print_rows
from .state import state

COLUMNS = {
    "variant": "model",
    "n_neurons": "count",
    "task": "task",
    "metric": "metric",
    "filter": "filter",
    "value": "value",
    "stderr": "stderr",
    "change": "change",
    "n_samples": "n",
    "n_shot": "shots",
    "task_version": "version",
}


def lm_eval(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run.")],
    options: LmEvalOptions,
    run: RunFlags,
) -> None:
    """Run tasks of the LM Evaluation Harness on a model, and on it with neurons patched (extra: lm-eval)."""
    from snql.capability.lm_eval import lm_eval as run_lm_eval

    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_lm_eval(here.open(), name, options, resume=run.resume, force=run.force, progress=progress)
    print_rows(
        found.scores, as_json=here.json, columns=COLUMNS, title=f"Tasks of {found.run}", results=("value", "change")
    )
