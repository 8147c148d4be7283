"""Overlap and chance against scipy, against simulation, and against the SQL macro."""

from fractions import Fraction
from math import comb, factorial, log

import numpy as np
import polars as pl
import pytest
from scipy import stats

from snql.db.connection import Database
from snql.errors import InputError
from snql.rankings.overlaps import compare, curve, matrix
from snql.stats.overlap import Draws, Overlap, Pair, RankedScores, log_tail

from ..synthetic import add_locate_run

pytestmark = pytest.mark.usefixtures("lingering")

N_LAYERS, N_NEURONS, K = 3, 40, 12


def ranked(name: str, scores: np.ndarray) -> RankedScores:
    ranks = np.empty(scores.size, dtype=np.int64)
    ranks[np.argsort(-scores.ravel(), kind="stable")] = np.arange(1, scores.size + 1)
    return RankedScores(name, ranks, scores.ravel(), scores.shape[1])


def overlap(a: RankedScores, b: RankedScores, k: int) -> Overlap:
    return Pair(a, b).at(k)


def layers_of_top(run: RankedScores, k: int) -> np.ndarray:
    return np.flatnonzero((run.ranks > 0) & (run.ranks <= k)) // run.n_neurons


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
    counts = [np.bincount(layers_of_top(run, K), minlength=N_LAYERS) for run in (a, b)]
    draws = np.zeros(20_000, dtype=int)
    for layer in range(N_LAYERS):
        in_a, in_b = counts[0][layer], counts[1][layer]
        draws += generator.hypergeometric(in_a, N_NEURONS - in_a, in_b, size=20_000) if in_b else 0
    assert found.chance_by_layer == pytest.approx(draws.mean() / K, rel=0.03)
    assert found.p_value_by_layer == pytest.approx((draws >= found.shared).mean(), abs=0.02)
    assert found.chance_by_layer > found.chance


def test_chance_by_magnitude_against_sets_drawn_in_magnitude(db: Database) -> None:
    """Rankings that follow size share far more than layers explain; sets drawn like one of them share as much."""
    generator = np.random.default_rng(4)
    sizes = generator.lognormal(sigma=1.5, size=(2, 400))
    scores = [sizes * generator.lognormal(sigma=0.8, size=sizes.shape) for _ in range(2)]
    for name, each in zip("ab", scores, strict=True):
        add_locate_run(db, name, each, sizes=sizes)
    (row,) = compare(db, ["a", "b"], "80").iter_rows(named=True)
    tops = [set(np.argsort(-each.ravel(), kind="stable")[:80].tolist()) for each in scores]
    parts = np.empty(800, dtype=int)
    for layer in range(2):
        parts[layer * 400 + np.argsort(sizes[layer])] = layer * 20 + np.arange(400) // 20
    drawn = []
    for _ in range(4000):
        chosen = [
            generator.choice(np.flatnonzero(parts == part), size=n, replace=False)
            for part, n in enumerate(np.bincount(parts[list(tops[1])], minlength=40))
            if n
        ]
        drawn.append(len(tops[0] & set(np.concatenate(chosen).tolist())))
    assert row["shared"] == len(tops[0] & tops[1])
    assert row["chance_by_magnitude"] == pytest.approx(np.mean(drawn) / 80, rel=0.02)
    assert row["p_value_by_magnitude"] == pytest.approx(np.mean(np.array(drawn) >= row["shared"]), abs=0.03)
    assert row["chance_by_magnitude"] > 3 * row["chance_by_layer"]
    assert row["p_value_by_magnitude"] > 1e-3 > row["p_value_by_layer"]


def exact_tail(parts: list[Draws], at_least: int) -> Fraction:
    """With whole numbers, by counting."""
    ways = {0: 1}
    for part in parts:
        own = {
            n: comb(part.marked, n) * comb(part.size - part.marked, part.drawn - n)
            for n in range(part.lowest, min(part.marked, part.drawn) + 1)
        }
        sums: dict[int, int] = {}
        for had, number in ways.items():
            for n, more in own.items():
                sums[had + n] = sums.get(had + n, 0) + number * more
        ways = sums
    return Fraction(sum(number for n, number in ways.items() if n >= at_least), sum(ways.values()))


