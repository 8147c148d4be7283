"""Overlap and chance against scipy, against simulation, and against the SQL macro."""

import numpy as np
import pytest
from scipy import stats

from snql.db.connection import Database
from snql.errors import InputError
from snql.overlaps import compare
from snql.stats.overlap import RankedScores, overlap

from ..synthetic import add_locate_run

N_LAYERS, N_NEURONS, K = 3, 40, 12


def ranked(name: str, scores: np.ndarray) -> RankedScores:
    ids = np.argsort(-scores.ravel(), kind="stable")
    return RankedScores(name, ids, scores.ravel()[ids], ids // scores.shape[1])


def uneven(seed: int) -> np.ndarray:
    """Random scores that favour the first layer."""
    scores: np.ndarray = np.random.default_rng(seed).random((N_LAYERS, N_NEURONS))
    scores += np.array([[0.4], [0.1], [0.0]])
    return scores


def test_overlap_by_hand() -> None:
    a = uneven(0)
    b = a + uneven(1)
    found = overlap(ranked("a", a), ranked("b", b), K)
    top_a, top_b = (set(np.argsort(-scores.ravel())[:K].tolist()) for scores in (a, b))
    common = sorted(top_a & top_b)
    assert 3 <= len(common) < K
    assert found.shared == len(common)
    assert found.overlap == len(common) / K
    assert found.jaccard == len(common) / len(top_a | top_b)
    assert found.chance == K / 120
    assert found.p_value == pytest.approx(stats.hypergeom(120, K, K).sf(len(common) - 1))
    assert found.spearman_all == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic)
    assert found.spearman_common == pytest.approx(stats.spearmanr(a.ravel()[common], b.ravel()[common]).statistic)


def test_chance_by_layer_against_simulation() -> None:
    a, b = ranked("a", uneven(0)), ranked("b", uneven(1))
    found = overlap(a, b, K)
    generator = np.random.default_rng(3)
    counts = [np.bincount(run.layers[:K], minlength=N_LAYERS) for run in (a, b)]
    draws = np.zeros(20_000, dtype=int)
    for layer in range(N_LAYERS):
        in_a, in_b = counts[0][layer], counts[1][layer]
        draws += generator.hypergeometric(in_a, N_NEURONS - in_a, in_b, size=20_000) if in_b else 0
    assert found.chance_by_layer == pytest.approx(draws.mean() / K, rel=0.03)
    assert found.p_value_by_layer == pytest.approx((draws >= found.shared).mean(), abs=0.02)
    assert found.chance_by_layer > found.chance


def test_a_ranking_with_itself() -> None:
    a = ranked("a", uneven(0))
    found = overlap(a, a, K)
    assert (found.overlap, found.jaccard, found.spearman_all, found.spearman_common) == pytest.approx((1, 1, 1, 1))


def test_few_common_neurons_have_no_correlation() -> None:
    scores = np.arange(120.0).reshape(3, 40)
    found = overlap(ranked("a", scores), ranked("b", -scores), K)
    assert (found.shared, found.spearman_common) == (0, None)
    assert found.p_value == 1.0


def test_the_sql_macro_gives_the_same(db: Database) -> None:
    for name, seed in (("a", 0), ("b", 1), ("c", 2)):
        add_locate_run(db, name, uneven(seed), n_ranked_layers=2)
    pairs = compare(db, ["a", "b", "c"], "10%")
    assert pairs.select("run_a", "run_b").rows() == [("a", "b"), ("a", "c"), ("b", "c")]
    for a, b, k, share in pairs.select("run_a", "run_b", "k", "overlap").rows():
        assert k == 8
        assert db.rows("SELECT overlap_at(?, ?, ?)", [a, b, k]) == [(share,)]
    assert db.rows("SELECT overlap_at('a', 'nobody', 8)") == [(None,)]
    histogram = db.rows("SELECT layer, n_neurons FROM layer_histogram('a', 8)")
    layers = ranked("a", uneven(0)[:2]).layers[:8]
    assert histogram == [(0, int((layers == 0).sum())), (1, int((layers == 1).sum()))]


def test_runs_that_cannot_be_compared(db: Database) -> None:
    add_locate_run(db, "a", uneven(0))
    add_locate_run(db, "b", uneven(1), n_ranked_layers=2)
    with pytest.raises(InputError, match="'a' and 'b' rank different neurons"):
        compare(db, ["a", "b"])
    with pytest.raises(InputError, match="no finished locate run 'c'.*its runs are a, b"):
        compare(db, ["a", "c"])
    with pytest.raises(InputError, match="at least two different runs"):
        compare(db, ["a", "a"])
    with pytest.raises(InputError, match="--top 'x' is not known"):
        compare(db, ["a", "b"], "x")
