"""Scores of the variants of a patch run, compared prompt by prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from snql.stats.controls import ControlEffect, against_controls
from snql.stats.effects import Effect, causal_effect


@dataclass(frozen=True)
class Comparison:
    """What patched variants are compared with.

    Tables of scores have a row per prompt and a column per variant, named by its id. recipient, donor: their columns.
    seed: of random sign flips.
    """

    recipient: str
    donor: str | None
    seed: int

    def complete(self, scores: pl.DataFrame, variants: Sequence[str]) -> pl.DataFrame:
        """The prompts that have a score under these variants and under recipient and donor."""
        fixed = [self.recipient] if self.donor is None else [self.recipient, self.donor]
        needed = [*fixed, *variants]
        return scores.drop_nulls(needed) if set(needed) <= set(scores.columns) else scores.clear()

    def effect(self, scores: pl.DataFrame, variant: str) -> Effect:
        """The effect of a variant, of complete rows."""
        donor = None if self.donor is None else scores[self.donor].to_numpy()
        return causal_effect(scores[self.recipient].to_numpy(), donor, scores[variant].to_numpy())

    def against(self, scores: pl.DataFrame, variant: str, controls: Sequence[str]) -> ControlEffect | None:
        """A variant against its controls; None if no prompt has a score under all of them."""
        rows = self.complete(scores, [variant, *controls])
        if rows.is_empty():
            return None
        gap = None if self.donor is None else (rows[self.donor] - rows[self.recipient]).to_numpy()
        theirs = rows.select(controls).to_numpy().T
        return against_controls(rows[variant].to_numpy(), theirs, gap, self.seed)
