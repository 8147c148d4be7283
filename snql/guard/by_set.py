"""Labels from the sets that prompts are of, where no judge of harm is at hand."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from snql.errors import InputError
from snql.judges.base import WORSE, JudgeInfo, Pair, Verdict

BY_SET = "by-set"
_REFUSAL = "refusal"


@dataclass(frozen=True)
class SetJudge:
    """Cost 1 for every answer to a prompt of the harmful sets, 0 for one to a benign prompt, whatever it says.

    benign: texts of benign prompts.
    """

    benign: frozenset[str]

    @property
    def info(self) -> JudgeInfo:
        texts = hashlib.sha256("\n".join(sorted(self.benign)).encode()).hexdigest()
        return JudgeInfo(BY_SET, "set", "1", {"benign_sha256": texts, "higher_is": WORSE})

    @property
    def at_once(self) -> int:
        return 5_000

    def judge(self, pairs: Sequence[Pair]) -> list[Verdict]:
        return [Verdict(0.0, "benign") if prompt in self.benign else Verdict(1.0, "harmful") for prompt, _ in pairs]


def check_labels_mean_harm(judge: str, prompts: Collection[str], benign: Collection[str]) -> None:
    """Raise InputError for a judge of refusals beside benign prompts, and for labels by set of one kind of set."""
    if judge.partition(":")[0] == _REFUSAL and benign:
        raise InputError(
            f"`judge` {judge} calls every answer that is no refusal harmful, those to `benign` prompts too: use a "
            f"judge of harm, such as score-model:PATH, or `judge` {BY_SET}, which labels prompts by their sets"
        )
    if judge == BY_SET and not (prompts and benign):
        raise InputError(f"`judge` {BY_SET} labels prompts by their sets: give harmful `prompts`, and `benign` ones")
