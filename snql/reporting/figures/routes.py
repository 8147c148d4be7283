"""Total and direct effects of the same sets: activations handed over, or parameters."""

import polars as pl

from snql.reporting.context import Context, interval_words, judge_words, patch_words
from snql.reporting.figures import effect_size
from snql.reporting.kit import captions, rows
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.look import Look

_WORDS = {"total": "total: the donor's activations", "direct": "direct: the donor's parameters"}


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each pair of models and data set; of several series the one with most sizes."""
    sizes = (
        frame.group_by("series")
        .agg(pl.col("n_neurons").n_unique())
        .sort("n_neurons", "series", descending=[True, False])
    )
    first = sizes["series"][0]
    chosen = frame.filter(pl.col("series") == first)
    alone = chosen.select("recipient", "donor").n_unique() == 1
    pair = pl.lit(f"sets of {first}") if alone else pl.format("{} into {}", "donor", "recipient")
    pairs = chosen.with_columns(pair.alias("run"), pl.col("route").replace(_WORDS).alias("series"))
    shown = rows.few_panels(pairs)
    sets = shown.filter(pl.col("kind") == "set")
    words = [
        f"Sets of {first}. Total: chosen neurons take the donor's activations, and hand on what earlier layers of the "
        "donor did, too. Direct: they are computed with the donor's parameters from the recipient's own stream.",
        captions.EFFECT,
        f"Bars are {interval_words(sets)}.",
        effect_size.control_words(shown),
        judge_words(sets),
        captions.undefined(shown),
        patch_words(context, rows.runs(chosen)),
        captions.left_out(frame["series"].n_unique() - 1, "series"),
    ]
    return effect_size.chart(effect_size.marked(shown), look), words


FIGURE = Figure(
    name="routes",
    view="figure_routes",
    order=("recipient", "donor", "dataset", "series", "route", "kind", "n_neurons", "variant", "run"),
    title="Total and direct effect of the patched neurons",
    description="causal effects of activations and of parameters of the same sets",
    lacking="no sets were patched by both routes: run `snql patch … --mode both`",
    sketch=_sketch,
)
