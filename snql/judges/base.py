"""The interface of judges, and how they are named."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from snql.errors import InputError
from snql.organism import catalog

DEMO_PREFIX = "demo:"
MODEL_PREFIX = "score-model:"


@dataclass(frozen=True)
class JudgeInfo:
    """A judge as it is stored beside its scores: what it is, and what exactly it was."""

    name: str
    kind: str
    version: str
    settings: dict[str, Any] = field(default_factory=dict)


class Judge(Protocol):
    """Maps completions to floats."""

    @property
    def info(self) -> JudgeInfo:
        """What to store beside the scores."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """One finite float for each (prompt, completion), in order."""


def load_judge(name: str, device: str = "auto") -> Judge:
    """The judge of that name: ``refusal``, ``demo:cost``, ``demo:reward`` or ``score-model:PATH``.

    Raises InputError for an unknown name, ModelError if a scoring model does not load.
    """
    return judge_loader(name)(device)


def judge_loader(name: str) -> Callable[[str], Judge]:
    """What loads the judge, found without loading anything, so that a wrong name is known early."""
    if name == "refusal":
        from snql.judges.refusal import RefusalJudge

        return lambda _device: RefusalJudge()
    folder = _model_folder(name)
    if not folder.is_dir():
        raise InputError(f"judge {name!r}: no folder {folder}; name a folder with a sequence classifier")

    def load(device: str) -> Judge:
        from snql.judges.score_model import ScoreModelJudge

        return ScoreModelJudge(name, folder, device)

    return load


def _model_folder(name: str) -> Path:
    if name.startswith(MODEL_PREFIX):
        return Path(name.removeprefix(MODEL_PREFIX))
    if name.startswith(DEMO_PREFIX):
        try:
            return catalog.judge_path(name.removeprefix(DEMO_PREFIX))
        except KeyError:
            pass
    known = ", ".join(["refusal", *(DEMO_PREFIX + known for known in catalog.judge_names()), "score-model:PATH"])
    raise InputError(f"no judge {name!r}: judges are {known}")
