"""The numbers of the alignment-tax experiment: how much costs and rewards change, and how much more the ones do."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import polars as pl

from snql.db.connection import Database
from snql.db.judgements import POOLED, scores_by_variant
from snql.patching.patch import PatchResult
from snql.patching.variants import DONOR, RECIPIENT
from snql.stats.interval import Interval
from snql.stats.magnitudes import Changes, size_ratio

_COPIED = (
    *("run", "judge", "dataset", "n_neurons", "n_prompts", "mean_recipient", "mean_patched", "mean_donor"),
    *("change", "change_ci_low", "change_ci_high", "n_controls", "controls_mean"),
    *("controls_difference", "controls_difference_ci_low", "controls_difference_ci_high"),
    *("controls_permutation_p_value", "effect", "ci_low", "ci_high", "confidence", "resamples", "seed"),
)

_SIDE = {"": pl.String, "_on": pl.String, "_change": pl.Float64, "_ci_low": pl.Float64, "_ci_high": pl.Float64}
_RATIOS = {
    "recipient_is": pl.String,
    "donor_is": pl.String,
    "run": pl.String,
    **{f"cost{end}": kind for end, kind in _SIDE.items()},
    **{f"reward{end}": kind for end, kind in _SIDE.items()},
    "n_cost": pl.Int64,
    "n_reward": pl.Int64,
    "ratio": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "paired": pl.Boolean,
}


def changes(effects: pl.DataFrame, recipient: str, donor: str, signs: Mapping[str, str]) -> pl.DataFrame:
    """A row per judge and data set of one direction: the patched set's, from the rows of ``causal_effects``."""
    return (
        effects.filter(pl.col("control_of").is_null())
        .select(
            pl.lit(recipient).alias("recipient_is"),
            pl.lit(donor).alias("donor_is"),
            pl.col("judge").replace_strict(dict(signs), return_dtype=pl.String).alias("sign"),
            *_COPIED,
        )
        .sort("sign", "judge", "dataset", maintain_order=True)
    )


def ratios(
    db: Database,
    found: PatchResult,
    recipient: str,
    donor: str,
    signs: Mapping[str, str],
    compared_on: Mapping[str, str | None],
) -> pl.DataFrame:
    """|change of cost| / |change of reward| of one direction, a row for each pair of judges of these signs.

    compared_on: the data set of each sign, None for all. A ratio is NULL where the interval of a change covers 0.
    """
    sides: dict[str, list[_Side]] = {"cost": [], "reward": []}
    for judge, sign in signs.items():
        side = _side(db, found, judge, compared_on[sign])
        if side is not None:
            sides[sign].append(side)
    place = {"recipient_is": recipient, "donor_is": donor, "run": found.run}
    rows = [place | _compared(cost, reward) for cost, reward in product(sides["cost"], sides["reward"])]
    return pl.DataFrame(rows, schema=_RATIOS)


@dataclass(frozen=True)
class _Side:
    """One judge's change; scores: prompt_id, change and gap, of the prompts with all scores."""

    effect: dict[str, Any]
    scores: pl.DataFrame

    def cells(self, sign: str) -> dict[str, Any]:
        effect = self.effect
        values = [effect[name] for name in ("judge", "dataset", "change", "change_ci_low", "change_ci_high")]
        return dict(zip((f"{sign}{end}" for end in _SIDE), values, strict=True)) | {f"n_{sign}": effect["n_prompts"]}


def _side(db: Database, found: PatchResult, judge: str, dataset: str | None) -> _Side | None:
    """The judge's change on a data set, or on all prompts; None if it scored none of them."""
    chosen = found.effects.filter(pl.col("control_of").is_null() & (pl.col("judge") == judge))
    pooled = POOLED if POOLED in chosen["dataset"] else None
    wanted = chosen if dataset is None and pooled is None else chosen.filter(pl.col("dataset") == (dataset or pooled))
    if wanted.is_empty():
        return None
    effect = wanted.row(0, named=True)
    scores = scores_by_variant(db, found.run_id, judge)
    if dataset is not None:
        scores = scores.filter(pl.col("dataset") == dataset)
    patched = str(effect["variant_id"])
    scores = scores.drop_nulls([str(RECIPIENT), str(DONOR), patched])
    from_recipient = {"change": pl.col(patched), "gap": pl.col(str(DONOR))}
    changes = {name: score - pl.col(str(RECIPIENT)) for name, score in from_recipient.items()}
    return _Side(effect, scores.select("prompt_id", **changes))


def _compared(cost: _Side, reward: _Side) -> dict[str, Any]:
    paired = cost.effect["dataset"] == reward.effect["dataset"]
    sides = [cost.scores, reward.scores]
    if paired:
        sides = [one.join(other, on="prompt_id", how="semi").sort("prompt_id") for one, other in (sides, sides[::-1])]
    over, under = (Changes(side["change"].to_numpy(), side["gap"].to_numpy()) for side in sides)
    return cost.cells("cost") | reward.cells("reward") | _cells(size_ratio(over, under, paired=paired), paired)


def _cells(ratio: Interval | None, paired: bool) -> dict[str, Any]:
    values = (None, None, None) if ratio is None else (ratio.value, ratio.low, ratio.high)
    return dict(zip(("ratio", "ci_low", "ci_high"), values, strict=True)) | {"paired": paired}
