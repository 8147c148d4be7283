"""Recipes, steps and scales as they are shipped: complete, consistent, and with queries that run."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
from snql.cli.app import app

from snql.db import Database
from snql.paper.files import Claim, Recipe, recipes, scale, scale_names, steps
from snql.paper.plan import Plan, Step, plan
from snql.paper.results import MISSING, listing, outcomes, published
from snql.reporting.figures import FIGURES
from snql.reporting.tables import TABLES
from snql.writing import inert

PUBLISHED = [f"fig{name}" for name in ("2", "3a", "3b", "4", "5a", "5b", "6", "7", "8", "9", "10a", "10b", "11")] + [
    f"table{number}" for number in range(1, 11)
]
MODELS = {"llama-2-7b", "mistral-7b", "gemma-7b", "qwen2.5-3b"}
RECIPES = pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
CLAIMS = pytest.mark.parametrize(
    "claim", [claim for recipe in recipes() for claim in recipe.claims], ids=lambda claim: claim.says[:40]
)


@pytest.fixture(scope="module")
def everything() -> Plan:
    return plan(recipes(), scale("demo"))


def test_there_is_a_recipe_for_every_figure_and_table_of_the_paper() -> None:
    names = [recipe.name for recipe in recipes()]
    assert set(PUBLISHED) <= set(names)
    assert set(names) - set(PUBLISHED) == {"seeds", "scorers", "safeneuron"}
    assert len(set(names)) == len(names)


@RECIPES
def test_recipes_name_what_there_is(recipe: Recipe) -> None:
    assert set(recipe.needs) <= set(steps())
    assert set(recipe.figures) <= {figure.name for figure in FIGURES}
    assert set(recipe.tables) <= {table.name for table in TABLES}
    assert recipe.claims or recipe.listings
    assert recipe.note.strip()


@CLAIMS
def test_claims_say_what_is_published_and_where_a_bound_is_from(claim: Claim) -> None:
    assert set(claim.published) == {"all"} or set(claim.published) <= MODELS
    assert (claim.rule is None) == (not claim.why)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with Database(tmp_path_factory.mktemp("empty") / "empty.duckdb") as db:
        db.initialise()
        yield db


@RECIPES
def test_queries_run_on_any_database(recipe: Recipe, empty: Database) -> None:
    found = outcomes(empty, recipe, ())
    assert {outcome.verdict for outcome in found} <= {MISSING, "undefined"}
    assert all(listing(empty, each, ()).is_empty() for each in recipe.listings)


@pytest.mark.parametrize("name", scale_names())
def test_every_scale_gives_commands_that_the_command_line_takes(name: str) -> None:
    command = typer.main.get_command(app)
    planned = plan(recipes(), scale(name))
    for step in planned.steps:
        _parse(command, step)
    assert {step.words[0] for step in planned.steps} >= {"locate", "patch", "perplexity"}


def _parse(command: Any, step: Step) -> None:
    words = list(step.arguments)
    context = None
    while hasattr(command, "commands"):
        context = command.make_context("snql", [words[0]], parent=context, resilient_parsing=True)
        command = command.commands[words.pop(0)]
    parsed = command.make_context(step.id, words, parent=context)
    assert not parsed.args


def test_every_step_is_used_and_comes_after_what_it_needs(everything: Plan) -> None:
    real, small = plan(recipes(), scale("llama-2-7b")), plan(recipes(), scale("smollm2-135m"))
    assert {step.id for planned in (real, small, everything) for step in planned.steps} == set(steps())
    for planned in (everything, real):
        seen: set[str] = set()
        for step in planned.steps:
            done = seen - {step.id}
            assert {need for need in steps()[step.id].after if need in {each.id for each in planned.steps}} <= done
            seen.add(step.id)
        assert len({step.line for step in planned.steps}) == len(planned.steps)


def test_the_bundled_scale_reads_only_what_is_bundled(everything: Plan) -> None:
    for step in everything.steps:
        for option, values in step.options.items():
            if option in ("before", "after", "recipient", "donor", "model", "prompts", "benign", "text"):
                assert all(
                    str(value).startswith("demo:") for value in ([values] if isinstance(values, str) else values)
                )


@pytest.mark.parametrize("name", sorted(MODELS))
def test_real_scales_have_the_settings_of_the_paper(name: str) -> None:
    planned = plan(recipes(), scale(name))
    by_id: Mapping[str, Step] = {step.id: step for step in planned.steps}
    located, swept = by_id["locate-safety"].options, by_id["sweep-sft"].options
    assert (located["sample"], located["max-new-tokens"], located["template"]) == (200, 256, "tulu")
    assert "skip-last-layers" not in located  # one by default
    assert (swept["sample"], swept["max-new-tokens"], swept["random"]) == (200, 128, 5)
    sft, dpo = by_id["train-sft"].options, by_id["train-preferences"].options
    for trained in (sft, dpo):
        settings = [trained[key] for key in ("epochs", "learning-rate", "batch-size", "weight-decay", "max-length")]
        assert settings == [3, 1e-3, 120, 0.1, 4096]
    assert dpo["beta"] == 0.1
    seeds = {step.options["seed"] for step in planned.steps if step.id == "train-preferences"}
    assert seeds == {"1", "42", "66", "88", "3407"}


def test_recipe_files_have_no_key_that_is_not_read() -> None:
    folder = Path(__file__).parents[2] / "snql" / "paper" / "recipes"
    keys = {"name", "source", "title", "needs", "figures", "tables", "claims", "listings", "note"}
    for path in sorted(folder.glob("*.toml")):
        table = tomllib.loads(path.read_text("utf-8"))
        assert set(table) <= keys, path.name
        for claim in table.get("claims", ()):
            assert set(claim) <= {"says", "published", "sql", "above", "below", "within", "why", "nulls"}, path.name
            assert len({"above", "below", "within"} & set(claim)) <= 1, path.name


def test_the_page_of_results_has_every_claim() -> None:
    page = (Path(__file__).parents[2] / "docs" / "paper.md").read_text("utf-8")
    for recipe in recipes():
        assert f"## {recipe.name}: {recipe.title} ({recipe.source})" in page
        for claim in recipe.claims:
            assert inert.markdown(claim.says) in page
            assert inert.markdown(published(claim, scale("demo"))) in page
        assert " ".join(recipe.note.split()) in page
