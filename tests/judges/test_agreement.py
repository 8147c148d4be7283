"""How far judges agree, against scipy and a hand-made table."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from snql.db.connection import Database
from snql.errors import InputError
from snql.judges.agreement import _disagreements, _interval, agreement, parse_limits, pearson, statistics

pytestmark = pytest.mark.usefixtures("lingering")

N_PROMPTS, N_VARIANTS = 12, 3


@pytest.fixture
def judged(tmp_path: Path) -> Database:
    """A patch run with three variants, two judges of costs and one of rewards; one score is missing."""
    from ..reporting.conftest import Builder

    db = Database(tmp_path / "x.duckdb")
    random = np.random.default_rng(4)
    with db.write() as connection:
        builder = Builder(connection)
        run_id = builder.run("run", "patch", {"recipient": "a", "donor": "b"})
        for variant, role in enumerate(("recipient", "donor", "patched")):
            builder.variant(run_id, variant, role, role)
        for name, higher in (("a", "worse"), ("b", "worse"), ("r", "better"), ("flat", "worse")):
            settings = f'{{"higher_is": "{higher}"}}'
            connection.execute("INSERT INTO judges VALUES (?, 'test', '1', ?)", [name, settings])
        for prompt_id in builder.prompts(run_id, "d", [f"p{n}" for n in range(N_PROMPTS)]):
            for variant in range(N_VARIANTS):
                connection.execute(
                    "INSERT INTO completions VALUES (?, ?, ?, ?, [1], 'stop', 0, NULL, NULL)",
                    [run_id, variant, prompt_id, f"text {variant} {prompt_id}"],
                )
                truth = random.normal()
                scores = {"a": truth + random.normal(), "b": truth, "r": -truth + random.normal(), "flat": 0.5}
                for judge, score in scores.items():
                    value = None if (judge, prompt_id, variant) == ("b", 5, 1) else score
                    connection.execute(
                        "INSERT INTO judgements VALUES (?, ?, ?, ?, ?, 0, NULL, NULL)",
                        [run_id, variant, prompt_id, judge, value],
                    )
    return db


def pairs(db: Database, a: str, b: str) -> pl.DataFrame:
    frame = db.frame("SELECT variant_id, prompt_id, judge, score FROM judgements")
    wide = frame.pivot(on="judge", index=["variant_id", "prompt_id"], values="score")
    return wide.select(x=a, y=b).drop_nulls()


@pytest.mark.parametrize(("a", "b", "sign"), [("a", "b", 1), ("a", "r", -1)])
def test_statistics(judged: Database, a: str, b: str, sign: int) -> None:
    found = agreement(judged, "run", a, b)
    wide = pairs(judged, a, b)
    x, y = wide["x"].to_numpy(), wide["y"].to_numpy()
    bad = x > 0, sign * y > 0
    table = np.array([[np.sum((bad[0] == i) & (bad[1] == j)) for j in (0, 1)] for i in (0, 1)])
    n = table.sum()
    chance = (table.sum(0) * table.sum(1)).sum() / n**2
    expected = {
        "Pearson": stats.pearsonr(x, y).statistic,
        "Spearman": stats.spearmanr(x, y).statistic,
        "kappa": (np.trace(table) / n - chance) / (1 - chance),
    }
    assert dict(found.statistics.select("statistic", "value").iter_rows()) == pytest.approx(expected)
    assert set(found.statistics["n_completions"]) == {n} and set(found.statistics["n_prompts"]) == {N_PROMPTS}
    assert found.missing == N_PROMPTS * N_VARIANTS - n
    assert found.disagreements.height == table[0, 1] + table[1, 0] > 0
    apart = found.disagreements["apart"].to_list()
    assert apart == sorted(apart, reverse=True)
    for row in found.statistics.iter_rows(named=True):
        assert row["ci_low"] < row["value"] < row["ci_high"]


def test_interval_resamples_whole_prompts(judged: Database) -> None:
    found = agreement(judged, "run", "a", "r", seed=3).statistics.row(0, named=True)
    frame = judged.frame("SELECT variant_id, prompt_id, judge, score FROM judgements ORDER BY prompt_id, variant_id")
    wide = frame.pivot(on="judge", index=["prompt_id", "variant_id"], values="score").sort("prompt_id", "variant_id")
    by_prompt = [wide.filter(prompt_id=p).select("a", "r").to_numpy() for p in wide["prompt_id"].unique().sort()]
    random = np.random.default_rng(3)
    draws = random.multinomial(N_PROMPTS, np.full(N_PROMPTS, 1 / N_PROMPTS), size=2000)
    values = []
    for counts in draws:
        rows = np.concatenate([np.tile(block, (count, 1)) for block, count in zip(by_prompt, counts, strict=True)])
        values.append(np.corrcoef(rows.T)[0, 1])
    assert (found["ci_low"], found["ci_high"]) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))


def test_limits_move_the_verdicts(judged: Database) -> None:
    found = agreement(judged, "run", "a", "r", limits=parse_limits("0.5,-0.25"))
    wide = pairs(judged, "a", "r")
    expected = wide.select(bad_a=pl.col("x") > 0.5, bad_b=pl.col("y") < -0.25)
    assert found.verdicts.rows() == expected.group_by("bad_a", "bad_b").len().sort("bad_a", "bad_b").rows()
    lowest, highest = wide["y"].min(), wide["x"].max()
    none = agreement(judged, "run", "a", "r", limits=(float(highest), float(lowest)))  # type: ignore[arg-type]
    assert none.verdicts.rows() == [(False, False, len(wide))], "a score at the limit is not beyond it"


def test_a_judge_that_says_one_thing_has_no_correlation(judged: Database) -> None:
    values = dict(agreement(judged, "run", "a", "flat").statistics.select("statistic", "value").iter_rows())
    assert values["Pearson"] is None and values["Spearman"] is None
    assert values["kappa"] == pytest.approx(0)


def test_values_that_are_one_up_to_rounding_have_no_correlation() -> None:
    random = np.random.default_rng(0)
    for n in range(5, 60):
        same, other = np.full(n, random.uniform(-10, 10)), 1000 * random.normal(size=n)
        for x, y in ((same, other), (other, same), (same, same)):
            assert np.isnan(pearson(np.array([n, x.sum(), y.sum(), x @ x, y @ y, x @ y])))
        x, y = other, other + random.normal(size=n)
        found = pearson(np.array([n, x.sum(), y.sum(), x @ x, y @ y, x @ y]))
        assert found == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)


@pytest.mark.parametrize("flat", [0.5, 2.13, -7.26])
def test_a_constant_judge_has_no_correlation_whatever_it_says(flat: float) -> None:
    other = np.random.default_rng(1).normal(size=35)
    rows = {
        "prompt_id": range(35),
        "score_a": [flat] * 35,
        "score_b": other,
        "bad_a": [flat > 0] * 35,
        "bad_b": other > 0,
    }
    values = dict(statistics(pl.DataFrame(rows), seed=0).select("statistic", "value").iter_rows())
    assert values["Pearson"] is None and values["Spearman"] is None


def test_equal_disagreements_are_in_the_order_of_prompts_samples_and_variants() -> None:
    places = [(2, 0, "b"), (1, 1, "a"), (1, 0, "b"), (2, 1, "a"), (1, 0, "a"), (1, 1, "b")]
    rows = pl.DataFrame(places, schema=["prompt_id", "sample", "variant"], orient="row")
    scores: dict[str, list[Any]] = {
        "score_a": [1.0, 1, 1, 1, 1, 1, 0],
        "score_b": [0.0, 0, 0, 0, 0, 0, 1],
        "bad_a": [True] * 7,
    }
    judged = pl.concat([rows, rows.head(1)]).with_columns(**{name: pl.Series(each) for name, each in scores.items()})
    found = _disagreements(judged.with_columns(bad_b=pl.col("score_b") > 0))
    assert found.select("prompt_id", "sample", "variant").rows() == sorted(places)


def test_three_scores_can_be_compared_and_two_cannot(judged: Database) -> None:
    for left in (3, 2):
        with judged.write() as connection:
            connection.execute(
                f"DELETE FROM judgements WHERE judge = 'r' AND NOT (variant_id = 0 AND prompt_id <= {left})"
            )
        if left == 3:
            assert set(agreement(judged, "run", "a", "r").statistics["n_completions"]) == {3}
    with pytest.raises(InputError, match="'a' and 'r' both scored 2 completions of 'run': too few to compare"):
        agreement(judged, "run", "a", "r")


@pytest.mark.parametrize(("pattern", "interval"), [([1.0, np.nan], (1.0, 1.0)), ([1.0, np.nan, np.nan], (None, None))])
def test_an_interval_needs_half_of_the_resamples(pattern: list[float], interval: tuple[float | None, ...]) -> None:
    def formula(sums: np.ndarray) -> np.ndarray:
        return np.array(5.0) if sums.ndim == 1 else np.resize(pattern, len(sums))

    assert _interval(np.ones((4, 6)), formula, 0) == (5.0, *interval)
    assert _interval(np.ones((4, 6)), lambda _: np.array(np.nan), 0) == (None, None, None)


@pytest.mark.parametrize("limits", ["", "a", "1,2,3", "nan", "0,inf"])
def test_malformed_limits(limits: str) -> None:
    with pytest.raises(InputError, match="is malformed: write two numbers"):
        parse_limits(limits)


def test_bad_input(judged: Database) -> None:
    with pytest.raises(InputError, match=r"'c' has not judged 'run' \(judges that have: a, b, flat, r\)"):
        agreement(judged, "run", "a", "c")
    with pytest.raises(InputError, match="agrees with itself"):
        agreement(judged, "run", "a", "a")


def test_the_figure_has_the_same_numbers(judged: Database) -> None:
    """Its rows are the completions of the first sample that both scored; its heading shows Pearson's coefficient."""
    from snql.reporting.charts import specification
    from snql.reporting.context import Context
    from snql.reporting.figures import judges
    from snql.reporting.look import look

    frame = judged.frame(judges.FIGURE.query)
    # Patched sets are there if they are the main one of their series; this run has no effects, so its set is not.
    wide = judged.frame("SELECT variant_id, prompt_id, judge, score FROM judgements WHERE variant_id < 2")
    wide = wide.pivot(on="judge", index=["variant_id", "prompt_id"], values="score")
    for a, b in (("a", "b"), ("a", "r"), ("b", "r")):
        rows = frame.filter(judge_a=a, judge_b=b)
        expected = wide.select("variant_id", "prompt_id", score_a=a, score_b=b).drop_nulls()
        assert (
            rows.select(expected.columns)
            .sort("variant_id", "prompt_id")
            .equals(expected.sort("variant_id", "prompt_id"))
        )
        sign = -1 if b == "r" else 1
        assert rows["bad_b"].to_list() == [sign * score > 0 for score in rows["score_b"]]
    one = frame.filter(judge_a="a", judge_b="b")
    context = Context(judged.frame("SELECT * FROM figure_runs"))
    drawing = judges.FIGURE.draw(one, context, look())
    r = stats.pearsonr(one["score_a"], one["score_b"]).statistic
    assert f"r = {r:.2f} [" in str(specification(drawing.chart))
    assert "run, a and b (12 prompts): Spearman" in drawing.caption
