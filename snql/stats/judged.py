"""Who gave a score, and which way it points."""

from dataclasses import dataclass, field
from typing import Any

WORSE, BETTER = "worse", "better"


@dataclass(frozen=True)
class JudgeInfo:
    """A judge as it is stored beside its scores: what it is, and what exactly it was.

    ``version`` changes when scores may: a hash of files, of a rubric, or a number. ``settings`` hold no secrets;
    ``higher_is`` among them says whether a higher score is worse (a cost, the default) or better (a reward).
    """

    name: str
    kind: str
    version: str
    settings: dict[str, Any] = field(default_factory=dict)
