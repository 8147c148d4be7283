"""Tests of a guard on other prompts: probabilities by hand, costs and rates by Polars, what is left out, bad input."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from snql.db.connection import Database
from snql.errors import InputError
from snql.guard import learn, reading, testing
from snql.guard.costs import Answered, cost_rows
from snql.guard.learn import GuardResult
from snql.guard.options import GuardTestOptions
from snql.guard.results import by_size, compared_sentences, overview, sentences
from snql.guard.stored import read_guard
from snql.guard.testing import GuardTestResult
from snql.judges.refusal import refuses
from snql.options import changed
from snql.prompts.options import PromptOptions
from snql.stats.proportions import wilson_interval

from .conftest import OPTIONS, last_activations, plain_network

pytestmark = pytest.mark.usefixtures("lingering")

OTHERS = PromptOptions(("demo:harmful", "demo:harmful-wrapped"), limit=24)
ASKED = GuardTestOptions(
    prompts=OTHERS, benign=("demo:benign",), costs=True, after="demo:safety", max_new_tokens=12, batch_size=40
)


@pytest.fixture(scope="module")
def predictions(trained: Database) -> pl.DataFrame:
    return trained.frame("FROM guard_predictions WHERE stage = 'test'")


@pytest.mark.parametrize("role", ["before", "after"])
def test_probabilities_are_the_guards_on_activations_by_hand(
    trained: Database, predictions: pl.DataFrame, sft_network: Any, role: str
) -> None:
    network = sft_network if role == "before" else plain_network("safety")
    guard = read_guard(trained, "mine")
    ids = dict(
        trained.rows("SELECT prompt_id, input_ids FROM run_prompts JOIN runs USING (run_id) WHERE kind = 'guard-test'")
    )
    rows = predictions.filter(read_from=role, classifier_id=0)[::9]
    own = np.stack([last_activations(network, ids[number]) for number in rows["prompt_id"]])
    assert rows["probability"].to_list() == pytest.approx(guard.probabilities(own[:, guard.neurons.ids]), abs=1e-5)
    assert len(rows) == 8


def test_controls_are_the_classifiers_that_were_trained(
    trained: Database, predictions: pl.DataFrame, sft_network: Any
) -> None:
    """The formula in plain Python, with weights and neurons from SQL."""
    row = predictions.filter(kind="last-layer", neurons="found:1%", control_seed=1).row(5, named=True)
    number = row["classifier_id"]
    ((weights, means, scales, intercept),) = trained.rows(
        "SELECT weights, means, scales, intercept FROM guard_weights WHERE classifier_id = ?", [number]
    )
    places = trained.rows(
        """
        SELECT layer * 256 + neuron FROM neuron_set_members JOIN guard_classifiers USING (set_id)
        JOIN runs USING (run_id) WHERE runs.kind = 'guard-test' AND classifier_id = ? ORDER BY 1
        """,
        [number],
    )
    ((ids,),) = trained.rows(
        "SELECT input_ids FROM run_prompts JOIN runs USING (run_id) WHERE kind = 'guard-test' AND prompt_id = ?",
        [row["prompt_id"]],
    )
    own = last_activations(sft_network, ids)[[place for (place,) in places]].tolist()
    logit = intercept + sum(w * (x - m) / s for w, x, m, s in zip(weights, own, means, scales, strict=True))
    assert row["probability"] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)


def test_the_guard_has_seen_none_of_the_prompts(trained: Database) -> None:
    query = """
        SELECT p.text FROM run_prompts JOIN runs USING (run_id) JOIN prompts AS p USING (prompt_id) WHERE kind = ?
        """
    trained_on, ranked_on, tested_on = (
        {text for (text,) in trained.rows(query, [kind])} for kind in ("guard", "locate", "guard-test")
    )
    assert len(tested_on) == 72
    assert not tested_on & (trained_on | ranked_on)


def test_scores_are_those_of_the_stored_predictions(trained: Database, predictions: pl.DataFrame) -> None:
    scores = trained.frame("FROM guard_scores WHERE stage = 'test'")
    assert set(scores["dataset"]) == {*OTHERS.prompts, "demo:benign", "*"}
    own = predictions.filter(read_from="before")
    for kind in ("guard", "matched"):
        part = own.filter(kind=kind, neurons="found:3%")
        expected = part.group_by("classifier_id").agg(
            (pl.col("refused") == pl.col("label")).mean().alias("accuracy"),
            pl.col("refused").filter("benign").mean().alias("false-alarms"),
            pl.col("refused").filter("label").mean().alias("recall"),
        )
        found = dict(scores.filter(kind=kind, neurons="found:3%", dataset="*").select("measure", "value").iter_rows())
        for name in ("accuracy", "false-alarms", "recall"):
            assert found[name] == pytest.approx(expected[name].mean())
    only_benign = scores.filter(dataset="demo:benign", kind="guard", neurons="found:3%")
    counts = only_benign.select("n_prompts", "n_harmful", "n_benign").unique().row(0)
    assert counts[0] == counts[2] == 24
    assert only_benign.filter(measure="auroc")["value"].to_list() == [None]


def test_costs_are_means_of_accepted_answers(trained: Database, predictions: pl.DataFrame) -> None:
    costs = trained.frame("FROM guard_costs")
    assert costs.select("model", "guarded_by").unique().sort("model", "guarded_by").rows() == [
        ("after", "after"),
        ("after", "before"),
        ("after", "none"),
        ("before", "before"),
        ("before", "none"),
    ]
    assert costs.filter(model="after")["model_spec"].unique().to_list() == ["demo:safety"]
    read = trained.rows("SELECT variant_id, count(DISTINCT classifier_id) > 1 FROM guard_probabilities GROUP BY ALL")
    assert sorted(read) == [(0, True), (1, False)], "of the model after, the guard alone is asked"
    answers = trained.frame(
        """
        SELECT v.role AS model, c.prompt_id, p.dataset, c.text, j.score
        FROM completions AS c JOIN runs USING (run_id) JOIN variants AS v USING (run_id, variant_id)
        JOIN judgements AS j USING (run_id, variant_id, prompt_id) JOIN prompts AS p USING (prompt_id)
        WHERE runs.kind = 'guard-test'
        """
    ).with_columns(own=pl.col("text").map_elements(refuses, return_dtype=pl.Boolean))
    assert answers["own"].any()
    flags = predictions.filter(classifier_id=0).select("prompt_id", "refused", reader="read_from")
    for row in costs.iter_rows(named=True):
        part = answers.filter(
            (pl.col("model") == row["model"]) & ((pl.col("dataset") == row["dataset"]) | (row["dataset"] == "*"))
        )
        if row["guarded_by"] == "none":
            part = part.with_columns(refused=pl.lit(False))
        else:
            part = part.join(flags.filter(reader=row["guarded_by"]), on="prompt_id")
        accepted = part.filter(~pl.col("refused"))
        assert (row["n_prompts"], row["n_accepted"]) == (len(part), len(accepted))
        assert row["guard_rate"] == pytest.approx(part["refused"].mean())
        assert row["refusal_rate"] == pytest.approx((part["refused"] | part["own"]).mean())
        if len(accepted):
            assert row["mean_cost"] == pytest.approx(accepted["score"].mean())
            change = accepted["score"].mean() - part["score"].mean()  # type: ignore[operator]
            assert row["change"] == pytest.approx(change, abs=1e-9)
    guarded = costs.filter((pl.col("guarded_by") == "before") & (pl.col("dataset") == "*"))
    assert (guarded["guard_rate"] > 0).all()


def test_intervals_of_costs_are_the_bootstrap_written_out() -> None:
    generator = np.random.default_rng(1)
    scores, refused = generator.normal(size=20), generator.random(20) < 0.4
    answers = [
        Answered(float(s), "I cannot." if s > 1 else "Yes.", bool(r)) for s, r in zip(scores, refused, strict=True)
    ]
    (row,) = cost_rows([*answers, Answered(None, "", True)], seed=3)
    draw = np.random.default_rng(3)
    means, changes = [], []
    for _ in range(2000):
        twice = np.repeat(np.arange(20), draw.multinomial(20, [1 / 20] * 20))
        accepted = twice[~refused[twice]]
        means.append(scores[accepted].mean())
        changes.append(scores[accepted].mean() - scores[twice].mean())
    for name, drawn in (("", means), ("change_", changes)):
        found = (row[f"{name}ci_low"], row[f"{name}ci_high"])
        assert found == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-12)
    for name, share in (("guard_rate", refused.mean()), ("refusal_rate", (refused | (scores > 1)).mean())):
        expected = wilson_interval(share, 20)
        assert (row[name], row[f"{name}_ci_low"], row[f"{name}_ci_high"]) == (share, expected.low, expected.high)
    assert row["n_prompts"] == 20
    none = next(cost_rows([replace(answer, refused=True) for answer in answers], seed=3))
    assert (none["mean_cost"], none["ci_low"], none["change"], none["guard_rate"]) == (None, None, None, 1)
    assert list(cost_rows([Answered(None, "", False)], 0)) == []


@pytest.mark.parametrize(("ends", "covers"), [((0.0, 0.2), True), ((-0.2, 0.0), True), ((0.01, 0.2), False)])
def test_a_difference_whose_interval_ends_at_0_may_be_none(ends: tuple[float, float], covers: bool) -> None:
    row = {"dataset": "x", "place": 1, "kind": "all", "label": "all neurons", "n_prompts": 9, "difference": 0.1}
    numbers = {"accuracy": 0.5, "accuracy_ci_low": 0.4, "accuracy_ci_high": 0.6}
    low, high = ends
    (said,) = compared_sentences(pl.DataFrame([row | numbers | {"difference_ci_low": low, "difference_ci_high": high}]))
    assert said.endswith(", which covers 0.") == covers


def test_notebooks_show_the_guard_alone(trained: Database) -> None:
    scores = trained.frame("FROM guard_scores WHERE stage = 'test'")
    said = GuardTestResult("r", 1, "mine", scores, scores, [], []), GuardResult("mine", 1, {}, scores, [], [])
    for found in (each._repr_html_() for each in said):
        assert "guard" in found and "matched" not in found and "last-layer" not in found


def test_overview_and_sizes(trained: Database) -> None:
    scores = trained.frame("FROM guard_scores WHERE stage = 'test'")
    found = overview(scores)
    assert found["dataset"].to_list()[-1] == "*"
    last = found.row(-1, named=True)
    stored = {
        (row["kind"], row["measure"]): row for row in scores.filter(is_main=True, dataset="*").iter_rows(named=True)
    }
    assert last["auroc"] == stored["guard", "auroc"]["value"]
    assert (last["ci_low"], last["matched"]) == (
        stored["guard", "accuracy"]["ci_low"],
        stored["matched", "accuracy"]["value"],
    )
    assert last["difference_ci_high"] == stored["matched", "accuracy"]["difference_ci_high"]
    sizes = by_size(scores)
    assert sizes["dataset"].unique().to_list() == ["*"]
    assert sizes["kind"].to_list() == ["guard", "anywhere", "last-layer", "magnitude", "matched"] * 2


def scored(
    kind: str, measure: str, value: float, low: float | None, difference: tuple[float, float, float] | None
) -> Any:
    ends = difference or (None, None, None)
    return {
        "neurons": "a",
        "kind": kind,
        "dataset": "x",
        "measure": measure,
        "value": value,
        "ci_low": low,
        "ci_high": None if low is None else 1.0,
        "difference": ends[0],
        "difference_ci_low": ends[1],
        "difference_ci_high": ends[2],
        "n_prompts": 50,
        "n_classifiers": 1 if kind == "guard" else 5,
    }


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ((0.1, 0.02, 0.2), "The chosen neurons do better than random ones of the same layers: accuracy 0.800"),
        ((0.1, -0.02, 0.2), "Random neurons of the same layers do as well, as far as these prompts can tell"),
        ((-0.1, -0.2, -0.01), "Random neurons of the same layers do better than the chosen ones"),
        ((0.1, 0.0, 0.2), "Random neurons of the same layers do as well"),
        ((-0.1, -0.2, 0.0), "Random neurons of the same layers do as well"),
    ],
)
def test_sentences_say_what_the_paired_interval_says(difference: tuple[float, float, float], words: str) -> None:
    rows = [
        scored("guard", "accuracy", 0.8, 0.7, None),
        scored("guard", "majority", 0.75, 0.6, None),
        scored("matched", "accuracy", 0.8 - difference[0], 0.6, difference),
    ]
    said = sentences(pl.DataFrame(rows, infer_schema_length=None), "a")
    assert "that is not shown to be better than always saying what most are: 0.750" in said[0]
    assert said[1].startswith(words)
    assert f"difference {difference[0]:+.3f}, 95% interval {difference[1]:.3f} to {difference[2]:.3f}" in said[1]
    better = [scored("guard", "accuracy", 0.8, 0.77, None), rows[1]]
    assert "always saying what most are is right on 0.750" in sentences(pl.DataFrame(better), "a")[0]
    alone = [scored("guard", "accuracy", 1.0, None, None), rows[1], scored("matched", "accuracy", 1.0, None, None)]
    said = sentences(pl.DataFrame(alone, infer_schema_length=None), "a")
    assert "too few for an interval" in said[0]
    assert "too few prompts for an interval" in said[1]


@pytest.mark.slow("as a training that was cut off, in test_learn.py")
def test_a_test_that_was_cut_off_goes_on_to_the_same_bits(made_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snql.jobs.work.COMMIT_SECONDS", 0.0)
    calls: list[int] = []
    decode = reading.decode  # type: ignore[attr-defined]

    def cut(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return decode(*arguments)

    asked = changed(ASKED, run="cut")
    with monkeypatch.context() as cutting, pytest.raises(KeyboardInterrupt):
        cutting.setattr(reading, "decode", cut)
        testing.test(made_db, "mine", asked)
    ((status, done, total),) = made_db.rows("SELECT status, done, total FROM run_progress WHERE run = 'cut'")
    assert (status, done, total) == ("interrupted", 72, 144)
    again = testing.test(made_db, "mine", asked, resume=True)
    whole = testing.test(made_db, "mine", ASKED, resume=True)  # the fixture's
    for frame in ("scores", "costs"):
        assert (
            getattr(again, frame)
            .drop("run", "run_id", strict=False)
            .equals(getattr(whole, frame).drop("run", "run_id", strict=False))
        )
    with pytest.raises(InputError, match="a guard-test run 'cut' exists"):
        testing.test(made_db, "mine", asked)
    quick = changed(OPTIONS, random=0, sizes=(), plain=True, max_new_tokens=8, threshold=0.0)
    learn.train(made_db, "mine", quick, force=True)
    with pytest.raises(InputError, match="cannot be resumed: guard_run_id, threshold differ from when it began"):
        testing.test(made_db, "mine", asked, resume=True)


@pytest.mark.parametrize(
    ("guard", "changes", "message"),
    [
        ("lost", {}, "no guard 'lost' in .*: its guards are mine"),
        ("mine", {"model": "demo:base"}, "demo:base is not the model that the guard was trained on .demo:sft."),
        ("mine", {"judge": "lost"}, "no judge 'lost'"),
        ("mine", {"max_new_tokens": 5000}, "longer than the model's context"),
        (
            "mine",
            {"prompts": ("demo:harmful", "demo:harmful")},
            "two prompt sets are both named",
        ),
    ],
)
def test_bad_input_writes_nothing(made_db: Database, guard: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        testing.test(made_db, guard, changed(ASKED, run="bad", **changes))
    assert made_db.rows("SELECT count(*) FROM runs WHERE name = 'bad'") == [(0,)]


def test_options_that_cannot_be() -> None:
    with pytest.raises(InputError, match="`after` does nothing without `costs`"):
        changed(ASKED, costs=False)
    with pytest.raises(InputError, match="`max_new_tokens` 0: at least 1"):
        changed(ASKED, max_new_tokens=0)
