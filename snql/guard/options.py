"""How guards are trained, tested and run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typing_extensions import Doc

from snql.errors import InputError
from snql.generation.options import BatchSize, WritingOptions, check_batch_size
from snql.guard.by_set import check_labels_mean_harm
from snql.jobs.options import Seed, check_seed
from snql.models.options import LoadOptions
from snql.options import Aside, Flag, Inside, Joined, Rare, config, leaves
from snql.prompts.options import PROMPTS, AllowOverlap, PromptOptions

THRESHOLD = 0.5
_OF_TRAINING = (
    "template",
    "system",
    "response_prefix",
    "template_options",
    "template_date",
    "prompt_special_tokens",
)
"""How prompts are put to the model is as in the guard's training."""

MOST_CONTROLS = 1_000
REFUSE, PREFIX = "refuse", "prefix"
ACTIONS = (REFUSE, PREFIX)
Benign = Annotated[tuple[str, ...], Doc("Prompts that should not be refused, as `prompts`; repeatable.")]
Judge = Annotated[
    str | None, Doc("demo:cost, score-model:PATH, ... (see `snql judge --help`), or by-set: harmful unless benign.")
]
Answers = Annotated[WritingOptions, Inside(docs={"max_new_tokens": "Longest answer, in tokens."})]
Where = Annotated[str | None, Doc("Where the guard's model is now, if not where it was.")]


@dataclass(frozen=True, kw_only=True)
class GuardOptions:
    """What a guard reads and learns from.

    prompts: with ``from_run`` those of that run, none for all. judge: None with ``from_run`` if only one has judged it.
    """

    model: Annotated[str, Doc("Model whose answers are to be guarded: the one before alignment.")]
    neurons: Annotated[str, Doc("Neurons to read, such as safety:5%.")]
    prompts: Annotated[
        PromptOptions, Inside(docs={"prompts": f"{PROMPTS} With `from_run`: which of that run's prompt sets."})
    ] = PromptOptions()
    benign: Benign = ()
    judge: Judge = None
    from_run: Annotated[str | None, Doc("Take what this run has stored; writes no answers.")] = None
    threshold: Annotated[float, Doc("Cost above which an answer is harmful.")] = 0.0
    refuse_from: Annotated[float, Doc("Refuse from this probability of a harmful answer on."), Rare()] = THRESHOLD
    plain: Annotated[bool, Doc("scikit-learn's defaults, as published: C = 1, activations not scaled."), Rare()] = False
    sizes: Annotated[
        tuple[str, ...],
        Doc("More guards, on tops such as 1%,5%, 10,50..500:50 or 1%/layer."),
        Joined(),
    ] = ()
    random: Annotated[int, Doc("Random controls of each of four kinds.")] = 5
    writing: Answers = WritingOptions()
    out: Annotated[Path | None, Doc("Also save the guard in this folder."), Aside()] = None
    allow_overlap: AllowOverlap = False
    seed: Seed = 0
    models: LoadOptions = LoadOptions()

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not self.every and self.from_run is None:
            raise InputError("which prompts? give `prompts`, such as `prompts` demo:harmful, or `from_run`")
        if self.judge is None and self.from_run is None:
            raise InputError("which judge? give `judge`, such as `judge` demo:cost")
        if self.from_run is None:
            check_labels_mean_harm(str(self.judge), self.prompts.prompts, self.benign)
        if not 0 <= self.random <= MOST_CONTROLS:
            raise InputError(f"`random` {self.random} is out of range: use 0 to {MOST_CONTROLS}")
        if not 0 <= self.refuse_from <= 1:
            raise InputError(f"`refuse_from` {self.refuse_from:g} is no probability: use 0 to 1")
        if self.threshold != self.threshold or abs(self.threshold) == float("inf"):
            raise InputError(f"`threshold` {self.threshold:g} is not a score: use a finite number")

    @property
    def every(self) -> tuple[str, ...]:
        """All prompt sets, benign ones last."""
        return (*self.prompts.prompts, *self.benign)

    def config(self) -> dict[str, Any]:
        """The canonical configuration: everything that the numbers depend on."""
        reading = {leaf.name for leaf in leaves(PromptOptions)}
        if self.every:
            return config(self) | {"prompts": self.every}
        return {key: value for key, value in config(self).items() if key not in reading}


FAMILIES = ("category", "dataset", "none")


