"""``snql paper``: the figures and tables of the paper as recipes, run step by step."""

import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typing_extensions import Doc

from snql.errors import InputError, RunError, SnqlError
from snql.options import Argument, Flag

from .interrupts import EXIT_CODE
from .render import is_table, note, plain, print_lines, print_rows, set_format, table_format
from .state import State, state

if TYPE_CHECKING:
    from snql.paper.beside import Beside
    from snql.paper.plan import Plan, Step


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which recipes, and for what models."""

    names: Annotated[tuple[str, ...], Doc("Recipes, such as fig2 or table1."), Argument()] = ()
    every: Annotated[bool, Doc("All recipes."), Flag("--all", key="every")] = False
    scale: Annotated[str, Doc("demo, smollm2-135m, llama-2-7b, mistral-7b, gemma-7b, qwen2.5-3b, or a file.")] = "demo"
    changes: Annotated[
        tuple[str, ...],
        Doc("NAME=VALUE: another value for a variable of the scale; repeatable."),
        Flag("--set", key="changes"),
    ] = ()


@dataclass(frozen=True, kw_only=True)
class Reckoning:
    """What recipes would cost."""

    dry_run: Annotated[bool, Doc("Print every step with its GPU hours and gigabytes; run nothing.")] = False
    card: Annotated[str, Doc("The GPU that --dry-run reckons with.")] = "a100-80gb"
    rates: Annotated[Path | None, Doc("TOML file with cards and rates of your own, for --dry-run.")] = None


def paper(
    context: typer.Context,
    options: Wanted,
    costs: Reckoning,
    out: Annotated[Path, typer.Option("--out", help="Folder for the pages.")] = Path("snql-paper"),
    beside: Annotated[
        list[str] | None,
        typer.Option("--beside", help="NAME=FILE: the rows.csv of another scale, in a column of its own; repeatable."),
    ] = None,
    list_recipes: Annotated[bool, typer.Option("--list", help="List the recipes and exit.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Repeat finished steps.")] = False,
) -> None:
    """Run the paper's experiments: one recipe for each of its figures and tables, with results beside the published."""
    from snql.paper.beside import read_beside
    from snql.paper.files import recipe, recipes
    from snql.paper.files import scale as read_scale
    from snql.paper.missing import check_needs
    from snql.paper.plan import plan

    here = state(context)
    if list_recipes:
        _print_recipes(here)
        return
    if not options.names and not options.every:
        raise InputError("no recipe is named: name some (`snql paper --list` has them), or take --all")
    wanted = recipes() if options.every else tuple(recipe(name) for name in dict.fromkeys(options.names))
    planned = plan(wanted, read_scale(options.scale, _pairs(options.changes)))
    if costs.dry_run:
        _print_costs(here, planned, costs.card, costs.rates)
        return
    check_needs(planned)
    _run(context, here, planned, out, [read_beside(each) for each in beside or ()], force=force)


def _pairs(changes: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise InputError(f"--set {change!r} is no NAME=VALUE, such as models=/data/models")
        pairs[name.strip()] = value
    return pairs


def _print_recipes(here: State) -> None:
    import polars as pl

    from snql.paper.files import recipes

    rows = [(each.name, each.source, each.title) for each in recipes()]
    print_rows(pl.DataFrame(rows, schema=["recipe", "paper", "shows"], orient="row"), as_json=here.json)


def _print_costs(here: State, planned: "Plan", card: str, rates: Path | None) -> None:
    from snql.paper.costs import estimate

    found = estimate(planned, card, rates)
    if is_table():
        for step in planned.steps:
            sys.stdout.write(f"{plain(step.line)}\n")
        sys.stdout.write("\n")
    columns = {"step": "step", "gpu_hours": "GPU hours", "gigabytes": "gigabytes"}
    print_rows(found.frame, as_json=here.json, columns=columns, title=found.title, results=("gpu_hours", "gigabytes"))
    for words in found.notes:
        note(words, quiet=here.quiet)


def _run(
    context: typer.Context, here: State, planned: "Plan", out: Path, besides: Sequence["Beside"], *, force: bool
) -> None:
    from snql.paper.page import write

    (out / "steps").mkdir(parents=True, exist_ok=True)
    root = context.find_root().command
    for place, step in enumerate(planned.steps, 1):
        note(f"step {place} of {len(planned.steps)}: {step.line}", quiet=here.quiet)
        text = _output(root, here, step, force=force)
        (out / "steps" / f"{step.name}.txt").write_text(f"$ {step.line}\n\n{text}", "utf-8")
    made = write(here.open(), planned, out, besides)
    if here.json or len(made.counts):
        print_rows(made.counts, as_json=here.json, title="Claims of the paper")
    else:
        print_lines("Claims of the paper", ["None of these rows is tested against the paper."])
    note(f"Open {made.index}; the rows are in {made.words}", quiet=here.quiet)


def _output(root: Any, here: State, step: "Step", *, force: bool) -> str:
    """What a step prints. A run that is there is kept, one that was cut off goes on, unless ``force``."""
    arguments = ["--db", str(here.database), *(["--quiet"] if here.quiet else []), *step.arguments]
    known = _options(root, step.words)
    again = "--force" if force else "--resume"
    if again in known:
        arguments.append(again)
    printed, shown_as = io.StringIO(), table_format()
    try:
        with contextlib.redirect_stdout(printed):
            code = root.main(arguments, prog_name="snql", standalone_mode=False) or 0
    except SnqlError as error:
        kind = InputError if error.exit_code == InputError.exit_code else RunError
        raise kind(f"step `{step.line}`: {error}") from error
    finally:
        set_format(shown_as)
    if code == EXIT_CODE:
        raise KeyboardInterrupt
    if code:
        sys.stderr.write(printed.getvalue())
        raise RunError(f"step `{step.line}` ended with exit code {code}")
    return printed.getvalue()


def _options(command: Any, words: tuple[str, ...]) -> set[str]:
    """The options of the command that the words name."""
    for word in words:
        command = getattr(command, "commands", {}).get(word, command)
    return {name for parameter in command.params for name in parameter.opts}
