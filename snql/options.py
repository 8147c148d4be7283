"""One definition of an option: a documented field of a frozen dataclass.

A job's settings are a tree of frozen dataclasses: what several jobs share is a class of its own, and a field of theirs
(``models: LoadOptions``). A field's annotation says all there is to know of an option:

    max_new_tokens: Annotated[int, Doc("Longest completion, in tokens.")] = 128
    judges: Annotated[tuple[str, ...], Doc("Which judges; repeatable."), Flag("--judge")]
    batch_size: Annotated[int | str, Doc("Rows a batch."), Aside()] = "auto"
    prompts: Annotated[PromptOptions, Inside(required=("prompts",), without=("where",))] = PromptOptions()

From these come the options of the command line, the configuration that a run stores, the command that repeats it, the
steps of a paper's recipes, and what these cost. Names of leaves are unique in a tree. Needs no other module.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from typing_extensions import Doc

from snql.errors import InputError

T = TypeVar("T")


class Flag:
    """Names on the command line where the field's own, with dashes, is not the one: ``Flag("--output", "-o")``.

    key: the name in a TOML file and in the environment, where the first flag's is not the one either.
    """

    def __init__(self, *names: str, key: str | None = None) -> None:
        self.names, self.key = names, key


class Aside:
    """Of an option that changes where or how fast, never what: it is not stored, and a repeated run may differ."""


class Later:
    """Of an option that came after runs had been stored: it is in a configuration only where it is not the default."""


class Rare:
    """Of an option that few need: help names it, and says what it does when asked for all."""


class Joined:
    """Of a tuple that the command line takes as one word with commas in it: ``--sweep 1%,5%``."""


@dataclass(frozen=True)
class Argument:
    """Of an option that the command line takes by its place. metavar: what help calls it."""

    metavar: str | None = None


@dataclass(frozen=True)
class Inside:
    """Of a field that holds options: how its leaves differ here.

    without: those that this command line does not have (they are stored all the same). required: those that it must
    have. docs: other help texts, by leaf.
    """

    without: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    docs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Leaf:
    """One option. owner: the dataclass that it is a field of, and ``path`` the fields that lead there from the tree's
    root. type: without notes. default: MISSING if there is none. flags: its names on the command line, first the long
    one; key: in TOML and the environment. shown: whether the command line has it."""

    name: str
    path: tuple[str, ...]
    owner: type
    type: Any
    doc: str
    default: Any
    flags: tuple[str, ...]
    key: str
    aside: bool = False
    later: bool = False
    joined: bool = False
    rare: bool = False
    argument: Argument | None = None
    required: bool = False
    shown: bool = True

    @property
    def flag(self) -> str:
        """The name on the command line."""
        return self.flags[0]

    @property
    def listed(self) -> bool:
        """Whether it holds several values."""
        return get_origin(self.type) is tuple

    @property
    def negated(self) -> str | None:
        """``--no-…`` of what can be switched off: a truth value that is not False by default."""
        return f"--no-{self.flag[2:]}" if bool in self.types and self.default is not False else None

    @property
    def types(self) -> tuple[Any, ...]:
        """The types of a value, None left out."""
        union = get_origin(self.type) in (Union, types.UnionType)
        return tuple(each for each in get_args(self.type) if each is not type(None)) if union else (self.type,)

    def words(self, value: Any) -> list[str]:
        """The words of a command line that give this value; none for None."""
        if value is None:
            return []
        if isinstance(value, bool):
            return [self.flag if value else f"--no-{self.flag[2:]}"]
        if not isinstance(value, list | tuple):
            return [str(value)] if self.argument else [self.flag, str(value)]
        if self.joined:
            return [self.flag, ",".join(map(str, value))] if value else []
        return [word for each in value for word in self.words(each)]

    def value(self, given: Any) -> Any:
        """What was given, on a command line, in TOML or in JSON, as the type that the field has."""
        if self.listed:
            parts = split(given) if self.joined and isinstance(given, str) else given
            return (parts,) if isinstance(parts, str) else tuple(parts or ())
        if isinstance(given, str) and str not in self.types:
            return next((self._number(each, given) for each in (Path, int, float) if each in self.types), given)
        return self._number(int, given) if isinstance(given, str) and int in self.types and given.isdecimal() else given

    def _number(self, kind: type, given: str) -> Any:
        """Raises InputError for what is none, and for more digits than Python reads."""
        try:
            return kind(given)
        except ValueError as error:
            raise InputError(f"`{self.name}` {given[:40]!r} is no number that can be used") from error


def leaves(options: type, inside: Inside | None = None) -> tuple[Leaf, ...]:
    """Every option of a dataclass and of those inside it, in order; raises TypeError if two have one name."""
    found = _leaves(options)
    return found if inside is None else tuple(_changed(leaf, inside) for leaf in found)


@cache
def _leaves(options: type) -> tuple[Leaf, ...]:
    found = tuple(_found(options, (), MISSING))
    names = [leaf.name for leaf in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise TypeError(f"{options.__name__} has two options named {', '.join(sorted(twice))}")
    return found


def build(options: type[T], given: Mapping[str, Any]) -> T:
    """The options with these values of leaves, by name; others have their defaults. Errors are those of the classes."""
    return _built(options, given, {leaf.path: leaf for leaf in leaves(options)}, ())


def changed(options: T, **given: Any) -> T:
    """The options with other values of some leaves, wherever in the tree they are."""
    return build(type(options), values(options) | given)


def values(options: Any) -> dict[str, Any]:
    """The value of every leaf by its name."""
    return {leaf.name: _at(options, leaf.path) for leaf in leaves(type(options))}


def config(options: Any) -> dict[str, Any]:
    """The canonical configuration, as JSON can hold it: everything that results depend on."""
    found = values(options)
    kept = {leaf.name: found[leaf.name] for leaf in leaves(type(options)) if _is_stored(leaf, found[leaf.name])}
    return {name: str(value) if isinstance(value, Path) else value for name, value in kept.items()}


def words(options: Any) -> list[str]:
    """The words of a command line that give these options, without defaults and what only changes speed or place."""
    return words_of(type(options), values(options))


def words_of(options: type, found: Mapping[str, Any]) -> list[str]:
    """The words of a command line that give these values of leaves, by name; names that are no leaf are passed over."""
    asked = [leaf for leaf in leaves(options) if leaf.name in found and leaf.shown and not leaf.aside]
    return [
        word for leaf in asked if leaf.value(found[leaf.name]) != leaf.default for word in leaf.words(found[leaf.name])
    ]


def split(text: str) -> tuple[str, ...]:
    """The parts of a text with commas between; none of an empty one. Raises InputError for a part that is empty."""
    parts = tuple(part.strip() for part in text.split(",")) if text.strip(" ,") else ()
    if not all(parts):
        raise InputError(f"{text!r} has a comma with nothing before or after it: leave it out")
    return parts


def _is_stored(leaf: Leaf, value: Any) -> bool:
    return not leaf.aside and not (leaf.later and value == leaf.default)


def _at(options: Any, path: Sequence[str]) -> Any:
    for name in path:
        options = getattr(options, name)
    return options


def _found(options: type, path: tuple[str, ...], default: Any) -> Iterator[Leaf]:
    """default: an instance that the leaves' defaults are those of, or MISSING."""
    hints = get_type_hints(options, include_extras=True)
    for each in fields(options):
        bare, *notes = get_args(hints[each.name]) if get_origin(hints[each.name]) is Annotated else (hints[each.name],)
        own = _default(each) if default is MISSING else getattr(default, each.name)
        if is_dataclass(bare) and isinstance(bare, type):
            inside = next((note for note in notes if isinstance(note, Inside)), Inside())
            yield from (_changed(leaf, inside) for leaf in _found(bare, (*path, each.name), own))
        else:
            yield _leaf(each.name, path, options, bare, notes, own)


