"""The command line that repeats a run, of any kind, from the configuration it stored."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from snql.capability.options import DivergenceOptions, LmEvalOptions, PerplexityOptions
from snql.contrast.options import LocateOptions
from snql.guard.options import GuardCompareOptions, GuardOptions, GuardTestOptions
from snql.lens.options import LensOptions
from snql.options import words_of
from snql.patching.options import PatchOptions

Settings = Mapping[str, Any]


def _as_stored(settings: Settings) -> Settings:
    return settings


def _apart(settings: Settings) -> Settings:
    """Benign prompts are stored among all prompts, last, and once more by themselves."""
    prompts, benign = settings.get("prompts") or (), settings.get("benign") or ()
    return {**settings, "prompts": prompts[: len(prompts) - len(benign)]}


def _of_lens(settings: Settings) -> Settings:
    """Both sides of the direction are stored with how their prompts were read, which is the same."""
    sides = {side: settings.get(side) or {} for side in ("harmful", "harmless")}
    return {**sides["harmful"], **settings, **{side: read.get("prompts", ()) for side, read in sides.items()}}


def _of_divergence(settings: Settings) -> Settings:
    """With the sets of a patch run goes the mode of that run, which cannot be given."""
    return settings if settings.get("neurons") else {**settings, "mode": None}


@dataclass(frozen=True)
class Verb:
    """The command that makes runs of a kind. words: its name; options: their class; given: the values of its leaves,
    by what a run stores."""

    words: tuple[str, ...]
    options: type
    given: Callable[[Settings], Settings] = _as_stored

    def line(self, name: str, settings: Settings) -> list[str]:
        """The command line of a run."""
        options = words_of(self.options, self.given(settings))
        if self.options is LensOptions:
            return [*self.words, *options, "--name", name]
        if self.options is GuardTestOptions:
            guard = settings.get("guard", name)
            return [*self.words, guard, *([] if guard == name else ["--as", name]), *options]
        return [*self.words, name, *options]


VERBS = {
    "locate": Verb(("locate",), LocateOptions),
    "patch": Verb(("patch",), PatchOptions),
    "divergence": Verb(("divergence",), DivergenceOptions, _of_divergence),
    "perplexity": Verb(("perplexity",), PerplexityOptions),
    "lm-eval": Verb(("lm-eval",), LmEvalOptions),
    "lens": Verb(("lens",), LensOptions, _of_lens),
    "guard": Verb(("guard", "train"), GuardOptions, _apart),
    "guard-test": Verb(("guard", "test"), GuardTestOptions, _apart),
    "guard-compare": Verb(("guard", "compare"), GuardCompareOptions, _apart),
}
"""By the kind of a run."""


def words_of_kind(kind: str) -> tuple[str, ...]:
    """The words of the command that makes runs of a kind."""
    return VERBS[kind].words if kind in VERBS else (kind,)


def command(kind: str, name: str, config: str) -> str:
    """The command line of a run: as it stored it (``command`` or ``argv``), else made of its configuration.

    Options that have their default are left out.
    """
    settings = json.loads(config)
    if not isinstance(settings, dict) or kind not in VERBS:
        return shlex.join(["snql", *words_of_kind(kind), name])
    stored = settings.get("command", settings.get("argv"))
    if isinstance(stored, str) and stored:
        return stored
    if isinstance(stored, list) and stored:
        return shlex.join(str(word) for word in stored)
    return shlex.join(["snql", *VERBS[kind].line(name, settings)])
