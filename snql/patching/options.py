"""Which neurons are patched, from what, where, and who judges what is then written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc

from snql.errors import InputError
from snql.generation.options import SamplingOptions, WritingOptions
from snql.jobs.options import Seed, check_seed
from snql.judges.options import JudgingOptions
from snql.judges.signs import sign_of
from snql.models.options import LoadOptions
from snql.options import Argument, Flag, Inside, Joined, Later, Rare
from snql.prompts.options import AllowOverlap, PromptOptions

STEPS = ("prompt", "completion", "all")
MOST_CONTROLS = 10_000
KNOWN = "donor, donor-weights, both, zero, mean:RUN[:before|after], noise:RUN[:before|after][:K] or scale:X"
SIDES = ("before", "after")
LARGEST_FACTOR = 1e30
"""Of what activations are multiplied by: beyond, products are no numbers of 32 bits."""
DONATED = ("donor", "donor-weights", "both")
"""Kinds of modes that need a donor."""

TOTAL, DIRECT = "total", "direct"
"""Routes of an effect: by the donor's activations, or by its parameters alone."""
SETS = {
    "shared": "{safety}:{top} & {helpful}:{top}",
    "safety": "{safety}:{top}",
    "helpful": "{helpful}:{top}",
}
"""Of ``neurons`` of the tax: those that are patched, in both directions."""

ModeText = Annotated[
    str,
    Doc("donor, donor-weights, both, zero, mean:RUN, noise:RUN[:K] or scale:X."),
]
Sweep = Annotated[
    tuple[str, ...],
    Doc("Sizes, such as 0.5%,1%,5% or 0..20000:1000; `neurons` then names locate runs, or has {} where sizes go."),
    Joined(),
]
SweepLayers = Annotated[
    tuple[str, ...],
    Doc("Take each set in these layers alone: last:1..10, first:1..10 or each:0..15."),
    Joined(),
    Later(),
    Rare(),
]
Random = Annotated[int, Doc("Random sets, as many in each layer.")]
RandomMagnitude = Annotated[int, Doc("Random sets, activations as large."), Later()]


@dataclass(frozen=True)
class Mode:
    """What is done to neurons. run, side: whose statistics. factor: of ``scale``; standard deviations of ``noise``."""

    kind: str
    run: str | None = None
    side: str | None = None
    factor: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "Mode":
        """From ``donor``, ``donor-weights``, ``both``, ``zero``, ``mean:RUN``, ``noise:RUN:2`` or ``scale:0.5``.

        Raises InputError for others.
        """
        kind, *rest = text.replace(" ", ":").split(":")
        if kind in (*DONATED, "zero") and not rest:
            return cls(kind)
        if kind == "scale" and len(rest) == 1 and (factor := _number(rest[0])) is not None:
            return cls(kind, factor=factor)
        if kind in ("mean", "noise") and rest and rest[0]:
            run, *more = rest
            side = more.pop(0) if more and more[0] in SIDES else None
            factor = _number(more[0]) if kind == "noise" and len(more) == 1 else None if more else 1.0
            if factor is not None and (kind == "mean" or factor > 0):
                return cls(kind, run, side, factor)
        raise InputError(f"`mode` {text!r} is not known: use {KNOWN}")


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) <= LARGEST_FACTOR else None


