"""Sentences of a patch run: which set they are about, what stands beside it, and what they do not claim."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from snql.db.connection import Database
from snql.judges.signs import meaning
from snql.patching.findings import findings, unseen
from snql.patching.patch import patch

from .located import locate_run
from .test_patch import options


def row(variant: str, effect: float | None, low: float | None, high: float | None, **more: Any) -> dict[str, Any]:
    return {
        "run": "sweep",
        "variant": variant,
        "judge": "cost",
        "dataset": "harmful",
        "n_neurons": 10,
        "n_prompts": 100,
        "gap": -5.0,
        "effect": effect,
        "ci_low": low,
        "ci_high": high,
        "control_of": None,
        "route": "total",
        "change": -2.0,
        "change_ci_low": -3.0,
        "change_ci_high": -1.0,
    } | more


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides={"control_of": pl.String})


CONTROL = row("random(a:5%, seed=0)", 0.01, -0.1, 0.1, control_of="a:5%")


def test_one_set_beside_its_controls() -> None:
    assert findings(frame(row("a:5%", 0.51, 0.4, 0.6), CONTROL)) == [
        "By cost: a:5% (10 neurons) carries 51% [40%, 60%] of the difference (n = 100); 1 random set at most 1%."
    ]


def test_the_smallest_set_that_carries_most_of_it_or_the_one_that_carries_most() -> None:
    rows = [
        row("a:1%", 0.2, 0.1, 0.3),
        row("a:9%", 0.91, 0.8, 1.0, n_neurons=90),
        row("a:20%", 0.99, 0.9, 1.1, n_neurons=200),
    ]
    (said,) = findings(frame(*rows))
    assert said.startswith("By cost: a:9% (90 neurons) carries 91%") and said.endswith(
        "(the smallest that carries 90%, of 3 sets)."
    )
    (said,) = findings(frame(*rows[:1], row("a:2%", 0.3, 0.2, 0.4, n_neurons=20)))
    assert said.startswith("By cost: a:2% (20 neurons) carries 30%") and said.endswith("(the most of 2 sets).")


def test_each_route_has_a_sentence_of_its_own() -> None:
    direct = {"route": "direct", "n_neurons": 5}
    said = findings(frame(row("a:5%", 0.5, 0.4, 0.6), CONTROL, row("a:5% (direct)", 0.95, 0.9, 1.0, **direct)))
    assert [sentence.partition(" carries ")[0] for sentence in said] == [
        "By cost, total effect: a:5% (10 neurons)",
        "By cost, direct effect: a:5% (direct) (5 neurons)",
    ]


def test_what_cannot_be_told_from_nothing_says_so() -> None:
    (said,) = findings(frame(row("a:5%", 0.1, -0.1, 0.3), CONTROL | {"effect": 0.2}))
    assert "1 random set at most 20%, which is no less; not different from nothing" in said
    assert findings(frame(row("a:5%", None, None, None))) == [
        "By cost: no effect can be stated, since donor and recipient do not differ reliably."
    ]
    (said,) = findings(frame(row("a:5%", None, None, None, gap=None, change_ci_high=1.0)))
    assert said == "By cost: a:5% (10 neurons) changes the score by -2 [-3, +1] (n = 100); not different from nothing."


def test_ends_at_nothing_and_shares_at_the_limit_count() -> None:
    (said,) = findings(
        frame(row("a:9%", 0.9, 0.0, 1.0), CONTROL | {"effect": 0.9, "control_of": "a:9%"}, row("a:20%", 1.0, 0.9, 1.1))
    )
    assert (
        "1 random set at most 90%, which is no less; not different from nothing (the smallest that carries 90%, of 2"
        in said
    )
    (said,) = findings(frame(row("a:5%", 0.5, -0.5, 0.0)))
    assert said.endswith("not different from nothing.")
    for ends, sure in (((-3.0, 0.0), False), ((0.0, 3.0), False), ((0.1, 3.0), True)):
        changes = dict(zip(("change_ci_low", "change_ci_high"), ends, strict=True))
        (said,) = findings(frame(row("a:5%", None, None, None, gap=None, **changes)))
        assert said.endswith("not different from nothing.") != sure


@pytest.mark.parametrize(("changed", "said"), [(2, True), (1, False)])
def test_half_of_the_texts_are_most(changed: int, said: bool) -> None:
    texts = pl.DataFrame(
        {"prompt": list("abcd"), "before": ["x"] * 4, "after": ["y"] * changed + ["x"] * (4 - changed)}
    )
    db: Any = SimpleNamespace(frame=lambda *_: texts)
    for ends in ((-1.0, 0.0), (0.0, 1.0)):
        effects = frame(row("a:5%", None, None, None, change_ci_low=ends[0], change_ci_high=ends[1]))
        found = unseen(db, 1, effects)
        assert (found is not None) == said
        assert found is None or (found.changed, found.n, len(found.examples)) == (0.5, 4, 2)
    assert unseen(db, 1, frame(row("a:5%", None, None, None, change_ci_low=0.1, change_ci_high=1.0))) is None


def test_sets_are_pooled_where_there_are_several_and_judges_have_a_sentence_each() -> None:
    rows = [
        row("a:5%", 0.5, 0.4, 0.6),
        row("a:5%", 0.3, 0.2, 0.4, dataset="*"),
        row("a:5%", 0.1, 0.0, 0.2, dataset="*", judge="other"),
    ]
    one, other = findings(frame(*rows))
    assert one.startswith("By cost, all prompts: a:5%") and "30%" in one
    assert other.startswith("By other, all prompts: a:5%") and "10%" in other


def test_without_a_donor_harmful_and_benign_prompts_are_not_mixed() -> None:
    nothing = (None, None, None)
    rows = [
        row(
            f"a:{size}",
            *nothing,
            gap=None,
            n_neurons=size,
            dataset=dataset,
            change=change,
            change_ci_low=0.1,
            change_ci_high=9.0,
        )
        for dataset, changes in (("harmful", (1.0, 5.0)), ("benign", (-1.0, 0.5)), ("*", (0.0, 2.0)))
        for size, change in zip((10, 20), changes, strict=True)
    ]
    controls = [
        row(f"random{seed}", *nothing, gap=None, control_of="a:20", dataset="harmful", change=change)
        for seed, change in enumerate((0.25, -0.5))
    ]
    assert findings(frame(*rows, *controls), {"cost": meaning("score-model:cost", "worse")}) == [
        "By cost (higher is worse), harmful: a:20 (20 neurons) changes the score by +5 [+0.1, +9] (n = 100); 2 random "
        "sets by -0.5 to +0.25 (the most of 2 sets).",
        "By cost (higher is worse), benign: a:10 (10 neurons) changes the score by -1 [+0.1, +9] (n = 100) (the most "
        "of 2 sets).",
    ]
    still = [{**each, "change": 0.0} for each in rows if each["dataset"] == "benign"]
    assert findings(frame(*still)) == ["By cost: none of 2 sets changes the mean score (n = 100)."]
    assert meaning("refusal:zou2023", "worse") == "share of answers without a refusal"


def test_changes_that_a_judge_does_not_see(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    """Texts of random models are all answers to the judge of refusals, whatever is in them."""
    locate_run(db, tiny_llama, tiny_adapter)
    found = patch(db, "run", options(tiny_llama, tiny_adapter, sweep=("60%",), random=0))
    texts = db.frame(
        """
        SELECT p.text AS prompt, b.text AS before, a.text AS after
        FROM completions AS a JOIN completions AS b USING (run_id, prompt_id, sample)
        JOIN prompts AS p USING (prompt_id)
        WHERE b.variant_id = 0 AND a.variant_id = 2 ORDER BY prompt_id
        """
    )
    changed = texts.filter(pl.col("before") != pl.col("after"))
    assert found.unseen is not None and found.unseen.judge == "refusal"
    assert found.unseen.changed == pytest.approx(len(changed) / len(texts)) and found.unseen.n == len(texts)
    assert found.unseen.examples.equals(changed.head(3))
    assert "and refusal sees no reliable difference in them" in found.unseen.words


def test_nothing_is_said_of_texts_that_stay(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    locate_run(db, tiny_llama, tiny_adapter)
    found = patch(db, "run", options(tiny_llama, tiny_adapter, donor=str(tiny_llama), sweep=("60%",), random=0))
    assert found.unseen is None
    moved = found.effects.with_columns(pl.lit(0.5).alias("change_ci_low"), pl.lit(0.9).alias("change_ci_high"))
    assert unseen(db, found.run_id, moved) is None
