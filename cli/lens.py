"""``snql lens``: what neurons write: the tokens that their value vectors promote and suppress."""

from typing import TYPE_CHECKING, Annotated

import typer

from snql.jobs.options import RunFlags
from snql.lens.options import LensOptions

from .progress import progress_shown
from .render import note, note_hidden, print_cells, print_json
from .state import state

if TYPE_CHECKING:
    import polars as pl


SHOWN = 40


def lens(
    context: typer.Context,
    options: LensOptions,
    run: RunFlags,
    name: Annotated[str | None, typer.Option(help="Name of the run; by default one made of its settings.")] = None,
) -> None:
    """Show the tokens that neurons' value vectors promote and suppress, and their cosine with the refusal direction."""
    from snql.lens.lens import lens as run_lens
    from snql.lens.names import name_of

    here = state(context)
    chosen = name or name_of(options)
    force = run.force or name is None
    with progress_shown(quiet=here.quiet) as progress:
        found = run_lens(here.open(), chosen, options, resume=run.resume, force=force, progress=progress)
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
    note_hidden(print_cells(headings, numeric, rows, title))