def _default(each: "Field[Any]") -> Any:
    return each.default_factory() if each.default_factory is not MISSING else each.default


def _changed(leaf: Leaf, inside: Inside) -> Leaf:
    return replace(
        leaf,
        shown=leaf.shown and leaf.name not in inside.without,
        required=leaf.required or leaf.name in inside.required,
        doc=inside.docs.get(leaf.name, leaf.doc),
    )


def _leaf(name: str, path: tuple[str, ...], owner: type, kind: Any, notes: Sequence[Any], default: Any) -> Leaf:
    marks = {type(note): note for note in notes}
    flag = marks.get(Flag, Flag(f"--{name.replace('_', '-')}"))
    return Leaf(
        name=name,
        path=(*path, name),
        owner=owner,
        type=kind,
        doc=marks[Doc].documentation if Doc in marks else "",
        default=default,
        flags=flag.names,
        key=flag.key or flag.names[0][2:].replace("-", "_"),
        aside=Aside in marks,
        later=Later in marks,
        joined=Joined in marks,
        rare=Rare in marks,
        argument=marks.get(Argument),
        required=default is MISSING,
    )


def _built(
    options: type[T], given: Mapping[str, Any], known: Mapping[tuple[str, ...], Leaf], path: tuple[str, ...]
) -> T:
    hints = get_type_hints(options)
    made: dict[str, Any] = {}
    for each in fields(options):  # type: ignore[arg-type]
        here = (*path, each.name)
        if here not in known:
            made[each.name] = _built(hints[each.name], given, known, here)
        elif each.name in given:
            made[each.name] = known[here].value(given[each.name])
        elif known[here].default is not MISSING:
            made[each.name] = known[here].default
    return options(**made)
