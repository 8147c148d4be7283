"""What is said of files of scores that other programs wrote."""

from dataclasses import dataclass
from typing import Annotated

from typing_extensions import Doc

from snql.errors import InputError
from snql.options import Flag


@dataclass(frozen=True, kw_only=True)
class About:
    """What a file of scores does not say itself. before, after: which models the scores are of, for people."""

    before: Annotated[str | None, Doc("Which model before is, in words.")] = None
    after: Annotated[str | None, Doc("Which model after (the aligned one) is, in words.")] = None
    n_layers: Annotated[
        int | None,
        Doc("Layers of the model, if the file leaves out the last; default: those in the file."),
        Flag("--layers"),
    ] = None
    n_neurons: Annotated[
        int | None, Doc("Neurons of each layer, for a file that does not name all."), Flag("--neurons")
    ] = None
    like: Annotated[str | None, Doc("A locate run of the same model, in place of `n_layers` and `n_neurons`.")] = None
    column: Annotated[str | None, Doc("The array or column with the scores, where the file has several.")] = None
    skip_last_layers: Annotated[
        int, Doc("Do not rank this many last layers: rankings compare with those of `locate` that skip as many.")
    ] = 0

    def __post_init__(self) -> None:
        for option in ("n_layers", "n_neurons"):
            if (number := getattr(self, option)) is not None and number < 1:
                raise InputError(f"`{option}` {number}: a model has at least 1")
        if self.skip_last_layers < 0:
            raise InputError("`skip_last_layers` must be at least 0")
