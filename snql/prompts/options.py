"""Which prompts a job reads and how they are put to the models: the options that all such commands share."""

from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from typing_extensions import Doc

from snql.errors import InputError
from snql.options import Flag, Later, Rare

Where = Annotated[str | None, Doc("SQL condition over the columns: \"category = 'illegal'\".")]
Sample = Annotated[int | None, Doc("N prompts of each set, drawn with --seed.")]
Limit = Annotated[int | None, Doc("Only the first N prompts of each set (of the sample).")]
TEMPLATES = ("auto", "chat", "tulu", "plain")
"""``chat`` is the tokenizer's own template; ``auto`` is chat if the tokenizer has one and plain otherwise."""

ROLES = ("before", "after", "recipient", "donor", "writer")
"""Names of templates too: that of the run's model of this role."""

Template = Annotated[str, Doc("auto, chat (the tokenizer's), tulu, plain, or a .jinja file.")]
AllowOverlap = Annotated[bool, Doc("Keep prompts that the rankings in --neurons were made on."), Rare()]
ContrastPrompts = Annotated[
    tuple[str, ...],
    Doc("Harmless prompts that the others are set against, by prompt-difference and wanda; repeatable."),
    Flag("--contrast-prompts"),
    Rare(),
]
NeutralPrompts = Annotated[
    tuple[str, ...],
    Doc("Prompts that find universal neurons, which prompt-difference leaves out; repeatable."),
    Flag("--neutral-prompts"),
    Rare(),
]
PROMPTS = "File, demo:NAME or hub:ID[@REV][:SPLIT]; repeatable."


@dataclass(frozen=True)
class PromptOptions:
    """Which prompts, and how they are put to the models."""

    prompts: Annotated[tuple[str, ...], Doc(PROMPTS)] = ()
    _: KW_ONLY
    prompt_column: Annotated[str | None, Doc("Column with the prompt; recognised names need none."), Rare()] = None
    template: Annotated[
        str,
        Doc("auto, chat, tulu, plain, after, … or a file."),
    ] = "auto"
    limit: Limit = None
    sample: Sample = None
    where: Where = None
    disjoint_from: Annotated[tuple[str, ...], Doc("Leave out the prompts of this run; repeatable."), Rare()] = ()
    system: Annotated[str | None, Doc("System text, before the prompt."), Rare()] = None
    response_prefix: Annotated[
        str | None, Doc("How the answer begins: given to the model, not written by it."), Rare()
    ] = None

    template_options: Annotated[
        tuple[str, ...],
        Doc("KEY=VALUE for the chat template, such as enable_thinking=false; repeatable."),
        Flag("--template-option"),
        Later(),
        Rare(),
    ] = ()
    template_date: Annotated[
        str | None, Doc("YYYY-MM-DD: what a chat template that writes today's date takes for it."), Later(), Rare()
    ] = None
    prompt_special_tokens: Annotated[
        bool, Doc("Special tokens inside a prompt's text are special, and not just text."), Later(), Rare()
    ] = False

    def __post_init__(self) -> None:
        check_selection(self.where, self.sample, self.limit)

    @property
    def own_template(self) -> bool:
        """Whether prompts are put into what each tokenizer has for its own template."""
        return self.template in ("auto", "chat")


def check_selection(where: str | None, sample: int | None, limit: int | None) -> None:
    """Raise InputError unless these can choose rows."""
    for name, value in (("limit", limit), ("sample", sample)):
        if value is not None and value < 1:
            raise InputError(f"`{name}` {value}: at least one prompt is needed")
    if where is not None and not where.strip():
        raise InputError("`where` is empty: give an SQL condition such as \"category = 'illegal'\"")
