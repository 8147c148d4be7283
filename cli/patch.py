"""``snql patch``: causal effects of neuron sets."""

import sys
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

import typer

from snql.jobs.options import RunFlags
from snql.patching.options import PatchOptions
from snql.writing import terminal
from snql.writing.words import shorten

from .progress import progress_shown
from .render import is_table, note, note_prompts, plain, print_json, print_sentence, print_table, terminal_width
from .state import state

if TYPE_CHECKING:
    import polars as pl

    from snql.patching.findings import Unseen

EFFECT_COLUMNS = {
    "variant": "neurons",
    "n_neurons": "count",
    "dataset": "prompts",
    "judge": "judge",
    "n_prompts": "n",
    "mean_recipient": "recipient",
    "mean_patched": "patched",
    "mean_donor": "donor",
    "effect": "effect",
    "ci_low": "low",
    "ci_high": "high",
}


RESULTS = ("effect", "change", "controls_difference")
"""What tables of effects are about."""

GRADED_COLUMNS = {"graded": "log-odds"}

CHANGE_COLUMNS = {"change": "change", "change_ci_low": "low", "change_ci_high": "high"}

CONTROL_COLUMNS = {
    "n_controls": "controls",
    "controls_difference": "score over controls",
    "controls_difference_ci_low": "low",
    "controls_difference_ci_high": "high",
    "controls_permutation_p_value": "p",
    "adjusted": "p (Holm)",
}


def patch(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run.")],
    options: PatchOptions,
    run: RunFlags,
) -> None:
    """Patch neurons from a donor into a recipient while it writes, judge what it wrote, measure the effect."""
    from snql.patching.patch import patch as run_patch

    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_patch(here.open(), name, options, resume=run.resume, force=run.force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    if here.json:
        print_json(found.effects)
    else:
        for line in found.says:
            print_sentence(line)
        _print_sets(found.run, found.effects, quiet=here.quiet)
        if found.unseen is not None and is_table():
            _print_unseen(found.unseen)
    note_undefined(found.effects, quiet=here.quiet)
    if found.effects["graded"].is_not_null().any():
        note(
            "log-odds: how far the sets go from recipient to donor where their texts part; a judge sees an answer "
            "change only where these cross even (view graded_effects)",
            quiet=here.quiet,
        )


def _print_unseen(unseen: "Unseen") -> None:
    """A few answers that a patch changed and a judge took for the same, each on three lines."""
    sys.stdout.write(f"{plain(unseen.words)}:\n")
    width = terminal_width() or get_terminal_size().columns
    for row in unseen.examples.iter_rows(named=True):
        lines = (("asked", row["prompt"]), ("before", row["before"]), ("patched", row["after"]))
        for head, text in lines:
            shown = terminal.cell(" ".join(text.split()))
            sys.stdout.write(f"  {head:8}{shorten(shown, width - 10)}\n")
        sys.stdout.write("\n")


def _print_sets(run: str, effects: "pl.DataFrame", *, quiet: bool) -> None:
    """A table of the chosen sets, each beside its controls."""
    from snql.stats.holm import adjusted

    chosen = effects.filter(effects["control_of"].is_null())
    if is_table() and chosen["gap"].is_null().all() and chosen["dataset"].n_unique() > 1:
        chosen = chosen.filter(chosen["dataset"] != "*")  # changes of harmful and benign prompts are no one change
    sets = chosen.with_columns(adjusted(chosen["controls_permutation_p_value"]))
    print_table(sets, _columns(sets), f"Causal effects of {run}", results=RESULTS)
    if n_controls := len(effects) - len(sets):
        note(f"the view causal_effects has the {n_controls} effects of single random controls, too", quiet=quiet)


def _columns(effects: "pl.DataFrame") -> dict[str, str]:
    """What the table shows: without a donor changes in place of effects; comparisons with controls if there are any."""
    columns = EFFECT_COLUMNS
    if effects["gap"].is_null().all():
        left_out = ("mean_donor", "effect", "ci_low", "ci_high")
        columns = {name: head for name, head in columns.items() if name not in left_out} | CHANGE_COLUMNS
    if effects["graded"].is_not_null().any():
        columns = columns | GRADED_COLUMNS
    if effects["n_controls"].is_null().all():
        return columns
    alone = effects["adjusted"].count() == 1
    return columns | {name: head for name, head in CONTROL_COLUMNS.items() if name != "adjusted" or not alone}


def note_undefined(effects: "pl.DataFrame", *, quiet: bool) -> None:
    """Say why some effects have no number."""
    undefined = effects.filter(~effects["defined"])
    without_donor = len(undefined.filter(undefined["gap"].is_null()))
    if without_donor:
        note("no effects without a donor: read the change of the judge's score and its interval", quiet=quiet)
    elif len(undefined):
        note(
            f"{len(undefined)} of {len(effects)} effects are undefined: the 95% interval of the donor-recipient gap "
            "covers 0, so there is no difference to carry",
            quiet=quiet,
        )
