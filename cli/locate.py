"""``snql locate``: ranking neurons."""

from typing import Annotated

import typer

from . import options as opt
from .progress import progress_shown
from .render import note, note_prompts, print_rows
from .state import state


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(locate)


def locate(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run, to use in neuron expressions.")],
    before: Annotated[str, typer.Option(help="Model before alignment: BASE[@REV][+ADAPTER[@REV]]… or demo:NAME.")],
    after: Annotated[str, typer.Option(help="Model after alignment.")],
    prompts: opt.Prompts,
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
    """Contrast two models while one writes: score and rank every neuron, store the run."""
    from snql.contrast.locate import LocateOptions
    from snql.contrast.locate import locate as run_locate
    from snql.engines.base import EngineOptions
    from snql.jobs import PromptOptions
    from snql.models.options import LoadOptions

    options = LocateOptions(
        before=before,
        after=after,
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
        positions=positions,
        completions_by=completions_by,
        max_new_tokens=max_new_tokens,
        skip_last_layers=skip_last_layers,
        keep=keep,
        store=store,
        recompute=recompute,
        bootstrap=bootstrap,
        after_dtype=after_dtype,
        batch_size=int(batch_size) if batch_size.isdecimal() else batch_size,
        seed=seed,
        load=LoadOptions(dtype, device, trust_remote_code, device_map, attn_implementation, quantize),
        engine=EngineOptions(engine, workers, ray_address),
    )
    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_locate(here.open(), name, options, resume=resume, force=force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    note(
        f"run {found.run}: {found.n_prompts} prompts, {found.n_tokens} scored tokens, {found.n_ranked} of "
        f"{found.shape.size} neurons ranked, token activations of {found.n_kept} kept",
        quiet=here.quiet,
    )
    place = ("layer", "expert", "neuron") if found.shape.n_experts > 1 else ("layer", "neuron")
    columns = ("rank", *place, "score", "mean_before", "mean_after", "n_tokens")
    print_rows(found.top, as_json=here.json, columns=columns, title=f"Top neurons of {found.run}")