@pytest.mark.parametrize(
    "parts",
    [
        [Draws(100, 20, 20)] * 4,
        [Draws(300, 90, 5), Draws(50, 40, 30), Draws(200, 3, 100)],
        [Draws(40, 40, 10), Draws(60, 30, 30)],
        [Draws(2000, 100, 100)],
    ],
    ids=["alike", "uneven", "a layer that is all marked", "one"],
)
def test_tails_are_exact_however_small(parts: list[Draws]) -> None:
    lowest = sum(part.lowest for part in parts)
    most = sum(min(part.marked, part.drawn) for part in parts)
    smallest = 0.0
    for at_least in range(lowest, most + 1):
        exact = exact_tail(parts, at_least)
        expected = log(exact.numerator) - log(exact.denominator)
        assert log_tail(parts, at_least) == pytest.approx(expected, rel=1e-9, abs=1e-9), at_least
        smallest = min(smallest, expected)
    assert log_tail(parts, most + 1) == float("-inf")
    assert smallest < -15


def test_chances_far_below_what_a_sum_can_tell() -> None:
    """Two equal tops of a model: the chance was shown as 0."""
    parts = [Draws(1536, 77, 77)] * 30
    exact = 30 * (log(factorial(77)) + log(factorial(1459)) - log(factorial(1536)))
    assert log_tail(parts, 30 * 77) == pytest.approx(exact, rel=1e-9)
    assert log_tail(parts, 30 * 77) < -300 * log(10)


def test_a_ranking_with_itself() -> None:
    a = ranked("a", uneven(0))
    found = overlap(a, a, K)
    assert (found.overlap, found.jaccard, found.spearman_all, found.spearman_common) == pytest.approx((1, 1, 1, 1))


def test_few_common_neurons_have_no_correlation() -> None:
    scores = np.arange(120.0).reshape(3, 40)
    found = overlap(ranked("a", scores), ranked("b", -scores), K)
    assert (found.shared, found.spearman_common) == (0, None)
    assert found.p_value == 1.0
    same = ranked("a", scores)
    assert overlap(same, same, 2).spearman_common is None
    assert overlap(same, same, 3).spearman_common == pytest.approx(1)
    for k in (0, 121):
        with pytest.raises(InputError, match=f"`top` gives {k} neurons: it must be between 1 and the 120"):
            overlap(same, same, k)


def test_the_sql_macro_gives_the_same(db: Database) -> None:
    for name, seed in (("a", 0), ("b", 1), ("c", 2)):
        add_locate_run(db, name, uneven(seed), n_ranked_layers=2)
    pairs = compare(db, ["a", "b", "c"], "10%")
    assert pairs.select("run_a", "run_b").rows() == [("a", "b"), ("a", "c"), ("b", "c")]
    for a, b, k, share in pairs.select("run_a", "run_b", "k", "overlap").rows():
        assert k == 8
        assert db.rows("SELECT overlap_at(?, ?, ?)", [a, b, k]) == [(share,)]
    assert db.rows("SELECT overlap_at('a', 'nobody', 8)") == [(None,)]
    histogram = db.rows("SELECT layer, n_neurons, share FROM layer_histogram('a', 50)")
    in_layer = np.bincount(layers_of_top(ranked("a", uneven(0)[:2]), 50), minlength=2).tolist()
    assert 0 < in_layer[0] < 50
    assert histogram == [(layer, n, n / 50) for layer, n in enumerate(in_layer)]


def test_runs_that_cannot_be_compared(db: Database) -> None:
    add_locate_run(db, "a", uneven(0))
    add_locate_run(db, "b", uneven(1), n_ranked_layers=2)
    with pytest.raises(InputError, match="'a' and 'b' rank different neurons"):
        compare(db, ["a", "b"])
    add_locate_run(db, "wider", np.random.default_rng(2).random((N_LAYERS, 60)))
    with pytest.raises(InputError, match=r"'a' is of 3 layers of \d+ and 'wider' is of 3 layers of 60: they cannot be"):
        compare(db, ["a", "wider"])
    with pytest.raises(InputError, match="no finished locate run 'c'.*its runs are a, b"):
        compare(db, ["a", "c"])
    with pytest.raises(InputError, match="at least two different runs"):
        compare(db, ["a", "a"])
    with pytest.raises(InputError, match="`top` 'x' is not known"):
        compare(db, ["a", "b"], "x")


def tied(seed: int) -> np.ndarray:
    """Uneven scores, many of them equal."""
    scores: np.ndarray = np.round(uneven(seed), 1)
    return scores


def test_rank_biased_overlap_by_its_definition() -> None:
    a, b = ranked("a", uneven(0)), ranked("b", uneven(1))
    best_a, best_b = (np.argsort(-scores.ravel()).tolist() for scores in (uneven(0), uneven(1)))
    p, expected = 0.9, 0.0
    for depth in range(1, 2000):  # the rest weighs less than 1e-90
        agreement = len(set(best_a[:depth]) & set(best_b[:depth])) / min(depth, len(best_a))
        expected += (1 - p) * p ** (depth - 1) * agreement
    assert Pair(a, b).rank_biased_overlap(p) == pytest.approx(expected, abs=1e-12)
    assert overlap(a, b, 10).rank_biased_overlap == pytest.approx(expected, abs=1e-12)
    assert overlap(a, a, 10).rank_biased_overlap == pytest.approx(1)


