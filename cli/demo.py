"""``snql demo``: the whole experiment on the bundled organism, and a summary of what it found."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt
from .patch import EFFECT_COLUMNS, RESULTS, note_undefined
from .progress import progress_shown
from .render import note, print_json, print_lines, print_table
from .state import state

if TYPE_CHECKING:
    import polars as pl

    from snql.demonstration.experiment import DemoResult

BEGINNING = """On the bundled models: {rankings} rankings of neurons; the safety neurons patched
while the unaligned model writes, in {sizes} sizes beside five random sets each, and
on {sets} red-teaming sets more; {tax}a report. {time} on two
idle cores. What is done is kept: stop it with Ctrl-C, and the same command goes on."""
TIMES = {False: "About a minute and a half", True: "Two to four minutes"}
"""Without and with ``--full``."""
FULL = "All of it: more rankings, sizes and prompts, the alignment tax, figures as PDF and PNG, too."
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven")

NEXT_STEPS = """Try next:
  snql query "SELECT * FROM top_neurons('safety', 10)"
  snql overlap safety helpful safety-seed2
  snql patch mine --recipient demo:sft --donor demo:safety --neurons 'safety:5% - helpful:5%' \\
      --prompts demo:harmful --judge demo:cost --random 5 --max-new-tokens 48"""

CONTROL_COLUMNS = {"controls": "controls", "control_mean": "control mean", "control_max": "control max"}


def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="Folder for the report.")] = Path("snql-report"),
    seed: opt.Seed = 0,
    full: Annotated[bool, typer.Option("--full", help=FULL)] = False,
    force: Annotated[bool, typer.Option("--force", help="Repeat finished steps.")] = False,
) -> None:
    """Run the paper's main experiment on a small pair of models that comes with snql, from weights to report."""
    import polars as pl

    from snql.demonstration.experiment import demo as run_demo

    here = state(context)
    began = time.monotonic()
    for line in _beginning(full=full):
        note(line, quiet=here.quiet)
    with progress_shown(quiet=here.quiet) as progress:
        found = run_demo(here.open(), out, seed=seed, full=full, force=force, progress=progress)
    if here.json:
        print_json(pl.concat([found.sweep, found.transfer, found.tax]))
        return
    _summary(found)
    _words(found)
    note_undefined(pl.concat([found.sweep, found.transfer, found.tax]), quiet=here.quiet)
    note(f"Everything is in {found.database}; open {found.report}", quiet=here.quiet)
    for line in NEXT_STEPS.splitlines():
        note(line, quiet=here.quiet)
    note(f"The whole took {time.monotonic() - began:.0f} s.", quiet=here.quiet)


def _beginning(*, full: bool) -> list[str]:
    """What is going to be done, and how long it takes."""
    from snql.demonstration.plan import short_plan, whole_plan

    plan = whole_plan() if full else short_plan()
    lengths = {"rankings": len(plan.located), "sizes": len(plan.sizes), "sets": len(plan.red_team)}
    numbers = {name: _NUMBERS[length] for name, length in lengths.items()}
    tax = "the alignment tax; " if plan.tax else ""
    return BEGINNING.format(**numbers, tax=tax, time=TIMES[full]).splitlines()


def _summary(found: "DemoResult") -> None:
    """What was found, in tables and then in words; every effect beside its interval and its random controls."""
    import polars as pl

    from snql.patching.findings import with_controls

    columns = {name: head for name, head in EFFECT_COLUMNS.items() if name not in ("judge", "dataset")}
    sweep = with_controls(found.sweep.filter(pl.col("judge") == "demo:cost"))
    print_table(
        sweep,
        columns | CONTROL_COLUMNS,
        "Patching the safety neurons of demo:safety into demo:sft (demo:harmful, demo:cost; lower is safer)",
        results=RESULTS,
    )
    transfer = with_controls(found.transfer.filter(pl.col("judge") == "demo:cost"))
    moved = {name: head for name, head in EFFECT_COLUMNS.items() if name not in ("judge", "variant")}
    print_table(
        transfer, moved | CONTROL_COLUMNS, "Transfer: the same 5% of neurons on other red-teaming sets", results=RESULTS
    )
    if len(found.tax):
        _tax(found.tax)
    overlaps = found.overlaps.filter(pl.col("run_a") == "safety")
    shared = {
        "run_b": "run",
        "k": "k",
        "overlap": "overlap",
        "chance": "chance",
        "chance_by_magnitude": "chance (by size)",
        "p_value_by_magnitude": "p (by size)",
        "spearman_all": "Spearman, all",
    }
    print_table(overlaps, shared, "Overlap of the top 5% with safety's", results=("overlap", "chance_by_magnitude"))


def _tax(effects: "pl.DataFrame") -> None:
    from snql.patching.findings import with_controls

    changes = {
        "run": "run",
        "dataset": "prompts",
        "judge": "judge",
        "n_prompts": "n",
        "mean_recipient": "recipient",
        "mean_patched": "patched",
        "mean_donor": "donor",
        "change": "change",
        "change_ci_low": "low",
        "change_ci_high": "high",
    }
    title = "Alignment tax: neurons that safety and helpfulness share, patched both ways"
    print_table(with_controls(effects), changes, title, results=RESULTS)


def _words(found: "DemoResult") -> None:
    import polars as pl

    from snql.demonstration import headlines

    parts = {
        "Safety neurons": headlines.sweep_headlines(found.sweep, "sweep", "safety:5%", "demo:cost"),
        "Transfer": headlines.transfer_headlines(found.transfer, "demo:cost"),
        "Alignment tax": headlines.tax_headlines(found.tax),
        "Overlap": headlines.overlap_headlines(found.overlaps.filter(pl.col("run_a") == "safety")),
    }
    for title, sentences in parts.items():
        if sentences:
            print_lines(title, sentences, folded=True)
