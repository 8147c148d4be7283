"""``snql tax``: what safety costs in helpfulness, and the reverse, when shared neurons are patched both ways."""

from pathlib import Path
from typing import Annotated

import typer

from . import options as opt
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
OVERLAP = ("k", "shared", "overlap", "chance", "p_value", "chance_by_layer", "p_value_by_layer", "spearman_all")


def tax(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Beginning of the runs' names: NAME-helpful-into-safety and back.")],
    safety: Annotated[str, typer.Option(help="Locate run of the safety-aligned model.")],
    helpful: Annotated[str, typer.Option(help="Locate run of the helpfulness-aligned model.")],
    safety_model: Annotated[str, typer.Option("--safety-model", help="The safety-aligned model.")],
    helpful_model: Annotated[str, typer.Option("--helpful-model", help="The helpfulness-aligned model.")],
    prompts: opt.Prompts,
    judge: Annotated[
        list[str], typer.Option(help="A cost and a reward judge, such as demo:cost and demo:reward; repeatable.")
    ],
    judge_sign: opt.JudgeSign = None,
    rubric: opt.Rubric = None,
    cost_on: Annotated[
        str | None, typer.Option("--cost-on", help="Prompt set whose costs are compared with rewards; all by default.")
    ] = None,
    reward_on: Annotated[
        str | None, typer.Option("--reward-on", help="Prompt set whose rewards are compared; goes with --cost-on.")
    ] = None,
    top: Annotated[str, typer.Option(help="How much of each ranking: 5% or a number of neurons.")] = "5%",
    neurons: Annotated[
        str, typer.Option("--set", help="What is patched: shared (in both tops), safety or helpful (one top).")
    ] = "shared",
    random: opt.Random = 5,
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
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the table and the chart of both runs.")] = None,
    resume: opt.Resume = False,
    force: opt.Force = False,
) -> None:
    """Patch what safety and helpfulness share from each model into the other: the alignment tax, both ways."""
    from snql.demonstration.headlines import ratio_headlines
    from snql.generation.options import WritingOptions
    from snql.judges.options import JudgingOptions
    from snql.models.options import LoadOptions
    from snql.patching.options import TaxOptions
    from snql.patching.tax import tax as run_tax
    from snql.prompts.options import PromptOptions
    from snql.reporting.build import write_tax

    excluded = tuple(disjoint_from or ())
    options = TaxOptions(
        safety=safety,
        helpful=helpful,
        safety_model=safety_model,
        helpful_model=helpful_model,
        prompts=PromptOptions(
            tuple(prompts),
            prompt_column=prompt_column,
            template=template,
            limit=limit,
            sample=sample,
            where=where,
            disjoint_from=excluded,
            system=system,
            response_prefix=response_prefix,
        ),
        judging=JudgingOptions(tuple(judge), judge_signs=tuple(judge_sign or ()), rubric=rubric),
        cost_on=cost_on,
        reward_on=reward_on,
        top=top,
        neurons=neurons,
        random=random,
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
        found = run_tax(here.open(), name, options, resume=resume, force=force, progress=progress)
        files = [] if out is None else write_tax(here.open(), found.runs, out, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    if here.json:
        print_json_parts({"changes": found.changes, "ratios": found.ratios, "overlap": found.overlap})
    else:
        columns = CHANGES | (CONTROLS if found.changes["n_controls"].is_not_null().any() else {})
        print_table(found.changes, columns, f"Alignment tax {name}: {options.expression}")
        print_table(found.overlap, OVERLAP, f"The top {top} of {safety} and {helpful}")
        print_lines("Cost against reward", ratio_headlines(found.ratios))
    note_undefined(found.effects, quiet=here.quiet)
    if out is not None:
        note(f"{len(files)} files of the table and the chart are in {out}", quiet=here.quiet)
