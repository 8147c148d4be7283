"""Rows of graded effects: margins where unpatched models part, and what patched sets make of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from snql.db import scripts
from snql.db.connection import Database
from snql.db.tables import flat, insert, replace
from snql.stats.controls import ControlEffect
from snql.stats.effects import Effect
from snql.stats.interval import CONFIDENCE


@dataclass(frozen=True)
class MarginRow:
    """A variant's log-odds, in nats, of the donor's token against the recipient's at a step of one prompt's text."""

    variant_id: int
    prompt_id: int
    step: int
    recipient_token: int
    donor_token: int
    margin: float


@dataclass(frozen=True)
class GradedRow:
    """The graded effect of a variant on one data set. n_same: prompts without margins; n_crossed: those above 0."""

    variant_id: int
    dataset: str
    effect: Effect
    n_same: int
    n_crossed: int
    control_kind: str | None = None
    controls: ControlEffect | None = None


def write_margins(connection: duckdb.DuckDBPyConnection, run_id: int, rows: Sequence[MarginRow]) -> None:
    """Insert margins of a run."""
    insert(connection, "margins", rows, run_id=run_id)


def write_graded(connection: duckdb.DuckDBPyConnection, run_id: int, rows: Sequence[GradedRow]) -> None:
    """Replace a run's graded effects."""
    replace(connection, "margin_effects", [_flat(row) for row in rows], run_id=run_id)


def prompts_measured(db: Database, run_id: int) -> set[int]:
    """The prompts whose margins a run has; those of all variants are stored together."""
    return {prompt for (prompt,) in db.rows("SELECT DISTINCT prompt_id FROM margins WHERE run_id = ?", [run_id])}


def margins_by_variant(db: Database, run_id: int) -> pl.DataFrame:
    """One row per prompt with margins: dataset, prompt_id, and a column of margins for each variant_id."""
    frame = db.frame(scripts.query("margins_of_run"), {"run_id": run_id})
    return frame.pivot(on="variant_id", index=["dataset", "prompt_id"], values="margin", maintain_order=True)


def _flat(row: GradedRow) -> dict[str, object]:
    effect, controls = row.effect, row.controls
    over = None if controls is None else controls.effect
    return {
        "variant_id": row.variant_id,
        "dataset": row.dataset,
        "n_prompts": effect.n_prompts,
        "n_same": row.n_same,
        "mean_recipient": effect.mean_recipient,
        "mean_donor": effect.mean_donor,
        "mean_patched": effect.mean_patched,
        "gap": effect.gap,
        **flat("gap_", effect.gap_interval),
        "change": effect.change,
        **flat("change_", effect.change_interval),
        "effect": None if effect.effect is None else effect.effect.value,
        **flat("", effect.effect),
        "n_crossed": row.n_crossed,
        "control_kind": row.control_kind,
        "n_controls": None if controls is None else controls.n_controls,
        "controls_difference": None if over is None else over.value,
        **flat("controls_difference_", over),
        "controls_p_value": None if controls is None else controls.permutation_p_value,
        "confidence": CONFIDENCE,
    }