@dataclass(frozen=True, kw_only=True)
class PatchOptions:
    """Which neurons are patched, from what, and where.

    donor: None only where the mode needs none; effects are then changes without a ratio. drafts: None: in float32.
    Prompts of the locate runs that the neuron expressions name are left out, unless ``allow_overlap``.
    """

    recipient: Annotated[str, Doc("Model that writes.")]
    donor: Annotated[str | None, Doc("Model whose activations are patched in.")] = None
    neurons: Annotated[tuple[str, ...], Doc("Expression, such as safety:5%; repeatable.")]
    prompts: Annotated[PromptOptions, Inside(required=("prompts",))] = PromptOptions()
    judging: JudgingOptions
    mode: ModeText = "donor"
    freeze: Annotated[bool, Doc("The other way: the donor writes, with neurons of the recipient."), Rare()] = False
    steps: Annotated[str, Doc("Positions that are patched: prompt, completion or all."), Rare()] = "all"
    first: Annotated[int | None, Doc("Patch only while the first N tokens of a completion are written."), Rare()] = None
    sweep: Sweep = ()
    sweep_layers: SweepLayers = ()
    window: Annotated[
        str | None,
        Doc("Windows of ranks of this width (5%, or 5%:30% to stop there); `neurons` as with `sweep`."),
        Rare(),
    ] = None
    random: Random = 0
    random_anywhere: Annotated[int, Doc("Random controls for each set from all layers, not matched."), Rare()] = 0
    random_magnitude: RandomMagnitude = 0
    sampling: SamplingOptions = SamplingOptions()
    trace: Annotated[bool, Doc("Store what would have been written without the patch, step by step."), Rare()] = True
    graded: Annotated[
        bool,
        Doc("Measure, too, what share of the gap in log-odds a set closes where recipient and donor part."),
        Later(),
        Rare(),
    ] = True
    drafts: Annotated[
        bool | None,
        Doc(
            "Read what the recipient wrote at once, and write only what differs. On in float32; in half precision "
            "near ties between tokens may fall the other way."
        ),
        Rare(),
    ] = None
    writing: WritingOptions = WritingOptions()
    allow_overlap: AllowOverlap = False
    seed: Seed = 0
    models: LoadOptions = LoadOptions()

    def __post_init__(self) -> None:
        for option in ("random", "random_anywhere", "random_magnitude"):
            if not 0 <= getattr(self, option) <= MOST_CONTROLS:
                raise InputError(f"`{option}` {getattr(self, option)}: it must be at least 0, at most {MOST_CONTROLS}")
        mode = Mode.parse(self.mode)
        if self.donor is None and mode.kind in DONATED:
            raise InputError(f"`mode` {mode.kind} needs a donor: give `donor`, or another mode such as `mode` zero")
        if self.freeze and mode.kind != "donor":
            raise InputError(f"`freeze` is about the donor's activations: it does not go with `mode` {self.mode}")
        if self.steps not in STEPS:
            raise InputError(f"`steps` {self.steps!r} is not known: use {', '.join(STEPS)}")
        if self.first is not None and (self.first < 1 or self.steps == "prompt"):
            raise InputError(
                f"`first` {self.first} is for tokens of the completion: use at least 1, with `steps` completion or all"
            )
        check_seed(self.seed)

    @property
    def routes(self) -> tuple[str | None, ...]:
        """The routes by which each set is patched, if by several."""
        return (TOTAL, DIRECT) if self.mode == "both" else (None,)

    @property
    def controls(self) -> dict[str, int]:
        """How many random controls of each kind a set gets."""
        return {"matched": self.random, "magnitude": self.random_magnitude, "anywhere": self.random_anywhere}


@dataclass(frozen=True, kw_only=True)
class AdapterOptions:
    """Which neurons of which model an adapter multiplies, and by what."""

    neurons: Annotated[str, Doc("Neuron expression, such as safety:0.1%."), Argument("EXPR")]
    base: Annotated[str, Doc("The model, with its own adapters if it has any: BASE[@REV][+ADAPTER[@REV]]…")]
    scale: Annotated[float, Doc("What their activations are multiplied by: 0 removes them, 2 doubles them.")] = 0.0
    merge: Annotated[bool, Doc("Write a whole checkpoint, for any server, in place of an adapter.")] = False
    models: Annotated[LoadOptions, Inside(without=("device_map", "quantize"))] = LoadOptions()

    def __post_init__(self) -> None:
        if not abs(self.scale) <= LARGEST_FACTOR:
            raise InputError(f"`scale` {self.scale:g} is no number to multiply by: use 0, 0.5 or 2")


