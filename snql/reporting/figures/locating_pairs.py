"""Does it matter which two models are compared to locate neurons, and which of them writes?"""

import polars as pl

from snql.reporting.context import Context
from snql.reporting.figures import locating
from snql.reporting.look import Look
from snql.reporting.model import Drawing
from snql.writing.words import short_labels

NAME = "locating-pairs"
VIEW = "figure_locating_pairs"
ORDER = locating.ORDER
DESCRIPTION = "causal effect and mean score by the compared pair of models and by who writes (paper figure 8)"
LACKING = (
    "no patch run has sets of several sizes from locate runs that differ in their models or --completions-by only: run "
    "`snql locate` with other models or writer, then `snql patch` with both runs in --neurons and a --sweep"
)
TITLE = "Causal effect and mean score, by the compared models and by who writes"


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """Lines are named by the models before and after, and by the one that writes."""
    return locating.draw(frame, context, look, TITLE, _named)


def _named(shown: pl.DataFrame) -> pl.Expr:
    models = short_labels(pl.concat([shown["before"], shown["after"]]).unique().sort(), 18)
    pair = [pl.col(name).replace_strict(models, return_dtype=pl.String) for name in ("before", "after")]
    return pl.concat_str(pair[0], pl.lit(" against "), pair[1], pl.lit(", "), "completions_by", pl.lit(" writes"))
