"""What the steps of a plan need and this machine lacks, found before any of them runs."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from snql.distribution import install
from snql.errors import InputError
from snql.paper.plan import Plan, Step

_EXTRAS = {"train sft": ("trl", "train"), "train dpo": ("trl", "train"), "lm-eval": ("lm_eval", "lm-eval")}
"""The package that a command needs, and the extra that has it."""

_FILES = ("prompts", "benign", "text", "data", "refuse", "answer", "contrast-prompts", "neutral-prompts")
_ELSEWHERE = ("demo:", "hub:")


def check_needs(plan: Plan) -> None:
    """Raise InputError that names everything that is missing: extras, and files that no earlier step makes."""
    found = list(dict.fromkeys(_missing(plan)))
    if found:
        raise InputError(f"before anything runs, {len(found)} missing: {'; '.join(found)}")


def _missing(plan: Plan) -> Iterator[str]:
    made: set[str] = set()
    for step in plan.steps:
        package, extra = _EXTRAS.get(step.command, ("", ""))
        if package and find_spec(package) is None:
            yield f"{package} ({install(extra)})"
        for name in _files(step):
            if name not in made and not Path(name).exists():
                yield f"file {name}"
        made.add(step.words[-1])


def _files(step: Step) -> Iterator[str]:
    for key in _FILES:
        value = step.options.get(key, [])
        for each in value if isinstance(value, list) else [value]:
            if not str(each).startswith(_ELSEWHERE):
                yield str(each)
