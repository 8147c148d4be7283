"""``snql patch``: causal effects of neuron sets."""

from typing import Annotated

import polars as pl
import typer

from . import options as opt
from .progress import progress_shown
from .render import note, note_prompts, print_rows
from .state import state

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


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(patch)


def patch(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run.")],
    recipient: Annotated[str, typer.Option(help="Model that writes and is patched.")],
    donor: Annotated[str, typer.Option(help="Model whose activations are patched in.")],
    neurons: Annotated[list[str], typer.Option(help="Neuron expression, such as safety:5%; repeatable.")],
    prompts: opt.Prompts,
    judge: Annotated[list[str], typer.Option(help="refusal, demo:cost, demo:reward or score-model:PATH; repeatable.")],
    sweep: Annotated[str, typer.Option(help="Sizes, such as 0.5%,1%,5%; --neurons then names locate runs.")] = "",
    random: Annotated[int, typer.Option(help="Random control sets for each neuron set.")] = 0,
    max_new_tokens: Annotated[int, typer.Option(help="Longest completion, in tokens.")] = 128,
    prompt_column: opt.PromptColumn = None,
    template: opt.Template = "auto",
    system: opt.System = None,
    response_prefix: opt.ResponsePrefix = None,
    where: opt.Where = None,
    sample: opt.Sample = None,
    limit: opt.Limit = None,
    disjoint_from: opt.DisjointFrom = None,
    allow_overlap: opt.AllowOverlap = False,
    batch_size: opt.BatchSize = 64,
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
    """Patch neurons from a donor into a recipient while it writes, judge what it wrote, measure the effect."""
    from snql.jobs import PromptOptions
    from snql.models.options import LoadOptions
    from snql.patching.patch import PatchOptions
    from snql.patching.patch import patch as run_patch

    options = PatchOptions(
        recipient=recipient,
        donor=donor,
        neurons=tuple(neurons),
        source=PromptOptions(
            tuple(prompts),
            prompt_column,
            template,
            limit,
            sample,
            where,
            tuple(disjoint_from or ()),
            system,
            response_prefix,
        ),
        judges=tuple(judge),
        sweep=tuple(size.strip() for size in sweep.split(",") if size.strip()),
        random=random,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        seed=seed,
        allow_overlap=allow_overlap,
        load=LoadOptions(dtype, device, trust_remote_code, device_map, attn_implementation, quantize),
    )
    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_patch(here.open(), name, options, resume=resume, force=force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    print_rows(found.effects, as_json=here.json, columns=EFFECT_COLUMNS, title=f"Causal effects of {found.run}")
    note_undefined(found.effects, quiet=here.quiet)


def note_undefined(effects: pl.DataFrame, *, quiet: bool) -> None:
    """Say why some effects have no number."""
    undefined = len(effects.filter(~pl.col("defined")))
    if undefined:
        note(
            f"{undefined} of {len(effects)} effects are undefined: the 95% interval of the donor-recipient gap "
            "covers 0, so there is no difference to carry",
            quiet=quiet,
        )
