"""The command lines that repeat a run, from the configuration it stored."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

Settings = Mapping[str, Any]

_READING: Settings = {
    "prompts": None,
    "prompt_column": None,
    "where": None,
    "sample": None,
    "limit": None,
    "disjoint_from": None,
    "template": "auto",
    "system": None,
    "response_prefix": None,
}
_LOADING: Settings = {
    "seed": 0,
    "dtype": "auto",
    "device_map": None,
    "attn_implementation": None,
    "quantize": None,
    "trust_remote_code": False,
}
LOCATE: Settings = {
    "before": None,
    "after": None,
    **_READING,
    "positions": "generating",
    "completions_by": "before",
    "max_new_tokens": 256,
    "skip_last_layers": 1,
    "keep": "5%",
    "store": "auto",
    "recompute": False,
    "bootstrap": 0,
    "after_dtype": None,
    "scorer": "change-score",
    **_LOADING,
}
"""Options of ``snql locate`` by their keys in a configuration, in the order they are shown, with what they are if not
given. What only changes speed, and where models run, is not in a configuration."""
PATCH: Settings = {
    "recipient": None,
    "donor": None,
    "neurons": None,
    "mode": "donor",
    "freeze": False,
    "steps": "all",
    "first": None,
    "sweep": None,
    "window": None,
    "random": 0,
    "random_anywhere": 0,
    **_READING,
    "judges": None,
    "judge_signs": None,
    "rubric": None,
    "allow_overlap": False,
    "max_new_tokens": 128,
    "temperature": 0.0,
    "top_p": 1.0,
    "samples": 1,
    "trace": True,
    "drafts": None,
    **_LOADING,
}
"""As ``LOCATE``, of ``snql patch``."""
_NAMES = {"judges": "judge", "judge_signs": "judge_sign"}
_JOINED = ("sweep",)


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
    words = ["snql", kind, name]
    for key, default in (LOCATE if kind == "locate" else PATCH).items():
        value = settings.get(key, default)
        words += [] if value == default else _option(key, value)
    return shlex.join(words)


def _option(key: str, value: object) -> list[str]:
    option = _NAMES.get(key, key).replace("_", "-")
    if value is None:
        return []
    if isinstance(value, bool):
        return [f"--{option}" if value else f"--no-{option}"]
    if isinstance(value, list):
        if key in _JOINED:
            return [f"--{option}", ",".join(str(part) for part in value)] if value else []
        return [word for part in value for word in _option(key, part)]
    return [f"--{option}", str(value)]
