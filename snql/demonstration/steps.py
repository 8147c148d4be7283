"""The demo's steps: the runs that are not done yet, with models, and the report."""

from dataclasses import dataclass
from pathlib import Path

from snql.contrast.locate import locate
from snql.db import runs
from snql.db.connection import Database
from snql.demonstration.plan import TAX, Plan, stored
from snql.patching.options import PatchOptions
from snql.patching.patch import patch
from snql.patching.tax import tax
from snql.progress import ProgressCallback, within
from snql.reporting.build import build
from snql.reporting.options import ReportOptions


@dataclass(frozen=True)
class Steps:
    """What to do, where, and how it is told of."""

    db: Database
    force: bool
    progress: ProgressCallback

    def run(self, wanted: Plan, other: Plan) -> None:
        """Do what is not done yet. other: the shorter or the whole demo, of which there may be runs."""
        resume, force = not self.force, self.force
        for name, ranking in wanted.rankings.items():
            watch = within(f"locate {name}", self.progress)
            locate(self.db, name, ranking, resume=resume, force=force, progress=watch)
        for name, options in wanted.patches.items():
            self._patch(name, options, other.patches[name], keep_other=other.is_whole)
        if wanted.tax is not None:
            tax(self.db, TAX, wanted.tax, resume=resume, force=force, progress=self.progress)

    def report(self, out: Path, plan: Plan, made_of: str) -> None:
        """Write it."""
        options = ReportOptions(formats=plan.formats)
        build(self.db, out, options, within("report", self.progress), made_of=made_of)

    def _patch(self, name: str, wanted: PatchOptions, other: PatchOptions, *, keep_other: bool) -> None:
        """Patch; of the other extent's run of that name go on with the larger one, and replace the smaller one."""
        found = runs.find_run(self.db, "patch", name)
        is_other = found is not None and stored(wanted) != found.config == stored(other)
        options = other if is_other and keep_other else wanted
        force = self.force or (is_other and not keep_other)
        patch(self.db, name, options, resume=not force, force=force, progress=within(name, self.progress))
