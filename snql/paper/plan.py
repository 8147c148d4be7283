"""From wanted recipes to commands: placeholders filled, each step once, what a step needs before it."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from snql.capability.options import LmEvalOptions, PerplexityOptions
from snql.contrast.options import LocateOptions
from snql.errors import InputError
from snql.guard.options import GuardOptions, GuardTestOptions
from snql.lens.options import LensOptions
from snql.options import leaves
from snql.paper.files import Recipe, Scale, StepForm, Values, steps
from snql.patching.options import PatchOptions, TaxOptions
from snql.scorers.options import CompareOptions, ScorerOptions
from snql.training.options import DpoOptions, PairsOptions, SftOptions

OPTIONS: Mapping[str, tuple[type, ...]] = {
    "locate": (LocateOptions, ScorerOptions),
    "patch": (PatchOptions,),
    "tax": (TaxOptions,),
    "perplexity": (PerplexityOptions,),
    "lm-eval": (LmEvalOptions,),
    "lens": (LensOptions,),
    "guard train": (GuardOptions,),
    "guard test": (GuardTestOptions,),
    "compare-scorers": (CompareOptions,),
    "train sft": (SftOptions,),
    "train pairs": (PairsOptions,),
    "train dpo": (DpoOptions,),
}
"""What a step's options are the leaves of, by its command."""

_ELSEWHERE = {"lens": {"name"}, "locate": {"from-run"}}
"""Options that are no leaf."""

_PLACEHOLDER = re.compile(r"\{([a-z_0-9.]+)\}")


@dataclass(frozen=True)
class Step:
    """One command of snql. words: the command and its arguments; options: as in the step's form, filled; runs: names
    of the runs that it makes.

    id: that of the form; for a repeated one every item's step has it.
    """

    id: str
    words: tuple[str, ...]
    options: Values
    runs: tuple[str, ...]

    @property
    def name(self) -> str:
        """A name for files."""
        return re.sub(r"[^A-Za-z0-9_-]+", "-", "-".join(self.words)).strip("-")

    @property
    def command(self) -> str:
        """The command, without its arguments."""
        return _command(self.words)

    @property
    def arguments(self) -> tuple[str, ...]:
        """What follows ``snql`` on a command line."""
        return (*self.words, *(word for key, value in self.options.items() for word in _option(key, value)))

    @property
    def line(self) -> str:
        """The command line."""
        return shlex.join(["snql", *self.arguments])


@dataclass(frozen=True)
class Plan:
    """The steps of some recipes, in an order in which they can run. runs: names by recipe."""

    scale: Scale
    recipes: tuple[Recipe, ...]
    steps: tuple[Step, ...]
    runs: Mapping[str, tuple[str, ...]]

    def of(self, recipe: Recipe) -> tuple[Step, ...]:
        """The recipe's own steps, without those that they need."""
        return tuple(step for step in self.steps if step.id in recipe.needs)


def plan(recipes: Sequence[Recipe], scale: Scale) -> Plan:
    """The steps that the recipes need at that scale.

    Raises InputError if the scale lacks a variable that a step has a placeholder for.
    """
    forms = steps()
    ordered: dict[str, tuple[Step, ...]] = {}
    for name in (*scale.prepare, *(need for each in recipes for need in each.needs)):
        _add(name, forms, scale, ordered)
    every = {step.line: step for found in ordered.values() for step in found}.values()
    made = _used(tuple(every), set(scale.prepare))
    runs = {
        each.name: tuple(dict.fromkeys(run for need in each.needs for step in ordered[need] for run in step.runs))
        for each in recipes
    }
    return Plan(scale, tuple(recipes), made, runs)


def _used(steps: Sequence[Step], prepare: set[str]) -> tuple[Step, ...]:
    """The steps without those that make a model which no other step loads."""
    kept: list[Step] = []
    loaded: set[str] = set()
    for step in reversed(steps):
        if step.id not in prepare or step.words[-1] in loaded:
            kept.append(step)
            loaded |= {
                part for value in step.options.values() for text in _as_list(value) for part in str(text).split("+")
            }
    return tuple(reversed(kept))


def _add(name: str, forms: Mapping[str, StepForm], scale: Scale, ordered: dict[str, tuple[Step, ...]]) -> None:
    if name in ordered:
        return
    form = forms[name]
    for before in form.after:
        _add(before, forms, scale, ordered)
    items = [None] if form.each is None else fill("{" + form.each + "}", scale.variables, form.id)
    ordered[name] = tuple(_step(form, scale, item) for item in items)


def _step(form: StepForm, scale: Scale, item: Any) -> Step:
    variables = scale.variables if item is None else {**scale.variables, "each": item}
    words = tuple(str(fill(word, variables, form.id)) for word in form.command.split())
    defaults: dict[str, Any] = {}
    for command in (words[0], " ".join(words[:2])):
        defaults |= scale.defaults.get(command, {})
    given = {
        key: fill(value, variables, form.id) for key, value in {**form.options, **defaults, **form.options}.items()
    }
    _check(form, _command(words), given)
    options = {key: value for key, value in given.items() if value is not False and value not in ("", [])}
    runs = tuple(str(fill(run, variables, form.id)) for run in form.runs)
    return Step(form.id, words, options, runs)


def _command(words: Sequence[str]) -> str:
    two = " ".join(words[:2])
    return two if two in OPTIONS else words[0]


def _check(form: StepForm, command: str, given: Iterable[str]) -> None:
    """Raise InputError for an option that the command does not have."""
    if command not in OPTIONS:
        return
    shown = [leaf for options in OPTIONS[command] for leaf in leaves(options) if leaf.shown]
    known = {flag[2:] for leaf in shown for flag in (*leaf.flags, leaf.negated) if flag}
    for key in given:
        if key not in known | _ELSEWHERE.get(command, set()):
            near = get_close_matches(key, known)
            hint = f"did you mean {' or '.join(near)}?" if near else f"`snql {command} --help` lists those it has"
            raise InputError(f"step {form.id}: {command} has no option {key!r}: {hint}")


def fill(value: Any, variables: Values, where: str) -> Any:
    """The value with its placeholders replaced; one that stands for a list makes a list of what it stands in.

    ``{a.b}`` is b of a, or of each item where a is a list. Raises InputError for a variable that there is not.
    """
    if isinstance(value, list):
        return [text for each in value for text in _as_list(fill(each, variables, where))]
    if not isinstance(value, str):
        return value
    alone = _PLACEHOLDER.fullmatch(value)
    if alone:
        found = _lookup(alone[1], variables, where)
        return fill(found, variables, where) if isinstance(found, str) or _texts(found) else found
    for match in _PLACEHOLDER.finditer(value):
        found = fill(match[0], variables, where)
        if isinstance(found, list):
            filled = [fill(value.replace(match[0], str(each)), variables, where) for each in found]
            return [text for each in filled for text in _as_list(each)]
        return fill(value.replace(match[0], str(found)), variables, where)
    return value


def _lookup(path: str, variables: Values, where: str) -> Any:
    found: Any = variables
    for part in path.split("."):
        try:
            found = [each[part] for each in found] if isinstance(found, list) else found[part]
        except (KeyError, TypeError) as error:
            raise InputError(f"the scale has no variable {path!r}, which step {where} needs: add it") from error
    return found


def _texts(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(each, str) for each in found)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _option(key: str, value: Any) -> Iterator[str]:
    for each in _as_list(value):
        yield f"--{key}"
        if each is not True:
            yield str(each)
