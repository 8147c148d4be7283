"""``snql divergence``: the share of the distance to the donor that a neuron set closes."""

from typing import TYPE_CHECKING, Annotated

import typer

from snql.capability.options import DivergenceOptions
from snql.jobs.options import RunFlags

from .progress import progress_shown
from .render import note, print_rows
from .runs import say_found
from .state import state

if TYPE_CHECKING:
    import polars as pl

COLUMNS = {
    "variant": "neurons",
    "n_neurons": "count",
    "dataset": "prompts",
    "n_prompts": "n",
    "kl_recipient": "KL recipient",
    "kl_patched": "KL patched",
    "closed": "closed",
    "closed_ci_low": "low",
    "closed_ci_high": "high",
    "agreement_recipient": "agreement",
    "agreement_patched": "patched",
}
OWN = {
    "variant": "neurons",
    "n_neurons": "count",
    "dataset": "prompts",
    "n_prompts": "n",
    "kl_patched": "KL",
    "kl_patched_ci_low": "low",
    "kl_patched_ci_high": "high",
    "agreement_patched": "agreement",
}
"""Of a model beside itself, unpatched: how far the patch moves it."""

CONTROLS = {"n_controls": "controls", "controls_closed": "they close"}
JUDGED = {"judge": "judge", "effect": "effect", "effect_ci_low": "low", "effect_ci_high": "high"}


def divergence(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(help="A patch run (NAME-divergence is stored); or the name of this run, with --completions."),
    ],
    options: DivergenceOptions,
    run: RunFlags,
) -> None:
    """Compare next-token distributions with the donor's on what the donor wrote: a quick screen before a judge."""
    from snql.capability.divergence import divergence as run_divergence

    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_divergence(here.open(), name, options, resume=run.resume, force=run.force, progress=progress)
    say_found(here, found.run, "divergence")
    if here.json:
        print_rows(found.effects, as_json=True)
    elif found.own:
        rows = found.effects.filter(found.effects["control_of"].is_null())
        title = f"Divergence from the unpatched model in {found.run}"
        rows = rows.unique(["variant", "dataset"], keep="first", maintain_order=True)
        print_rows(rows, as_json=False, columns=OWN, title=title, results=("kl_patched",))
    else:
        effects = found.effects
        chosen = effects.filter(effects["control_of"].is_null())
        title, results = f"Divergence from the donor in {found.run}", ("closed", "judge", "effect")
        print_rows(chosen, as_json=False, columns=_columns(effects), title=title, results=results)
        _note(effects, quiet=here.quiet)


def _columns(effects: "pl.DataFrame") -> dict[str, str]:
    """Controls where there are any; the judged effect beside the share, or that there is none."""
    controls = CONTROLS if effects["n_controls"].is_not_null().any() else {}
    return COLUMNS | controls | JUDGED


def _note(effects: "pl.DataFrame", *, quiet: bool) -> None:
    if effects["closed"].is_null().any():
        note(
            "no share where recipient and donor hardly differ on the donor's text, or with one prompt: there is "
            "nothing to close, or no interval",
            quiet=quiet,
        )
    if effects["judge"].is_null().any():
        note("a share that is closed is no effect: ask a judge (snql patch, snql judge)", quiet=quiet)
