"""What users rely on: each command's options by name, flag, environment variable, type, default and help."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from snql.cli.app import app
from snql.cli.config import environment_name
from typer.main import get_command

CONTRACT = json.loads(Path(__file__).with_name("parameters.json").read_text("utf-8"))
"""A line an option, as it was promised: changed by hand, when an option is added or its words are."""


def commands(command: Any, parent: typer.Context | None, name: str) -> Iterator[typer.Context]:
    """A context for each command, which knows its environment variables."""
    context = typer.Context(command, parent, name, **command.context_settings)
    yield context
    for child, below in getattr(command, "commands", {}).items():
        yield from commands(below, context, child)


CONTEXTS = {each.command_path: each for each in commands(get_command(app), None, "snql")}


def shown(context: typer.Context) -> dict[str, dict[str, Any]]:
    """The parameters of a command by name, which is the key in a --config file."""
    return {each.name: described(each, context) for each in context.command.params}


def described(parameter: Any, context: typer.Context) -> dict[str, Any]:
    """One parameter; what goes without saying is left out: no default, not required."""
    is_option = parameter.param_type_name == "option"
    prefix = context.command_path.replace(" ", "_")
    environment = environment_name(parameter, prefix) if is_option and parameter.name != "help" else None
    default = None if parameter.default is False else parameter.default
    facts = {
        "flags": "/".join([" ".join(parameter.opts), *parameter.secondary_opts]) if is_option else parameter.metavar,
        "env": environment,
        "type": parameter.bare_type(),
        "default": str(default) if isinstance(default, Path) else default,
        "required": parameter.required or None,
        "range": None if parameter.min is parameter.max is None else [parameter.min, parameter.max],
        "help": parameter.help,
    }
    return {key: value for key, value in facts.items() if value is not None}


def test_there_are_these_commands() -> None:
    assert list(CONTEXTS) == list(CONTRACT)


@pytest.mark.parametrize("command", CONTRACT)
def test_options_are_as_promised(command: str) -> None:
    assert shown(CONTEXTS[command]) == CONTRACT[command]
