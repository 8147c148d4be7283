"""Graded effects: margins against plain forward passes, limits, directions, and what they need."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from snql.db.connection import Database
from snql.db.records import Variant
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.neurons.sets import Shape
from snql.options import changed
from snql.patching.graded import Parting, graded_rows
from snql.patching.options import PatchOptions
from snql.patching.patch import patch
from snql.progress import Progress
from snql.prompts.types import Prompt
from snql.rankings.evaluate import Evaluator
from snql.stats.effects import effect_interval, mean_interval

from ..capability.conftest import SOURCE, Logits, Models, logits_by_hand, made, patched_db, tiny_pair  # noqa: F401
from .by_hand import donated

pytestmark = pytest.mark.usefixtures("lingering")

SHAPE = Shape(3, 40)


def margins(db: Database, run: str) -> dict[str, dict[int, float]]:
    """By variant and prompt."""
    found: dict[str, dict[int, float]] = {}
    query = (
        "SELECT v.name, m.prompt_id, m.margin FROM margins AS m JOIN variants AS v USING (run_id, variant_id) JOIN runs"
        " USING (run_id) WHERE runs.name = ? AND runs.kind = 'patch' ORDER BY ALL"
    )
    for variant, prompt, margin in db.rows(query, [run]):
        found.setdefault(variant, {})[prompt] = margin
    return found


def written(db: Database, run: str, variant: str) -> dict[int, tuple[list[int], list[int]]]:
    """Prompt and completion, token by token."""
    query = (
        "SELECT c.prompt_id, p.input_ids, c.token_ids FROM run_completions AS c JOIN run_prompts AS p"
        " USING (run_id, prompt_id) WHERE c.run = ? AND c.kind = 'patch' AND c.variant = ?"
    )
    return {prompt: (given, ids) for prompt, given, ids in db.rows(query, [run, variant])}


def test_margins_are_those_of_plain_forward_passes(
    made: Database,  # noqa: F811
    logits_by_hand: Logits,  # noqa: F811
    tiny_pair: Models,  # noqa: F811
) -> None:
    found = margins(made, "moved")
    ours, theirs = written(made, "moved", "recipient"), written(made, "moved", "donor")
    parted = {prompt for prompt in ours if ours[prompt] != theirs[prompt]}
    assert len(parted) >= 4 and all(set(by_prompt) == parted for by_prompt in found.values())
    neurons = Evaluator(made, SHAPE).evaluate("found:20%")
    for prompt in parted:
        (given, recipient), (_, donor) = ours[prompt], theirs[prompt]
        step = next(place for place, pair in enumerate(zip(recipient, donor, strict=False)) if pair[0] != pair[1])
        ids = given + recipient[:step]
        with tiny_pair["donor"].switched_on() as network:
            own = network(torch.tensor([ids])).logits[0, -1]
        read = {
            "donor": own,
            "recipient": logits_by_hand(ids)[-1],
            "found:20%": logits_by_hand(ids, neurons, donated)[-1],
        }
        for variant, logits in read.items():
            odds = logits.double().log_softmax(-1)
            expected = float(odds[donor[step]] - odds[recipient[step]])
            assert found[variant][prompt] == pytest.approx(expected, abs=1e-4)
        assert found["recipient"][prompt] < 0 < found["donor"][prompt], "greedily written"
        assert found["all"][prompt] == pytest.approx(found["donor"][prompt], abs=1e-4)
        assert found["found:0"][prompt] == pytest.approx(found["recipient"][prompt], abs=1e-4)


def test_effects_follow_from_margins(run: Any) -> None:
    db = run("graded", neurons=("found:20%", "found:5%"), random=2, random_magnitude=1)
    found = margins(db, "graded")
    prompts = sorted(found["recipient"])
    by = {name: [values[prompt] for prompt in prompts] for name, values in found.items()}
    rows = {row["variant"]: row for row in db.frame("FROM graded_effects WHERE run = 'graded'").iter_rows(named=True)}
    assert len(rows) == 8 and len(prompts) >= 6

    recipient, gaps = np.array(by["recipient"]), np.array(by["donor"]) - np.array(by["recipient"])
    for name, row in rows.items():
        expected = effect_interval(np.array(by[name]) - recipient, gaps)
        assert expected is not None
        assert (row["graded"], row["graded_ci_low"], row["graded_ci_high"]) == pytest.approx(
            (expected.value, expected.low, expected.high)
        )
        assert (row["n_prompts"], row["n_same"]) == (len(prompts), 12 - len(prompts))
        assert row["crossed"] == sum(margin > 0 for margin in by[name]) / len(prompts)
        assert (row["mean_donor"], row["mean_patched"]) == pytest.approx((np.mean(by["donor"]), np.mean(by[name])))
    theirs = np.mean([by[f"random(found:20%, seed={seed})"] for seed in (1, 2)], axis=0)
    over = effect_interval(np.array(by["found:20%"]) - theirs, gaps)
    assert over is not None
    row = rows["found:20%"]
    assert (row["controls_kind"], row["n_controls"]) == ("matched", 2)
    assert (row["controls_difference"], row["controls_difference_ci_low"]) == pytest.approx((over.value, over.low))
    assert 0 < row["controls_p_value"] <= 1
    assert rows["random(found:20%, seed=1)"]["controls_difference"] is None
    stored = db.frame("SELECT variant, effect, graded FROM causal_effects WHERE run = 'graded'")
    for variant, effect, graded in stored.iter_rows():
        assert (effect, graded) == (rows[variant]["effect"], rows[variant]["graded"])
    gap, low = db.rows(
        "SELECT DISTINCT gap, gap_ci_low FROM margin_effects JOIN runs USING (run_id) WHERE name = 'graded'"
    )[0]
    interval = mean_interval(gaps)
    assert interval is not None
    assert (gap, low) == pytest.approx((interval.value, interval.low))


@pytest.fixture
def run(made: Database, tiny_llama: Path, tiny_adapter: Path) -> Any:  # noqa: F811
    """Patch the tiny pair on all twelve prompts, with some settings; the database."""

    def call(name: str, **settings: Any) -> Database:
        options = PatchOptions(
            recipient=str(tiny_llama),
            donor=settings.pop("donor", f"{tiny_llama}+{tiny_adapter}"),
            neurons=settings.pop("neurons", ("found:20%", "all", "found:0")),
            prompts=changed(SOURCE, limit=None),
            judging=JudgingOptions(("refusal",)),
            writing=WritingOptions(max_new_tokens=8),
            mode=settings.pop("mode", "donor"),
            allow_overlap=True,
        )
        progress = settings.pop("progress", lambda _: None)
        resume = settings.pop("resume", False)
        patch(made, name, changed(options, **settings), resume=resume, progress=progress)
        return made

    return call


def test_the_other_direction(run: Any) -> None:
    """The donor reads with neurons of the recipient: all of them make it the recipient."""
    db = run("frozen", freeze=True)
    found = margins(db, "frozen")
    assert found["all"] == pytest.approx(found["recipient"], abs=1e-4)
    assert found["found:0"] == pytest.approx(found["donor"], abs=1e-4)


@pytest.mark.parametrize(
    "settings",
    [{"graded": False}, {"temperature": 1.0}, {"donor": None, "mode": "zero"}],
    ids=["left out", "sampled", "no donor"],
)
def test_runs_without(run: Any, settings: dict[str, Any]) -> None:
    db = run("without", **settings)
    assert db.rows("SELECT * FROM graded_effects WHERE run = 'without'") == []
    assert db.rows("SELECT DISTINCT graded FROM causal_effects WHERE run = 'without'") == [(None,)]


def test_positions_that_are_not_patched_change_nothing(run: Any) -> None:
    """Only the completion's own tokens: where texts part at the first step, none of them has been read."""
    db = run("late", steps="completion")
    found, first = margins(db, "late"), db.rows("SELECT DISTINCT prompt_id FROM margins WHERE step = 1")
    assert first
    for (prompt,) in first:
        assert found["all"][prompt] == pytest.approx(found["recipient"][prompt], abs=1e-5)


