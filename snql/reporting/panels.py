"""What figures with a panel for each run share: which runs are drawn, names of neurons, words that fit a panel."""

import polars as pl

from snql.reporting.fonts import wrap
from snql.reporting.look import Look
from snql.writing.words import count, short_labels

FORMAT = ".6~g"
"""Numbers on axes: 1000 and 0.01, not 1e+3."""


def first_runs(frame: pl.DataFrame, most: int) -> tuple[pl.DataFrame, list[str], int]:
    """The rows of the first ``most`` runs by name, these names, and how many other runs there are."""
    runs = frame["run"].unique().sort().to_list()
    return frame.filter(pl.col("run").is_in(runs[:most])), runs[:most], max(0, len(runs) - most)


def rest_words(n_drawn: int, n_rest: int) -> str:
    """That some runs are not drawn; empty if all are."""
    if not n_rest:
        return ""
    drawn = "Only the first run by name" if n_drawn == 1 else f"The first {n_drawn} runs by name"
    return f"{drawn}; {count(n_rest, 'more run')} not drawn (see the CSV file)."


def neuron_names() -> pl.Expr:
    """``L12.N345``, or ``L12.E3.N345`` in a mixture of experts, from layer, expert and neuron."""
    expert = pl.when(pl.col("expert").is_null()).then(pl.lit("")).otherwise(pl.format("E{}.", "expert"))
    return pl.format("L{}.{}N{}", "layer", expert, "neuron")


def run_labels(runs: list[str], look: Look, columns: int) -> dict[str, str]:
    """A label for each run that fits the heading of one of ``columns`` panels in a row."""
    room = 0.7 * look.width / columns
    return short_labels(runs, max(8, min(26, int(room / (0.53 * look.size(1.1))))))


def lines_of(text: str, look: Look, columns: int) -> list[str]:
    """The title of an axis as lines that fit one of ``columns`` panels in a row."""
    return wrap(text, 0.6 * look.width / columns, look.size(1.07))
