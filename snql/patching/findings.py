"""What a patch run found, in sentences: a set's effect by each judge, beside its controls, and what changed unseen."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import polars as pl

from snql.db.connection import Database
from snql.db.judgements import POOLED, directions
from snql.db.scripts import query
from snql.judges.signs import meaning
from snql.patching.variants import RECIPIENT
from snql.writing.words import count

Row = dict[str, Any]
_ENOUGH = 0.9
_MUCH = 0.5
_EXAMPLES = 3


@dataclass(frozen=True)
class Unseen:
    """Texts that a patch changed and a judge saw no difference in.

    changed: the share of a set's completions that differ from the recipient's. examples: prompt, before, after.
    """

    variant: str
    judge: str
    changed: float
    n: int
    examples: pl.DataFrame

    @property
    def words(self) -> str:
        """One sentence."""
        return (
            f"{self.variant} changes {_share(self.changed)} of {count(self.n, 'answer')}, and {self.judge} sees no "
            "reliable difference in them: that is a finding about this judge; read some"
        )


def effects_of(db: Database, run_id: int) -> pl.DataFrame:
    """A patch run's rows of ``causal_effects``."""
    return db.frame(
        "SELECT * EXCLUDE (run_id) FROM causal_effects WHERE run_id = ? ORDER BY judge, dataset, variant_id", [run_id]
    )


def found_by(db: Database, effects: pl.DataFrame) -> list[str]:
    """As :func:`findings`, with what the scores of the database's judges are."""
    return findings(effects, {judge: meaning(judge, higher_is) for judge, higher_is in directions(db).items()})


def with_controls(effects: pl.DataFrame) -> pl.DataFrame:
    """Effects of the chosen sets, each with the number, mean and largest effect of its random controls.

    ``effects`` has the columns of the view ``causal_effects``.
    """
    keys = ["run", "variant", "judge", "dataset"]
    controls = (
        effects.filter(pl.col("control_of").is_not_null())
        .group_by(["run", "control_of", "judge", "dataset"])
        .agg(
            pl.len().alias("controls"),
            pl.col("effect").mean().alias("control_mean"),
            pl.col("effect").max().alias("control_max"),
            pl.col("change").min().alias("control_change_low"),
            pl.col("change").max().alias("control_change_high"),
        )
        .rename({"control_of": "variant"})
    )
    chosen = effects.filter(pl.col("control_of").is_null())
    return chosen.join(controls, on=keys, how="left", maintain_order="left")


def findings(effects: pl.DataFrame, meanings: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """A sentence for each judge and route: of several sets the smallest that carries 90%, or the one that carries most.

    All data sets pooled, where there are several; without a donor each by itself, since changes of harmful and benign
    prompts are no one change. effects: rows of ``causal_effects`` of one run. meanings: what a score is, by judge.
    """
    rows = with_controls(effects)
    n_datasets, n_routes = rows["dataset"].n_unique(), rows["route"].n_unique()
    changes = bool(rows["gap"].is_null().all())
    if n_datasets > 1:
        rows = rows.filter(pl.col("dataset") != POOLED if changes else pl.col("dataset") == POOLED)
    found = []
    for (judge, route, dataset), part in rows.group_by("judge", "route", "dataset", maintain_order=True):
        meaning = meanings.get(str(judge), "") if changes else ""
        on = "" if n_datasets == 1 else f", {'all prompts' if dataset == POOLED else dataset}"
        head = f"By {judge}{f' ({meaning})' if meaning else ''}{f', {route} effect' if n_routes > 1 else ''}{on}"
        found.append(f"{head}: {_finding(part)}.")
    return found


def _finding(rows: pl.DataFrame) -> str:
    if rows["effect"].is_null().all():
        row = rows.row(0, named=True)
        if row["gap"] is not None:
            return "no effect can be stated, since donor and recipient do not differ reliably"
        largest = rows.sort(pl.col("change").abs(), descending=True, nulls_last=True).row(0, named=True)
        if largest["change"] == 0 and len(rows) > 1:
            return f"none of {len(rows)} sets changes the mean score (n = {largest['n_prompts']})"
        return f"{_named(largest)} {_change(largest)}{f' (the most of {len(rows)} sets)' if len(rows) > 1 else ''}"
    enough = rows.filter(pl.col("effect") >= _ENOUGH).sort("n_neurons")
    if len(enough):
        row = enough.row(0, named=True)
    else:
        row = rows.sort("effect", descending=True, nulls_last=True).row(0, named=True)
    which = "the smallest that carries 90%, of" if len(enough) else "the most of"
    return f"{_named(row)} {effect_words(row)}{f' ({which} {len(rows)} sets)' if len(rows) > 1 else ''}"


def _named(row: Row) -> str:
    return f"{row['variant']} ({row['n_neurons']:,} neurons)"


def _change(row: Row) -> str:
    if row["change"] is None:
        return "changes nothing that can be stated"
    low, high = row["change_ci_low"], row["change_ci_high"]
    words = f"changes the score by {row['change']:+.3g}"
    if low is None or high is None:
        return f"{words} (n = {row['n_prompts']}: too few for an interval)"
    words += f" [{low:+.3g}, {high:+.3g}] (n = {row['n_prompts']})"
    if row["control_change_low"] is not None:
        least, most = row["control_change_low"], row["control_change_high"]
        words += f"; {count(row['controls'], 'random set')} by {least:+.3g}" + f" to {most:+.3g}" * (least != most)
    return words + ("; not different from nothing" if low <= 0 <= high else "")


def effect_words(row: Row) -> str:
    """An effect with its interval, number of prompts and controls; or why there is none."""
    if row["effect"] is None:
        return "no effect can be stated, since donor and recipient do not differ reliably"
    low, high = row["ci_low"], row["ci_high"]
    ends = "" if low is None or high is None else f" [{_share(low)}, {_share(high)}]"
    words = f"carries {_share(row['effect'])}{ends} of the difference (n = {row['n_prompts']})"
    if row["controls"]:
        words += f"; {count(row['controls'], 'random set')} at most {_share(row['control_max'])}"
        if row["control_max"] is not None and row["control_max"] >= row["effect"]:
            words += ", which is no less"
    if low is not None and high is not None and low <= 0 <= high:
        words += "; not different from nothing"
    return words


def unseen(db: Database, run_id: int, effects: pl.DataFrame) -> Unseen | None:
    """The largest set that changes most answers while some judge sees no difference, with a few of them; None if none.

    effects: rows of ``causal_effects`` of the run.
    """
    same = (pl.col("change_ci_low") <= 0) & (pl.col("change_ci_high") >= 0)
    sets = effects.filter(pl.col("control_of").is_null() & same)
    if POOLED in sets["dataset"].to_list():
        sets = sets.filter(dataset=POOLED)
    if sets.is_empty():
        return None
    largest = sets.sort("n_neurons", descending=True).row(0, named=True)
    given = {"run_id": run_id, "variant": largest["variant"], "recipient": RECIPIENT}
    found = db.frame(query("changed_texts"), given)
    changed = found.filter(pl.col("before") != pl.col("after"))
    if found.is_empty() or len(changed) < _MUCH * len(found):
        return None
    share = len(changed) / len(found)
    return Unseen(largest["variant"], largest["judge"], share, len(found), changed.head(_EXAMPLES))


def _share(value: float | None) -> str:
    return "none" if value is None else f"{100 * value + 0.0:.3g}%"
