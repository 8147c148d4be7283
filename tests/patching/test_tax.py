"""The alignment-tax experiment on the bundled models: both directions, against sums by hand."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.demonstration import headlines
from snql.errors import InputError
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.options import changed
from snql.patching import tax_changes
from snql.patching.options import TaxOptions
from snql.patching.tax import TaxResult, tax
from snql.prompts.options import PromptOptions
from snql.stats.effects import mean_interval
from snql.stats.interval import Interval
from snql.stats.magnitudes import Changes, size_ratio

from ..cli.conftest import Snql, snql  # noqa: F401  (a fixture)

pytestmark = pytest.mark.usefixtures("lingering")

RUNS = ("t-helpful-into-safety", "t-safety-into-helpful")
OPTIONS = TaxOptions(
    safety="safety",
    helpful="helpful",
    safety_model="demo:safety",
    helpful_model="demo:helpful",
    prompts=PromptOptions(("demo:harmful", "demo:benign"), limit=10),
    judging=JudgingOptions(("demo:cost", "demo:reward")),
    random=2,
    top="20%",
    writing=WritingOptions(max_new_tokens=20),
)


@pytest.fixture(scope="module")
def located(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with Database(tmp_path_factory.mktemp("tax") / "x.duckdb") as db:
        for name in ("safety", "helpful"):
            source = PromptOptions(("demo:locate",), limit=8)
            settings = LocateOptions(
                before="demo:sft",
                after=f"demo:{name}",
                prompts=source,
                writing=WritingOptions(max_new_tokens=12),
                keep="none",
            )
            locate(db, name, settings)
        yield db


@pytest.fixture(scope="module")
def found(located: Database) -> TaxResult:
    return tax(located, "t", OPTIONS)


def scores(db: Database, run: str, judge: str, dataset: str | None = None) -> dict[str, np.ndarray[Any, Any]]:
    """Scores by variant in the order of the prompts, straight from the judgements."""
    rows = db.frame(
        "SELECT v.name, j.prompt_id, p.dataset, j.score"
        " FROM judgements AS j JOIN variants AS v USING (run_id, variant_id) JOIN prompts AS p USING (prompt_id)"
        " JOIN runs USING (run_id) WHERE runs.name = ? AND j.judge = ?",
        [run, judge],
    )
    rows = rows if dataset is None else rows.filter(pl.col("dataset") == dataset)
    return {str(name): part.sort("prompt_id")["score"].to_numpy() for (name,), part in rows.group_by("name")}


def test_each_model_is_patched_with_the_other(located: Database, found: TaxResult) -> None:
    assert found.runs == RUNS
    rows = located.rows(
        "SELECT name, config ->> '$.recipient', config ->> '$.donor' FROM runs WHERE kind = 'patch' ORDER BY name"
    )
    assert rows == [(RUNS[0], "demo:safety", "demo:helpful"), (RUNS[1], "demo:helpful", "demo:safety")]
    assert found.changes.select("run", "recipient_is", "donor_is").unique().sort("run").rows() == [
        (RUNS[0], "safety", "helpful"),
        (RUNS[1], "helpful", "safety"),
    ]


def test_patched_are_the_neurons_of_both_tops_and_controls_are_others(located: Database, found: TaxResult) -> None:
    ranked = located.frame("SELECT run, layer, neuron FROM neuron_scores WHERE rank <= 410")
    tops = [set(ranked.filter(pl.col("run") == run).select("layer", "neuron").rows()) for run in ("safety", "helpful")]
    members = located.frame(
        "SELECT v.name, m.layer, m.neuron FROM variants AS v JOIN neuron_set_members AS m USING (set_id) JOIN runs"
        " USING (run_id) WHERE runs.name = ?",
        [RUNS[0]],
    )
    sets = {name: set(part.select("layer", "neuron").rows()) for (name,), part in members.group_by("name")}
    shared = sets.pop(OPTIONS.expression)
    assert shared == tops[0] & tops[1]
    assert found.overlap.select("shared", "k").row(0) == (len(shared), 410)
    assert len(sets) == 2
    for control in sets.values():
        assert not control & shared
        assert sorted(layer for layer, _ in control) == sorted(layer for layer, _ in shared)


def test_changes_are_those_of_the_judgements(located: Database, found: TaxResult) -> None:
    assert found.changes.height == 2 * 2 * 3
    for row in found.changes.iter_rows(named=True):
        by = scores(located, row["run"], row["judge"], None if row["dataset"] == "*" else row["dataset"])
        changes = by[OPTIONS.expression] - by["recipient"]
        interval = mean_interval(changes, by["donor"] - by["recipient"])  # by hand in tests/stats
        assert interval is not None
        controls = np.mean([values for name, values in by.items() if name.startswith("random(")], axis=0)
        assert row["n_prompts"] == len(changes) == (20 if row["dataset"] == "*" else 10)
        assert row["sign"] == row["judge"].removeprefix("demo:")
        assert row["change"] == pytest.approx(changes.mean(), abs=1e-12)
        assert (row["change_ci_low"], row["change_ci_high"]) == pytest.approx((interval.low, interval.high))
        assert row["controls_difference"] == pytest.approx((by[OPTIONS.expression] - controls).mean(), abs=1e-12)


@pytest.mark.parametrize(("cost_on", "reward_on"), [(None, None), ("demo:harmful", "demo:benign")])
def test_ratios_are_those_of_the_changes(
    located: Database, monkeypatch: pytest.MonkeyPatch, cost_on: str | None, reward_on: str | None
) -> None:
    compared: list[tuple[Changes, Changes]] = []

    def noted(over: Changes, under: Changes, *, paired: bool) -> Interval | None:
        compared.append((over, under))
        return size_ratio(over, under, paired=paired)

    monkeypatch.setattr(tax_changes, "size_ratio", noted)
    result = tax(located, "t", replace(OPTIONS, cost_on=cost_on, reward_on=reward_on), resume=True)
    stated = 0
    for row, given in zip(result.ratios.iter_rows(named=True), compared, strict=True):
        sides = []
        for sign, dataset in (("cost", cost_on), ("reward", reward_on)):
            by = scores(located, row["run"], f"demo:{sign}", dataset)
            sides.append((by[OPTIONS.expression] - by["recipient"]).mean())
            assert row[f"{sign}_change"] == pytest.approx(sides[-1], abs=1e-12)
            assert given[sign == "reward"].values.mean() == pytest.approx(sides[-1], abs=1e-12)
            assert row[f"{sign}_on"] == (dataset or "*")
        covers = [row[f"{sign}_ci_low"] <= 0 <= row[f"{sign}_ci_high"] for sign in ("cost", "reward")]
        assert row["paired"] == (cost_on is None)
        assert (row["ratio"] is None) == any(covers)
        if row["ratio"] is not None:
            stated += 1
            assert row["ratio"] == pytest.approx(abs(sides[0]) / abs(sides[1]))
            assert row["ci_low"] <= row["ratio"] <= row["ci_high"]
    assert result.ratios.height == 2
    assert stated or cost_on is not None, "some direction must have a ratio, or this tests nothing"


def test_going_on_with_a_finished_experiment_changes_nothing(located: Database, found: TaxResult) -> None:
    again = tax(located, "t", OPTIONS, resume=True)
    assert again.effects.equals(found.effects) and again.ratios.equals(found.ratios)


def test_the_command_prints_and_draws_both_runs(located: Database, found: TaxResult, snql: Snql) -> None:  # noqa: F811
    experiment = [
        *("--db", str(located.path), "tax", "t", "--safety", "safety", "--helpful", "helpful"),
        *("--safety-model", "demo:safety", "--helpful-model", "demo:helpful", "--top", "20%", "--random", "2"),
        *("--prompts", "demo:harmful", "--prompts", "demo:benign", "--limit", "10", "--max-new-tokens", "20"),
    ]
    judges = ["--judge", "demo:cost", "--judge", "demo:reward"]
    done = snql(*experiment, "--judge", "demo:cost", "--judge", "python:m:f")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "may be a cost or a reward" in done.err
    assert snql(*experiment, *judges).code == 2, "both runs are there"
    done = snql(*experiment, *judges, "--resume", "--out", "made")
    assert done.code == 0
    assert "Alignment tax t: safety:20% & helpful:20%" in done.out
    assert "helpful into safety: demo:cost on all prompts" in " ".join(done.out.split())
    assert Path("made/tax.svg").is_file() and Path("made/table-controls.csv").is_file()
    made = Path("made/table-tax.md").read_text("utf-8")
    assert f"Both directions were run: {RUNS[0]} and {RUNS[1]}." in made
    parts = json.loads(snql("--json", "--quiet", *experiment, *judges, "--resume").out)
    assert set(parts) == {"changes", "ratios", "overlap"}
    assert [row["donor_is"] for row in parts["ratios"]] == ["helpful", "safety"]
    assert len(parts["changes"]) == found.changes.height


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"judges": ("demo:cost",)}, "no judge gives a reward"),
        (
            {"judges": ("demo:cost", "python:m:f")},
            "'python:m:f' may be a cost or a reward: say which with `judge_signs`",
        ),
        ({"neurons": "both"}, "`neurons` 'both' is not known: use shared, safety, helpful"),
        ({"top": "x"}, "`top` 'x' is not known"),
        (
            {"cost_on": "demo:locate", "reward_on": "demo:benign"},
            "`cost_on` 'demo:locate' is not one of the prompt sets",
        ),
        ({"cost_on": "demo:benign"}, "`cost_on` and `reward_on` go together"),
        ({"judge_signs": ("refusal=cost",)}, "'refusal' is not one of the judges"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        changed(OPTIONS, **settings)


def test_nothing_is_written_where_one_run_exists(located: Database, found: TaxResult) -> None:
    before = located.rows("SELECT count(*) FROM runs")
    with pytest.raises(InputError, match="a patch run 't-helpful-into-safety' exists"):
        tax(located, "t", OPTIONS)
    with located.write() as connection:
        connection.execute("UPDATE runs SET name = 'u-safety-into-helpful' WHERE name = ?", [RUNS[1]])
    try:
        with pytest.raises(InputError, match="a patch run 'u-safety-into-helpful' exists"):
            tax(located, "u", OPTIONS)
        assert located.rows("SELECT count(*) FROM runs") == before
    finally:
        with located.write() as connection:
            connection.execute("UPDATE runs SET name = ? WHERE name = 'u-safety-into-helpful'", [RUNS[1]])


def test_tops_that_share_nothing_are_refused(located: Database) -> None:
    with pytest.raises(InputError, match="the tops of safety and helpful share no neuron"):
        tax(located, "none", replace(OPTIONS, top="1"))


@pytest.mark.parametrize(
    ("reward", "ratio", "ending"),
    [
        ((1.0, 0.5, 1.5), 2.0, "each in its judge's units; one is paid for with the other."),
        ((-1.0, -1.5, -0.5), 2.0, "one is moved together with the other."),
        ((0.1, -0.5, 0.5), None, "No ratio of the two can be stated."),
    ],
)
def test_words_say_who_pays(reward: tuple[float, float, float], ratio: float | None, ending: str) -> None:
    row = {
        "recipient_is": "safety",
        "donor_is": "helpful",
        "cost": "c",
        "cost_on": "*",
        "n_cost": 9,
        "reward": "r",
        "reward_on": "benign",
        "n_reward": 9,
        "ratio": ratio,
        "ci_low": ratio,
        "ci_high": ratio,
        "cost_change": 2.0,
        "cost_ci_low": 1.0,
        "cost_ci_high": 3.0,
        **dict(zip(("reward_change", "reward_ci_low", "reward_ci_high"), reward, strict=True)),
    }
    (line,) = headlines.ratio_headlines(pl.DataFrame([row]))
    assert line.startswith(
        "helpful into safety: c on all prompts +2.00 [+1.00, +3.00] (n = 9), less safe; r on benign "
    )
    assert line.endswith(ending)
