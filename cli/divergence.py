"""``snql divergence``: the share of the distance to the donor that a neuron set closes."""

from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt
from .progress import progress_shown
from .render import note, print_rows
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
CONTROLS = {"n_controls": "controls", "controls_closed": "they close"}
JUDGED = {"judge": "judge", "effect": "effect", "effect_ci_low": "low", "effect_ci_high": "high"}


def divergence(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of a patch run with a donor; or of this run, with --completions.")],
    completions: Annotated[
        str | None,
        typer.Option(help="Patch or locate run whose donor completions are read; by default the one of this name."),
    ] = None,
    neurons: Annotated[
        list[str] | None,
        typer.Option(help="Neuron expression; repeatable. By default the patch run's own sets and controls."),
    ] = None,
    recipient: Annotated[str | None, typer.Option(help="By default the patch run's.")] = None,
    donor: Annotated[str | None, typer.Option(help="The model that wrote; by default the patch run's.")] = None,
    mode: Annotated[
        str | None, typer.Option(help="What neurons become, with --neurons: as in snql patch; donor by default.")
    ] = None,
    sweep: opt.Sweep = "",
    random: opt.Random = 0,
    seed: opt.Seed = 0,
    dtype: opt.Dtype = "auto",
    device: opt.Device = "auto",
    device_map: opt.DeviceMap = None,
    attn_implementation: opt.Attention = None,
    quantize: opt.Quantize = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    resume: opt.Resume = False,
    force: opt.Force = False,
) -> None:
    """Compare next-token distributions with the donor's on what the donor wrote: a quick screen before a judge."""
    from snql.capability.divergence import divergence as run_divergence
    from snql.capability.options import DivergenceOptions
    from snql.models.options import LoadOptions

    load = LoadOptions(
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
        device_map=device_map,
        attn_implementation=attn_implementation,
        quantize=quantize,
    )
    options = DivergenceOptions(
        completions=completions,
        neurons=tuple(neurons or ()),
        recipient=recipient,
        donor=donor,
        mode=mode,
        sweep=opt.split(sweep),
        random=random,
        seed=seed,
        models=load,
    )
    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_divergence(here.open(), name, options, resume=resume, force=force, progress=progress)
    effects = found.effects
    chosen = effects if here.json else effects.filter(effects["control_of"].is_null())
    print_rows(chosen, as_json=here.json, columns=_columns(effects), title=f"Divergence from the donor in {found.run}")
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
