"""``snql train``: make an aligned model, as IA3 vectors on the down-projections."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from snql.jobs.options import RunFlags
from snql.options import Inside
from snql.training.options import DpoOptions, PairsOptions, SftOptions, TrainOptions

from .commands import command
from .progress import progress_shown
from .render import note, print_json_parts, print_table
from .state import State, state

if TYPE_CHECKING:
    from snql.training.plan import Plan
    from snql.training.run import TrainResult

train = typer.Typer(
    help="Make aligned models: IA3 vectors on the down-projections (extra: train).", no_args_is_help=True
)

Out = Annotated[Path, typer.Argument(help="Folder for the adapter.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print steps, tokens and an estimate of memory; train nothing.")
]
Run = Annotated[
    RunFlags, Inside(docs={"resume": "Go on from the last checkpoint.", "force": "Replace what the folder holds."})
]
File = Annotated[Path, typer.Argument(help="File to write, .jsonl.")]
Kept = Annotated[
    RunFlags, Inside(docs={"resume": "Keep a file that was made with the same settings.", "force": "Replace a file."})
]
_HISTORY = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "grad_norm",
    "token_accuracy",
    "reward_margins",
    "reward_accuracies",
)
_RESULTS = ("loss", "token_accuracy", "reward_margins", "reward_accuracies")
"""What a training is about, which is shown at any width."""

_SHOWN = 12


@command(train)
def sft(
    context: typer.Context,
    out: Out,
    options: Annotated[SftOptions, Inside(without=("beta",))],
    run: Run,
    dry_run: DryRun = False,
) -> None:
    """Fine-tune on answers: only the tokens of answers carry loss."""
    _train(state(context), out, options, run, dry_run=dry_run)


@command(train)
def dpo(context: typer.Context, out: Out, options: DpoOptions, run: Run, dry_run: DryRun = False) -> None:
    """Train on preferences (DPO), on top of a fine-tuned model, which stays as it is."""
    _train(state(context), out, options, run, dry_run=dry_run)


@command(train)
def pairs(context: typer.Context, file: File, options: PairsOptions, run: Kept) -> None:
    """Make preferences from prompts alone: refusals against the model's own answers."""
    from snql.training.pairs import pairs as make

    here = state(context)
    with progress_shown(quiet=here.quiet) as progress:
        made = make(file, options, resume=run.resume, force=run.force, progress=progress)
    if here.json:
        print_json_parts({"counts": made.counts})
        return
    print_table(made.counts, title=f"Preferences in {file}")
    note(f"train on them: snql train dpo OUT --model {options.model} --data {file}", quiet=here.quiet)


def _train(here: State, out: Path, options: TrainOptions, run: RunFlags, *, dry_run: bool) -> None:
    if dry_run:
        from snql.training.plan import plan

        with progress_shown(quiet=here.quiet) as progress:
            made, data = plan(options, here.open(), progress)
        note(here.flagged(data.counts.summary(), "train", options.stage), quiet=here.quiet)
        _print_plan(made, as_json=here.json)
        return
    from snql.training.run import train

    with progress_shown(quiet=here.quiet) as progress:
        found = train(out, options, resume=run.resume, force=run.force, progress=progress, db=here.open())
    _print_result(found, as_json=here.json)
    made = found.plan
    if made.neurons < made.all_neurons:
        others = made.all_neurons - made.neurons
        note(
            f"{made.neurons:,} of {made.all_neurons:,} neurons were trained; the entries of the other {others:,} were "
            "checked: they are what they were, bit for bit",
            quiet=here.quiet,
        )
    note(f"{out} holds the adapter and training.json; load it as {found.model}", quiet=here.quiet)


def _print_plan(made: "Plan", *, as_json: bool) -> None:
    import polars as pl

    from snql.training.plan import described

    frame = pl.DataFrame([described(made)])
    if as_json:
        print_json_parts({"plan": frame})
        return
    cells = {**described(made), "memory": f"about {made.memory / 1e9:.3g} GB"}
    rows = pl.DataFrame([(name, str(value)) for name, value in cells.items()], ["what", "value"], orient="row")
    print_table(rows, title="What would be trained")


def _print_result(found: "TrainResult", *, as_json: bool) -> None:
    import polars as pl

    if as_json:
        print_json_parts({"history": found.history, "held_out": found.held_out})
        return
    every = max(1, -(-len(found.history) // _SHOWN))
    steps = pl.col("step")
    shown = found.history.filter((steps % every == 0) | (steps == steps.max()) | (steps == 1))
    columns = [name for name in _HISTORY if name in shown.columns]
    print_table(shown.select(columns), columns, f"Training of {found.model}", results=("step", *_RESULTS))
    if len(found.held_out):
        print_table(found.held_out, title=f"{found.plan.held_out} examples that were held out")
