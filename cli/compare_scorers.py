"""``snql compare-scorers``: the causal effects of rankings by several scorers."""

from typing import Annotated

import typer

from . import options as opt
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
    before: Annotated[str, typer.Option(help="Model before alignment: it is patched.")],
    after: Annotated[str, typer.Option(help="Model after alignment; scorers of one model read it.")],
    prompts: opt.Prompts,
    evaluate_prompts: Annotated[
        list[str], typer.Option("--evaluate-prompts", help="Prompts that are answered and judged; repeatable.")
    ],
    judge: Annotated[list[str], typer.Option(help="As for `snql patch`; repeatable.")],
    contrast_prompts: opt.ContrastPrompts = None,
    neutral_prompts: opt.NeutralPrompts = None,
    scorers: Annotated[
        str, typer.Option(help="Scorers, with commas between; all by default.")
    ] = "change-score,mean-difference,cohens-d,activation-variance,prompt-difference,wanda,safety-specific",
    top: Annotated[str, typer.Option(help="Size of the sets: 5% of the ranked neurons, or a number.")] = "5%",
    random: opt.Random = 5,
    max_new_tokens: Annotated[int, typer.Option(help="Longest completion, in tokens.")] = 128,
    skip_last_layers: Annotated[int, typer.Option(help="Score but do not rank this many last layers.")] = 1,
    template: opt.Template = "auto",
    system: opt.System = None,
    response_prefix: opt.ResponsePrefix = None,
    sample: opt.Sample = None,
    limit: opt.Limit = None,
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
    """Rank neurons by several scorers, patch the top of each ranking, and compare the causal effects."""
    from snql.generation.options import WritingOptions
    from snql.judges.options import JudgingOptions
    from snql.models.options import LoadOptions
    from snql.prompts.options import PromptOptions
    from snql.scorers.compare import compare_scorers as compare
    from snql.scorers.options import CompareOptions

    options = CompareOptions(
        before=before,
        after=after,
        prompts=PromptOptions(
            tuple(prompts),
            prompt_column=None,
            template=template,
            limit=limit,
            sample=sample,
            where=None,
            disjoint_from=(),
            system=system,
            response_prefix=response_prefix,
        ),
        evaluate=tuple(evaluate_prompts),
        judging=JudgingOptions(tuple(judge)),
        contrast=tuple(contrast_prompts or ()),
        neutral=tuple(neutral_prompts or ()),
        scorers=opt.split(scorers),
        top=top,
        random=random,
        writing=WritingOptions(
            max_new_tokens=max_new_tokens, batch_size=int(batch_size) if batch_size.isdecimal() else batch_size
        ),
        skip_last_layers=skip_last_layers,
        seed=seed,
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
        found = compare(here.open(), name, options, resume=resume, force=force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    if here.json:
        print_json(found.effects)
        return
    print_table(found.effects, COLUMNS, f"Causal effects by scorer ({found.run})")
    print_lines("Scorers", found.words)
