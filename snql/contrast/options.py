"""Which models are contrasted, where, and what is kept of it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc

from snql.contrast.positions import needs_completions, parse_positions
from snql.contrast.scorers import CHANGE_SCORE, check_contrast_scorer
from snql.engines.options import EngineOptions
from snql.errors import InputError
from snql.generation.options import WritingOptions
from snql.jobs.options import Seed, check_seed
from snql.models.options import LoadOptions
from snql.options import Flag, Later, Rare
from snql.prompts.options import PromptOptions
from snql.stats.resampling import FEWEST, MOST

ROLES = ("before", "after")
WRITER = "writer"
"""The role of a third model, which writes what the other two read."""
GIVEN = "given"
"""In the place of a writer: the text is of a file."""
STORES = ("auto", "rows", "parquet")
MOST_DRAWS = 1000
SCORERS_HELP = "change-score, cohens-d, layer-relative, wanda, ...: docs/scorers.md has all."
SkipLastLayers = Annotated[int, Doc("Do not rank this many last layers.")]


@dataclass(frozen=True, kw_only=True)
class LocateOptions:
    """Which models are contrasted, where, and what is kept of it."""

    before: Annotated[str, Doc("Model before alignment: BASE[@REV][+ADAPTER[@REV]]… or demo:NAME.")]
    after: Annotated[str, Doc("Model after alignment.")]
    prompts: PromptOptions = PromptOptions()
    scorer: Annotated[str, Doc(SCORERS_HELP)] = CHANGE_SCORE
    positions: Annotated[str, Doc("generating, generated, prompt or last-prompt.")] = "generating"
    completions_by: Annotated[str, Doc("Which model writes: before, after, or a third MODEL."), Rare()] = "before"
    completions: Annotated[
        str | None, Doc("File with a completion of each prompt, which both read: nothing is written."), Later(), Rare()
    ] = None
    writing: WritingOptions = WritingOptions(max_new_tokens=256)
    skip_last_layers: SkipLastLayers = 1
    keep: Annotated[str, Doc("Token activations to store: 5%, 1%/layer, all, none, EXPR.")] = "5%"
    store: Annotated[
        str, Doc("Where they go: rows, parquet (half-precision shards beside the database), or auto."), Rare()
    ] = "auto"
    recompute: Annotated[bool, Doc("Let both models read, also where one's activations come from writing."), Rare()] = (
        False
    )
    bootstrap: Annotated[int, Doc("Resamples of the prompts, for intervals of scores.")] = 0
    after_dtype: Annotated[
        str | None, Doc("Number type of the model after, if another: for a noise floor."), Rare()
    ] = None
    seed: Seed = 0
    models: LoadOptions = LoadOptions()
    engine: EngineOptions = EngineOptions()

    def __post_init__(self) -> None:
        parse_positions(self.positions)
        self._check_writer()
        if self.store not in STORES:
            raise InputError(f"`store` {self.store!r} is not known: use {', '.join(STORES)}")
        if self.skip_last_layers < 0:
            raise InputError("`skip_last_layers` must be at least 0")
        if self.bootstrap and not FEWEST <= self.bootstrap <= MOST:
            raise InputError(f"`bootstrap` {self.bootstrap} is out of range: use 0 for none, or {FEWEST} to {MOST}")
        check_contrast_scorer(self.scorer)
        if self.bootstrap and self.scorer != CHANGE_SCORE:
            raise InputError(f"`bootstrap` gives intervals of change scores: leave it out with `scorer` {self.scorer}")
        check_seed(self.seed)

    def _check_writer(self) -> None:
        by, own = self.completions_by, self.writing
        if by not in ROLES and not (Path(by).exists() or any(mark in by for mark in "/:")):
            raise InputError(
                f"`completions_by` {by!r} is not known: use before, after, or a model (a folder, or OWNER/NAME)"
            )
        if self.completions is not None and by != "before":
            raise InputError(
                f"`completions` is the text that both read, and `completions_by` {by} would write: give one"
            )
        if self.role in (WRITER, GIVEN) and not needs_completions(parse_positions(self.positions)):
            given = "completions" if self.role == GIVEN else "completions_by"
            raise InputError(
                f"`{given}`: no completion is read at `positions` {self.positions}; leave out one of the two"
            )
        if self.completions is not None and replace(own, max_new_tokens=1, batch_size=1) != _PLAINLY:
            raise InputError("`completions` are read as they are: leave out what says how a model writes (`stop`, …)")

    @property
    def role(self) -> str:
        """Who writes: before, after, a third model (``writer``), or nobody (``given``)."""
        if self.completions is not None:
            return GIVEN
        return self.completions_by if self.completions_by in ROLES else WRITER

    @property
    def specs(self) -> dict[str, str]:
        """The models by role."""
        third = {WRITER: self.completions_by} if self.role == WRITER else {}
        return {"before": self.before, "after": self.after, **third}

    @property
    def room(self) -> int:
        """Tokens that a prompt must leave in the context."""
        return self.writing.max_new_tokens if needs_completions(parse_positions(self.positions)) else 0


_PLAINLY = WritingOptions(max_new_tokens=1, batch_size=1)


@dataclass(frozen=True, kw_only=True)
class NullOptions:
    """Of which run contentless adapters are made, and how many.

    adapters: the folder that they are written to, kept so that runs can be resumed and repeated.
    """

    from_run: Annotated[str, Doc("Locate run whose adapter is shuffled."), Flag("--from", key="from_run")]
    draws: Annotated[int, Doc("How many shuffled adapters are located.")] = 20
    adapters: Annotated[Path | None, Doc("Folder for the shuffled adapters; by default one beside the database.")] = (
        None
    )
    seed: Annotated[int, Doc("Seed of the first draw; the others follow it.")] = 0

    def __post_init__(self) -> None:
        if not 2 <= self.draws <= MOST_DRAWS:
            raise InputError(
                f"`draws` {self.draws}: use at least 2, for one draw has no spread, and at most {MOST_DRAWS}"
            )
        check_seed(self.seed)
