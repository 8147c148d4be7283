"""The commands by name, each with what it does in a few words and the module that has it."""

import re
import textwrap
from collections import UserDict
from collections.abc import Callable
from contextvars import ContextVar
from importlib import import_module
from typing import Any, TypeVar

import typer
from typer.core import CompletionItem, TyperCommand, TyperGroup  # type: ignore[attr-defined]

from snql.errors import SnqlError

from .config import environment_name, split_environment_by_line
from .examples import EXAMPLES
from .flags import naming, with_flags
from .flat import flat
from .words import hoisted

_TYPE = re.compile(r" <(?:list\[)?([a-z ]+)\]?>")
_TYPES = {"int": " N", "float": " X"}
_ENVIRONMENT = re.compile(r"env var: [A-Z0-9_, ]+(?:; )?")
_LONGEST = 500
EVERYTHING: ContextVar[bool] = ContextVar("everything", default=False)
"""Whether help says what rare options do, too."""

Function = TypeVar("Function", bound=Callable[..., None])

COMMANDS = {
    "demo": ("demo", "The whole experiment on the bundled models, with a report."),
    "doctor": ("doctor", "What snql finds in a model, and whether it is read soundly."),
    "locate": ("locate", "Contrast two models: score and rank every neuron."),
    "overlap": ("overlap", "Compare rankings, beside what chance would share."),
    "stability": ("overlap", "How far rankings depend on prompts, seeds and rounding."),
    "null": ("overlap", "Locate shuffled adapters: what a contentless one would share."),
    "patch": ("patch", "Patch neurons while a model writes; causal effects."),
    "tax": ("tax", "The alignment tax: shared neurons, patched both ways."),
    "judge": ("judge", "Score what a run has stored by one more judge."),
    "divergence": ("divergence", "How much of the distance to the donor a set closes."),
    "perplexity": ("perplexity", "Perplexity of a text, plain and patched."),
    "lm-eval": ("lm_eval", "Tasks of the LM Evaluation Harness, plain and patched."),
    "adapter": ("adapter", "A set of neurons as a PEFT adapter or a checkpoint."),
    "prompts": ("prompts", "Preview what would be read from prompt files."),
    "runs": ("runs", "List the runs of the database."),
    "show": ("runs", "Show one run: settings, models, versions, counts."),
    "rm": ("runs", "Delete a run and all its rows."),
    "neurons": ("neurons", "The neurons of an expression, in a table."),
    "neuron": ("neurons", "One neuron on a page: scores, tokens in context, sets."),
    "lens": ("lens", "Tokens that value vectors promote and suppress."),
    "query": ("query", "SQL over everything, and a library of questions."),
    "shell": ("shell", "SQL at a prompt with completion."),
    "compare-scorers": ("compare_scorers", "Causal effects of rankings by several scorers."),
    "view": ("view", "Everything in a browser: runs, neurons, sets, SQL."),
    "report": ("report", "Figures, tables, and a page that shows them."),
    "paper": ("paper", "The paper's figures and tables, ours beside the published."),
    "judges": ("judge", "The judges of a database, and how far they agree."),
    "guard": ("guard", "A classifier of prompts on a few neurons: train, test, compare, run."),
    "train": ("train", "Make aligned models (extra: train)."),
    "sets": ("sets", "Neuron sets under names, for @name in expressions."),
    "db": ("database", "Create, migrate, check and move the database file."),
}


GROUPS = {
    "Start": ("demo", "doctor", "prompts"),
    "Find neurons": ("locate", "overlap", "stability", "null", "compare-scorers", "lens"),
    "Patch them": ("patch", "tax", "sets", "adapter"),
    "Measure": ("judge", "judges", "divergence", "perplexity", "lm-eval", "guard"),
    "Ask": ("query", "shell", "neurons", "neuron"),
    "Show": ("runs", "show", "view", "report", "paper"),
    "Data and models": ("train", "db", "rm"),
}
"""The commands as ``snql --help`` groups them."""