DIRECTIONS = (("safety", "helpful"), ("helpful", "safety"))
"""Recipient and donor of each run of an alignment tax."""


def run_name(tax: str, recipient: str, donor: str) -> str:
    """The name of the patch run of one direction."""
    return f"{tax}-{donor}-into-{recipient}"


@dataclass(frozen=True, kw_only=True)
class TaxOptions:
    """Which neurons are patched both ways between a safe and a helpful model. neurons: one of :data:`SETS`."""

    safety: Annotated[str, Doc("Locate run of the safety-aligned model.")]
    helpful: Annotated[str, Doc("Locate run of the helpfulness-aligned model.")]
    safety_model: Annotated[str, Doc("The safety-aligned model.")]
    helpful_model: Annotated[str, Doc("The helpfulness-aligned model.")]
    prompts: Annotated[PromptOptions, Inside(required=("prompts",))] = PromptOptions()
    judging: Annotated[
        JudgingOptions,
        Inside(docs={"judges": "A cost and a reward judge, as demo:cost, demo:reward."}),
    ]
    cost_on: Annotated[str | None, Doc("Prompt set whose costs are compared with rewards; all by default.")] = None
    reward_on: Annotated[str | None, Doc("Prompt set whose rewards are compared; goes with `cost_on`.")] = None
    top: Annotated[str, Doc("How much of each ranking: 5%, or neurons.")] = "5%"
    neurons: Annotated[
        str,
        Doc("What is patched: shared (in both tops), safety or helpful (one top)."),
        Flag("--set", key="neurons"),
    ] = "shared"
    random: Random = 5
    writing: WritingOptions = WritingOptions()
    allow_overlap: AllowOverlap = False
    seed: Seed = 0
    models: LoadOptions = LoadOptions()

    def __post_init__(self) -> None:
        from snql.rankings.overlaps import bound_of

        if self.neurons not in SETS:
            raise InputError(f"`neurons` {self.neurons!r} is not known: use {', '.join(SETS)}")
        bound_of(self.top)
        missing = {"cost", "reward"} - set(self.signs.values())
        if missing:
            raise InputError(
                f"the tax is about costs and rewards, and no judge gives a {min(missing)}: add one with `judges`, such "
                "as `judges` demo:cost `judges` demo:reward"
            )
        for option, name in (("cost_on", self.cost_on), ("reward_on", self.reward_on)):
            if name is not None and name not in self._datasets:
                raise InputError(f"`{option}` {name!r} is not one of the prompt sets: {', '.join(self._datasets)}")
        if (self.cost_on is None) != (self.reward_on is None):
            raise InputError("`cost_on` and `reward_on` go together: give both, or none to compare on all prompts")

    @property
    def signs(self) -> dict[str, str]:
        """Whether each judge's scores are a ``cost`` or a ``reward``; raises InputError where nothing says."""
        given = self.judging.signs
        found = {judge: given.get(judge) or sign_of(judge) for judge in self.judging.judges}
        unknown = [judge for judge, sign in found.items() if sign is None]
        if unknown:
            raise InputError(
                f"judge {unknown[0]!r} may be a cost or a reward: say which with `judge_signs` '{unknown[0]}=cost' or "
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
        return [name if ":" in name else Path(name).name for name in self.prompts.prompts]

    def patching(self, recipient: str, donor: str) -> PatchOptions:
        """One direction: ``safety`` and ``helpful``, or the other way round."""
        models = {"safety": self.safety_model, "helpful": self.helpful_model}
        return PatchOptions(
            recipient=models[recipient],
            donor=models[donor],
            neurons=(self.expression,),
            prompts=self.prompts,
            judging=self.judging,
            random=self.random,
            writing=self.writing,
            seed=self.seed,
            allow_overlap=self.allow_overlap,
            models=self.models,
        )
