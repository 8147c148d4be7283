"""``snql overlap`` and ``snql stability``: comparing rankings, and how sure they are."""

from typing import TYPE_CHECKING, Annotated

import typer

from snql.contrast.options import NullOptions
from snql.jobs.options import RunFlags

from .progress import progress_shown
from .render import note, print_json_parts, print_rows, print_sentence, print_table
from .state import state

if TYPE_CHECKING:
    import polars as pl

_COLUMNS = {
    "run_a": "A",
    "run_b": "B",
    "k": "k",
    "shared": "shared",
    "overlap": "overlap",
    "chance": "chance",
    "chance_by_magnitude": "chance (by size)",
    "p_value_by_magnitude": "p (by size)",
    "adjusted": "p (by size, Holm)",
    "p_value": "p",
    "null_overlap": "shuffled adapters",
    "null_p_value": "p (shuffled)",
    "chance_by_layer": "chance (by layer)",
    "p_value_by_layer": "p (by layer)",
    "jaccard": "Jaccard",
    "rank_biased_overlap": "RBO",
    "spearman_all": "Spearman, all",
    "spearman_common": "Spearman, common",
}

_DRAWS = {
    "run": "draw",
    "k": "k",
    "overlap": "overlap",
    "chance": "chance",
    "chance_by_magnitude": "chance (by size)",
    "spearman_all": "Spearman, all",
}

_MOST_SENTENCES = 3

Top = Annotated[str, typer.Option(help="How much of each ranking: 5%, or neurons.")]


def overlap(
    context: typer.Context,
    runs: Annotated[list[str], typer.Argument(help="Two or more locate runs.")],
    top: Top = "5%",
    curve: Annotated[
        bool, typer.Option("--curve", help="Compare tops of growing size instead, from 0.1% to all.")
    ] = False,
) -> None:
    """Compare the top neurons of locate runs, beside what chance would share; several runs in a matrix, too."""
    from snql.demonstration.headlines import overlap_headlines
    from snql.rankings import overlaps
    from snql.stats.holm import adjusted

    here = state(context)
    pairs = overlaps.curve(here.open(), runs) if curve else overlaps.compare(here.open(), runs, top)
    if len(pairs) > 1 and not curve:
        pairs = pairs.with_columns(adjusted(pairs["p_value_by_magnitude"]))
    for line in [] if curve else overlap_headlines(pairs.head(_MOST_SENTENCES)):
        print_sentence(line)
    title = "Overlap of growing tops" if curve else f"Overlap of the top {top}"
    print_rows(pairs, as_json=here.json, columns=_shown(pairs), title=title, results=("overlap", "chance"))
    if not here.json and not curve and len(pairs) > 1:
        chance = f"{pairs['chance'][0]:.3g}"
        print_table(overlaps.matrix(pairs), title=f"Overlap of each two (chance {chance}, more within layers)")
        print_table(overlaps.matrix(pairs, "spearman_all"), title="Spearman's rho over all ranked neurons")
    note("Spearman over the common neurons alone misleads: read it beside the one over all.", quiet=here.quiet)
    note(
        "RBO: agreement at all depths, with k as the expected depth; by chance about as large as chance.",
        quiet=here.quiet,
    )


def _shown(pairs: "pl.DataFrame") -> dict[str, str]:
    """The columns that say something: without shuffled adapters, none about them."""
    return {
        name: words for name, words in _COLUMNS.items() if name in pairs.columns and not pairs[name].is_null().all()
    }


def null(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the draws, which become locate runs NAME.1, NAME.2, ...")],
    options: NullOptions,
    run: RunFlags,
) -> None:
    """Locate contentless adapters: a run's own, shuffled. What its ranking shares with theirs is no finding."""
    from snql.contrast.null import null as run_null

    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_null(here.open(), name, options, resume=run.resume, force=run.force, progress=progress)
    title = f"What the top 5% of shuffled adapters shares with {found.source}"
    print_rows(found.draws, as_json=here.json, columns=_DRAWS, title=title, results=("overlap",))
    note(f"snql overlap {found.source} RUN now shows what shuffled adapters share with RUN", quiet=here.quiet)


def stability(
    context: typer.Context,
    runs: Annotated[list[str], typer.Argument(help="Locate runs; several that differ in their seed are compared.")],
    top: Top = "5%",
    floor: Annotated[
        str | None, typer.Option(help="A locate run of a model against itself: what rounding alone gives.")
    ] = None,
    splits: Annotated[int, typer.Option(help="Random halves of the prompts, of runs with --bootstrap.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the halves.")] = 0,
) -> None:
    """Say how sure rankings are: over halves of the prompts, bootstrap, seeds, and above a noise floor."""
    from snql.rankings.stability import stability as run_stability

    here = state(context)
    found = run_stability(here.open(), runs, top, floor=floor, splits=splits, seed=seed)
    parts = {"halves": found.halves, "intervals": found.intervals, "seeds": found.seeds, "floor": found.floor}
    if here.json:
        print_json_parts(parts)
        return
    titles = {
        "halves": f"Rankings from two random halves of the prompts: mean and 95% range over {splits} splits",
        "intervals": f"Bootstrap over prompts, of the top {top}: n_sure are in the top 5% of 95% of the resamples",
        "seeds": f"The runs with each other at the top {top}",
        "floor": "Above the noise floor: shares of neurons, and score over the floor's score of the same neuron",
    }
    for name, frame in parts.items():
        if len(frame):
            print_table(frame, title=titles[name])
    if found.halves.is_empty():
        note(
            "no halves and intervals: these runs have no sums per prompt; locate with --bootstrap 1000",
            quiet=here.quiet,
        )
    if floor is None:
        note("no noise floor: locate a model against itself and name that run with --floor", quiet=here.quiet)
