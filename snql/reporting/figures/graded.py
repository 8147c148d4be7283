"""Graded effect against the number of patched neurons: log-odds where recipient and donor part."""

import polars as pl

from snql.reporting.context import Context, patch_words
from snql.reporting.figures import effect_size
from snql.reporting.kit import captions, rows
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.look import Look


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each run, or for each run and data set while they are few."""
    shown = rows.few_panels(frame)
    sets = shown.filter(pl.col("kind") == "set")
    words = [
        "Share of the way from recipient to donor in the log-odds of the donor's token against the recipient's, at the "
        "first step where their greedy texts differ; all read the same text up to there. 1: all of it; 0: none.",
        "Bars are 95 % intervals over prompts (Fieller's); n counts the prompts whose texts differ.",
        effect_size.control_words(shown),
        captions.undefined(shown),
        patch_words(context, rows.runs(sets)),
    ]
    return effect_size.chart(effect_size.marked(shown), look, "graded effect"), words


FIGURE = Figure(
    name="graded-effects",
    view="figure_graded_effects",
    order=("run", "dataset", "series", "kind", "n_neurons", "variant"),
    title="Graded effect of the patched neurons, by their number",
    description="share of the gap in log-odds that patched sets close where the models' texts part",
    lacking="no finished patch run has graded effects: run `snql patch … --donor …` without `--no-graded` to get some",
    sketch=_sketch,
)
