"""Which prompts a job reads and how they are put to the models: the options that all such commands share."""

from dataclasses import dataclass

from snql.errors import InputError


@dataclass(frozen=True)
class PromptOptions:
    """Which prompts, and how they are put to the models; names are those of the command line's options."""

    prompts: tuple[str, ...]
    prompt_column: str | None = None
    template: str = "auto"
    limit: int | None = None
    sample: int | None = None
    where: str | None = None
    disjoint_from: tuple[str, ...] = ()
    system: str | None = None
    response_prefix: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("limit", self.limit), ("sample", self.sample)):
            if value is not None and value < 1:
                raise InputError(f"--{name} {value}: at least one prompt is needed")
        if not self.prompts:
            raise InputError("which prompts? give --prompts, such as --prompts demo:harmful")
        if self.where is not None and not self.where.strip():
            raise InputError("--where is empty: give an SQL condition such as \"category = 'illegal'\"")
