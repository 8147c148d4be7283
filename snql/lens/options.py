"""Whose value vectors are read, and what they are compared with."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from typing_extensions import Doc

from snql.errors import InputError
from snql.jobs.options import Seed, check_seed
from snql.models.options import LoadOptions
from snql.options import Argument, Flag, Inside, config, leaves
from snql.prompts.options import PromptOptions

MOST_TOKENS = 1000


@dataclass(frozen=True, kw_only=True)
class LensOptions:
    """Whose value vectors are read. harmful, harmless: prompt files whose mean residual streams give the refusal
    direction; none of both: no direction. prompts: how they are read."""

    neurons: Annotated[str, Doc("Neuron expression, such as safety:20 or L12.N345."), Argument("EXPR")]
    model: Annotated[str, Doc("The model: BASE[@REV][+ADAPTER[@REV]]… or demo:NAME.")]
    top: Annotated[int, Doc("Tokens at each end.")] = 10
    harmful: Annotated[
        tuple[str, ...],
        Doc("With `harmless`: the refusal direction; repeatable."),
        Flag("--harmful-prompts"),
    ] = ()
    harmless: Annotated[
        tuple[str, ...], Doc("What it is the difference from; repeatable."), Flag("--harmless-prompts")
    ] = ()
    layer: Annotated[int | None, Doc("Take the direction after this layer; by default after each neuron's own.")] = None
    prompts: Annotated[
        PromptOptions,
        Inside(without=("prompts", "prompt_column", "where", "disjoint_from", "response_prefix")),
    ] = PromptOptions()
    seed: Seed = 0
    models: Annotated[LoadOptions, Inside(without=("quantize",))] = LoadOptions()

    def __post_init__(self) -> None:
        if not 1 <= self.top <= MOST_TOKENS:
            raise InputError(f"`top` {self.top} is out of range: use 1 to {MOST_TOKENS} tokens")
        if bool(self.harmful) != bool(self.harmless):
            raise InputError("a refusal direction needs `harmful` and `harmless`: give both or none")
        if self.layer is not None and not self.harmful:
            raise InputError("`layer` is that of the refusal direction: give `harmful` and `harmless`")
        check_seed(self.seed)

    @property
    def sources(self) -> dict[str, PromptOptions]:
        """What is read for the direction; nothing for none."""
        files = {"harmful": self.harmful, "harmless": self.harmless}
        return {role: replace(self.prompts, prompts=each) for role, each in files.items() if each}

    def config(self) -> dict[str, Any]:
        """The canonical configuration: everything that the numbers depend on."""
        reading = {leaf.name for leaf in leaves(PromptOptions)}
        own = {key: value for key, value in config(self).items() if key not in reading}
        none = dict.fromkeys(("harmful", "harmless"))
        return own | none | {role: config(source) for role, source in self.sources.items()}
