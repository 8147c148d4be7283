"""Does it matter on which prompts neurons are located?"""

import polars as pl

from snql.reporting.context import Context
from snql.reporting.figures import locating
from snql.reporting.look import Look
from snql.reporting.model import Drawing
from snql.writing.words import short_labels

NAME = "locating-prompts"
VIEW = "figure_locating_prompts"
ORDER = locating.ORDER
DESCRIPTION = "causal effect and mean score by the prompts on which neurons were located (paper figure 7)"
LACKING = (
    "no patch run has sets of several sizes from locate runs that differ in their prompts only: run `snql locate` with "
    "other --prompts, then `snql patch` with both runs in --neurons and a --sweep"
)
TITLE = "Causal effect and mean score, by the prompts on which the neurons were located"


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """Lines are named by data sets and number of prompts."""
    return locating.draw(frame, context, look, TITLE, _named)


def _named(shown: pl.DataFrame) -> pl.Expr:
    datasets = short_labels(shown["located_on"].unique().sort(), 34)
    named = pl.col("located_on").replace_strict(datasets, return_dtype=pl.String)
    return pl.concat_str(named, pl.lit(" ("), pl.col("located_prompts").cast(pl.String), pl.lit(" prompts)"))
