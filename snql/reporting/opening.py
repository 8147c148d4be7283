"""How the page opens: what was found in a sentence, its chart, and one prompt with the answers to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import polars as pl
from markupsafe import Markup

from snql.reporting import screen
from snql.reporting.context import Context
from snql.reporting.figures.effect_size import FIGURE as SIZES
from snql.reporting.showing import findings_of
from snql.reporting.sources import Sources
from snql.reporting.summary import Answer, answer
from snql.reporting.writings import Compared, Variant, WrittenRun
from snql.writing.words import count

BESIDE = 600.0
"""Width of the chart in pixels where it stands beside the words."""
LABEL = "Causal effect by the number of patched neurons"
KINDS = ("patch", "guard", "divergence", "perplexity", "locate")
"""Of the first with something to say is the sentence, if no patch run has an effect."""


@dataclass(frozen=True)
class Opening:
    """What stands first. run: the patch run it is about; label: what the chart shows; which: which prompt of how many
    it is; judged: whether the answers have scores."""

    sentence: str
    run: str = ""
    chart: Markup = field(default=Markup(), repr=False)
    label: str = ""
    written: Compared | None = None
    which: str = ""
    judged: bool = False


def read(
    source: Sources, context: Context, effects: pl.DataFrame, sizes: pl.DataFrame, written: Sequence[WrittenRun]
) -> Opening:
    """The opening of a page about the report's runs. effects: rows of ``figure_effects``; sizes: those of its chart."""
    found = answer(effects, context.runs)
    if found is None:
        return Opening(_first_said(source, context))
    run = next((run for run in written if run.run == found.row["run"]), None)
    example = None if run is None else _example(run, found)
    which = "" if run is None else f"One of {count(len(run.prompts), 'prompt')}: the first whose answer the set changes"
    return Opening(
        found.sentence,
        found.row["run"],
        _chart(sizes, context, found),
        LABEL,
        example,
        which,
        bool(run is not None and run.judges),
    )


def _first_said(source: Sources, context: Context) -> str:
    """What the first run says that has something to say."""
    for kind in KINDS:
        for db, end in source.labelled():
            for name, run_id in source.kept(context.runs.filter(kind=kind))["run", "run_id"].iter_rows():
                if name.endswith(end) and (said := findings_of(db, run_id, kind)):
                    return said[0]
    return f"{count(context.runs.height, 'run')}: what they measured is below."


def _chart(sizes: pl.DataFrame, context: Context, found: Answer) -> Markup:
    """Effects by the number of neurons, of the run and prompts that the sentence is about; empty if there are none."""
    frame = sizes.filter(run=found.row["run"], dataset=found.row["dataset"])
    if SIZES.lacks(frame) is not None:
        return Markup()
    return screen.chart(partial(SIZES.draw, frame, context), wide=BESIDE)


def _example(run: WrittenRun, found: Answer) -> Compared | None:
    """The first prompt that the set changes as it does on average; without scores, whose answer it changes."""
    patched = next((each for each in run.of("patched") if each.name == found.row["variant"]), None)
    (recipient, *_) = run.of("recipient")
    columns = run.columns(patched)
    for place in range(len(run.prompts)):
        texts = [variant.texts[place] for variant in columns]
        if (
            None not in texts
            and patched
            and texts[0] != patched.texts[place]
            and _moves(recipient, patched, place, found)
        ):
            return run.compared(place, columns)
    return None


def _moves(recipient: Variant, patched: Variant, place: int, found: Answer) -> bool:
    if not recipient.scores:
        return True
    before, after = recipient.scores[0][place], patched.scores[0][place]
    return before is not None and after is not None and (after - before) * (found.row["change"] or 0.0) > 0
