"""The command lines that repeat a run, from the configuration it stored."""

import json
import shlex

from snql.contrast.options import LocateOptions
from snql.options import words_of
from snql.patching.options import PatchOptions

OPTIONS: dict[str, type] = {"locate": LocateOptions, "patch": PatchOptions}
"""What a run's configuration holds the values of, by its kind."""


def command(kind: str, name: str, config: str) -> str:
    """The command line of a run: as it stored it (``command`` or ``argv``), else made of its configuration.

    Options that have their default are left out.
    """
    settings = json.loads(config)
    if not isinstance(settings, dict):
        return shlex.join(["snql", kind, name])
    stored = settings.get("command", settings.get("argv"))
    if isinstance(stored, str) and stored:
        return stored
    if isinstance(stored, list) and stored:
        return shlex.join(str(word) for word in stored)
    return shlex.join(["snql", kind, name, *words_of(OPTIONS.get(kind, PatchOptions), settings)])
