"""What captions say of what is drawn: random sets, undefined effects, and what is left out."""

import polars as pl

from snql.writing.words import count, listing

EFFECT = "Effect 1: the set carries the whole difference between donor and recipient; 0: none of it."
GRADED = (
    "In log-odds: the share of the way that sets go from recipient to donor in the log-odds of the donor's token "
    "against the recipient's, where their texts first differ. A judge sees an answer change only where these cross 0, "
    "so the two curves need not agree."
)
MAIN_SET = "For each run the set of 5 % of the neurons, or the largest one with a defined effect."
NO_CONTROLS = "No random sets were patched, so nothing shows what any set of this size would do."
TWICE = "A set that several runs patched under equal settings is drawn once."


def controls(shown: pl.DataFrame, what: str = "mean and range of random sets") -> str:
    """What the grey marks are, or that there are none."""
    numbers = shown.filter(pl.col("n_controls") > 0)["n_controls"]
    if numbers.is_empty():
        return NO_CONTROLS
    sets = listing([str(number) for number in numbers.unique().sort().to_list()])
    return f"Grey: {what} with as many neurons in each layer ({sets} for each set)."


def undefined(rows: pl.DataFrame) -> str:
    """How many effects are undefined, and why; empty if none is."""
    number = rows.filter(pl.col("effect").is_null()).height
    if not number:
        return ""
    verb = "is" if number == 1 else "are"
    return (
        f"{count(number, 'effect')} of {rows.height:,} {verb} undefined and not drawn, because the interval "
        "of the donor-recipient difference covers 0."
    )


def left_out(number: int, noun: str) -> str:
    """How many of something are only in the CSV file; empty if none."""
    return f"{count(number, f'more {noun}')} not drawn (see the CSV file)." if number else ""


def runs_left_out(n_drawn: int, n_rest: int) -> str:
    """That only the first runs by name are drawn; empty if all are."""
    if not n_rest:
        return ""
    drawn = "Only the first run by name" if n_drawn == 1 else f"The first {n_drawn} runs by name"
    return f"{drawn}; {left_out(n_rest, 'run')}"
