"""The alignment-tax experiment ([P] table 3): shared neurons patched from each of two aligned models into the other."""

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from snql.db import runs
from snql.db.connection import Database
from snql.errors import InputError
from snql.judges.signs import given_signs, sign_of
from snql.models.options import LoadOptions
from snql.patching.patch import AUTO, PatchOptions, patch
from snql.patching.tax_changes import changes, ratios
from snql.progress import ProgressCallback, silent, within
from snql.prompts.options import PromptOptions
from snql.prompts.select import SetCounts
from snql.rankings import overlaps
from snql.writing.html import table

SETS = {
    "shared": "{safety}:{top} & {helpful}:{top}",
    "safety": "{safety}:{top}",
    "helpful": "{helpful}:{top}",
}
"""``--set``: the neurons that are patched, in both directions."""

DIRECTIONS = (("safety", "helpful"), ("helpful", "safety"))
"""Recipient and donor of each run."""


@dataclass(frozen=True)
class TaxOptions:
    """Settings of the experiment; names and meanings are those of the command line's options.

    safety, helpful: locate runs. safety_model, helpful_model: the models that they found. judges: at least one whose
    scores are costs and one whose scores are rewards, as they say or ``judge_signs`` does. cost_on, reward_on: the
    prompt set on which costs, and rewards, are compared in ratios; None: all prompts. neurons: one of :data:`SETS`. The
    rest as in :class:`snql.patching.patch.PatchOptions`.
    """

    safety: str
    helpful: str
    safety_model: str
    helpful_model: str
    source: PromptOptions
    judges: tuple[str, ...]
    judge_signs: tuple[str, ...] = ()
    rubric: Path | None = None
    cost_on: str | None = None
    reward_on: str | None = None
    top: str = "5%"
    neurons: str = "shared"
    random: int = 5
    max_new_tokens: int = 128
    batch_size: int | str = AUTO
    seed: int = 0
    allow_overlap: bool = False
    load: LoadOptions = field(default_factory=LoadOptions)

    def __post_init__(self) -> None:
        if self.neurons not in SETS:
            raise InputError(f"--set {self.neurons!r} is not known: use {', '.join(SETS)}")
        overlaps.bound_of(self.top)
        missing = {"cost", "reward"} - set(self.signs.values())
        if missing:
            raise InputError(
                f"the tax is about costs and rewards, and no judge gives a {min(missing)}: add one with --judge, such "
                "as --judge demo:cost --judge demo:reward"
            )
        for option, name in (("cost-on", self.cost_on), ("reward-on", self.reward_on)):
            if name is not None and name not in self._datasets:
                raise InputError(f"--{option} {name!r} is not one of the prompt sets: {', '.join(self._datasets)}")
        if (self.cost_on is None) != (self.reward_on is None):
            raise InputError("--cost-on and --reward-on go together: give both, or none to compare on all prompts")

    @property
    def signs(self) -> dict[str, str]:
        """Whether each judge's scores are a ``cost`` or a ``reward``; raises InputError where nothing says."""
        given = given_signs(self.judges, self.judge_signs)
        found = {judge: given.get(judge) or sign_of(judge) for judge in self.judges}
        unknown = [judge for judge, sign in found.items() if sign is None]
        if unknown:
            raise InputError(
                f"judge {unknown[0]!r} may be a cost or a reward: say which with --judge-sign '{unknown[0]}=cost' or "
                "...=reward"
            )
        return {judge: str(sign) for judge, sign in found.items()}

    @property
    def compared_on(self) -> dict[str, str | None]:
        """The prompt set of each sign on which ratios compare; None: all prompts."""
        return {"cost": self.cost_on, "reward": self.reward_on}

    @property
    def expression(self) -> str:
        """The neurons that are patched."""
        return SETS[self.neurons].format(safety=self.safety, helpful=self.helpful, top=self.top)

    @property
    def _datasets(self) -> list[str]:
        return [name if ":" in name else Path(name).name for name in self.source.prompts]

    def patching(self, recipient: str, donor: str) -> PatchOptions:
        """One direction: ``safety`` and ``helpful``, or the other way round."""
        models = {"safety": self.safety_model, "helpful": self.helpful_model}
        return PatchOptions(
            recipient=models[recipient],
            donor=models[donor],
            neurons=(self.expression,),
            source=self.source,
            judges=self.judges,
            random=self.random,
            max_new_tokens=self.max_new_tokens,
            batch_size=self.batch_size,
            seed=self.seed,
            allow_overlap=self.allow_overlap,
            load=self.load,
            judge_signs=self.judge_signs,
            rubric=self.rubric,
        )


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
            "recipient_is", "donor_is", "sign", "judge", "dataset", "n_prompts", "mean_recipient", "mean_patched",
            "mean_donor", "change", "change_ci_low", "change_ci_high",
        )  # fmt: skip
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
            f"the tops of {options.safety} and {options.helpful} share no neuron: raise --top {options.top}"
        )
    names = {(recipient, donor): f"{name}-{donor}-into-{recipient}" for recipient, donor in DIRECTIONS}
    patching = {run: options.patching(*direction) for direction, run in names.items()}
    for run, chosen in patching.items():
        runs.check_free(db, runs.NewRun("patch", run, chosen.config(), chosen.seed), resume=resume, force=force)
    found = {
        direction: patch(db, run, patching[run], resume=resume, force=force, progress=within(run, progress))
        for direction, run in names.items()
    }
    first, second = found.values()
    return TaxResult(
        (first.run, second.run),
        pl.concat([first.effects, second.effects]),
        pl.concat([changes(one.effects, *direction, options.signs) for direction, one in found.items()]),
        pl.concat(
            [
                ratios(db, one, *direction, options.signs, options.compared_on, options.seed)
                for direction, one in found.items()
            ]
        ),
        shared,
        first.prompt_sets,
    )


def write_tax(db: Database, found: TaxResult, out: Path, *, progress: ProgressCallback = silent) -> list[Path]:
    """Write the chart and the tables ``tax`` and ``controls`` of this experiment alone; return their files."""
    from snql.reporting.build import build

    made = build(db, out, ("tax",), runs=found.runs, tables=("tax", "controls"), progress=progress)
    files = [*(figure.files for figure in made.figures), *(table.files for table in made.tables)]
    return [path for paths in files for path in paths]
