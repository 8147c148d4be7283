"""The model whose capability is measured: plain, and under patches of neuron sets."""

from dataclasses import dataclass, field

from snql.db.connection import Database
from snql.db.scores import read_run_scores
from snql.errors import InputError
from snql.jobs.options import check_seed
from snql.models.load import load_models
from snql.models.options import LoadOptions
from snql.patching.modes import Mode
from snql.patching.passes import SOURCE, TARGET
from snql.patching.subject import Subject
from snql.patching.variants import DONOR, expressions, plan_variants
from snql.rankings.evaluate import Evaluator

from .reader import Way

MOST_CONTROLS = 10_000


@dataclass(frozen=True)
class SubjectOptions:
    """Which model, and what is done to it; names and meanings are those of ``snql patch``, ``model`` its recipient.

    Without ``neurons`` it is the plain model.
    """

    model: str
    donor: str | None = None
    neurons: tuple[str, ...] = ()
    mode: str = "donor"
    sweep: tuple[str, ...] = ()
    random: int = 0
    seed: int = 0
    load: LoadOptions = field(default_factory=LoadOptions)

    def __post_init__(self) -> None:
        mode = Mode.parse(self.mode)
        check_seed(self.seed)
        if not self.neurons:
            for name, given in (("--donor", self.donor), ("--sweep", self.sweep), ("--random", self.random)):
                if given:
                    raise InputError(f"{name} does nothing without --neurons: give them, or leave it out")
            if mode.kind != "donor":
                raise InputError(f"--mode {self.mode} does nothing without --neurons: give them, or leave it out")
        elif self.donor is None and mode.kind == "donor":
            raise InputError("--mode donor needs a donor: give --donor, or another mode such as --mode zero")
        if not 0 <= self.random <= MOST_CONTROLS:
            raise InputError(f"--random {self.random} is out of range: use 0 to {MOST_CONTROLS}")

    def config(self) -> dict[str, object]:
        """What the numbers depend on."""
        names = ("model", "donor", "neurons", "mode", "sweep", "random", "seed")
        loaded = {key: value for key, value in vars(self.load).items() if key != "device"}
        return {name: getattr(self, name) for name in names} | loaded


def ways(subject: Subject) -> dict[int, Way]:
    """How each variant reads, by its id."""
    patched = iter(range(len(subject.variants)))
    return {
        variant.variant_id: Way(TARGET, next(patched))
        if variant.members is not None
        else Way(SOURCE if variant.variant_id == DONOR else TARGET)
        for variant in subject.variants
    }


def load_subject(db: Database, options: SubjectOptions) -> Subject:
    """Load the models and evaluate the neuron sets; raises ModelError, ExpressionError or InputError."""
    wanted: list[str] = []
    if options.neurons:
        wanted = expressions(options.neurons, options.sweep, None, lambda run: len(read_run_scores(db, run).ids))
    specs = {"recipient": options.model} | ({} if options.donor is None else {"donor": options.donor})
    models = load_models(specs, options.load)
    evaluator = Evaluator(db, models["recipient"].shape)
    variants = plan_variants(evaluator, wanted, options.random, 0, donor=options.donor is not None)
    return Subject.of(db, models, variants, options.mode, options.seed)
