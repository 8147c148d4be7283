"""``snql perplexity``: how well a model predicts a text, plain and patched."""

from typing import Annotated

import typer

from . import options as opt
from .progress import progress_shown
from .render import note_prompts, print_rows
from .state import state

COLUMNS = {
    "variant": "model",
    "n_neurons": "count",
    "dataset": "text",
    "n_tokens": "tokens",
    "perplexity": "perplexity",
    "ci_low": "low",
    "ci_high": "high",
    "ratio": "ratio",
    "ratio_ci_low": "low",
    "ratio_ci_high": "high",
}
CONTROLS = {"n_controls": "controls", "controls_ratio": "their ratio"}


def perplexity(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run.")],
    text: Annotated[
        list[str],
        typer.Option(
            help="Text file (txt is one document; jsonl, json, csv, tsv, parquet have one a row), demo:NAME or "
            "hub:ID[@REVISION][:SPLIT]; repeatable."
        ),
    ],
    model: Annotated[str, typer.Option(help="Model that reads.")],
    donor: opt.CapabilityDonor = None,
    neurons: opt.CapabilityNeurons = None,
    mode: opt.Mode = "donor",
    sweep: opt.Sweep = "",
    random: opt.Random = 0,
    text_column: Annotated[
        str | None, typer.Option("--text-column", help="Column with the text; text, content, ... need none.")
    ] = None,
    join: Annotated[
        bool, typer.Option("--join", help="Read all rows as one document, with blank lines between (WikiText).")
    ] = False,
    window: Annotated[
        int | None, typer.Option(help="Tokens a window; by default the model's context, at most 1024.")
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(help="Tokens that a window moves on; those before give context. By default half the window."),
    ] = None,
    where: opt.Where = None,
    sample: opt.Sample = None,
    limit: opt.Limit = None,
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
    """Measure the perplexity of a text under a model, and under patches of its neurons."""
    from snql.capability.options import PerplexityOptions, SubjectOptions, TextOptions
    from snql.capability.perplexity import perplexity as run_perplexity
    from snql.models.options import LoadOptions

    load = LoadOptions(
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
        device_map=device_map,
        attn_implementation=attn_implementation,
        quantize=quantize,
    )
    subject = SubjectOptions(
        model=model,
        donor=donor,
        neurons=tuple(neurons or ()),
        mode=mode,
        sweep=opt.split(sweep),
        random=random,
        seed=seed,
        models=load,
    )
    texts = TextOptions(text=tuple(text), text_column=text_column, join=join, where=where, sample=sample, limit=limit)
    options = PerplexityOptions(subject=subject, text=texts, window=window, stride=stride)
    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_perplexity(here.open(), name, options, resume=resume, force=force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    shown = found.perplexities
    with_controls = shown["n_controls"].is_not_null().any()
    columns = COLUMNS | (CONTROLS if with_controls else {})
    chosen = shown if here.json else shown.filter(shown["control_of"].is_null())
    print_rows(chosen, as_json=here.json, columns=columns, title=f"Perplexity of {found.run}")