class Commands(TyperGroup):
    """Lists the commands without loading them, which would take longer than all else that --help does."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = _Loaded(dict.fromkeys(COMMANDS))

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Options of all commands may stand behind the command, too."""
        return super().make_context(info_name, hoisted(args, self._flags_of(args)), parent, **extra)

    def _flags_of(self, arguments: list[str]) -> set[str]:
        """The options of the command that the words name; none of a group, or of the program."""
        command: Any = self
        for word in arguments:
            command = getattr(command, "commands", {}).get(word, command)
        known = [] if hasattr(command, "commands") else command.params
        return {flag for parameter in known for flag in parameter.opts}

    def shell_complete(self, ctx: Any, incomplete: str) -> list[CompletionItem]:
        """The commands, from the table: loading them all takes too long for the press of a key."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=words) for name, (_, words) in COMMANDS.items() if name.startswith(incomplete)
        ]

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an error of a group's own, such as that of its list, leaves here with flags."""
        try:
            return super().invoke(ctx)
        except SnqlError as error:
            error.args = (with_flags(str(error), self.commands.get(ctx.invoked_subcommand, self), self),)
            raise

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """The names, in the order of the table."""
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write a table for each group of commands, and one of those that are in none."""
        others = [name for name in COMMANDS if not any(name in names for names in GROUPS.values())]
        for group, names in {**GROUPS, **({"Others": tuple(others)} if others else {})}.items():
            with formatter.section(group):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names])


class _Loaded(UserDict[str, Any]):
    """Commands that are loaded when they are looked up."""

    def __getitem__(self, name: str) -> Any:
        if name in self.data and self.data[name] is None:
            module, _ = COMMANDS[name]
            self.data[name] = _made(name, getattr(import_module(f".{module}", __package__), name.replace("-", "_")))
        return super().__getitem__(name)


def _made(name: str, found: Any) -> Any:
    """The command that a function is, or the group that an app is."""
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name, cls=_Group)
        return typer.main.get_group(alone).commands[name]
    command(alone, name)(found)
    return typer.main.get_command(alone)


class _Group(TyperGroup):
    """Its help has the whole first sentence of each command, on as many lines as it takes."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the table of the group's commands."""
        rows = [(name, self.commands[name].get_short_help_str(_LONGEST)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def command(group: typer.Typer, name: str | None = None) -> Callable[[Function], Function]:
    """Add a function to a group as a command; parameters that are dataclasses of options are taken apart."""

    def add(function: Function) -> Function:
        group.command(name, cls=_Command)(flat(function))
        return function

    return add


class _Command(TyperCommand):
    """Its help lists options by the dataclass that they belong to."""

    def __init__(self, *given: Any, **settings: Any) -> None:
        super().__init__(*given, **settings)
        split_environment_by_line(self)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Options have environment variables that are called as they are."""
        prefix = f"{getattr(parent, 'auto_envvar_prefix', None) or 'SNQL'}_{info_name}"
        for parameter in self.params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                parameter.envvar = environment_name(parameter, prefix)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run it; an error of the library names options as Python does, in backticks, and leaves here with flags."""
        try:
            root = ctx.find_root()
            with naming(self, root.command, quiet=getattr(root.obj, "quiet", False)):
                return super().invoke(ctx)
        except SnqlError as error:
            error.args = (with_flags(str(error), self, ctx.find_root().command),)
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section of arguments, one of the command's own options, and one of each dataclass of options."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        also: list[str] = []
        rare: set[str] = set() if EVERYTHING.get() else getattr(self.callback, "rare", set())
        for parameter in self.get_params(ctx):
            is_argument = parameter.param_type_name == "argument"
            title = "Arguments" if is_argument else getattr(parameter, "rich_help_panel", None) or "Options"
            sections.setdefault(title, [])
            if parameter.name in rare:
                also.append(parameter.opts[0])
            elif (record := parameter.get_help_record(ctx)) is not None:
                sections[title].append(_short(record))
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
        if also:
            _write_names(formatter, f"Others, with --help-all: {', '.join(also)}.")
        _write_examples(ctx, formatter)
        options = [parameter for parameter in self.params if parameter.param_type_name == "option"]
        if options:
            prefix = ctx.command_path.replace(" ", "_")
            formatter.write_paragraph()
            formatter.write_text(
                f"Options also come from the environment ({environment_name(options[0], prefix)} for "
                f"{options[0].opts[0]}, …) and from --config."
            )


def _short(record: tuple[str, str]) -> tuple[str, str]:
    """A line of help: types of numbers alone, and no environment variable, which follows from the option's name."""
    flags, words = record
    words = _ENVIRONMENT.sub("", words).replace("  []", "")
    return _TYPE.sub(lambda found: _TYPES.get(found[1].split()[0], ""), flags), words.strip()


def _write_names(formatter: Any, text: str) -> None:
    """A paragraph in which no option is broken at its dashes."""
    lines = textwrap.wrap(text, formatter.width, break_on_hyphens=False)
    formatter.write("\n" + "\n".join(lines) + "\n")


def _write_examples(ctx: Any, formatter: Any) -> None:
    """A section of examples, each on lines of its own, to be pasted."""
    found = EXAMPLES.get(ctx.command_path.removeprefix("snql "), ())
    if found:
        with formatter.section("Examples"):
            for example in found:
                formatter.write(_continued(example, formatter.width - 4))


def _continued(line: str, width: int) -> str:
    """A command line, broken between its words with the shell's backslash."""
    lines = textwrap.wrap(line, width - 2, break_long_words=False, break_on_hyphens=False)
    return " \\\n".join(f"{'  ' if place == 0 else '      '}{part}" for place, part in enumerate(lines)) + "\n"
