"""What a shell's completion offers for a value, by the option's name: names that snql knows or a database has.

Completion runs at every press of a key: it loads no model library, and where a name cannot be had it offers none.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from .words import UNSEEN

_LAST_NAME = re.compile(r"(@?[^\W\d][\w.-]*|@?)\Z")


def _runs(kind: str | None = None) -> Callable[[Path], Iterable[str]]:
    def found(database: Path) -> list[str]:
        from snql.db.known import run_names

        return run_names(database, kind)

    return found


def _sets(database: Path) -> Iterable[str]:
    from snql.db.known import set_names

    return set_names(database)


def _expressions(database: Path) -> Iterable[str]:
    """What an expression may begin with: rankings and saved sets."""
    return [*_runs("locate")(database), *(f"@{name}" for name in _sets(database))]


def _models(_: Path) -> Iterable[str]:
    from snql.organism.bundled import model_names

    return [f"demo:{name}" for name in model_names()]


def _prompts(_: Path) -> Iterable[str]:
    from snql.organism.bundled import prompt_names

    return [f"demo:{name}" for name in prompt_names()]


def _judges(database: Path) -> Iterable[str]:
    from snql.db.known import judge_names
    from snql.organism.bundled import judge_names as bundled

    return dict.fromkeys([*(f"demo:{name}" for name in bundled()), "refusal", *judge_names(database)])


def _questions(_: Path) -> Iterable[str]:
    from snql.db.scripts import read_folder

    return [f"@{script.name}" for script in read_folder("questions")]


def _figures(_: Path) -> Iterable[str]:
    from snql.reporting.options import FIGURE_NAMES

    return FIGURE_NAMES


def _recipes(_: Path) -> Iterable[str]:
    from snql.paper.files import recipes

    return [recipe.name for recipe in recipes()]


def _scales(_: Path) -> Iterable[str]:
    from snql.paper.files import scale_names

    return scale_names()


Offer = Callable[[Path], Iterable[str]]
_BY_NAME: dict[str, Offer] = {
    **dict.fromkeys(
        ("before", "after", "recipient", "donor", "model", "base", "safety_model", "helpful_model"), _models
    ),
    **dict.fromkeys(("prompts", "files", "text", "benign", "contrast_prompts", "neutral_prompts"), _prompts),
    **dict.fromkeys(("evaluate_prompts", "harmful_prompts", "harmless_prompts", "cost_on", "reward_on"), _prompts),
    **dict.fromkeys(("neurons", "expression", "keep", "only", "freeze"), _expressions),
    **dict.fromkeys(("from_run", "floor", "like", "safety", "helpful"), _runs("locate")),
    **dict.fromkeys(("run", "runs", "disjoint_from", "completions"), _runs()),
    **dict.fromkeys(("judge", "a", "b"), _judges),
    "sql": _questions,
    "figures": _figures,
    "scale": _scales,
}
"""Options and arguments of all commands that have them, by their parameter's name."""

_ELSEWHERE: dict[tuple[str, str], Offer | None] = {
    ("snql divergence", "name"): _runs("patch"),
    ("snql guard run", "name"): _runs("guard"),
    ("snql guard test", "name"): _runs("guard"),
    ("snql guard test", "run"): None,
    ("snql neurons", "run"): _runs("locate"),
    ("snql neuron", "run"): _runs("locate"),
    ("snql overlap", "runs"): _runs("locate"),
    ("snql stability", "runs"): _runs("locate"),
    ("snql guard train", "from_run"): _runs(),
    ("snql paper", "names"): _recipes,
    ("snql sets show", "name"): _sets,
    ("snql sets rm", "name"): _sets,
    ("snql tax", "neurons"): None,
    ("snql db import-scores", "before"): None,
    ("snql db import-scores", "after"): None,
}
"""What is offered by one command, where that is another thing than the name says; None: nothing."""
NAMES = frozenset(_BY_NAME) | {name for _, name in _ELSEWHERE}


def completer(name: str) -> Callable[[typer.Context, str], list[str]] | None:
    """What Typer asks for the values of a parameter of that name, or None."""
    if name not in NAMES:
        return None

    def offered(context: typer.Context, incomplete: str) -> list[str]:
        offer = _ELSEWHERE.get((context.command_path, name), _BY_NAME.get(name))
        database = context.find_root().params.get("db")
        if offer is None or database is None:
            return []
        unseen = UNSEEN.get()
        begun = word = f"{unseen}{incomplete}"
        if offer is _expressions and (last := _LAST_NAME.search(word)) is not None:
            begun = last[0]
        before = word.removesuffix(begun)
        found = [f"{before}{each}" for each in offer(Path(database)) if each.startswith(begun)]
        return [each.removeprefix(unseen) for each in found]

    return offered
