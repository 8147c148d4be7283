"""Pages that are generated are current, and the words in them are those of the command line and of Python."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import snql

from .cli.conftest import Snql
from .cli.conftest import snql as snql_command

DOCS = Path(__file__).parents[1] / "docs"
command_line = snql_command


@pytest.fixture(scope="module")
def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", DOCS / "render.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["cli.md", "python.md"])
def test_a_generated_page_is_current(render: ModuleType, page: str) -> None:
    assert (DOCS / page).read_text("utf-8") == render.PAGES[page](), "run python docs/render.py"


def test_the_page_of_commands_has_what_help_says() -> None:
    page = (DOCS / "cli.md").read_text("utf-8")
    for command in ("locate", "guard train", "db import-scores"):
        section = page.split(f"## snql {command}\n")[1].split("\n## ")[0]
        assert section.count("| `--") > 1, command


@pytest.mark.parametrize("command", ["locate", "query", "guard test"])
def test_every_flag_of_a_help_is_on_the_page(command_line: Snql, command: str) -> None:
    section = (DOCS / "cli.md").read_text("utf-8").split(f"## snql {command}\n")[1].split("\n## ")[0]
    flags = set(re.findall(r"^  (--[\w-]+)", command_line(*command.split(), "--help").out, re.MULTILINE)) - {"--help"}
    assert flags
    assert [flag for flag in flags if f"`{flag}`" not in section] == []


def test_every_public_name_is_on_the_page() -> None:
    page = (DOCS / "python.md").read_text("utf-8")
    assert all(f"## snql.{name}\n" in page for name in snql.__all__ if not name.startswith("_"))


def test_paths_that_the_architecture_names_are_there() -> None:
    page = (DOCS / "architecture.md").read_text("utf-8")
    named = re.findall(r"`((?:snql|cli|schema|tests|docs|benchmarks)/[\w./-]*)`", page)
    assert len(named) > 20
    assert [path for path in named if not (DOCS.parent / path).exists()] == []