def test_rank_biased_overlap_of_random_rankings_is_about_chance() -> None:
    generator = np.random.default_rng(0)
    runs = [ranked("r", generator.random((10, 400))) for _ in range(41)]
    found = [overlap(runs[0], other, 200).rank_biased_overlap for other in runs[1:]]
    assert np.mean(found) == pytest.approx(200 / 4000, rel=0.1)


def test_equal_scores_share_their_rank() -> None:
    a, b = tied(0), tied(1)
    found = overlap(ranked("a", a), ranked("b", b), K)
    assert len(np.unique(a)) < 20
    assert found.spearman_all == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic)


def test_the_sql_macros_give_all_the_same_numbers(db: Database) -> None:
    for name, scores in (("a", tied(0)), ("b", tied(0) + tied(1)), ("c", uneven(2))):
        add_locate_run(db, name, scores, n_ranked_layers=2)
    only_here = ("run_a", "run_b", "p_value_by_layer", "chance_by_magnitude", "p_value_by_magnitude")
    names = [field for field in Overlap.__dataclass_fields__ if field not in only_here]
    assert {"rank_biased_overlap", "chance_by_layer", "spearman_common", "p_value"} <= set(names)
    for k in (1, 8, 30, 80):
        for row in compare(db, ["a", "b", "c"], str(k)).rows(named=True):
            found = db.frame("FROM overlap_statistics(?, ?, ?)", [row["run_a"], row["run_b"], k])
            assert set(found.columns) == set(names)
            defined = {name: row[name] for name in names if row[name] is not None}
            assert found.select(list(defined)).row(0, named=True) == pytest.approx(defined, rel=1e-9)
            assert [found[name][0] for name in names if name not in defined] == [None] * (len(names) - len(defined))
    a, b = (
        db.frame("SELECT * FROM neuron_scores WHERE run = ? AND rank IS NOT NULL ORDER BY layer, neuron", [run])[
            "score"
        ]
        for run in "ab"
    )
    by_polars = pl.DataFrame({"a": a, "b": b}).select(pl.corr("a", "b", method="spearman")).item()
    assert compare(db, ["a", "b"])["spearman_all"][0] == pytest.approx(by_polars)
    for k in (0, 81):
        assert db.rows("FROM overlap_statistics('a', 'b', ?)", [k]) == []
    assert db.rows("FROM overlap_statistics('a', 'nobody', 8)") == []


def test_the_curve_in_python_and_sql(db: Database) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        add_locate_run(db, name, uneven(seed))
    points = curve(db, ["a", "b"])
    assert points["k"].to_list() == [1, 2, 4, 6, 9, 12, 18, 24, 36, 48, 60, 90, 120]
    steps = dict(db.rows("SELECT k, shared FROM overlap_curve('a', 'b')"))
    best = [np.argsort(-uneven(seed).ravel()).tolist() for seed in (0, 1)]
    for k, shared in points.select("k", "shared").rows():
        assert shared == len(set(best[0][:k]) & set(best[1][:k]))
        assert shared == max((n for at, n in steps.items() if at <= k), default=0)
    assert points.row(-1, named=True)["overlap"] == 1


def test_a_matrix_of_several_runs(db: Database) -> None:
    for name, seed in (("a", 0), ("b", 1), ("c", 2)):
        add_locate_run(db, name, uneven(seed))
    pairs = compare(db, ["a", "b", "c"])
    table = matrix(pairs)
    shares = {(a, b): share for a, b, share in pairs.select("run_a", "run_b", "overlap").rows()}
    assert table["run"].to_list() == ["a", "b", "c"]
    for (a, b), share in shares.items():
        assert table.filter(pl.col("run") == a)[b].item() == share == table.filter(pl.col("run") == b)[a].item()
    assert [table[run][place] for place, run in enumerate("abc")] == [1, 1, 1]


def test_runs_that_rank_other_neurons_have_no_statistics(db: Database) -> None:
    add_locate_run(db, "a", uneven(0))
    add_locate_run(db, "b", uneven(1), n_ranked_layers=2)
    assert db.rows("FROM overlap_statistics('a', 'b', 8)") == []
    assert db.rows("FROM overlap_curve('a', 'b')") == []
