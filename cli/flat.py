"""Commands that take their options as dataclasses: each leaf of one is an option of the command line."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import wraps
from inspect import Parameter
from typing import Annotated, Any

import typer

from snql.options import Leaf, build, leaves


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """The command as Typer wants it: each parameter that is a dataclass is replaced by its leaves, and made of them."""
    taken = inspect.signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def run(**given: Any) -> None:
        command(**{each.name: _made(each, given) for each in taken})

    shown = [option for each in taken for option in _options(each)]
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in shown}
    return run


def _made(taken: Parameter, given: Mapping[str, Any]) -> Any:
    if not is_dataclass(taken.annotation):
        return given[taken.name]
    options: Any = taken.annotation
    return build(options, {leaf.name: given[leaf.key] for leaf in leaves(options) if leaf.shown})


def _options(taken: Parameter) -> Iterator[Parameter]:
    """What Typer shows of a parameter: it, or the options in it, each in a panel named after the field it is in."""
    if not is_dataclass(taken.annotation):
        yield taken.replace(kind=Parameter.KEYWORD_ONLY)
        return
    options: Any = taken.annotation
    for leaf in leaves(options):
        if leaf.shown:
            panel = (taken.name, *leaf.path)[-2].replace("_", " ").capitalize()
            default = Parameter.empty if leaf.required else _default(leaf)
            kind = _kind(leaf) if default is Parameter.empty else _kind(leaf) | None
            noted = Annotated[kind, _note(leaf, panel)]  # type: ignore[valid-type]
            yield Parameter(leaf.key, Parameter.KEYWORD_ONLY, default=default, annotation=noted)


def _default(leaf: Leaf) -> Any:
    if leaf.joined:
        return ",".join(leaf.default)
    return (list(leaf.default) or None) if leaf.listed else leaf.default


def _kind(leaf: Leaf) -> Any:
    """The type of what is given: of a number or a word, the word is taken, and read later."""
    if leaf.joined or str in leaf.types:
        return str
    return list[leaf.type.__args__[0]] if leaf.listed else leaf.types[0]  # type: ignore[name-defined]


def _note(leaf: Leaf, panel: str) -> Any:
    if leaf.argument is not None:
        return typer.Argument(metavar=leaf.argument.metavar, help=leaf.doc)
    flags = [f"{leaf.flag}/{leaf.negated}", *leaf.flags[1:]] if leaf.negated else leaf.flags
    return typer.Option(*flags, help=leaf.doc, rich_help_panel=panel)
