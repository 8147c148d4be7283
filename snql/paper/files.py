"""Recipes, steps and scales, read from TOML and checked."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from snql.errors import InputError
from snql.small_files import small_text

Values = Mapping[str, Any]
_RULES = ("above", "below", "within")
_MOST_NULLS = 0.1


@dataclass(frozen=True)
class Claim:
    """One statement of the paper, with the numbers it gives and the query that gives ours.

    published: text by scale name, or under ``all``. sql: rows with the columns ``value`` and, where they exist,
    ``label``, ``low`` and ``high`` (of an interval), ``n`` and ``chance``; or ``changes`` and ``gaps``, lists by
    prompt, for the ratio of their means with its interval; and ``restates``, the recipe that has the same measurement
    as a tested row, else NULL. rule: ``above``, ``below`` or ``within`` (on either side of 0) a bound, or None where
    numbers only stand beside each other; why: where the bound is from. nulls: how many draws of contentless adapters
    passed the rule, of how many (benchmarks/nulls.py); None where neurons of other adapters would change nothing.
    """

    says: str
    published: Mapping[str, str]
    sql: str
    rule: tuple[str, float] | None
    why: str
    nulls: tuple[int, int] | None = None

    @property
    def tested(self) -> bool:
        """Whether there is a rule, and one that means something: nulls pass it in at most one of ten draws."""
        return self.rule is not None and (self.nulls is None or self.nulls[0] <= _MOST_NULLS * self.nulls[1])

    @property
    def distinguishes(self) -> bool:
        """Whether nulls were drawn and do not pass."""
        return self.tested and self.nulls is not None


@dataclass(frozen=True)
class Listing:
    """Rows that the paper prints as they are, such as data statistics or sample responses."""

    title: str
    sql: str


@dataclass(frozen=True)
class Recipe:
    """One figure or table of the paper. needs: ids of steps; figures, tables: those of a report that show it.

    note: what is different at the scale of a bundled model, and why.
    """

    name: str
    source: str
    title: str
    needs: tuple[str, ...]
    figures: tuple[str, ...]
    tables: tuple[str, ...]
    claims: tuple[Claim, ...]
    listings: tuple[Listing, ...]
    note: str


@dataclass(frozen=True)
class StepForm:
    """A step before a scale gives it names: words and options with ``{placeholders}``.

    each: the variable, a list, for whose items the step is repeated; after: steps that come first; runs: the runs
    that it makes.
    """

    id: str
    command: str
    options: Values
    each: str | None
    after: tuple[str, ...]
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Scale:
    """What a recipe is run on. variables fill placeholders, defaults are options by command.

    prepare: steps that come before all others. workload: what costs are computed from (see ``costs``).
    """

    name: str
    title: str
    prepare: tuple[str, ...]
    variables: Values
    defaults: Mapping[str, Values]
    workload: Values


def recipes() -> tuple[Recipe, ...]:
    """All recipes, in the order of the paper: the file names begin with their place."""
    return _recipes()


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises InputError for an unknown one."""
    known = {each.name: each for each in recipes()}
    if name not in known:
        raise InputError(f"no recipe is named {name!r}: choose from {', '.join(known)}")
    return known[name]


def steps() -> Mapping[str, StepForm]:
    """All steps by id."""
    table = tomllib.loads(files("snql.paper").joinpath("steps.toml").read_text("utf-8"))
    return {
        name: StepForm(
            name,
            step["command"],
            step.get("options", {}),
            step.get("each"),
            tuple(step.get("after", ())),
            tuple(step.get("runs", [step["command"].split()[-1]])),
        )
        for name, step in table.items()
    }


def scale_names() -> tuple[str, ...]:
    """The scales that come with snql."""
    return tuple(sorted(path.name.removesuffix(".toml") for path in _folder("scales")))


def scale(name: str, changes: Values | None = None) -> Scale:
    """A scale that comes with snql, or one of the user's own, ``PATH.toml``; ``changes`` replace its variables.

    A scale that ``extends`` another has what that one has where it says nothing itself. Raises InputError for an
    unknown name or variable, or a file that is no scale.
    """
    table = _merged(name, ())
    variables = dict(table.get("variables", {}))
    for variable, value in (changes or {}).items():
        if variable not in variables:
            raise InputError(f"scale {name} has no variable {variable!r}: it has {', '.join(sorted(variables))}")
        if not isinstance(variables[variable], str):
            raise InputError(f"variable {variable!r} of scale {name} is no text: write a scale file that extends it")
        variables[variable] = value
    return Scale(
        table["name"],
        table.get("title", name),
        tuple(table.get("prepare", ())),
        variables,
        table.get("defaults", {}),
        table.get("workload", {}),
    )


def _merged(name: str, above: tuple[str, ...]) -> dict[str, Any]:
    if name in above:
        raise InputError(f"scale {name} extends itself by way of {', '.join(above)}: remove one `extends`")
    table = {"name": Path(name).stem if name.endswith(".toml") else name} | _scale_table(name)
    if "extends" not in table:
        return table
    base = _merged(str(table.pop("extends")), (*above, name))
    merged = base | table
    for part in ("variables", "defaults", "workload"):
        merged[part] = {**base.get(part, {}), **table.get(part, {})}
    return merged


def _scale_table(name: str) -> dict[str, Any]:
    path = Path(name)
    try:
        if path.suffix == ".toml":
            text = small_text(path, "scale")
        elif name in scale_names():
            text = files("snql.paper").joinpath("scales", f"{name}.toml").read_text("utf-8")
        else:
            raise InputError(
                f"no scale is named {name!r}: choose from {', '.join(scale_names())}, or name a .toml file"
            )
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"scale {name} is not TOML: {error}") from error


@cache
def _recipes() -> tuple[Recipe, ...]:
    paths = sorted(_folder("recipes"), key=lambda path: path.name)
    return tuple(_recipe(tomllib.loads(path.read_text("utf-8"))) for path in paths)


def _recipe(table: dict[str, Any]) -> Recipe:
    return Recipe(
        table["name"],
        table["source"],
        table["title"],
        tuple(table["needs"]),
        tuple(table.get("figures", ())),
        tuple(table.get("tables", ())),
        tuple(_claim(each) for each in table.get("claims", ())),
        tuple(Listing(each["title"], each["sql"]) for each in table.get("listings", ())),
        table["note"],
    )


def _claim(table: dict[str, Any]) -> Claim:
    published = table["published"]
    rules = [(rule, float(table[rule])) for rule in _RULES if rule in table]
    return Claim(
        table["says"],
        {"all": published} if isinstance(published, str) else published,
        table["sql"],
        rules[0] if rules else None,
        table.get("why", ""),
        tuple(table["nulls"]) if "nulls" in table else None,
    )


def _folder(name: str) -> list[Any]:
    return [path for path in files("snql.paper").joinpath(name).iterdir() if path.name.endswith(".toml")]
