"""Who may import whom: rooms in layers, no circles of files, and heavy libraries where they belong.

A room is a folder of ``snql/``, or a module that lies beside them. All imports count, those in functions too; only what
is imported ``if TYPE_CHECKING`` does not.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS = (
    "cli",
    "snql",
    "analysis",
    "view",
    "paper",
    "demonstration",
    "reporting",
    "guard",
    "capability scorers",
    "patching",
    "engines",
    "contrast lens training",
    "judges neuron_pages",
    "jobs",
    "querying rankings",
    "db",
    "generation",
    "models",
    "prompts",
    "organism stats neurons writing",
    "options small_files stoppable",
    "distribution errors interrupts progress",
)
"""Rooms from the top down: each imports rooms of lower lines alone, and none of its own line."""

UPWARD = {("contrast", "engines")}
"""A locate run starts its engine, which runs the work of a locate run."""

LIBRARIES = {
    "typer": "cli",
    "rich": "cli",
    "starlette": "view",
    "uvicorn": "view",
    "duckdb": "db querying rankings prompts paper reporting",
    "torch": "models generation jobs lens training judges contrast engines patching capability scorers guard rankings",
    "transformers": "prompts models generation jobs lens training judges contrast engines patching capability guard",
    "peft": "models training",
}
"""Rooms that may import a library, the organism's factory aside."""


def module_files() -> dict[str, Path]:
    """Every module of the library and the command line, by its name."""
    found = {}
    for path in [*(ROOT / "snql").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts if parts[0] == "snql" else ("snql", *parts)).removesuffix(".__init__")
        if not name.startswith(("snql.organism.factory", "snql.__main__")):
            found[name] = path
    return found


FILES = module_files()


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports below a node that are executed, sooner or later."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from statements(child)


def imported(name: str) -> set[str]:
    """Names of what a module imports, in full: ``snql.cli.render.note`` for ``from .render import note``."""
    package = name if FILES[name].name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for statement in statements(ast.parse(FILES[name].read_text("utf-8"))):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        else:
            up = package.split(".")[: len(package.split(".")) + 1 - statement.level] if statement.level else []
            base = ".".join([*up, *([statement.module] if statement.module else [])])
            found |= {f"{base}.{alias.name}" for alias in statement.names}
    return found


def modules_of(names: set[str]) -> set[str]:
    """The library's modules among what is imported: a name that is no module is one of its parent's."""
    return {name if name in FILES else name.rpartition(".")[0] for name in names} & set(FILES)


@cache
def imports() -> dict[str, set[str]]:
    return {name: imported(name) for name in FILES}


@cache
def graph() -> dict[str, set[str]]:
    return {name: modules_of(names) - {name} for name, names in imports().items()}


def room(name: str) -> str:
    """The room that a module lies in; the package's own module is one."""
    return [*name.split("."), "snql"][1]


def test_no_circle_of_files() -> None:
    TopologicalSorter(graph()).prepare()


def test_every_room_has_a_place() -> None:
    assert sorted(" ".join(LAYERS).split()) == sorted({room(name) for name in FILES})


def test_rooms_import_downwards_alone() -> None:
    floor = {each: -place for place, line in enumerate(LAYERS) for each in line.split()}
    arrows = {(room(a), room(b)): f"{a} imports {b}" for a, others in graph().items() for b in others}
    upward = {
        arrow: why for arrow, why in arrows.items() if arrow[0] != arrow[1] and floor[arrow[0]] <= floor[arrow[1]]
    }
    assert set(upward) == UPWARD, upward


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_are_imported_where_they_belong(library: str) -> None:
    users = [name for name in FILES if library in {each.partition(".")[0] for each in imports()[name]}]
    assert {room(name) for name in users} <= set(LIBRARIES[library].split()), users
