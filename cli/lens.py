"""``snql lens``: what neurons write: the tokens that their value vectors promote and suppress."""

from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt
from .progress import progress_shown
from .render import note, print_cells, print_json
from .state import state

if TYPE_CHECKING:
    import polars as pl


SHOWN = 40


def lens(
    context: typer.Context,
    neurons: Annotated[str, typer.Argument(metavar="EXPR", help="Neuron expression, such as safety:20 or L12.N345.")],
    model: Annotated[str, typer.Option(help="The model: BASE[@REV][+ADAPTER[@REV]]… or demo:NAME.")],
    name: Annotated[str | None, typer.Option(help="Name of the run; by default one made of its settings.")] = None,
    top: Annotated[int, typer.Option(help="Tokens at each end.")] = 10,
    harmful_prompts: Annotated[
        list[str] | None,
        typer.Option("--harmful-prompts", help="With --harmless-prompts: the refusal direction; repeatable."),
    ] = None,
    harmless_prompts: Annotated[
        list[str] | None, typer.Option("--harmless-prompts", help="What it is the difference from; repeatable.")
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="Take the direction after this layer; by default after each neuron's own.")
    ] = None,
    template: opt.Template = "auto",
    system: opt.System = None,
    sample: opt.Sample = None,
    limit: opt.Limit = None,
    seed: opt.Seed = 0,
    dtype: opt.Dtype = "auto",
    device: opt.Device = "auto",
    device_map: opt.DeviceMap = None,
    attn_implementation: opt.Attention = None,
    trust_remote_code: opt.TrustRemoteCode = False,
    resume: opt.Resume = False,
    force: opt.Force = False,
) -> None:
    """Show the tokens that neurons' value vectors promote and suppress, and their cosine with the refusal direction."""
    from snql.lens.lens import lens as run_lens
    from snql.lens.names import name_of
    from snql.lens.options import LensOptions
    from snql.models.options import LoadOptions
    from snql.prompts.options import PromptOptions

    load = LoadOptions(
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
        device_map=device_map,
        attn_implementation=attn_implementation,
    )
    options = LensOptions(
        neurons=neurons,
        model=model,
        top=top,
        harmful=tuple(harmful_prompts or ()),
        harmless=tuple(harmless_prompts or ()),
        layer=layer,
        prompts=PromptOptions(template=template, limit=limit, sample=sample, system=system),
        seed=seed,
        models=load,
    )
    here = state(context)
    run = name or name_of(options)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_lens(here.open(), run, options, resume=resume, force=force or name is None, progress=progress)
    if here.json:
        print_json(found.vectors)
        return
    _print(found.vectors, found.run)
    if found.vectors.height > SHOWN:
        note(f"showing {SHOWN} of {found.vectors.height} neurons; all are in the view value_tokens", quiet=here.quiet)
    note(f"stored as lens run {found.run}; `snql neurons` and `snql neuron` show it too", quiet=here.quiet)


def _print(vectors: "pl.DataFrame", run: str) -> None:
    from snql.neuron_pages.shade import short_token
    from snql.neurons.sets import neuron_name

    with_direction = bool(vectors["refusal_cosine"].is_not_null().any())
    compared = ["refusal cosine", "percentile"] if with_direction else []
    headings = ["neuron", "norm", *compared, "promotes", "suppresses"]
    rows = []
    for row in vectors.head(SHOWN).iter_rows(named=True):
        direction = [f"{row['refusal_cosine']:+.3f}", f"{row['refusal_percentile']:.1f}"] if with_direction else []
        words = [" ".join(short_token(token) for token in row[side]) for side in ("promotes", "suppresses")]
        rows.append([neuron_name(row["layer"], row["neuron"], row["expert"]), f"{row['norm']:.3f}", *direction, *words])
    title = f"Value vectors of {run}"
    if with_direction:
        title += f" (cosine of a random vector: 0 ± {vectors['chance_deviation'][0]:.3f})"
    numeric = [heading in ("norm", "refusal cosine", "percentile") for heading in headings]
    print_cells(headings, numeric, rows, title)
