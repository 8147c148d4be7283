"""Judges by name."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from snql.errors import InputError
from snql.judges.base import Judge, Loader
from snql.judges.options import JudgeOptions, JudgingOptions
from snql.organism import bundled

DEMO_PREFIX = "demo:"
KINDS = {
    "refusal": ("snql.judges.refusal", "refusal:LIST"),
    "score-model": ("snql.judges.score_model", "score-model:PATH"),
    "classifier": ("snql.judges.classifier", "classifier:PATH[#label]"),
    "llm": ("snql.judges.endpoint", "llm:URL#MODEL"),
    "python": ("snql.judges.function", "python:MODULE:FUNCTION"),
}
"""The module of each kind of judge and how it is written. A module has ``prepare(name, rest, options)``, which checks
what it can without loading anything and returns what loads the judge."""


def load_judge(name: str, options: JudgeOptions | None = None) -> Judge:
    """The judge of that name, see :data:`KINDS`, or ``refusal``, ``demo:cost``, ``demo:reward``.

    Raises InputError for an unknown name or a wrong option, ModelError if a model does not load.
    """
    return judge_loader(name, options or JudgeOptions())()


def judge_loader(name: str, options: JudgeOptions) -> Loader:
    """What loads the judge, found without loading anything, so that a wrong name is known early."""
    if name == "refusal":
        from snql.judges.refusal import RefusalJudge

        return RefusalJudge
    if name.startswith(DEMO_PREFIX):
        return _prepare("score-model")(name, str(_demo_folder(name)), options)
    kind, colon, rest = name.partition(":")
    if kind not in KINDS or not colon or not rest:
        raise _unknown(name)
    return _prepare(kind)(name, rest, options)


def judge_loaders(options: JudgingOptions, device: str) -> list[Loader]:
    """What loads a run's judges, each once; raises InputError for a judge that there is not."""
    asked = JudgeOptions(device=device, rubric=options.rubric)
    judges = dict.fromkeys(options.judges)
    return [judge_loader(judge, replace(asked, sign=options.signs.get(judge))) for judge in judges]


def _prepare(kind: str) -> Callable[[str, str, JudgeOptions], Loader]:
    found: Callable[[str, str, JudgeOptions], Loader] = import_module(KINDS[kind][0]).prepare
    return found


def _demo_folder(name: str) -> Path:
    try:
        return bundled.judge_path(name.removeprefix(DEMO_PREFIX))
    except KeyError as error:
        raise _unknown(name) from error


def _unknown(name: str) -> InputError:
    written = [way for _, way in KINDS.values()]
    known = ", ".join(["refusal", *(DEMO_PREFIX + known for known in bundled.judge_names()), *written])
    return InputError(f"no judge {name!r}: judges are {known}")
