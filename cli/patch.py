"""``snql patch``: causal effects of neuron sets."""

from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt
from .progress import progress_shown
from .render import note, note_prompts, print_json, print_table
from .state import state

if TYPE_CHECKING:
    import polars as pl

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


CHANGE_COLUMNS = {"change": "change", "change_ci_low": "low", "change_ci_high": "high"}

CONTROL_COLUMNS = {
    "n_controls": "controls",
    "controls_difference": "score over controls",
    "controls_difference_ci_low": "low",
    "controls_difference_ci_high": "high",
    "controls_permutation_p_value": "p",
}


def patch(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run.")],
    recipient: Annotated[str, typer.Option(help="Model that writes and is patched.")],
    neurons: Annotated[list[str], typer.Option(help="Neuron expression, such as safety:5%; repeatable.")],
    prompts: opt.Prompts,
    judge: Annotated[
        list[str], typer.Option(help="refusal, demo:cost, score-model:PATH, ...: see `snql judge --help`; repeatable.")
    ],
    donor: Annotated[
        str | None, typer.Option(help="Model whose activations are patched in; needed by --mode donor and for effects.")
    ] = None,
    judge_sign: opt.JudgeSign = None,
    rubric: opt.Rubric = None,
    mode: opt.Mode = "donor",
    freeze: Annotated[
        bool, typer.Option("--freeze", help="The other direction: the donor writes, with neurons of the recipient.")
    ] = False,
    steps: Annotated[str, typer.Option(help="Positions that are patched: prompt, completion or all.")] = "all",
    first: Annotated[
        int | None, typer.Option(help="Patch only while the first N tokens of the completion are written.")
    ] = None,
    sweep: opt.Sweep = "",
    window: Annotated[
        str | None,
        typer.Option(help="Windows of ranks of this width (5%, or 5%:30% to stop there); --neurons names locate runs."),
    ] = None,
    random: opt.Random = 0,
    random_anywhere: Annotated[
        int, typer.Option("--random-anywhere", help="Random controls for each set from all layers, not matched.")
    ] = 0,
    temperature: Annotated[float, typer.Option(help="0 writes greedily; otherwise tokens are drawn.")] = 0.0,
    top_p: Annotated[
        float, typer.Option("--top-p", help="Draw from the most likely tokens with this probability.")
    ] = 1.0,
    samples: Annotated[int, typer.Option(help="Completions of each prompt by each variant; needs --temperature.")] = 1,
    trace: Annotated[
        bool,
        typer.Option("--trace/--no-trace", help="Store what would have been written without the patch, step by step."),
    ] = True,
    drafts: Annotated[
        bool | None,
        typer.Option(
            "--drafts/--no-drafts",
            help="Read what the recipient wrote at once, and write only what differs. On in float32; in half precision "
            "near ties between tokens may fall the other way.",
        ),
    ] = None,
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
    batch_size: opt.AutoBatchSize = "auto",
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
    from snql.generation.options import SamplingOptions, WritingOptions
    from snql.judges.options import JudgingOptions
    from snql.models.options import LoadOptions
    from snql.patching.options import PatchOptions
    from snql.patching.patch import patch as run_patch
    from snql.prompts.options import PromptOptions

    options = PatchOptions(
        recipient=recipient,
        donor=donor,
        neurons=tuple(neurons),
        prompts=PromptOptions(
            tuple(prompts),
            prompt_column=prompt_column,
            template=template,
            limit=limit,
            sample=sample,
            where=where,
            disjoint_from=tuple(disjoint_from or ()),
            system=system,
            response_prefix=response_prefix,
        ),
        judging=JudgingOptions(tuple(judge), judge_signs=tuple(judge_sign or ()), rubric=rubric),
        sweep=opt.split(sweep),
        window=window,
        random=random,
        random_anywhere=random_anywhere,
        mode=mode,
        freeze=freeze,
        steps=steps,
        first=first,
        sampling=SamplingOptions(temperature=temperature, top_p=top_p, samples=samples),
        trace=trace,
        drafts=drafts,
        writing=WritingOptions(
            max_new_tokens=max_new_tokens, batch_size=int(batch_size) if batch_size.isdecimal() else batch_size
        ),
        seed=seed,
        allow_overlap=allow_overlap,
        models=LoadOptions(
            dtype=dtype,
            device=device,
            trust_remote_code=trust_remote_code,
            device_map=device_map,
            attn_implementation=attn_implementation,
            quantize=quantize,
        ),
    )
    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_patch(here.open(), name, options, resume=resume, force=force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    if here.json:
        print_json(found.effects)
    else:
        _print_sets(found.run, found.effects, quiet=here.quiet)
    note_undefined(found.effects, quiet=here.quiet)


def _print_sets(run: str, effects: "pl.DataFrame", *, quiet: bool) -> None:
    """A table of the chosen sets, each beside its controls."""
    sets = effects.filter(effects["control_of"].is_null())
    print_table(sets, _columns(sets), f"Causal effects of {run}")
    if n_controls := len(effects) - len(sets):
        note(f"the view causal_effects has the {n_controls} effects of single random controls, too", quiet=quiet)


def _columns(effects: "pl.DataFrame") -> dict[str, str]:
    """What the table shows: without a donor changes in place of effects; comparisons with controls if there are any."""
    columns = EFFECT_COLUMNS
    if effects["gap"].is_null().all():
        left_out = ("mean_donor", "effect", "ci_low", "ci_high")
        columns = {name: head for name, head in columns.items() if name not in left_out} | CHANGE_COLUMNS
    return columns | CONTROL_COLUMNS if effects["n_controls"].is_not_null().any() else columns


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
