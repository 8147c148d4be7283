"""Does it matter at which token positions neurons are located?"""

import polars as pl

from snql.reporting.context import Context
from snql.reporting.figures import locating
from snql.reporting.look import Look
from snql.reporting.model import Drawing

NAME = "locating-positions"
VIEW = "figure_locating_positions"
ORDER = locating.ORDER
DESCRIPTION = "causal effect and mean score by the token positions at which neurons were located (paper figure 9)"
LACKING = (
    "no patch run has sets of several sizes from locate runs that differ in --positions only: run `snql locate` with "
    "other --positions, then `snql patch` with both runs in --neurons and a --sweep"
)
TITLE = "Causal effect and mean score, by the token positions at which the neurons were located"


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """Lines are named by the positions."""
    return locating.draw(frame, context, look, TITLE, lambda _: pl.concat_str("positions", pl.lit(" positions")))
