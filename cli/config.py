"""``--config run.toml``: options from a file, under the command's name; the command line wins over it."""

import tomllib
from pathlib import Path
from typing import Any

from snql.errors import InputError


def read_config(path: Path) -> dict[str, Any]:
    """Option values by parameter name, one table a command, dashes as underscores.

    Raises InputError if the file is missing or is not TOML.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path} cannot be read: check the path") from error
    try:
        return _named(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"--config {path} is not TOML: {error}") from error


def _named(table: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("-", "_"): _named(value) if isinstance(value, dict) else value for key, value in table.items()}
