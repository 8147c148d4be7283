"""What came out, beside what was published: values with intervals from the database, and whether a claim holds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import polars as pl

from snql.db import Database
from snql.errors import DatabaseError
from snql.paper.files import Claim, Listing, Recipe, Scale
from snql.reporting.sources import rows
from snql.stats.effects import share_interval

HOLDS = "agrees"
FAILS = "does not agree"
UNDECIDED = "undecided"
UNDEFINED = "undefined"
MISSING = "not run"
SHOWN = "no test"
AGAIN = "counted elsewhere"
VERDICTS = {
    HOLDS: "ours is beyond the bound, its whole interval where there is one",
    FAILS: "ours is on the other side of the bound, its whole interval where there is one",
    UNDECIDED: "the interval of ours covers the bound",
    UNDEFINED: "ours has no value, such as an effect where both models score alike",
    MISSING: "the database has no such rows",
    SHOWN: "numbers stand beside each other: the paper states no bound that could be tested, ours has no interval, or "
    "adapters that mean nothing pass in more than one of ten draws",
    AGAIN: "the same measurement is a tested row of another section",
}


@dataclass(frozen=True)
class Outcome:
    """One row beside the paper's. label: what the row is about where a claim has several; n: how many were counted
    (prompts, mostly); chance: the value of a matched random set or of chance."""

    claim: Claim
    label: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    chance: float | None
    verdict: str


def outcomes(db: Database, recipe: Recipe, runs: Sequence[str]) -> tuple[Outcome, ...]:
    """A row for each of ours, at least one a claim, in the order of the recipe. runs: names of the recipe's runs.

    Raises DatabaseError if the database lacks the views of this snql.
    """
    return tuple(found for claim in recipe.claims for found in _of_claim(db, claim, runs))


def published(claim: Claim, scale: Scale) -> str:
    """What the paper says: of the scale's own model if it is there, else of all of its models."""
    if scale.name in claim.published:
        return claim.published[scale.name]
    names = {"all": ""}
    return "; ".join(f"{names.get(name, name)} {text}".strip() for name, text in claim.published.items())


def listing(db: Database, each: Listing, runs: Sequence[str]) -> pl.DataFrame:
    """The rows of a listing."""
    return rows(db, each.sql, **_bound(each.sql, runs))


def verdict(rule: tuple[str, float] | None, value: float | None, low: float | None, high: float | None) -> str:
    """Whether an interval is beyond the bound of a rule; a value without one is no test of it."""
    if value is None or not math.isfinite(value):
        return UNDEFINED
    if rule is None or low is None or high is None:
        return SHOWN
    kind, bound = rule
    if kind == "within":
        return HOLDS if -bound < low and high < bound else FAILS if low >= bound or high <= -bound else UNDECIDED
    nearest, farthest, bound = (low, high, bound) if kind == "above" else (-high, -low, -bound)
    return HOLDS if nearest > bound else FAILS if farthest <= bound else UNDECIDED


def _of_claim(db: Database, claim: Claim, runs: Sequence[str]) -> list[Outcome]:
    try:
        found = rows(db, claim.sql, **_bound(claim.sql, runs))
    except duckdb.Error as error:
        raise DatabaseError(f"the query of {claim.says!r} failed: {error}") from error
    if found.is_empty():
        return [Outcome(claim, "", None, None, None, None, None, MISSING)]
    return [_outcome(claim, row) for row in found.iter_rows(named=True)]


def _bound(sql: str, runs: Sequence[str]) -> dict[str, object]:
    return {"runs": list(runs)} if "$runs" in sql else {}


def _outcome(claim: Claim, row: dict[str, Any]) -> Outcome:
    value, low, high = _measured(row)
    label, restates = row.get("label"), row.get("restates")
    decided = verdict(claim.rule if claim.tested else None, value, low, high)
    if restates is not None and decided not in (SHOWN, UNDEFINED):
        decided = AGAIN
    return Outcome(
        claim,
        "" if label is None else str(label),
        value,
        low,
        high,
        row.get("n"),
        row.get("chance"),
        decided,
    )


def _measured(row: dict[str, Any]) -> tuple[float | None, float | None, float | None]:
    """A value with its interval: as the row has it, or of its changes as a share of its gaps."""
    if "changes" not in row:
        value = row["value"]
        return None if value is None else float(value), row.get("low"), row.get("high")
    if not row["changes"]:
        return None, None, None
    found = share_interval(*(np.array(row[name], dtype=np.float64) for name in ("changes", "gaps")))
    return (None, None, None) if found is None else (found.value, found.low, found.high)
