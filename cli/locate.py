"""``snql locate``: ranking neurons."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from snql.contrast.options import LocateOptions
from snql.errors import InputError
from snql.jobs.options import RunFlags
from snql.options import build
from snql.scorers.options import ScorerOptions

from .flat import AnyOf
from .progress import progress_shown
from .render import note, note_prompts, print_rows
from .state import State, state

if TYPE_CHECKING:
    from snql.contrast.locate import LocateResult
    from snql.scorers.rerank import RankedRun


def locate(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the run, to use in neuron expressions.")],
    options: Annotated[Mapping[str, Any], AnyOf(LocateOptions, ScorerOptions)],
    run: RunFlags,
    from_run: Annotated[
        str | None, typer.Option("--from-run", help="Rank this run's neurons by another scorer.")
    ] = None,
) -> None:
    """Contrast two models while one writes: score and rank every neuron, store the run. Or rank by another scorer."""
    here = state(context)
    if from_run is not None:
        _rerank(here, name, from_run, options, run)
    elif options["model"] is not None:
        _score(here, name, options, run)
    else:
        _contrast(here, name, options, run)


def _rerank(here: State, name: str, source: str, options: Mapping[str, Any], run: RunFlags) -> None:
    """Rank a run's neurons by another scorer."""
    from snql.scorers.rerank import rerank

    if any(options[each] for each in ("before", "after", "model", "prompts", "completions")):
        raise InputError("--from-run takes models and prompts from the run: leave out --before, --after, --prompts")
    found = rerank(here.open(), name, source, options["scorer"], resume=run.resume, force=run.force)
    for text in found.notes:
        note(f"note: {text}", quiet=here.quiet)
    _show(here, found)


def _score(here: State, name: str, options: Mapping[str, Any], run: RunFlags) -> None:
    """Rank the neurons of one model."""
    from snql.scorers.one_model import score_prompts

    if options["before"] or options["after"]:
        raise InputError("--model is the one model of a scorer: leave out --before and --after, or --model")
    if options["completions"]:
        raise InputError("--completions is text that two models read: leave it out, or --model")
    chosen = build(ScorerOptions, options)
    with progress_shown(quiet=here.quiet) as progress:
        found = score_prompts(here.open(), name, chosen, resume=run.resume, force=run.force, progress=progress)
    _show(here, found)


def _contrast(here: State, name: str, options: Mapping[str, Any], run: RunFlags) -> None:
    """Rank neurons by two models."""
    from snql.contrast.locate import locate as run_locate

    if options["before"] is None or options["after"] is None:
        raise InputError("which models? give --before and --after (or --model, for a scorer of one model)")
    if options["contrast"] or options["neutral"]:
        raise InputError("--contrast-prompts and --neutral-prompts are for scorers of one model: give --model")
    chosen = build(LocateOptions, options)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_locate(here.open(), name, chosen, resume=run.resume, force=run.force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    note(
        f"run {found.run}: {found.n_prompts} prompts, {found.n_tokens} scored tokens, {found.n_ranked} of "
        f"{found.shape.size} neurons ranked, token activations of {found.n_kept} kept",
        quiet=here.quiet,
    )
    _print_top(here, found)


def _show(here: State, found: "RankedRun") -> None:
    note(f"run {found.run}: {found.n_ranked} of {found.shape.size} neurons ranked by {found.scorer}", quiet=here.quiet)
    _print_top(here, found)


def _print_top(here: State, found: "LocateResult | RankedRun") -> None:
    """Print the top neurons; the title says it if they mean nothing."""
    title = f"Top neurons of {found.run}" if found.noise is None else f"Top neurons of {found.run}: {found.noise}"
    columns = {"rank": "rank", "name": "neuron", "score": "score"}
    columns |= {"mean_before": "mean before", "mean_after": "mean after", "n_tokens": "tokens"}
    print_rows(found.top, as_json=here.json, columns=columns, title=title, results=("score",))
