"""``snql overlap`` and ``snql stability``: comparing rankings, and how sure they are."""

from typing import Annotated

import typer

from .render import note, print_rows, print_table
from .state import state

_COLUMNS = {
    "run_a": "A",
    "run_b": "B",
    "k": "k",
    "shared": "shared",
    "overlap": "overlap",
    "chance": "chance",
    "p_value": "p",
    "chance_by_layer": "chance (by layer)",
    "p_value_by_layer": "p (by layer)",
    "jaccard": "Jaccard",
    "rank_biased_overlap": "RBO",
    "spearman_all": "Spearman, all",
    "spearman_common": "Spearman, common",
}

Top = Annotated[str, typer.Option(help="How much of each ranking: 5% or a number of neurons.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(overlap)


def overlap(
    context: typer.Context,
    runs: Annotated[list[str], typer.Argument(help="Two or more locate runs.")],
    top: Top = "5%",
    curve: Annotated[
        bool, typer.Option("--curve", help="Compare tops of growing size instead, from 0.1% to all.")
    ] = False,
) -> None:
    """Compare the top neurons of locate runs, beside what chance would share; several runs in a matrix, too."""
    from snql import overlaps

    here = state(context)
    pairs = overlaps.curve(here.open(), runs) if curve else overlaps.compare(here.open(), runs, top)
    title = "Overlap of growing tops" if curve else f"Overlap of the top {top}"
    print_rows(pairs, as_json=here.json, columns=_COLUMNS, title=title)
    if not here.json and not curve and len(pairs) > 1:
        chance = pairs["chance"].max()
        print_table(overlaps.matrix(pairs), title=f"Overlap of each two (chance {chance:.3g}, more within layers)")
        print_table(overlaps.matrix(pairs, "spearman_all"), title="Spearman's rho over all ranked neurons")
    note("Spearman over the common neurons alone misleads: read it beside the one over all.", quiet=here.quiet)
    note(
        "RBO: agreement at all depths, with k as the expected depth; by chance about as large as chance.",
        quiet=here.quiet,
    )
