"""The rules of the paper against contentless adapters, small: what more than one of ten passes is no test."""

import pytest

from snql.contrast.locate import locate
from snql.contrast.null import null
from snql.contrast.options import LocateOptions, NullOptions
from snql.db.connection import Database
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.paper.files import recipes
from snql.paper.results import HOLDS, verdict
from snql.patching.options import PatchOptions
from snql.patching.patch import patch
from snql.prompts.options import PromptOptions

DRAWS = 10
STORED = 7
"""Draws that the counts in the recipes are of; benchmarks/nulls.py makes ten in half an hour."""
MEASURED_BY_EFFECTS = {"fig2", "fig3b", "fig7", "table1", "table10"}
"""Recipes whose rules are about the effect of a ranking's top."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """Ten shuffles of the safety adapter, and what their tops do, patched from the real one, beside the real top."""
    db = Database(tmp_path_factory.mktemp("nulls") / "x.duckdb")
    located = LocateOptions(
        before="demo:sft",
        after="demo:safety",
        prompts=PromptOptions(("demo:locate",), limit=16),
        writing=WritingOptions(max_new_tokens=16),
        keep="none",
    )
    locate(db, "safety", located)
    null(db, "shuffled", NullOptions(from_run="safety", draws=DRAWS))
    names = ["safety", *(f"shuffled.{draw}" for draw in range(1, DRAWS + 1))]
    tops = PatchOptions(
        recipient="demo:sft",
        donor="demo:safety",
        neurons=tuple(f"{name}:20%" for name in names),
        prompts=PromptOptions(("demo:harmful",), limit=16),
        judging=JudgingOptions(("demo:cost",)),
        writing=WritingOptions(max_new_tokens=12),
        random_magnitude=1,
    )
    patch(db, "tops", tops)
    return db


@pytest.mark.slow("test_what_nulls_pass_is_no_test has the counts of many more; tests/contrast makes shuffled rankings")
def test_tested_rules_tell_the_real_ranking_from_contentless_ones(drawn: Database) -> None:
    rows = drawn.rows("SELECT variant, control_of, effect, ci_low, ci_high FROM causal_effects WHERE run = 'tops'")
    shuffles = [row[2:] for row in rows if row[0].startswith("shuffled.") and row[1] is None]
    alike = [row[2:] for row in rows if row[1] == "safety:20%" or (row[1] or "").startswith("shuffled.")]
    assert (len(shuffles), len(alike)) == (DRAWS, DRAWS + 1)
    rules = {
        claim.rule
        for recipe in recipes()
        if recipe.name in MEASURED_BY_EFFECTS
        for claim in recipe.claims
        if claim.distinguishes and claim.rule is not None and claim.rule[0] == "above"
    }
    assert ("above", 0.1) in rules and ("above", 0.9) in rules
    for rule in rules:
        for effects in (shuffles, alike):
            passing = sum(verdict(rule, *effect) == HOLDS for effect in effects)
            assert passing <= 0.1 * len(effects), rule
    (real,) = (row[2:] for row in rows if row[0] == "safety:20%")
    assert verdict(("above", 0.1), *real) == HOLDS, "the smallest share that counts is not too much for a real one"


def test_what_nulls_pass_is_no_test() -> None:
    """Counts of benchmarks/nulls.py stand in the recipes, and decide."""
    claims = [(recipe, claim) for recipe in recipes() for claim in recipe.claims]
    drawn = [(recipe, claim) for recipe, claim in claims if claim.nulls is not None]
    assert len(drawn) >= 10
    for recipe, claim in drawn:
        assert claim.nulls is not None and claim.rule is not None, recipe.name
        assert claim.nulls[1] >= STORED
        assert claim.tested == (claim.nulls[0] <= claim.nulls[1] / 10)
    assert any(not claim.tested for _, claim in drawn), "some rules are passed by anything"


def test_every_rule_has_an_interval_to_be_tested_by() -> None:
    for recipe in recipes():
        for claim in recipe.claims:
            if claim.rule is not None:
                assert "AS changes" in claim.sql or ("AS low" in claim.sql and "AS high" in claim.sql), claim.says
