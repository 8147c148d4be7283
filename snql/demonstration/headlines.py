"""The demo's findings in a few sentences, with intervals and controls, and plain words where nothing was found."""

import polars as pl

from snql.patching.findings import effect_words, with_controls

Row = dict[str, object]


def sweep_headlines(sweep: pl.DataFrame, run: str, variant: str, judge: str) -> list[str]:
    """What one set of a sweep carries, and the smallest set that carries 90%."""
    rows = with_controls(sweep.filter((pl.col("run") == run) & (pl.col("judge") == judge)))
    chosen = rows.filter(pl.col("variant") == variant).row(0, named=True)
    lines = [f"{variant} ({chosen['n_neurons']} neurons, {_share(chosen['fraction'])} of all): {effect_words(chosen)}."]
    if chosen["graded"] is not None:
        lines.append(
            f"In log-odds, where the texts of recipient and donor part, it goes {_share(chosen['graded'])} "
            f"[{_share(chosen['graded_ci_low'])}, {_share(chosen['graded_ci_high'])}] of the way: a judge sees an "
            "answer change only where the odds cross even."
        )
    enough = rows.filter(pl.col("effect") >= 0.9).sort("n_neurons")
    if len(enough):
        first = enough.row(0, named=True)
        lines.append(f"The smallest set of the sweep that carries at least 90%: {first['variant']}.")
    elif rows["effect"].is_not_null().any():
        most = rows.sort("effect", descending=True, nulls_last=True).row(0, named=True)
        lines.append(f"No set of the sweep carries 90%; the most is {_share(most['effect'])} by {most['variant']}.")
    return lines


def transfer_headlines(transfer: pl.DataFrame, judge: str) -> list[str]:
    """The effect on each data set, the pooled one left out."""
    rows = with_controls(transfer.filter((pl.col("judge") == judge) & (pl.col("dataset") != "*")))
    return [f"On {row['dataset']}: {effect_words(row)}." for row in rows.iter_rows(named=True)]


def tax_headlines(tax: pl.DataFrame) -> list[str]:
    """How cost on harmful and reward on benign prompts change when shared neurons are patched."""
    wanted = (pl.col("judge").str.ends_with("cost") & pl.col("dataset").str.contains("harmful")) | (
        pl.col("judge").str.ends_with("reward") & pl.col("dataset").str.contains("benign")
    )
    rows = tax.filter(pl.col("control_of").is_null() & wanted)
    return [_change_words(row) for row in rows.iter_rows(named=True)]


def ratio_headlines(ratios: pl.DataFrame) -> list[str]:
    """What each direction of the alignment-tax experiment costs and gains, from rows of ``TaxResult.ratios``."""
    return [_ratio_words(row) for row in ratios.iter_rows(named=True)]


def overlap_headlines(overlaps: pl.DataFrame) -> list[str]:
    """Overlap of two runs beside chance, of each kind that is known."""
    chances = {
        "chance": "by chance",
        "chance_by_layer": "within layers",
        "chance_by_magnitude": "among neurons of like size",
    }
    return [
        f"The top {row['k']} of {row['run_a']} and {row['run_b']} share {_share(row['overlap'])} ("
        + "; ".join(f"{words} {_share(row[name])}" for name, words in chances.items() if row[name] is not None)
        + ")."
        for row in overlaps.iter_rows(named=True)
    ]


def _change_words(row: Row) -> str:
    low, high = _number(row["change_ci_low"]), _number(row["change_ci_high"])
    words = (
        f"{row['run']}: {row['judge']} on {row['dataset']} changes by {_number(row['change']):+.2f} "
        f"[{low:+.2f}, {high:+.2f}]"
    )
    return words + ("; not different from nothing." if low <= 0 <= high else ".")


def _ratio_words(row: Row) -> str:
    cost, safer = _side_words(row, "cost", ("less safe", "safer"))
    reward, better = _side_words(row, "reward", ("more helpful", "less helpful"))
    words = f"{row['donor_is']} into {row['recipient_is']}: {cost}; {reward}. "
    if row["ratio"] is None:
        return words + "No ratio of the two can be stated."
    words += (
        f"|cost| is {_number(row['ratio']):.3g} [{_number(row['ci_low']):.3g}, {_number(row['ci_high']):.3g}] times "
        "|reward|, each in its judge's units"
    )
    traded = safer != better
    return f"{words}; one is {'paid for with' if traded else 'moved together with'} the other."


def _side_words(row: Row, sign: str, kinds: tuple[str, str]) -> tuple[str, bool]:
    """A change in words, and whether it is for the better."""
    change, low, high = (_number(row[f"{sign}_{name}"]) for name in ("change", "ci_low", "ci_high"))
    place = "all prompts" if row[f"{sign}_on"] == "*" else row[f"{sign}_on"]
    words = f"{row[sign]} on {place} {change:+.2f} [{low:+.2f}, {high:+.2f}] (n = {row[f'n_{sign}']})"
    if low <= 0 <= high:
        return f"{words}, not different from nothing", False
    return f"{words}, {kinds[0] if change > 0 else kinds[1]}", (change > 0) == (sign == "reward")


def _share(value: object) -> str:
    return f"{100 * _number(value):.3g}%"


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"expected a number, not {value!r}")
    return float(value)