@dataclass(frozen=True, kw_only=True)
class GuardCompareOptions:
    """What guards are compared on.

    guard: as for a guard of the chosen neurons; its answers and labels serve all that is compared.
    """

    guard: Annotated[
        GuardOptions,
        Inside(without=("plain", "sizes", "out"), docs={"random": "Random sets of each of four kinds."}),
    ]
    families: Annotated[str, Doc("What folds keep whole: category, dataset or none.")] = "category"
    folds: Annotated[int, Doc("Folds, held out in turn; as many inside, to choose.")] = 5
    repeats: Annotated[int, Doc("Pairs of prefills for each latency; 0: none.")] = 9

    def __post_init__(self) -> None:
        if self.families not in FAMILIES:
            raise InputError(f"`families` {self.families!r} is not known: use {', '.join(FAMILIES)}")
        if self.folds < 2:
            raise InputError(f"`folds` {self.folds}: at least 2 are needed, to learn from one and to test on another")
        if self.repeats < 0:
            raise InputError("`repeats` must be at least 0")

    def config(self) -> dict[str, Any]:
        """The canonical configuration: everything that the numbers depend on."""
        own = {name: getattr(self, name) for name in ("families", "folds", "repeats")}
        return self.guard.config() | own


@dataclass(frozen=True, kw_only=True)
class GuardTestOptions:
    """What a guard is tested on.

    Prompts are put to the model as in training. Those that the guard was trained on, and those that its neurons were
    ranked on, are left out, unless ``allow_overlap``. judge: None for the one of training. model: None for the guard's.
    """

    prompts: Annotated[PromptOptions, Inside(without=_OF_TRAINING)] = PromptOptions()
    benign: Benign = ()
    judge: Judge = None
    run: Annotated[str | None, Doc("Name of the run; by default the guard's."), Flag("--as", key="run"), Aside()] = None
    costs: Annotated[bool, Doc("Measure what answers cost and how many are refused, with the guard or not.")] = False
    after: Annotated[str | None, Doc("With `costs`: also for this model, such as the aligned one.")] = None
    model: Where = None
    max_new_tokens: Annotated[int | None, Doc("Longest answer, in tokens; by default as in training.")] = None
    batch_size: BatchSize = "auto"
    allow_overlap: Annotated[bool, Doc("Keep prompts that the guard was trained, or its neurons ranked, on.")] = False
    seed: Seed = 0
    models: LoadOptions = LoadOptions()

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_batch_size(self.batch_size)
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise InputError(f"`max_new_tokens` {self.max_new_tokens}: at least 1 is needed to judge an answer")
        if self.after is not None and not self.costs:
            raise InputError("`after` does nothing without `costs`: give both, or leave it out")

    @property
    def every(self) -> tuple[str, ...]:
        """All prompt sets, benign ones last."""
        return (*self.prompts.prompts, *self.benign)


@dataclass(frozen=True, kw_only=True)
class GuardRunOptions:
    """What is asked, and what becomes of it.

    prefix: how the answer to a prompt that the guard flags begins; refusal: what it then is; None for those of
    :mod:`snql.guard.running`. model: None for the one the guard was trained on; another one of the same base is watched
    where ``other_model``. repeats: prefills with and without the guard that the added latency is the median of.
    """

    prompt: Annotated[str, Doc("What is asked; - reads it from standard input.")]
    on: Annotated[str, Doc("What a flagged prompt gets: refuse, or prefix (its answer begins with `prefix`).")] = REFUSE
    prefix: Annotated[str | None, Doc("How the answer to a flagged prompt begins.")] = None
    refusal: Annotated[str | None, Doc("What is said in place of an answer.")] = None
    threshold: Annotated[
        float | None, Doc("Flag from this probability of a harmful answer on; by default the guard's.")
    ] = None
    model: Where = None
    other_model: Annotated[bool, Doc("Allow `model` to be another model of that shape than the guard's.")] = False
    writing: Annotated[
        WritingOptions, Inside(without=("batch_size",), docs={"max_new_tokens": "Longest answer, in tokens."})
    ] = WritingOptions()
    repeats: Annotated[int, Doc("Pairs of prefills, with the guard and without, that its latency is measured on.")] = 5
    models: LoadOptions = LoadOptions()

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise InputError("`prompt` is empty: give a text, or - for standard input")
        if self.on not in ACTIONS:
            raise InputError(f"`on` {self.on!r} is not known: use {' or '.join(ACTIONS)}")
        if self.on == PREFIX and self.prefix == "":
            raise InputError("`on` prefix needs words to begin with: give `prefix`")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise InputError(f"`threshold` {self.threshold:g} is no probability: use 0 to 1")
        if self.repeats < 0:
            raise InputError("`repeats` must be at least 0")
