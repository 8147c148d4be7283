"""What the stages of alignment differ in, apart from their losses: how rows are read, and what is kept of them."""

from collections.abc import Callable
from dataclasses import dataclass

from snql.organism import bundled
from snql.prompts.files import Row
from snql.training.examples import Dialogue, Preference, dialogue_of, preference_of, why_no_dialogue, why_no_preference

Example = Dialogue | Preference


@dataclass(frozen=True)
class Stage:
    """A stage of alignment.

    read: a row and its source as an example, or None, for which why_unusable has the words. columns: of the table of
    encoded examples. texts: as how many texts an example is read. tiled: the softmax is over some tokens at a time.
    data: names of its bundled data.
    """

    name: str
    read: Callable[[Row, str], Example | None]
    why_unusable: Callable[[Row, str], str]
    columns: tuple[str, ...]
    texts: int
    tiled: bool
    data: tuple[str, ...]


_SFT = Stage("sft", dialogue_of, why_no_dialogue, ("input_ids", "labels"), 1, True, bundled.SFT_DATA)
_PAIR = ("prompt_ids", "chosen_ids", "rejected_ids")
_DPO = Stage("dpo", preference_of, why_no_preference, _PAIR, 2, False, bundled.PREFERENCE_DATA)

STAGES = {stage.name: stage for stage in (_SFT, _DPO)}
