"""``snql neurons`` and ``snql neuron``: neurons to look at."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from typing_extensions import Doc

from snql.errors import InputError

from .render import is_table, note, print_json_parts, print_table
from .state import state


@dataclass(frozen=True)
class TopTokens:
    """The tokens at which each neuron is most active."""

    tokens: Annotated[int, Doc("Show N top tokens of each neuron.")] = 5
    tokens_by: Annotated[str, Doc("What top tokens are the top of: |activation| after, before, or its change.")] = (
        "after"
    )


def neurons(
    context: typer.Context,
    expression: Annotated[
        str, typer.Argument(metavar="EXPR", help="Neuron expression, such as safety:50 or 'safety:5% & helpful:5%'.")
    ],
    top_tokens: TopTokens,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", help="Show the numbers of this run, instead of those named in EXPR; repeatable."),
    ] = None,
    sort: Annotated[
        str, typer.Option(help="rank, score, layer, difference of the means (its size), or refusal-cosine.")
    ] = "rank",
    limit: Annotated[int, typer.Option(max=1_000_000, help="Show the first N neurons.")] = 20,
    html: Annotated[Path | None, typer.Option(help="Write a page to this file instead.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write all of its neurons to this file instead: .json, .csv, .txt or .safetensors."
        ),
    ] = None,
) -> None:
    """Show the neurons of an expression: score, rank, means before and after, and top tokens."""
    from snql.neuron_pages import describe_neurons

    here = state(context)
    if output is not None and html is not None:
        raise InputError("--output and --html are two files of different kinds: give one of them")
    if output is not None:
        from snql.rankings.exported import export_set

        members = export_set(here.open(), expression, output, like=next(iter(run or ()), None))
        note(f"wrote {len(members)} neurons of {members.shape} to {output}", quiet=here.quiet)
        return
    table = describe_neurons(here.open(), expression, run or (), sort=sort, limit=limit, **asdict(top_tokens))
    if html is not None:
        from snql.neuron_pages.html import neurons_html, write_page

        note(f"wrote {write_page(here.database, neurons_html(table), html, 'neurons.html')}", quiet=here.quiet)
    elif not is_table():
        print_table(table.frame)
    else:
        from .neuron_view import print_neurons

        print_neurons(table, quiet=here.quiet)


def neuron(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NEURON", help="A neuron, such as L12.N345 or L12.E3.N345.")],
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            help="Show layer, histogram and tokens of this run; repeatable. By default, of the runs that keep its "
            "tokens, the one that ranks it highest.",
        ),
    ] = None,
    examples: Annotated[int, typer.Option(help="Show N tokens in each list, with --all.")] = 10,
    around: Annotated[int, typer.Option(help="Show N tokens on each side of one.")] = 12,
    every: Annotated[
        bool, typer.Option("--all", help="Show all lists, runs and sets; else what fits 60 lines.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page to this file instead; to NEURON.html in a folder that exists.")
    ] = None,
) -> None:
    """Show one neuron: scores in all runs, its layer, activations, top tokens in context, and sets that hold it."""
    from snql.neuron_pages import describe_neuron

    here = state(context)
    page = describe_neuron(here.open(), name, run or (), examples=examples, context=around)
    if html is not None:
        from snql.neuron_pages.html import neuron_html, write_page

        note(f"wrote {write_page(here.database, neuron_html(page), html, f'{page.name}.html')}", quiet=here.quiet)
    elif here.json:
        print_json_parts(page.frames())
    elif not is_table():
        print_table(page.scores)
    else:
        from .neuron_view import print_neuron

        print_neuron(page, quiet=here.quiet, everything=every)
