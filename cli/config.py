"""``--config run.toml``: options from a file, under the command's name; the command line wins over it."""

import tomllib
from pathlib import Path
from typing import Any

from snql.errors import InputError
from snql.small_files import small_text


def read_config(path: Path, command: Any) -> dict[str, Any]:
    """Option values by parameter name for a command tree: one table a command, dashes as underscores.

    Raises InputError if the file is missing or is not TOML, or names a command or option that there is not.
    """
    text = small_text(path, "--config")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"--config {path} is not TOML: {error}") from error
    return _checked(table, command, path, "")


def _checked(table: dict[str, Any], command: Any, path: Path, place: str) -> dict[str, Any]:
    """The table with the command's own names; a single value for a repeatable option becomes a list."""
    commands = getattr(command, "commands", {})
    parameters = {option_name(parameter): parameter for parameter in command.params}
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if isinstance(value, dict) and key in commands:
            values[key] = _checked(value, commands[key], path, f"[{key}] ")
        elif isinstance(value, dict) or name not in parameters:
            what = "command" if isinstance(value, dict) else "option"
            known = commands if isinstance(value, dict) else parameters
            raise InputError(
                f"--config {path}: {place}{key} is no {what}; those here are {', '.join(sorted(map(str, known)))}"
            )
        else:
            parameter = parameters[name]
            values[parameter.name] = [value] if parameter.multiple and not isinstance(value, list) else value
    return values


def option_name(parameter: Any) -> str:
    """What an option is called in a TOML file and in the environment: as on the command line, with underscores."""
    flags = [flag for flag in parameter.opts if flag.startswith("--")]
    return flags[0][2:].replace("-", "_") if flags else str(parameter.name)


def environment_name(parameter: Any, prefix: str) -> str:
    """The environment variable of an option of the command whose variables begin with ``prefix``."""
    return f"{prefix}_{option_name(parameter)}".upper().replace("-", "_")


def split_environment_by_line(command: Any) -> None:
    """Let repeatable options take one value a line from the environment: values may have spaces in them."""
    for parameter in command.params:
        if getattr(parameter, "multiple", False):
            parameter.value_from_envvar = _by_line(parameter)


def _by_line(parameter: Any) -> Any:
    def value(context: Any) -> list[str] | None:
        text = parameter.resolve_envvar_value(context)
        return None if text is None else [line for line in text.splitlines() if line.strip()]

    return value
