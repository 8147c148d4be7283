"""Scores of a contrast against formulas over the token activations, and rankings made again from stored statistics."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.contrast.scorers import CONTRAST, contrast_scores
from snql.db.connection import Database
from snql.db.scores import read_run_scores, read_scores
from snql.errors import InputError
from snql.options import changed
from snql.prompts.options import PromptOptions
from snql.scorers.rerank import rerank
from tests.conftest import ORACLE

pytestmark = pytest.mark.usefixtures("lingering")

PAIR = (str(ORACLE / "model"), f"{ORACLE / 'model'}+{ORACLE / 'sft'}")


def options(**changes: object) -> LocateOptions:
    source = PromptOptions((str(ORACLE / "prompts.jsonl"),), limit=6)
    return changed(LocateOptions(before=PAIR[0], after=PAIR[1], prompts=source), max_new_tokens=8, **changes)


@pytest.fixture(scope="module")
def located(tmp_path_factory: pytest.TempPathFactory) -> Database:
    db = Database(tmp_path_factory.mktemp("scorers") / "located.duckdb")
    locate(db, "contrast", options(keep="all"))
    return db


@pytest.fixture(scope="module")
def groups(located: Database) -> dict[tuple[Any, ...], pl.DataFrame]:
    """The activations of each neuron, by layer and number."""
    tokens = located.frame("SELECT layer, neuron, before, after FROM token_activations WHERE run = 'contrast'")
    return tokens.partition_by("layer", "neuron", as_dict=True)


def by_hand(tokens: pl.DataFrame, scorer: str) -> float:
    before, after = tokens["before"].to_numpy().astype(float), tokens["after"].to_numpy().astype(float)
    difference = abs((after - before).mean())
    if scorer == "mean-difference":
        return float(difference)
    if scorer == "cohens-d":
        return float(difference / np.sqrt((before.var(ddof=1) + after.var(ddof=1)) / 2))
    if scorer == "activation-size":
        return float(np.sqrt((before**2).mean()))
    if scorer == "activation-variance":
        return float(after.var(ddof=1))
    change = float(np.sqrt(((after - before) ** 2).mean()))
    return change / float(before.std(ddof=1)) if scorer == "standardised-change" else change


@pytest.mark.parametrize("scorer", [scorer for scorer in CONTRAST if scorer != "layer-relative"])
def test_a_ranking_from_a_stored_run_is_what_its_tokens_give(
    located: Database, groups: dict[tuple[Any, ...], pl.DataFrame], scorer: str
) -> None:
    found = rerank(located, f"again-{scorer}", "contrast", scorer)
    scores = read_scores(located, found.run)
    values = scores.filter(pl.col("score").is_not_null())
    for row in values.gather_every(7).iter_rows(named=True):
        expected = by_hand(groups[(row["layer"], row["neuron"])], scorer)
        assert row["score"] == pytest.approx(expected, rel=2e-5, abs=2e-6)
    ranked = scores.filter(pl.col("rank").is_not_null())
    assert ranked["layer"].max() == scores["layer"].max() - 1, "the source ranks no last layer"  # type: ignore[operator]
    assert ranked.sort("rank")["score"].is_sorted(descending=True)
    assert found.n_ranked == ranked.height


MORE_SCORERS = pytest.mark.slow("computed by the same function, from the same statistics: above")


@pytest.mark.parametrize(
    "scorer",
    [
        scorer if scorer in ("layer-relative", "cohens-d") else pytest.param(scorer, marks=MORE_SCORERS)
        for scorer in CONTRAST
        if scorer != "change-score"
    ],
)
def test_a_fresh_run_has_the_same_numbers(located: Database, tmp_path: Path, scorer: str) -> None:
    with Database(tmp_path / "fresh.duckdb") as db:
        locate(db, "fresh", options(keep="none", scorer=scorer))
        fresh = read_run_scores(db, "fresh")
    rerank(located, f"same-{scorer}", "contrast", scorer)
    again = read_run_scores(located, f"same-{scorer}")
    assert np.array_equal(fresh.scores, again.scores, equal_nan=True)
    assert np.array_equal(fresh.ranks, again.ranks)


def test_a_ranking_made_again_has_its_sources_inputs_and_passes_the_check(located: Database) -> None:
    from snql.db.check import check

    rerank(located, "checked", "contrast", "cohens-d")
    runs = located.frame(
        "SELECT run, scorer, n_prompts, before, after FROM locate_runs WHERE run IN ('checked', 'contrast')"
    )
    assert dict(runs.select("run", "scorer").rows()) == {"checked": "cohens-d", "contrast": "change-score"}
    assert runs.select("n_prompts", "before", "after").n_unique() == 1
    assert "checked" not in located.frame("FROM figure_scores")["run"].to_list()
    assert not [problem for problem in check(located) if "checked" in str(problem)]
    (config,) = located.frame("SELECT config::VARCHAR AS config FROM runs WHERE name = 'checked'")["config"]
    command = ["snql", "locate", "checked", "--scorer", "cohens-d", "--from-run", "contrast"]
    assert json.loads(config)["command"] == command


def test_scores_of_a_layer_are_relative_to_its_median(located: Database) -> None:
    rerank(located, "relative", "contrast", "layer-relative")
    expected = located.frame(
        """
        SELECT layer, neuron, score / median(score) OVER (PARTITION BY layer) AS score
        FROM neuron_scores WHERE run = 'contrast' ORDER BY layer, neuron
        """
    )
    found = read_scores(located, "relative").sort("layer", "neuron")
    assert found["score"].to_numpy() == pytest.approx(expected["score"].to_numpy(), rel=1e-6)
    halves = found.group_by("layer").agg((pl.col("score") >= 1).mean())
    assert halves["score"].to_list() == pytest.approx([0.5] * halves.height, abs=0.02)


def test_what_has_no_unit_has_no_relative_score() -> None:
    change = np.array([[0.0, 0.0, 0.0, 4.0], [1.0, 2.0, 3.0, np.nan]])
    found = contrast_scores("layer-relative", change, {})
    assert np.array_equal(found, [[0.0, 0.0, 0.0, np.nan], [0.5, 1.0, 1.5, np.nan]], equal_nan=True)
    spread = {"std_before": np.array([[0.0, 2.0, np.nan, 0.0], [2.0, 2.0, 2.0, 2.0]])}
    found = contrast_scores("standardised-change", change, spread)
    assert np.array_equal(found, [[0.0, 0.0, np.nan, np.nan], [0.5, 1.0, 1.5, np.nan]], equal_nan=True)


def test_what_has_no_spread_has_no_effect_size() -> None:
    columns = {
        "mean_difference": np.array([0.0, 1.0, 1.0, 2.0]),
        "std_before": np.array([0.0, 0.0, np.nan, 1.0]),
        "std_after": np.array([0.0, 0.0, 1.0, 1.0]),
    }
    found = contrast_scores("cohens-d", np.zeros(4), columns)
    assert np.array_equal(found, [0.0, np.nan, np.nan, 2.0], equal_nan=True)


def test_what_cannot_be_ranked_again(located: Database) -> None:
    rerank(located, "by-d", "contrast", "cohens-d")
    for name, source, scorer, words in (
        ("x", "nope", "cohens-d", "no finished locate run 'nope'"),
        (
            "x",
            "contrast",
            "nope",
            "`scorer` 'nope' is not known: use change-score, standardised-change, layer-relative, mean-diff",
        ),
        ("x", "contrast", "wanda", "ranks the neurons of one model: give `model`"),
        ("x", "by-d", "change-score", "run 'by-d' stored the scores of cohens-d"),
        ("contrast", "contrast", "cohens-d", "a locate run 'contrast' exists"),
    ):
        with pytest.raises(InputError, match=words):
            rerank(located, name, source, scorer)
    with pytest.raises(InputError, match="`bootstrap` gives intervals of change scores: leave it out"):
        options(scorer="cohens-d", bootstrap=100)
