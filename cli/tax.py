"""``snql tax``: what safety costs in helpfulness, and the reverse, when shared neurons are patched both ways."""

from pathlib import Path
from typing import Annotated

import typer

from snql.jobs.options import RunFlags
from snql.patching.options import TaxOptions

from .patch import note_undefined
from .progress import progress_shown
from .render import note, note_prompts, print_json_parts, print_lines, print_table
from .state import state

CHANGES = {
    "recipient_is": "into",
    "donor_is": "from",
    "sign": "sign",
    "judge": "judge",
    "dataset": "prompts",
    "n_prompts": "n",
    "mean_recipient": "recipient",
    "mean_patched": "patched",
    "mean_donor": "donor",
    "change": "change",
    "change_ci_low": "low",
    "change_ci_high": "high",
}
CONTROLS = {
    "n_controls": "controls",
    "controls_mean": "controls' mean",
    "controls_difference": "patched over controls",
    "controls_difference_ci_low": "low",
    "controls_difference_ci_high": "high",
    "controls_permutation_p_value": "p",
}
OVERLAP = {
    "k": "k",
    "shared": "shared",
    "overlap": "overlap",
    "chance": "chance",
    "p_value": "p",
    "chance_by_layer": "chance (by layer)",
    "p_value_by_layer": "p (by layer)",
    "spearman_all": "Spearman, all",
}


def tax(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Beginning of the runs' names: NAME-helpful-into-safety and back.")],
    options: TaxOptions,
    run: RunFlags,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the table and the chart of both runs.")] = None,
) -> None:
    """Patch what safety and helpfulness share from each model into the other: the alignment tax, both ways."""
    from snql.demonstration.headlines import ratio_headlines
    from snql.patching.tax import tax as run_tax
    from snql.reporting.build import write_tax

    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_tax(here.open(), name, options, resume=run.resume, force=run.force, progress=progress)
        files = [] if out is None else write_tax(here.open(), found.runs, out, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    if here.json:
        print_json_parts({"changes": found.changes, "ratios": found.ratios, "overlap": found.overlap})
    else:
        columns = CHANGES | (CONTROLS if found.changes["n_controls"].is_not_null().any() else {})
        print_table(found.changes, columns, f"Alignment tax {name}: {options.expression}", results=("change",))
        title = f"The top {options.top} of {options.safety} and {options.helpful}"
        print_table(found.overlap, OVERLAP, title, results=("overlap", "chance"))
        print_lines("Cost against reward", ratio_headlines(found.ratios))
    note_undefined(found.effects, quiet=here.quiet)
    if out is not None:
        note(f"{len(files)} files of the table and the chart are in {out}", quiet=here.quiet)
