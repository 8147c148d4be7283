"""``snql demo``: the whole experiment on the bundled organism, from weights to report."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.patching.options import PatchOptions, TaxOptions
from snql.patching.patch import patch
from snql.patching.tax import TaxResult, tax
from snql.progress import ProgressCallback, silent, within
from snql.prompts.options import PromptOptions
from snql.rankings.overlaps import compare
from snql.reporting.build import build
from snql.reporting.folder import check_place
from snql.reporting.model import Report

LOCATED = ("safety", "safety-seed2", "safety-seed3", "helpful", "concise", "polite", "format")
SIZES = ("0.5%", "1%", "2%", "5%", "10%", "20%")
RED_TEAM = ("demo:harmful", "demo:harmful-rephrased", "demo:harmful-new-families", "demo:harmful-wrapped")
JUDGES = ("demo:cost", "refusal")
TAX_JUDGES = ("demo:cost", "demo:reward")
TAX_PROMPTS = ("demo:harmful", "demo:benign")

_WRITING = WritingOptions(max_new_tokens=48, batch_size=256)
_CONTROLS = 5


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    sweep, transfer and tax: rows of ``causal_effects``; overlaps: rows of :class:`snql.stats.overlap.Overlap`.
    """

    database: Path
    report: Report
    sweep: pl.DataFrame
    transfer: pl.DataFrame
    tax: pl.DataFrame
    overlaps: pl.DataFrame


def demo(
    db: Database, out: Path, *, seed: int = 0, force: bool = False, progress: ProgressCallback = silent
) -> DemoResult:
    """Run every step that is not already in the database, then write the report into ``out``.

    Raises InputError if the database has runs of the demo's names with other settings (``force`` replaces them), or if
    there can be no folder ``out``.
    """
    check_place(out)
    steps = _Steps(db, seed, force, progress)
    for preference in LOCATED:
        steps.locate(preference)
    sweep = steps.patch("sweep", "demo:sft", "demo:safety", ("safety",), RED_TEAM[:1], JUDGES, SIZES)
    transfer = steps.patch("transfer", "demo:sft", "demo:safety", ("safety:5%",), RED_TEAM, JUDGES)
    tax_effects = steps.tax("tax").effects
    report = build(db, out, progress=within("report", progress))
    overlaps = compare(db, LOCATED, "5%")
    return DemoResult(db.path, report, sweep, transfer, tax_effects, overlaps)


@dataclass(frozen=True)
class _Steps:
    db: Database
    seed: int
    force: bool
    progress: ProgressCallback

    def locate(self, preference: str) -> None:
        """Contrast the SFT model with the one aligned to ``preference``; the run has its name."""
        options = LocateOptions(
            before="demo:sft",
            after=f"demo:{preference}",
            prompts=PromptOptions(("demo:locate",)),
            writing=_WRITING,
            keep="5%" if preference in ("safety", "helpful") else "none",
            seed=self.seed,
        )
        watch = within(f"locate {preference}", self.progress)
        locate(self.db, preference, options, resume=not self.force, force=self.force, progress=watch)

    def patch(
        self,
        name: str,
        recipient: str,
        donor: str,
        neurons: tuple[str, ...],
        prompts: tuple[str, ...],
        judges: tuple[str, ...],
        sweep: tuple[str, ...] = (),
    ) -> pl.DataFrame:
        """Patch, judge, and return the run's rows of ``causal_effects``."""
        options = PatchOptions(
            recipient=recipient,
            donor=donor,
            neurons=neurons,
            prompts=PromptOptions(prompts),
            judging=JudgingOptions(judges),
            sweep=sweep,
            random=_CONTROLS,
            writing=_WRITING,
            seed=self.seed,
        )
        watch = within(name, self.progress)
        return patch(self.db, name, options, resume=not self.force, force=self.force, progress=watch).effects

    def tax(self, name: str) -> TaxResult:
        """The alignment tax of safety and helpfulness."""
        options = TaxOptions(
            safety="safety",
            helpful="helpful",
            safety_model="demo:safety",
            helpful_model="demo:helpful",
            prompts=PromptOptions(TAX_PROMPTS),
            judging=JudgingOptions(TAX_JUDGES),
            random=_CONTROLS,
            writing=_WRITING,
            seed=self.seed,
        )
        return tax(self.db, name, options, resume=not self.force, force=self.force, progress=self.progress)
