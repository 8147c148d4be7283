"""``snql perplexity``: how well a model predicts a text, plain and patched."""

from typing import Annotated

import typer

from snql.capability.options import PerplexityOptions
from snql.jobs.options import RunFlags

from .progress import progress_shown
from .render import note_prompts, print_rows
from .runs import say_found
from .state import state

COLUMNS = {
    "variant": "model",
    "n_neurons": "count",
    "dataset": "text",
    "n_tokens": "tokens",
    "perplexity": "perplexity",
    "ci_low": "low",
    "ci_high": "high",
    "ratio": "ratio",
    "ratio_ci_low": "low",
    "ratio_ci_high": "high",
}
CONTROLS = {"n_controls": "controls", "controls_ratio": "their ratio"}


def perplexity(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run.")],
    options: PerplexityOptions,
    run: RunFlags,
) -> None:
    """Measure the perplexity of a text under a model, and under patches of its neurons."""
    from snql.capability.perplexity import perplexity as run_perplexity

    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_perplexity(here.open(), name, options, resume=run.resume, force=run.force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    say_found(here, found.run, "perplexity")
    shown = found.perplexities
    with_controls = shown["n_controls"].is_not_null().any()
    columns = COLUMNS | (CONTROLS if with_controls else {})
    chosen = shown if here.json else shown.filter(shown["control_of"].is_null())
    print_rows(chosen, as_json=here.json, columns=columns, title=f"Perplexity of {found.run}", results=("ratio",))
