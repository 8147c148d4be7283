"""Writes docs/cli.md and docs/python.md from the commands' help and the docstrings: ``python docs/render.py``."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, get_args, get_type_hints

import typer
from snql.cli.app import app
from typing_extensions import Doc

import snql

HERE = Path(__file__).parent
NOTE = "This page is generated: change {where}, then `python docs/render.py`.\n"


def cli_page() -> str:
    """Every command with its arguments and options, as the installed command line describes them."""
    top = typer.main.get_command(app)
    parts = ["# The command line\n", NOTE.format(where="the help in `cli/` and the options in `snql/*/options.py`")]
    parts += ["## Every command\n", *_sentences(top.help), _options(top)]
    for name, command in sorted(_commands(top, "snql")):
        parts += [f"## {name}\n", f"    {_usage(name, command)}\n", *_sentences(command.help), _options(command)]
    return "\n".join(part for part in parts if part)


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")


def _usage(name: str, command: Any) -> str:
    if hasattr(command, "commands"):
        return f"{name} COMMAND …"
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    words = [each.name.upper() + (" …" if each.nargs != 1 else "") for each in arguments]
    shown = [word if each.required else f"[{word}]" for word, each in zip(words, arguments, strict=True)]
    needed = [f"{each.opts[0]} …" for each in command.params if each.required and each not in arguments]
    return " ".join([name, *shown, *needed, "[options]"])


def _options(command: Any) -> str:
    """A table for each panel of options, arguments first."""
    panels: dict[str, list[Any]] = {}
    for each in command.params:
        if not getattr(each, "hidden", False) and each.name != "help":
            panels.setdefault(getattr(each, "rich_help_panel", None) or "", []).append(each)
    return "\n".join(_panel(name, members) for name, members in panels.items())


def _panel(name: str, members: list[Any]) -> str:
    rows = [(_flags(each), _default(each.default), each.help or "") for each in members]
    return _table((name or "option", "default", "meaning"), rows)


def _flags(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    flags = ", ".join(f"`{flag}`" for flag in (*parameter.opts, *parameter.secondary_opts))
    return flags + (" (repeatable)" if parameter.multiple else "")


def python_page() -> str:
    """Every public name: what it is, its signature, and the fields of dataclasses."""
    introduction = "`import snql` imports a name's module when the name is first used.\n"
    parts = ["# In Python\n", introduction, NOTE.format(where="the docstrings")]
    for name in sorted(snql.__all__, key=lambda name: (inspect.isclass(getattr(snql, name, None)), name)):
        if not name.startswith("_"):
            parts += _name(name, getattr(snql, name))
    return "\n".join(parts)


def _name(name: str, value: Any) -> Iterator[str]:
    yield f"## snql.{name}\n"
    if inspect.isclass(value):
        yield from _sentences(value.__doc__ or "")
        if is_dataclass(value):
            yield _table(("field", "default", "meaning"), [_field(value, each) for each in fields(value)])
        methods = [(key, each) for key, each in vars(value).items() if not key.startswith("_") and _own(each)]
        yield from (line for key, each in methods for line in _callable(f"{key}", each))
    else:
        yield from _callable(name, value)


def _own(value: object) -> bool:
    return inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)


def _callable(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, property):
        yield f"    {name}\n"
    else:
        function: Callable[..., Any] = getattr(value, "__func__", value)
        yield "\n".join(f"    {line}" for line in _signature(name, function)) + "\n"
    yield from _sentences(inspect.getdoc(value) or "")


def _signature(name: str, function: Callable[..., Any]) -> list[str]:
    """One line, or one a parameter where it would be long; types and defaults as the code has them."""
    (node,) = ast.parse(dedent(inspect.getsource(function))).body
    given = node.args  # type: ignore[attr-defined]
    defaults = [None] * (len(given.args) - len(given.defaults)) + given.defaults
    parts = [_parameter(each, default) for each, default in zip(given.args, defaults, strict=True)]
    parts = [part for part in parts if part not in ("self", "cls")]
    if given.kwonlyargs:
        parts.append("*")
        parts += [_parameter(each, default) for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    returns = ast.unparse(node.returns).strip("'")  # type: ignore[attr-defined]
    short = f"{name}({', '.join(parts)}) -> {returns}"
    return [short] if len(short) <= 110 else [f"{name}(", *(f"    {part}," for part in parts), f") -> {returns}"]


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    return argument.arg + kind + (f" = {ast.unparse(default)}" if default else "")


def _field(owner: type, field: Field[Any]) -> tuple[str, str, str]:
    hint = get_type_hints(owner, include_extras=True)[field.name]
    meaning = next((note.documentation for note in get_args(hint) if isinstance(note, Doc)), "")
    inner = get_args(hint)[0] if get_args(hint) and hasattr(hint, "__metadata__") else hint
    if is_dataclass(inner):
        meaning = meaning or f"see `{getattr(inner, '__name__', inner)}`"
    made = field.default_factory() if field.default_factory is not MISSING else field.default
    return f"`{field.name}`", "" if made is MISSING else "" if is_dataclass(inner) else _default(made), meaning


def _default(value: object) -> str:
    if callable(value):
        value = value()
    return "" if value is None or value is False or value is MISSING or value in ((), [], "") else f"`{value}`"


def _sentences(text: str | None) -> list[str]:
    """The paragraphs of a docstring as Markdown: roles of reStructuredText become code."""
    plain = re.sub(r":\w+:`([^`]+)`", r"`\1`", inspect.cleandoc(text or "")).replace("``", "`")
    return [f"{plain}\n"] if plain else []


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    lines = [head, tuple("---" for _ in head), *rows]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in cells)


PAGES = {"cli.md": cli_page, "python.md": python_page}

if __name__ == "__main__":
    for page, text in PAGES.items():
        (HERE / page).write_text(text(), "utf-8")
