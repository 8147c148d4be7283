"""``snql prompts``: what would be read from prompt files."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from snql.options import Inside
from snql.prompts.options import PROMPTS, PromptOptions

from . import options as opt
from .progress import progress_shown
from .render import note, note_prompts, print_json_parts, print_table
from .state import state

if TYPE_CHECKING:
    import polars as pl

_LONGEST_TEXT = 300


def prompts(
    context: typer.Context,
    options: Annotated[PromptOptions, Inside(without=("prompts",))],
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help=PROMPTS)],
    model: Annotated[
        str | None, typer.Option(help="Also show the exact text and tokens that this model would be given.")
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="How many prompts the table shows; --json gives all.")] = 10,
    seed: opt.Seed = 0,
) -> None:
    """Preview what would be read: rows kept and left out, and the first prompts. Loads no weights."""
    from snql.jobs.preview import preview

    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = preview(here.open(), replace(options, prompts=tuple(files)), seed, model, progress)
    note_prompts(found.counts, quiet=here.quiet)
    for each in found.notes:
        note(f"note: {each}", quiet=here.quiet)
    if here.json:
        print_json_parts({"sets": found.sets, "prompts": found.prompts})
        return
    first = ["dataset", "rows", "kept"]
    steps = [name for name in found.sets.columns if name not in first]
    print_table(found.sets, [*first, *steps], "Rows of the prompt sets: read, kept, left out by each step")
    shown = [name for name in ("dataset", "category", "label", "turns", "n_tokens") if name in found.prompts.columns]
    text = "formatted" if model is not None else "text"
    print_table(
        found.prompts.head(rows).with_columns(_shortened(text)),
        [*shown, text],
        f"The first {min(rows, len(found.prompts))} of {len(found.prompts)} prompts",
    )


def _shortened(column: str) -> "pl.Expr":
    import polars as pl

    text = pl.col(column)
    cut = pl.concat_str(text.str.head(_LONGEST_TEXT), pl.lit(" …"))
    return pl.when(text.str.len_chars() > _LONGEST_TEXT).then(cut).otherwise(text).alias(column)
