"""The demo's sentences say what the numbers say, also when they say nothing."""

import polars as pl
import pytest

from snql.demonstration import headlines
from snql.patching.findings import with_controls


def effect(variant: str, value: float | None, low: float = 0.0, high: float = 0.0, **more: object) -> dict[str, object]:
    row: dict[str, object] = {
        "run": "sweep",
        "variant": variant,
        "judge": "cost",
        "dataset": "harmful",
        "n_neurons": 10,
        "fraction": 0.05,
        "n_prompts": 100,
        "effect": value,
        "ci_low": low,
        "ci_high": high,
        "graded": None,
        "control_of": None,
        "change": -2.0,
        "change_ci_low": -3.0,
        "change_ci_high": -1.0,
    }
    return row | more


def frame(*rows: dict[str, object]) -> pl.DataFrame:
    types = {
        "control_of": pl.String,
        "graded": pl.Float64,
        "effect": pl.Float64,
        "ci_low": pl.Float64,
        "ci_high": pl.Float64,
    }
    return pl.DataFrame(rows, schema_overrides=types)


CONTROLS = [effect(f"r{i}", value, control_of="a:5%") for i, value in enumerate([0.01, -0.02, 0.03])]


def test_an_effect_beside_its_controls() -> None:
    lines = headlines.sweep_headlines(
        frame(effect("a:5%", 0.5, 0.4, 0.6), effect("a:20%", 0.95, 0.9, 1.0, n_neurons=40), *CONTROLS),
        "sweep",
        "a:5%",
        "cost",
    )
    assert lines == [
        "a:5% (10 neurons, 5% of all): carries 50% [40%, 60%] of the difference (n = 100); 3 random sets at most 3%.",
        "The smallest set of the sweep that carries at least 90%: a:20%.",
    ]


def test_what_a_set_closes_in_log_odds_stands_beside_its_effect() -> None:
    graded = {"graded": 0.4, "graded_ci_low": 0.38, "graded_ci_high": 0.42}
    lines = headlines.sweep_headlines(
        frame(effect("a:5%", 0.5, 0.4, 0.6, **graded), *CONTROLS), "sweep", "a:5%", "cost"
    )
    assert lines[1] == (
        "In log-odds, where the texts of recipient and donor part, it goes 40% [38%, 42%] of the way: a judge sees an "
        "answer change only where the odds cross even."
    )


def test_nothing_is_claimed_without_reason() -> None:
    weak = headlines.sweep_headlines(frame(effect("a:5%", 0.02, -0.1, 0.1), *CONTROLS), "sweep", "a:5%", "cost")
    assert weak[0].endswith("3 random sets at most 3%, which is no less; not different from nothing.")
    assert weak[1] == "No set of the sweep carries 90%; the most is 2% by a:5%."
    undefined = frame(effect("a:5%", None) | {"ci_low": None, "ci_high": None})
    (only,) = headlines.sweep_headlines(undefined, "sweep", "a:5%", "cost")
    assert only.endswith("no effect can be stated, since donor and recipient do not differ reliably.")


@pytest.mark.parametrize(("high", "ending"), [(-1.0, "[-3.00, -1.00]."), (1.0, "+1.00]; not different from nothing.")])
def test_tax(high: float, ending: str) -> None:
    row = effect("shared", 0.1, judge="demo:cost", dataset="demo:harmful", change_ci_high=high)
    other = effect("shared", 0.1, judge="demo:reward", dataset="demo:harmful")
    (line,) = headlines.tax_headlines(frame(row, other))
    assert line.startswith("sweep: demo:cost on demo:harmful changes by -2.00 [")
    assert line.endswith(ending)


def test_controls_are_matched_to_their_set() -> None:
    rows = with_controls(frame(effect("a:5%", 0.5), effect("a:9%", 0.6), *CONTROLS))
    assert rows.select("variant", "controls", "control_max").rows() == [("a:5%", 3, 0.03), ("a:9%", None, None)]
    assert rows["control_mean"][0] == pytest.approx(0.02 / 3)
