"""The library of questions: each answer against Polars or plain Python over the base tables."""

from itertools import combinations
from typing import Any

import polars as pl
import pytest
from scipy import stats

from snql.db import Database
from snql.errors import InputError
from snql.querying.execute import query
from snql.querying.questions import ask, list_questions, questions

pytestmark = pytest.mark.usefixtures("lingering")

SEEDS = ["seed1", "seed2", "seed3"]
K = 15  # 10 % of the 150 ranked neurons


def answer(db: Database, name: str, **parameters: Any) -> pl.DataFrame:
    sql, values = ask(db, name, parameters)
    return query(db, sql, values)


def tops(db: Database) -> dict[str, dict[tuple[int, int], int]]:
    """The rank of each top neuron of each run."""
    rows = db.rows("SELECT r.name, layer, neuron, rank FROM neuron_statistics JOIN runs r USING (run_id)")
    return {run: {(la, ne): rank for r, la, ne, rank in rows if r == run and rank and rank <= K} for run in SEEDS}


def activations(db: Database) -> pl.DataFrame:
    """The base tables joined by Polars."""
    tokens = db.frame("FROM scored_tokens").join(db.frame("FROM prompts"), on="prompt_id")
    return db.frame("FROM activation_rows").join(tokens, on=["run_id", "token_index"])


def test_shared_neurons(answers: Database) -> None:
    found = answer(answers, "shared_neurons", runs="seed1, seed2,seed3", percent=10)
    ranks = tops(answers)
    common = set.intersection(*(set(top) for top in ranks.values()))
    mean = {neuron: sum(top[neuron] for top in ranks.values()) / 3 for neuron in common}
    assert {(row["layer"], row["neuron"]): row["mean_rank"] for row in found.rows(named=True)} == pytest.approx(mean)
    assert found["mean_rank"].is_sorted()
    assert 0 < len(found) < K


def test_specific_neurons(answers: Database) -> None:
    found = answer(answers, "specific_neurons", run="seed1", others="seed2,seed3", percent=10)
    ranks = tops(answers)
    expected = sorted(set(ranks["seed1"]) - set(ranks["seed2"]) - set(ranks["seed3"]), key=ranks["seed1"].__getitem__)
    assert found.select("layer", "neuron").rows() == expected
    assert 0 < len(found) < K
    assert found["best_other_rank"].min() > K  # type: ignore[operator]


def test_layer_spread(answers: Database) -> None:
    found = answer(answers, "layer_spread", run="seed2", percent=10)
    top = tops(answers)["seed2"]
    counts = [sum(layer == of for of, _ in top) for layer in range(3)]
    assert found["n_top"].to_list() == counts
    assert found["enrichment"].to_list() == pytest.approx([count / K / (50 / 150) for count in counts])


@pytest.mark.parametrize("model", ["before", "after"])
def test_driving_tokens(answers: Database, model: str) -> None:
    found = answer(answers, "driving_tokens", run="seed1", layer=1, neuron=7, model=model, least=10)
    mine = activations(answers).filter(pl.col("layer") == 1, pl.col("neuron") == 7)
    expected = (
        mine.group_by("token")
        .agg(n=pl.len(), size=pl.col(model).cast(pl.Float64).abs().mean())
        .filter(pl.col("n") >= 10)
        .sort("size", descending=True)
    )
    assert found["token"].to_list() == expected["token"].to_list()
    assert found["mean_size"].to_list() == pytest.approx(expected["size"].to_list(), rel=1e-6)
    assert len(found) > 1


def test_driving_prompts(answers: Database) -> None:
    found = answer(answers, "driving_prompts", run="seed1", layer=2, neuron=3)
    mine = activations(answers).filter(pl.col("layer") == 2, pl.col("neuron") == 3)
    score = (pl.col("after").cast(pl.Float64) - pl.col("before")).pow(2).mean().sqrt()
    expected = mine.group_by("prompt_id").agg(score=score).sort("score", descending=True)
    assert found["prompt_id"].to_list() == expected["prompt_id"].to_list()
    assert found["change_score"].to_list() == pytest.approx(expected["score"].to_list())
    assert len(found) == 8


def test_sign_flips(answers: Database) -> None:
    found = answer(answers, "sign_flips", run="seed1", percent=10, least=0.2)
    top = tops(answers)["seed1"]
    means = answers.rows("SELECT layer, neuron, mean_before, mean_after FROM neuron_statistics WHERE run_id = 1")
    flipped = [
        (layer, neuron)
        for layer, neuron, before, after in means
        if (layer, neuron) in top and before * after < 0 and min(abs(before) / 2, abs(after) / 0.5) >= 0.2
    ]
    assert found.select("layer", "neuron").rows() == sorted(flipped, key=top.__getitem__)
    assert 0 < len(found) < K


