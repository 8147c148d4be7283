"""The ends of what options of the core allow: at an end they are taken, one step beyond they are refused."""

from typing import Any

import pytest

from snql.contrast.options import LocateOptions, NullOptions
from snql.errors import InputError
from snql.guard.options import GuardCompareOptions, GuardOptions, GuardRunOptions, GuardTestOptions
from snql.judges.options import JudgeOptions, JudgingOptions
from snql.options import changed
from snql.patching.options import AdapterOptions, PatchOptions
from snql.prompts.options import PromptOptions

SOURCE = PromptOptions(("x",))
GUARD = GuardOptions(model="a", neurons="r:5%", prompts=SOURCE, judge="demo:cost")
PATCH = PatchOptions(
    recipient="a", donor="b", neurons=("r:5%",), prompts=SOURCE, judging=JudgingOptions(("refusal",)), mode="donor"
)
PLAIN: dict[str, Any] = {
    "locate": LocateOptions(before="a", after="b", prompts=SOURCE),
    "null": NullOptions(from_run="r"),
    "patch": PATCH,
    "patch zero": changed(PATCH, donor=None, mode="zero"),
    "adapter": AdapterOptions(neurons="r:5%", base="a"),
    "guard": GUARD,
    "guard compare": GuardCompareOptions(guard=GUARD),
    "guard test": GuardTestOptions(prompts=SOURCE),
    "guard run": GuardRunOptions(prompt="Hi"),
    "judge": JudgeOptions(),
}
INF, NAN = float("inf"), float("nan")
BOUNDS: list[tuple[str, str, list[Any], list[Any]]] = [
    ("locate", "skip_last_layers", [0], [-1]),
    ("locate", "bootstrap", [0, 100, 10_000], [1, 99, 10_001]),
    ("locate", "max_new_tokens", [1], [0]),
    ("null", "draws", [2, 1000], [1, 1001]),
    ("patch", "random", [0, 10_000], [-1, 10_001]),
    ("patch", "random_anywhere", [0, 10_000], [-1, 10_001]),
    ("patch", "random_magnitude", [0, 10_000], [-1, 10_001]),
    ("patch", "first", [None, 1], [0]),
    ("patch zero", "mode", ["scale:0", "scale:-1e30", "noise:r:1e-9", "mean:r"], ["scale:1.1e30", "noise:r:0", "both"]),
    ("adapter", "scale", [0.0, 1e30, -1e30], [1.1e30, INF, NAN]),
    ("guard", "random", [0, 1000], [-1, 1001]),
    ("guard", "refuse_from", [0.0, 1.0], [-0.01, 1.01, NAN]),
    ("guard", "threshold", [-1e9], [INF, -INF, NAN]),
    ("guard compare", "folds", [2], [1]),
    ("guard compare", "repeats", [0], [-1]),
    ("guard test", "max_new_tokens", [None, 1], [0]),
    ("guard run", "threshold", [None, 0.0, 1.0], [-0.01, 1.01]),
    ("guard run", "repeats", [0], [-1]),
    ("judge", "batch_size", [1], [0]),
    ("judge", "concurrency", [1], [0]),
    ("judge", "retries", [0], [-1]),
    ("judge", "timeout", [0.001], [0.0, INF, NAN]),
]


@pytest.mark.parametrize(
    ("of", "option", "allowed", "refused"), BOUNDS, ids=[f"{of} {name}" for of, name, *_ in BOUNDS]
)
def test_an_end_is_allowed_and_what_is_beyond_is_refused(
    of: str, option: str, allowed: list[Any], refused: list[Any]
) -> None:
    for value in allowed:
        changed(PLAIN[of], **{option: value})
    for value in refused:
        with pytest.raises(InputError, match="`"):
            changed(PLAIN[of], **{option: value})
            pytest.fail(f"{value} is taken")
