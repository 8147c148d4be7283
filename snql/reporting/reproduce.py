"""The command lines that repeat a run, from the configuration it stored."""

import json
import shlex

OPTIONS = (
    "before",
    "after",
    "recipient",
    "donor",
    "neurons",
    "sweep",
    "random",
    "mode",
    "judges",
    "judge",
    "prompts",
    "prompt_column",
    "template",
    "limit",
    "max_new_tokens",
    "batch_size",
    "positions",
    "completions_by",
    "skip_last_layers",
    "keep",
    "scorer",
    "temperature",
    "top_p",
    "seed",
    "dtype",
    "device",
    "trust_remote_code",
)
"""Configuration keys that are options of `locate` and `patch`, in the order they are shown."""
_NAMES = {"judges": "judge"}
_JOINED = ("sweep",)
_SOURCES = ("source", "path", "file", "spec", "name")


def command(kind: str, name: str, config: str) -> str:
    """The command line of a run: as it stored it (``command`` or ``argv``), else made of its configuration."""
    settings = json.loads(config)
    if not isinstance(settings, dict):
        return shlex.join(["snql", kind, name])
    stored = settings.get("command", settings.get("argv"))
    if isinstance(stored, str) and stored:
        return stored
    if isinstance(stored, list) and stored:
        return shlex.join(str(word) for word in stored)
    words = ["snql", kind, name]
    for key in OPTIONS:
        words += _option(key, settings.get(key))
    return shlex.join(words)


def _option(key: str, value: object) -> list[str]:
    option = f"--{_NAMES.get(key, key).replace('_', '-')}"
    if value is None or value is False or value == []:
        return []
    if value is True:
        return [option]
    if isinstance(value, list):
        if key in _JOINED:
            return [option, ",".join(str(part) for part in value)]
        return [word for part in value for word in _option(key, part)]
    if isinstance(value, dict):
        found = [value[name] for name in _SOURCES if isinstance(value.get(name), str)]
        return [option, found[0]] if found else []
    return [option, str(value)]
