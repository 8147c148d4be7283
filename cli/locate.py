"""``snql locate``: ranking neurons."""

from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt
from .progress import progress_shown
from .render import note, note_prompts, print_rows
from .state import State, state

if TYPE_CHECKING:
    import polars as pl

    from snql.scorers.rerank import RankedRun


def locate(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run, to use in neuron expressions.")],
    before: Annotated[
        str | None, typer.Option(help="Model before alignment: BASE[@REV][+ADAPTER[@REV]]… or demo:NAME.")
    ] = None,
    after: Annotated[str | None, typer.Option(help="Model after alignment.")] = None,
    prompts: Annotated[list[str] | None, typer.Option("--prompts", help=opt.PROMPTS_HELP)] = None,
    scorer: Annotated[
        str,
        typer.Option(
            help="change-score, mean-difference, cohens-d or activation-variance (of two models); prompt-difference, "
            "wanda or safety-specific (of one, --model)."
        ),
    ] = "change-score",
    from_run: Annotated[
        str | None, typer.Option("--from-run", help="Rank this run's neurons by another --scorer, with no model.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model, for scorers of one model.")] = None,
    contrast_prompts: opt.ContrastPrompts = None,
    neutral_prompts: opt.NeutralPrompts = None,
    universal_top: Annotated[
        int, typer.Option("--universal-top", help="A universal neuron is among so many of its layer, ...")
    ] = 50,
    universal_share: Annotated[
        float, typer.Option("--universal-share", help="... for at least this share of the neutral prompts.")
    ] = 0.8,
    utility_share: Annotated[
        float,
        typer.Option("--utility-share", help="wanda leaves out this top share on --contrast-prompts."),
    ] = 0.05,
    specific_share: Annotated[
        float, typer.Option("--specific-share", help="safety-specific keeps neurons in this top share on every prompt.")
    ] = 0.05,
    positions: Annotated[str, typer.Option(help="generating, generated, prompt or last-prompt.")] = "generating",
    completions_by: Annotated[str, typer.Option(help="Which model writes: before or after.")] = "before",
    max_new_tokens: Annotated[int, typer.Option(help="Longest completion, in tokens.")] = 256,
    skip_last_layers: Annotated[int, typer.Option(help="Score but do not rank this many last layers.")] = 1,
    keep: Annotated[str, typer.Option(help="Token activations to store: 5%, 1000, all, none or an expression.")] = "5%",
    store: Annotated[
        str, typer.Option(help="Where they go: rows, parquet (half-precision shards beside the database), or auto.")
    ] = "auto",
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Let both models read, also where one's activations come from writing.")
    ] = False,
    bootstrap: Annotated[
        int, typer.Option(help="Resamples of the prompts for intervals of all scores, such as 1000; 0: none.")
    ] = 0,
    after_dtype: Annotated[
        str | None,
        typer.Option("--after-dtype", help="Number type of the model after, if another: for a noise floor."),
    ] = None,
    prompt_column: opt.PromptColumn = None,
    template: opt.Template = "auto",
    system: opt.System = None,
    response_prefix: opt.ResponsePrefix = None,
    where: opt.Where = None,
    sample: opt.Sample = None,
    limit: opt.Limit = None,
    disjoint_from: opt.DisjointFrom = None,
    batch_size: opt.AutoBatchSize = "auto",
    seed: opt.Seed = 0,
    dtype: opt.Dtype = "auto",
    device: opt.Device = "auto",
    device_map: opt.DeviceMap = None,
    attn_implementation: opt.Attention = None,
    quantize: opt.Quantize = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    engine: opt.EngineName = "local",
    workers: opt.Workers = 1,
    ray_address: opt.RayAddress = None,
    resume: opt.Resume = False,
    force: opt.Force = False,
) -> None:
    """Contrast two models while one writes: score and rank every neuron, store the run. Or rank by another scorer."""
    from snql.contrast.locate import locate as run_locate
    from snql.contrast.options import LocateOptions
    from snql.engines.options import EngineOptions
    from snql.errors import InputError
    from snql.generation.options import WritingOptions
    from snql.models.options import LoadOptions
    from snql.prompts.options import PromptOptions
    from snql.scorers.one_model import score_prompts
    from snql.scorers.options import ScorerOptions
    from snql.scorers.rerank import rerank

    here = state(context)
    if from_run is not None:
        if before or after or model or prompts:
            raise InputError("--from-run takes models and prompts from the run: leave out --before, --after, --prompts")
        _show(here, rerank(here.open(), name, from_run, scorer, resume=resume, force=force))
        return
    if model is None and (before is None or after is None):
        raise InputError("which models? give --before and --after (or --model, for a scorer of one model)")
    source = PromptOptions(
        tuple(prompts or ()),
        prompt_column=prompt_column,
        template=template,
        limit=limit,
        sample=sample,
        where=where,
        disjoint_from=tuple(disjoint_from or ()),
        system=system,
        response_prefix=response_prefix,
    )
    load = LoadOptions(
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
        device_map=device_map,
        attn_implementation=attn_implementation,
        quantize=quantize,
    )
    if model is not None:
        if before or after:
            raise InputError("--model is the one model of a scorer: leave out --before and --after, or --model")
        own = ScorerOptions(
            scorer=scorer,
            model=model,
            prompts=source,
            contrast=tuple(contrast_prompts or ()),
            neutral=tuple(neutral_prompts or ()),
            universal_top=universal_top,
            universal_share=universal_share,
            utility_share=utility_share,
            specific_share=specific_share,
            skip_last_layers=skip_last_layers,
            seed=seed,
            models=load,
        )
        with progress_shown(quiet=here.quiet) as progress:
            ranked = score_prompts(here.open(), name, own, resume=resume, force=force, progress=progress)
        _show(here, ranked)
        return
    if contrast_prompts or neutral_prompts:
        raise InputError("--contrast-prompts and --neutral-prompts are for scorers of one model: give --model")
    assert before is not None and after is not None
    options = LocateOptions(
        before=before,
        after=after,
        prompts=source,
        positions=positions,
        completions_by=completions_by,
        writing=WritingOptions(
            max_new_tokens=max_new_tokens, batch_size=int(batch_size) if batch_size.isdecimal() else batch_size
        ),
        skip_last_layers=skip_last_layers,
        keep=keep,
        store=store,
        recompute=recompute,
        bootstrap=bootstrap,
        after_dtype=after_dtype,
        scorer=scorer,
        seed=seed,
        models=load,
        engine=EngineOptions(engine=engine, workers=workers, ray_address=ray_address),
    )
    with progress_shown(quiet=here.quiet) as progress:
        found = run_locate(here.open(), name, options, resume=resume, force=force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    note(
        f"run {found.run}: {found.n_prompts} prompts, {found.n_tokens} scored tokens, {found.n_ranked} of "
        f"{found.shape.size} neurons ranked, token activations of {found.n_kept} kept",
        quiet=here.quiet,
    )
    _print_top(here, found.run, found.shape.n_experts, found.top)


def _show(here: State, found: "RankedRun") -> None:
    note(f"run {found.run}: {found.n_ranked} of {found.shape.size} neurons ranked by {found.scorer}", quiet=here.quiet)
    _print_top(here, found.run, found.shape.n_experts, found.top)


def _print_top(here: State, run: str, n_experts: int, top: "pl.DataFrame") -> None:
    place = ("layer", "expert", "neuron") if n_experts > 1 else ("layer", "neuron")
    columns = ("rank", *place, "score", "mean_before", "mean_after", "n_tokens")
    print_rows(top, as_json=here.json, columns=columns, title=f"Top neurons of {run}")
