"""The alignment-tax experiment ([P] table 3): shared neurons patched from each of two aligned models into the other."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from snql.db import runs
from snql.db.connection import Database
from snql.errors import InputError
from snql.options import config
from snql.patching.options import DIRECTIONS, TaxOptions, run_name
from snql.patching.patch import PatchResult, patch
from snql.patching.tax_changes import changes, ratios
from snql.progress import ProgressCallback, silent, within
from snql.prompts.select import SetCounts
from snql.rankings import overlaps
from snql.writing.html import table


@dataclass(frozen=True)
class TaxResult:
    """What both directions found.

    runs: names of the patch runs. effects: their rows of ``causal_effects``, random controls among them. changes: a row
    per run, judge and data set, with ``recipient_is``, ``donor_is`` and ``sign``. ratios: a row per run, cost and
    reward judge, with |change of cost| / |change of reward|, NULL where one of the two may be 0. overlap: the row of
    :class:`snql.stats.overlap.Overlap` of the two rankings. prompt_sets: what became of the prompt sets' rows.
    """

    runs: tuple[str, str]
    effects: pl.DataFrame
    changes: pl.DataFrame
    ratios: pl.DataFrame
    overlap: pl.DataFrame
    prompt_sets: list[SetCounts]

    def _repr_html_(self) -> str:
        columns = (
            *("recipient_is", "donor_is", "sign", "judge", "dataset", "n_prompts"),
            *("mean_recipient", "mean_patched", "mean_donor", "change", "change_ci_low", "change_ci_high"),
        )
        return table(self.changes, columns, title="alignment tax: changes of mean scores with their intervals")


def tax(
    db: Database,
    name: str,
    options: TaxOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> TaxResult:
    """Patch in both directions, as the runs ``NAME-helpful-into-safety`` and ``NAME-safety-into-helpful``.

    Raises InputError before anything is written for bad input, an existing run of one of these names (``resume`` goes
    on with it, ``force`` replaces it), or rankings that share no neurons. A failure later leaves what is finished.
    """
    shared = overlaps.compare(db, [options.safety, options.helpful], options.top)
    if options.neurons == "shared" and not shared["shared"].item():
        raise InputError(
            f"the tops of {options.safety} and {options.helpful} share no neuron: raise `top` {options.top}"
        )
    names = {direction: run_name(name, *direction) for direction in DIRECTIONS}
    patching = {run: options.patching(*direction) for direction, run in names.items()}
    for run, chosen in patching.items():
        runs.check_free(db, runs.NewRun("patch", run, config(chosen), chosen.seed), resume=resume, force=force)
    found = {
        direction: patch(db, run, patching[run], resume=resume, force=force, progress=within(run, progress))
        for direction, run in names.items()
    }
    return _result(db, options, shared, found)


def _result(
    db: Database, options: TaxOptions, shared: pl.DataFrame, found: Mapping[tuple[str, str], PatchResult]
) -> TaxResult:
    """What the runs of both directions, by recipient and donor, found together."""
    signs, both = options.signs, list(found.items())
    first, second = found.values()
    return TaxResult(
        runs=(first.run, second.run),
        effects=pl.concat([first.effects, second.effects]),
        changes=pl.concat([changes(one.effects, *way, signs) for way, one in both]),
        ratios=pl.concat([ratios(db, one, *way, signs, options.compared_on) for way, one in both]),
        overlap=shared,
        prompt_sets=first.prompt_sets,
    )
