"""Commands that take their options as dataclasses: each leaf of one is an option of the command line."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, is_dataclass, replace
from functools import wraps
from inspect import Parameter
from typing import Annotated, Any, get_args, get_origin

import typer

from snql.options import Inside, Leaf, build, leaves

from .completing import completer
from .flags import named


def flat(command: Callable[..., None]) -> Callable[..., None]:
    """The command as Typer wants it: each parameter that is a dataclass is replaced by its leaves, and made of them.

    How leaves differ for one command is said as in a dataclass: ``run: Annotated[RunFlags, Inside(without=…)]``.
    """
    taken = inspect.signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def run(**given: Any) -> None:
        command(**{each.name: _made(each, given) for each in taken})

    shown = [option for each in taken for option in _options(each)]
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in shown}
    run.rare = {leaf.key for each in taken for leaf in _leaves(each)[1] or () if leaf.rare}  # type: ignore[attr-defined]
    run.flags = {leaf.name: leaf.flag for each in taken for leaf in _leaves(each)[1] or ()}  # type: ignore[attr-defined]
    return run


class AnyOf:
    """Of a mapping that holds the leaves of several dataclasses by name, for a command that makes one of them of it."""

    def __init__(self, *kinds: type) -> None:
        self.kinds = kinds

    def leaves(self) -> list[Leaf]:
        """What several have is there once, as the first has it; none is required."""
        found: dict[str, Leaf] = {}
        for kind in self.kinds:
            for leaf in leaves(kind):
                default = None if leaf.default is MISSING else leaf.default
                found.setdefault(leaf.name, replace(leaf, required=False, default=default))
        return list(found.values())


def _made(taken: Parameter, given: Mapping[str, Any]) -> Any:
    kind, shown = _leaves(taken)
    if shown is None:
        return given[taken.name]
    values = {leaf.name: given[leaf.key] for leaf in shown}
    return build(kind, values) if isinstance(kind, type) and is_dataclass(kind) else values


def _leaves(taken: Parameter) -> tuple[Any, list[Leaf] | None]:
    """What a parameter is, and the options in it that the command line has; None where it is no dataclass."""
    kind, *notes = get_args(taken.annotation) if get_origin(taken.annotation) is Annotated else (taken.annotation,)
    for note in notes:
        if isinstance(note, AnyOf):
            return kind, note.leaves()
    if not is_dataclass(kind):
        return kind, None
    inside = next((note for note in notes if isinstance(note, Inside)), None)
    return kind, [leaf for leaf in leaves(kind, inside) if leaf.shown]  # type: ignore[arg-type]


def _options(taken: Parameter) -> Iterator[Parameter]:
    """What Typer shows of a parameter: it, or the options in it, each in a panel named after the field it is in."""
    _, shown = _leaves(taken)
    if shown is None:
        _complete(taken)
        yield taken.replace(kind=Parameter.KEYWORD_ONLY)
    flags = {leaf.name: leaf.flag for leaf in shown or ()}
    for leaf in shown or ():
        default = Parameter.empty if leaf.required else _default(leaf)
        panel = (taken.name, *leaf.path)[-2].replace("_", " ").capitalize()
        given = _kind(leaf) if leaf.required else _kind(leaf) | None
        note = _note(leaf, panel, named(leaf.doc, flags.get))
        note.autocompletion = completer(leaf.key)
        yield Parameter(leaf.key, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[given, note])


def _complete(taken: Parameter) -> None:
    """Let a parameter of the command line alone be completed, too."""
    for note in get_args(taken.annotation)[1:]:
        if hasattr(note, "autocompletion"):
            note.autocompletion = completer(taken.name)


def _default(leaf: Leaf) -> Any:
    if leaf.joined:
        return ",".join(leaf.default)
    return (list(leaf.default) or None) if leaf.listed else leaf.default


def _kind(leaf: Leaf) -> Any:
    """The type of what is given: of a number or a word, the word is taken, and read later."""
    if leaf.joined or str in leaf.types:
        return str
    return list[get_args(leaf.type)[0]] if leaf.listed else leaf.types[0]  # type: ignore[misc]


def _note(leaf: Leaf, panel: str, words: str) -> Any:
    if leaf.argument is not None:
        return typer.Argument(metavar=leaf.argument.metavar, help=words)
    flags = [f"{leaf.flag}/{leaf.negated}", *leaf.flags[1:]] if leaf.negated else leaf.flags
    return typer.Option(*flags, help=words, rich_help_panel=panel)
