"""Stability: halves of the prompts by hand, seeds, and the noise floor."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from snql.contrast.locate import locate
from snql.db.connection import Database
from snql.errors import InputError
from snql.rankings.stability import stability

from ..contrast.test_locate import options
from ..synthetic import add_locate_run

pytestmark = pytest.mark.usefixtures("lingering")

SPLITS = 6


@pytest.fixture
def bootstrapped(db: Database, tiny_llama: Path, tiny_adapter: Path) -> Database:
    locate(db, "x", options(tiny_llama, tiny_adapter, bootstrap=100, keep="none"))
    return db


def test_halves_by_hand(bootstrapped: Database) -> None:
    (row,) = stability(bootstrapped, ["x"], "10%", splits=SPLITS, seed=4).halves.to_dicts()
    sums = bootstrapped.frame("FROM prompt_scores")
    prompts = np.array(sorted(sums["prompt_id"].unique()))
    generator = np.random.default_rng([4, 12, SPLITS])
    rhos, shares = [], []
    for _ in range(SPLITS):
        first = set(prompts[generator.permutation(12)[:6]].tolist())
        halves = []
        for mine in (sums.filter(pl.col("prompt_id").is_in(first)), sums.filter(~pl.col("prompt_id").is_in(first))):
            pooled = (pl.col("squared_differences").cast(pl.Float64).sum() / pl.col("n_tokens").sum()).sqrt()
            scores = mine.filter(pl.col("layer") < 2).group_by("layer", "neuron").agg(score=pooled)
            halves.append(scores.sort("layer", "neuron")["score"].to_numpy())
        rhos.append(stats.spearmanr(halves[0], halves[1]).statistic)
        a, b = (set(np.argsort(-half)[:8].tolist()) for half in halves)
        shares.append(len(a & b) / 8)
    assert (row["k"], row["n_prompts"], row["splits"], row["chance"]) == (8, 12, SPLITS, 0.1)
    assert row["spearman"] == pytest.approx(np.mean(rhos))
    assert row["overlap"] == pytest.approx(np.mean(shares))
    assert (row["overlap_low"], row["overlap_high"]) == pytest.approx(tuple(np.quantile(shares, [0.025, 0.975])))
    assert row["reliability"] == pytest.approx(np.mean([2 * rho / (1 + rho) for rho in rhos]))


def test_a_run_of_two_models_is_no_noise_floor(bootstrapped: Database) -> None:
    with pytest.raises(InputError, match=r"`floor` 'x' contrasts two models: a noise floor"):
        stability(bootstrapped, ["x"], floor="x")


def test_intervals_of_the_top(bootstrapped: Database) -> None:
    (row,) = stability(bootstrapped, ["x"], "20%").intervals.to_dicts()
    top = bootstrapped.frame("FROM neuron_intervals").filter(pl.col("rank") <= 16)
    assert (row["k"], row["resamples"]) == (16, 100)
    assert row["n_sure"] == (top["top_share"] >= 0.95).sum()
    assert row["median_relative_error"] == pytest.approx((top["standard_error"] / top["score"]).median())


def test_seeds_and_floor_by_hand(db: Database) -> None:
    generator = np.random.default_rng(2)
    base = generator.lognormal(0, 1, (3, 40))
    scores = {name: base * generator.lognormal(0, 0.4, base.shape) for name in ("a", "b", "c")}
    for name, values in scores.items():
        add_locate_run(db, name, values, n_ranked_layers=2)
    noise = generator.lognormal(-2, 1, base.shape)
    add_locate_run(db, "noise", noise)
    found = stability(db, ["a", "b", "c"], "8", floor="noise")
    assert found.halves.is_empty()
    assert found.intervals.is_empty()
    tops = {name: np.argsort(-values[:2].ravel())[:8] for name, values in scores.items()}
    shares = [len(set(tops[one]) & set(tops[two])) / 8 for one, two in ("ab", "ac", "bc")]
    (seeds,) = found.seeds.to_dicts()
    assert (seeds["n_runs"], seeds["k"], seeds["chance"]) == (3, 8, 0.1)
    assert (seeds["overlap"], seeds["overlap_lowest"], seeds["overlap_highest"]) == pytest.approx(
        (np.mean(shares), min(shares), max(shares))
    )
    assert seeds["n_in_all"] == len(set(tops["a"]) & set(tops["b"]) & set(tops["c"])) > 0
    assert seeds["n_in_all_by_chance"] == pytest.approx(8 * 0.1 * 0.1)
    for name, row in zip("abc", found.floor.to_dicts(), strict=True):
        mine, own = scores[name][:2].ravel(), noise[:2].ravel()
        assert row["above_floor"] == pytest.approx(np.mean(mine > own))
        assert row["top_above_floor"] == pytest.approx(np.mean(mine[tops[name]] > own[tops[name]]))
        assert row["top_above_all_floor"] == pytest.approx(np.mean(mine[tops[name]] > noise.max()))
        assert row["lowest_ratio_of_top"] == pytest.approx((mine / own)[tops[name]].min())
    assert found.floor["top_above_all_floor"][0] > 0


def test_bad_input(db: Database) -> None:
    add_locate_run(db, "a", np.random.default_rng(0).random((3, 40)))
    add_locate_run(db, "small", np.random.default_rng(0).random((2, 5)))
    for runs, settings, message in (
        (["nobody"], {}, "no finished locate run 'nobody'"),
        (["a"], {"splits": 1}, "`splits` 1 is out of range"),
        (["a"], {"top": "9999"}, "`top` 9999 gives 9999 of the 120"),
        (["a"], {"floor": "small"}, "'a' is of a model with 3x40 neurons, `floor` 'small' of one with 2x5"),
    ):
        with pytest.raises(InputError, match=message):
            stability(db, runs, **settings)
