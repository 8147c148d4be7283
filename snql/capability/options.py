"""What is measured of a model, plain and under patches of neuron sets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc

from snql.errors import InputError
from snql.jobs.options import Seed, check_seed
from snql.models.options import LoadOptions
from snql.options import Inside, Joined, config
from snql.patching.options import MOST_CONTROLS, Mode, ModeText, Random, RandomMagnitude, Sweep, SweepLayers
from snql.prompts.options import Limit, Sample, Where, check_selection


def one_mode(text: str) -> Mode:
    """The mode that a text means; raises InputError for one that it does not, or that stands for several."""
    mode = Mode.parse(text)
    if mode.kind == "both":
        raise InputError("`mode` both is for `snql patch`: use `mode` donor or donor-weights here")
    return mode


@dataclass(frozen=True, kw_only=True)
class SubjectOptions:
    """Which model, and what is done to it: ``model`` is the recipient. Without ``neurons`` it is the plain model."""

    model: Annotated[str, Doc("Model that is patched.")]
    donor: Annotated[str | None, Doc("Model whose activations are patched in; needed by `mode` donor.")] = None
    neurons: Annotated[tuple[str, ...], Doc("Expression, such as safety:5%; repeatable. None: the plain model.")] = ()
    mode: ModeText = "donor"
    sweep: Sweep = ()
    sweep_layers: SweepLayers = ()
    random: Random = 0
    random_magnitude: RandomMagnitude = 0
    seed: Seed = 0
    models: LoadOptions = LoadOptions()

    def __post_init__(self) -> None:
        mode = one_mode(self.mode)
        check_seed(self.seed)
        if not self.neurons:
            for name, given in (
                ("donor", self.donor),
                ("sweep", self.sweep),
                ("sweep_layers", self.sweep_layers),
                ("random", self.random),
                ("random_magnitude", self.random_magnitude),
            ):
                if given:
                    raise InputError(f"`{name}` does nothing without `neurons`: give them, or leave it out")
            if mode.kind != "donor":
                raise InputError(f"`mode` {self.mode} does nothing without `neurons`: give them, or leave it out")
        elif self.donor is None and mode.kind == "donor":
            raise InputError("`mode` donor needs a donor: give `donor`, or another mode such as `mode` zero")
        for name, number in (("random", self.random), ("random_magnitude", self.random_magnitude)):
            if not 0 <= number <= MOST_CONTROLS:
                raise InputError(f"`{name}` {number} is out of range: use 0 to {MOST_CONTROLS}")


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Which texts: a ``.txt`` file is one document, other files have one a row."""

    text: Annotated[
        tuple[str, ...],
        Doc(
            "Text file (txt is one document; jsonl, json, csv, tsv, parquet have one a row), demo:NAME or "
            "hub:ID[@REVISION][:SPLIT]; repeatable."
        ),
    ]
    text_column: Annotated[str | None, Doc("Column with the text; text, content, ... need none.")] = None
    join: Annotated[bool, Doc("Read all rows as one document, with blank lines between (WikiText).")] = False
    where: Where = None
    sample: Sample = None
    limit: Limit = None

    def __post_init__(self) -> None:
        if not self.text:
            raise InputError("which text? give `text`, such as `text` essays.txt")
        if self.join and self.sample is not None:
            raise InputError("`sample` draws rows in an order of their own: it does not go with `join`")
        check_selection(self.where, self.sample, self.limit)


@dataclass(frozen=True, kw_only=True)
class PerplexityOptions:
    """Whose perplexity, on which texts, in windows of how many tokens."""

    subject: Annotated[SubjectOptions, Inside(docs={"model": "Model that reads."})]
    text: TextOptions
    window: Annotated[int | None, Doc("Tokens a window; by default the model's context, at most 1024.")] = None
    stride: Annotated[
        int | None,
        Doc("Tokens that a window moves on; those before give context. By default half the window."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class LmEvalOptions:
    """Which tasks of the LM Evaluation Harness, and how they are put."""

    subject: Annotated[
        SubjectOptions,
        Inside(without=("sweep", "sweep_layers", "random_magnitude"), docs={"model": "Model that is tested."}),
    ]
    tasks: Annotated[
        tuple[str, ...],
        Doc("Tasks or groups by name, with commas between: gsm8k,mmlu,truthfulqa_mc2."),
        Joined(),
    ]
    num_fewshot: Annotated[int | None, Doc("Examples in the prompt; by default the task's own number.")] = None
    limit: Annotated[int | None, Doc("Only the first N documents of each task.")] = None
    chat_template: Annotated[bool, Doc("Put tasks to the model in its chat template.")] = False
    include_path: Annotated[Path | None, Doc("Folder with more task definitions (YAML).")] = None
    patched_only: Annotated[bool, Doc("Test neither the unpatched model nor the donor.")] = False

    def __post_init__(self) -> None:
        if not self.tasks:
            raise InputError("which tasks? give `tasks`, such as `tasks` gsm8k,mmlu")
        if self.num_fewshot is not None and self.num_fewshot < 0:
            raise InputError(f"`num_fewshot` {self.num_fewshot} is out of range: use 0 or more")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"`limit` {self.limit}: at least one document is needed")
        if self.patched_only and not self.subject.neurons:
            raise InputError("`patched_only` tests nothing without `neurons`: give them, or leave it out")

    def config(self) -> dict[str, object]:
        """The canonical configuration: everything that the numbers depend on."""
        return config(self) | {"tasks": tuple(dict.fromkeys(self.tasks))}


@dataclass(frozen=True, kw_only=True)
class DivergenceOptions:
    """Whose next-token distributions are compared with the donor's. Without ``neurons`` a patch run's own sets,
    controls and settings are used; with them these sets, and of the settings what is given here."""

    completions: Annotated[
        str | None,
        Doc("Patch or locate run whose donor completions are read; by default the one of this name."),
    ] = None
    neurons: Annotated[
        tuple[str, ...], Doc("Neuron expression; repeatable. By default the patch run's own sets and controls.")
    ] = ()
    recipient: Annotated[str | None, Doc("By default the patch run's.")] = None
    donor: Annotated[str | None, Doc("The model that wrote; by default the patch run's.")] = None
    mode: Annotated[str | None, Doc("What neurons become, with `neurons`: as in snql patch; donor by default.")] = None
    sweep: Sweep = ()
    sweep_layers: SweepLayers = ()
    random: Random = 0
    seed: Seed = 0
    models: LoadOptions = LoadOptions()

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.mode is not None:
            one_mode(self.mode)
        if not self.neurons:
            for name, given in (
                ("mode", self.mode),
                ("sweep", self.sweep),
                ("sweep_layers", self.sweep_layers),
                ("random", self.random),
            ):
                if given:
                    raise InputError(f"`{name}` does nothing without `neurons`: a patch run's own sets are read")
