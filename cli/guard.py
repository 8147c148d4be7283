"""``snql guard``: train a classifier of prompts on a few neurons, test it on other prompts, answer under its watch."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from snql.guard.options import GuardCompareOptions, GuardOptions, GuardRunOptions, GuardTestOptions
from snql.jobs.options import RunFlags

from .commands import command
from .encoding import standard_input
from .progress import progress_shown
from .render import is_table, note, note_prompts, print_object, print_paragraphs, print_sentence, print_table
from .state import state

if TYPE_CHECKING:
    import polars as pl

guard = typer.Typer(
    help="Guards: a few neurons tell, before anything is written, whether an answer would be harmful.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="Name of the guard.")]
RunName = Annotated[str, typer.Argument(help="Name of the run.")]

COLUMNS = {
    "dataset": "prompts",
    "n_prompts": "n",
    "n_harmful": "harmful",
    "accuracy": "accuracy",
    "ci_low": "low",
    "ci_high": "high",
    "balanced-accuracy": "balanced",
    "auroc": "AUROC",
    "f1": "F1",
    "brier": "Brier",
    "ece": "ECE",
    "false-alarms": "false alarms",
    "majority": "majority",
    "matched": "random",
    "difference": "over random",
    "difference_ci_low": "low",
    "difference_ci_high": "high",
}
SIZES = {
    "neurons": "neurons",
    "n_neurons": "count",
    "kind": "read",
    "n_classifiers": "sets",
    "value": "accuracy",
    "ci_low": "low",
    "ci_high": "high",
    "difference": "guard over it",
    "difference_ci_low": "low",
    "difference_ci_high": "high",
}
COMPARED = {
    "label": "read",
    "accuracy": "accuracy",
    "accuracy_ci_low": "low",
    "accuracy_ci_high": "high",
    "difference": "chosen less this",
    "difference_ci_low": "low",
    "difference_ci_high": "high",
    "auroc": "AUROC",
    "auroc_ci_low": "low",
    "auroc_ci_high": "high",
    "false_alarms": "false alarms",
    "added_ms": "ms",
    "n_numbers": "numbers",
    "layers": "layers",
    "components": "components",
}
COSTS = {
    "model": "model",
    "guarded_by": "guard reads",
    "dataset": "prompts",
    "n_prompts": "n",
    "n_accepted": "accepted",
    "mean_cost": "mean cost",
    "ci_low": "low",
    "ci_high": "high",
    "change": "change",
    "change_ci_low": "low",
    "change_ci_high": "high",
    "guard_rate": "refused by guard",
    "refusal_rate": "refused",
}


@command(guard)
def train(context: typer.Context, name: Name, options: GuardOptions, run: RunFlags) -> None:
    """Fit a guard on a model's activations at the last prompt token and on what a judge says of its answers."""
    from snql.guard.learn import train as run_train

    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_train(here.open(), name, options, resume=run.resume, force=run.force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    if here.json:
        print_object({"run": found.run, "facts": found.facts, "scores": found.scores.to_dicts(), "says": found.says})
        return
    for line in found.says:
        print_sentence(line)
    _print_scores(found.scores, f"Guard {found.run} on prompts that were held out of its fits")


@command(guard)
def test(context: typer.Context, name: Name, options: GuardTestOptions, run: RunFlags) -> None:
    """Test a guard and its random controls on other prompts, each set by itself and all together."""
    from snql.guard.testing import test as run_test

    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_test(here.open(), name, options, resume=run.resume, force=run.force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    if here.json:
        parts = {"scores": found.scores.to_dicts(), "costs": found.costs.to_dicts()}
        print_object({"run": found.run, "guard": found.guard, **parts, "says": found.says})
        return
    for line in found.says:
        print_sentence(line)
    _print_scores(found.scores, f"Guard {found.guard} on prompts that it has not seen")
    if len(found.costs):
        title = "Costs of accepted answers and refusals, with the guard and without"
        print_table(found.costs, COSTS, title, results=("mean_cost", "change"))


@command(guard)
def compare(context: typer.Context, name: RunName, options: GuardCompareOptions, run: RunFlags) -> None:
    """The same classifier on chosen, random and all neurons, their components and the residual stream; nested folds."""
    from snql.guard.comparing import compare_guards

    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        found = compare_guards(here.open(), name, options, resume=run.resume, force=run.force, progress=progress)
    note_prompts(found.prompt_sets, quiet=here.quiet)
    if here.json:
        print_object({"run": found.run, "scores": found.scores.to_dicts(), "says": found.says})
        return
    for line in found.says:
        print_sentence(line)
    _print_compared(found.scores)


@command(guard)
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the guard, or the folder that it was saved in.")],
    options: GuardRunOptions,
) -> None:
    """Answer a prompt under a guard: what it flags is refused before anything is written, or begun safely."""
    from snql.guard import running

    if options.prompt == "-":
        options = replace(options, prompt=standard_input("the prompt").rstrip("\n"))
    here = state(context)
    found = running.run(here.open(), name, options)
    if here.json:
        print_object(vars(found))
        return
    print_paragraphs(found.answer)
    verdict = "flagged" if found.flagged else "not flagged"
    note(f"{verdict}: probability {found.probability:.4f}, threshold {found.threshold:g}", quiet=here.quiet)
    if found.added_ms is not None:
        note(
            f"reading {found.n_prompt_tokens} prompt tokens took {found.guarded_prefill_ms:.2f} ms with the guard "
            f"({found.n_neurons} neurons) and {found.prefill_ms:.2f} ms without: {found.added_ms:+.2f} ms",
            quiet=here.quiet,
        )


def _print_compared(scores: "pl.DataFrame") -> None:
    """A table for each data set, all prompts first, with what a classifier that reads nothing gets above it."""
    if not is_table():
        print_table(scores)
        return
    short = scores.with_columns(
        scores["label"].str.replace("random neurons", "random").str.replace(" of all|, one layer", "")
    )
    pooled_first = short.sort(short["dataset"] != "*", maintain_order=True)
    for (dataset,), rows in pooled_first.group_by("dataset", maintain_order=True):
        first = rows.row(0, named=True)
        title = (
            f"Guards on {'all' if dataset == '*' else dataset}: {first['n_prompts']} prompts, {first['n_harmful']} "
            f"harmful; always saying what most are: {first['majority']:.3f}"
        )
        print_table(rows, COMPARED, title, results=("accuracy", "difference", "auroc"))


def _print_scores(scores: "pl.DataFrame", title: str) -> None:
    """The guard's measures on each data set, a row each; then its accuracy beside random neurons, by their number."""
    from snql.guard.results import by_size, overview

    if not len(scores):
        return
    print_table(overview(scores), COLUMNS, title, results=("accuracy", "false-alarms", "difference"))
    print_table(by_size(scores), SIZES, "Accuracy by number of neurons, all prompts", results=("value", "difference"))