def test_an_interrupted_run_comes_to_the_same(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snql.patching.reader.choosing_tokens", lambda _: 200)
    monkeypatch.setattr("snql.jobs.work.COMMIT_SECONDS", 0.0)
    run("whole")
    stages = []

    def stop(report: Progress) -> None:
        stages.append(report.stage)
        if report.stage == "margins" and report.done > 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("cut", progress=stop)
    db = run("cut", resume=True)
    n_batches = len(margins(db, "cut")["recipient"])
    assert margins(db, "cut") == margins(db, "whole") and n_batches > 2
    query = "SELECT * EXCLUDE (run, run_id) FROM graded_effects WHERE run = ? ORDER BY variant"
    assert db.rows(query, ["cut"]) == db.rows(query, ["whole"])


def test_a_prompt_is_crossed_where_the_donors_token_is_likelier_and_not_where_both_are_alike() -> None:
    """Of a set that has controls of several kinds, the matched ones stand beside it."""
    margins = {"0": [-2.0] * 8, "1": [2.0] * 8, "2": [0.0, 1e-9, -1.0, 3.0] * 2, "3": [-1.0] * 8, "4": [-2.0, -1.5] * 4}
    scores = pl.DataFrame({"dataset": ["d"] * 8, "prompt_id": range(8)} | margins)
    patched = [
        Variant(number, str(number), "patched", control_of=of, control_kind=kind)
        for number, of, kind in ((2, None, None), (3, 2, "magnitude"), (4, 2, "matched"))
    ]
    variants = [Variant(0, "recipient", "recipient"), Variant(1, "donor", "donor"), *patched]
    found = {row.variant_id: row for row in graded_rows(scores, variants, {"d": 7, "*": 7}, 0)}
    assert {number: row.n_crossed for number, row in found.items()} == {2: 4, 3: 0, 4: 0}
    assert found[2].control_kind == "matched" and found[3].control_kind is None and found[2].n_same == 7
    assert found[2].controls is not None and found[2].controls.mean_controls == -1.75
    assert graded_rows(scores.clear(), variants, {"d": 7, "*": 7}, 0) == []


@pytest.mark.parametrize(
    ("recipient", "donor", "expected"),
    [
        ((5, 6, 7), (5, 6, 7), None),
        ((5, 6, 7), (5, 8, 7), ((5,), 6, 8)),
        ((5,), (9,), ((), 5, 9)),
        ((5, 6), (5, 6, 7), None),
        ((), (5,), None),
    ],
)
def test_where_texts_part(recipient: tuple[int, ...], donor: tuple[int, ...], expected: Any) -> None:
    prompt = Prompt("d", "text", None, None, input_ids=(1, 2))
    found = Parting.of(prompt, recipient, donor)
    assert (None if found is None else (found.common, found.recipient_token, found.donor_token)) == expected
    if found is not None:
        assert (found.text.ids, found.text.kept, found.text.n_prompt) == ((1, 2, *found.common), 1, 2)