@pytest.mark.parametrize("better", ["low", "high"])
def test_patched_prompts(answers: Database, better: str) -> None:
    variant = "safety:1%"
    found = answer(answers, "patched_prompts", run="patched", variant=variant, judge="cost", better=better)
    scores = answers.rows("SELECT variant_id, prompt_id, score FROM judgements WHERE judge = 'cost'")
    by_variant = {v: {p: s for of, p, s in scores if of == v} for v in (0, 2)}
    bad = {v: {p: s > 0 if better == "low" else s < 0 for p, s in of.items()} for v, of in by_variant.items()}
    expected = {
        prompt: "fixed" if bad[0][prompt] else "broken" for prompt in bad[0] if bad[0][prompt] != bad[2][prompt]
    }
    assert dict(found.select("prompt_id", "verdict").rows()) == expected
    assert set(expected.values()) == {"fixed", "broken"}
    for prompt, change in found.select("prompt_id", "change").rows():
        assert change == by_variant[2][prompt] - by_variant[0][prompt]


def test_seed_stability(answers: Database) -> None:
    found = answer(answers, "seed_stability", runs="seed1,seed2,seed3", percent=10)
    ranks = tops(answers)
    scores = answers.frame("SELECT name, layer, neuron, score FROM neuron_statistics JOIN runs USING (run_id)")
    by_run = {
        run: scores.filter(pl.col("name") == run, pl.col("layer") < 3).sort("layer", "neuron")["score"] for run in SEEDS
    }
    assert found.select("run_a", "run_b").rows() == list(combinations(SEEDS, 2))
    for a, b, shared, rho in found.select("run_a", "run_b", "shared", "spearman").rows():
        assert shared == len(set(ranks[a]) & set(ranks[b]))
        assert rho == pytest.approx(stats.spearmanr(by_run[a], by_run[b]).statistic)


def test_category_differences(answers: Database) -> None:
    found = answer(answers, "category_differences", run="seed1", a="hate", b="fraud")
    means = (
        activations(answers)
        .group_by("layer", "neuron", "category", "prompt_id")
        .agg(mean=pl.col("after").cast(pl.Float64).mean())
    )
    assert len(found) == 3
    for row in found.rows(named=True):
        mine = means.filter(pl.col("layer") == row["layer"], pl.col("neuron") == row["neuron"])
        hate, fraud = (mine.filter(pl.col("category") == kind)["mean"].to_list() for kind in ("hate", "fraud"))
        assert (row["n_a"], row["n_b"]) == (len(hate), len(fraud)) == (4, 4)
        assert row["t"] == pytest.approx(stats.ttest_ind(hate, fraud, equal_var=False).statistic, rel=1e-6)
    assert [abs(t) for t in found["t"]] == sorted((abs(t) for t in found["t"]), reverse=True)


def test_every_question_is_documented_and_listed() -> None:
    listed = list_questions()
    assert listed["name"].to_list() == [one.name for one in questions()]
    for one in questions():
        assert one.question.endswith("?")
        assert one.grain.startswith("one row per")
        assert {parameter.name for parameter in one.parameters} == set(_used(one.sql)), one.name
        assert all(parameter.text for parameter in one.parameters)


def _used(sql: str) -> list[str]:
    code = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
    return [word.split("$")[1].strip("(),;") for word in code.replace("=", " ").split() if "$" in word]


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("shared_neuron", {}, "no question @shared_neuron: did you mean @shared_neurons"),
        ("shared-neurons", {"runs": "seed1,nobody"}, "no finished locate run 'nobody'.*seed1, seed2, seed3"),
        ("shared_neurons", {"run": "seed1"}, "has no parameter run: those it has are percent, runs"),
        ("sign_flips", {}, r"needs run \(a locate run\): give it with -p run=VALUE"),
        ("patched_prompts", {"run": "seed1", "variant": "x", "judge": "y"}, "no finished patch run 'seed1'.*patched"),
    ],
)
def test_bad_questions(answers: Database, name: str, parameters: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        answer(answers, name, **parameters)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        (
            "driving_tokens",
            {"run": "seed1", "layer": 1, "neuron": 7, "model": "befor"},
            "'befor' is not known: use before",
        ),
        ("sign_flips", {"run": "seed1", "percent": -5}, "percent=-5 is no number from 0 to 100"),
        ("sign_flips", {"run": "seed1", "percent": "5%"}, "percent='5%' is no number from 0 to 100"),
        ("shared_neurons", {"runs": "seed1,seed1"}, "names too few runs"),
        ("category_differences", {"run": "seed1", "a": "hate", "b": "x"}, "b='x' is not there.*fraud, hate"),
        ("patched_prompts", {"run": "patched", "variant": "safety:9%", "judge": "cost"}, "'safety:9%' is not there"),
        ("patched_prompts", {"run": "patched", "variant": "safety:1%", "judge": "x"}, "judge='x' is not there.*cost"),
    ],
)
def test_values_that_would_give_another_answer(
    answers: Database, name: str, parameters: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        answer(answers, name, **parameters)


def test_lists_of_runs_may_repeat_and_end_in_a_comma(answers: Database) -> None:
    plain = answer(answers, "shared_neurons", runs="seed1,seed2", percent=10)
    assert answer(answers, "shared_neurons", runs=" seed1,seed2, seed1,", percent=10).equals(plain)
    assert len(plain)
