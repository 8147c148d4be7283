"""Divergence from the donor against a formula written out over plain forward passes, limits, and what is shown."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from snql.capability import comparing
from snql.capability.divergence import DivergenceResult, divergence
from snql.capability.measures import divergence as diverge
from snql.capability.options import DivergenceOptions
from snql.db.connection import Database
from snql.errors import InputError
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.models.load import load_models
from snql.models.options import LoadOptions
from snql.neurons.sets import Shape
from snql.options import changed
from snql.patching.adapter import costs_of
from snql.patching.options import PatchOptions
from snql.patching.patch import patch
from snql.rankings.evaluate import Evaluator
from snql.reporting.showing import show_run

from ..conftest import save_tiny_llama
from ..patching.by_hand import donated, read_whole
from .conftest import SOURCE, Logits, Models

pytestmark = pytest.mark.usefixtures("lingering")

SHAPE = Shape(3, 40)


def kl(p_logits: torch.Tensor, q_logits: torch.Tensor) -> list[float]:
    """KL(p || q) at each position, in plain Python floats."""

    def softmax(row: list[float]) -> list[float]:
        highest = max(row)
        powers = [math.exp(x - highest) for x in row]
        total = math.fsum(powers)
        return [power / total for power in powers]

    found = []
    for p_row, q_row in zip(p_logits.tolist(), q_logits.tolist(), strict=True):
        pairs = zip(softmax(p_row), softmax(q_row), strict=True)
        found.append(math.fsum(p * (math.log(p) - math.log(q)) for p, q in pairs if p > 0))
    return found


def steps(db: Database, run: str, variant: str) -> dict[tuple[int, int], tuple[float, bool]]:
    query = "SELECT prompt_id, step, kl, agrees FROM divergence_steps WHERE run = ? AND variant = ?"
    return {(prompt, step): (found, agrees) for prompt, step, found, agrees in db.rows(query, [run, variant])}


def kls(db: Database, run: str, variant: str) -> dict[tuple[int, int], float]:
    return {key: found for key, (found, _) in steps(db, run, variant).items()}


def donor_texts(db: Database) -> dict[int, tuple[list[int], list[int]]]:
    """Prompt and completion of the patch run's donor, as stored."""
    return {
        prompt: (given, written)
        for prompt, given, written in db.rows(
            "SELECT c.prompt_id, p.input_ids, c.token_ids FROM completions AS c JOIN run_prompts AS p "
            "USING (run_id, prompt_id) JOIN runs USING (run_id) WHERE name = 'moved' AND kind = 'patch' "
            "AND variant_id = 1"
        )
    }


def test_a_patch_runs_sets_against_a_formula(made: Database, logits_by_hand: Logits, tiny_pair: Models) -> None:
    result = divergence(made, "moved")
    neurons = Evaluator(made, SHAPE).evaluate("found:20%")
    wanted: dict[str, dict[tuple[int, int], tuple[float, bool]]] = {"recipient": {}, "found:20%": {}}
    for prompt, (given, written) in donor_texts(made).items():
        ids = [*given, *written]
        positions = slice(len(given) - 1, len(ids) - 1)  # whose next token the donor wrote
        theirs = read_whole(tiny_pair["donor"], ids, lambda _la, own: own)[positions]
        for variant, ours in (
            ("recipient", logits_by_hand(ids)),
            ("found:20%", logits_by_hand(ids, neurons, donated)),
        ):
            same = (theirs.argmax(-1) == ours[positions].argmax(-1)).tolist()
            for step, value in enumerate(kl(theirs, ours[positions]), start=1):
                wanted[variant][prompt, step] = value, same[step - 1]
    totals = {}
    for variant, expected in wanted.items():
        found = steps(made, "moved-divergence", variant)
        assert found.keys() == expected.keys()
        assert [value for value, _ in found.values()] == pytest.approx(
            [expected[key][0] for key in found], rel=1e-3, abs=1e-5
        )
        assert [agrees for _, agrees in found.values()] == [expected[key][1] for key in found]
        totals[variant] = sum(value for value, _ in expected.values()), sum(same for _, same in expected.values())
    n_tokens = len(wanted["recipient"])
    rows = {(row["variant"], row["judge"]): row for row in result.effects.iter_rows(named=True)}
    row = rows["found:20%", "demo:cost"]
    assert (row["n_prompts"], row["n_tokens"]) == (5, n_tokens)
    assert row["kl_recipient"] == pytest.approx(totals["recipient"][0] / n_tokens, rel=1e-3)
    assert row["closed"] == pytest.approx(1 - totals["found:20%"][0] / totals["recipient"][0], abs=1e-3)
    assert row["agreement_recipient"] == pytest.approx(totals["recipient"][1] / n_tokens)
    assert row["agreement_patched"] == pytest.approx(totals["found:20%"][1] / n_tokens)


def test_limits(made: Database) -> None:
    effects = divergence(made, "moved").effects.filter(judge="refusal")
    rows = {row["variant"]: row for row in effects.iter_rows(named=True)}
    assert rows["all"]["closed"] == pytest.approx(1, abs=1e-6)
    assert rows["all"]["agreement_patched"] == 1
    assert rows["found:0"]["closed"] == pytest.approx(0, abs=1e-5)
    assert kls(made, "moved-divergence", "found:0") == pytest.approx(
        kls(made, "moved-divergence", "recipient"), rel=1e-3, abs=1e-6
    )
    assert all(value >= -1e-12 for value in kls(made, "moved-divergence", "found:20%").values())


def test_the_judged_effect_stands_beside_it(made: Database) -> None:
    effects = divergence(made, "moved").effects
    judged = dict(made.rows("SELECT (variant, judge), effect FROM causal_effects WHERE run = 'moved'"))
    assert len(effects) == 6
    for row in effects.iter_rows(named=True):
        assert row["effect"] == judged[row["variant"], row["judge"]]
        assert row["completions"] == "moved"
    with made.write() as connection:  # a run that replaced it, with other settings
        connection.execute("UPDATE runs SET config_sha256 = 'other' WHERE name = 'moved' AND kind = 'patch'")
    rows = made.rows("SELECT variant, judge, effect FROM screened_effects WHERE run = 'moved-divergence'")
    assert sorted(rows) == [("all", None, None), ("found:0", None, None), ("found:20%", None, None)]
    assert len(made.rows("SELECT * FROM causal_effects")) == 6  # nothing is written in its place


def test_own_sets_with_controls(made: Database) -> None:
    effects = divergence(
        made, "mine", DivergenceOptions(completions="moved", neurons=("found:20%", "found:5%"), random=2)
    ).effects
    rows = {row["variant"]: row for row in effects.iter_rows(named=True)}
    assert len(rows) == 6
    divergence(made, "moved")
    assert kls(made, "mine", "found:20%") == pytest.approx(
        kls(made, "moved-divergence", "found:20%"), rel=1e-3, abs=1e-6
    )
    controls = [rows[f"random(found:20%, seed={seed})"]["closed"] for seed in (1, 2)]
    assert rows["found:20%"]["controls_closed"] == pytest.approx(sum(controls) / 2)
    assert rows["found:20%"]["controls_difference"] == pytest.approx(rows["found:20%"]["closed"] - sum(controls) / 2)
    by_name = {row["variant"]: row["judge"] for row in effects.iter_rows(named=True)}
    assert by_name["found:5%"] is None  # no judge has seen it


def test_settings_of_the_patch_run_are_kept(made: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    """Positions, the direction, the mode: each shows at the limits."""
    donor = f"{tiny_llama}+{tiny_adapter}"

    def run(name: str, **settings: Any) -> DivergenceResult:
        options = changed(
            PatchOptions(
                recipient=str(tiny_llama),
                donor=donor,
                neurons=("all", "found:0"),
                prompts=SOURCE,
                judging=JudgingOptions(("refusal",)),
                writing=WritingOptions(max_new_tokens=6),
                allow_overlap=True,
            ),
            **settings,
        )
        patch(made, name, options)
        return divergence(made, name)

    frozen = {row["variant"]: row["closed"] for row in run("frozen", freeze=True).effects.iter_rows(named=True)}
    assert (frozen["all"], frozen["found:0"]) == pytest.approx((0, 1), abs=1e-5)
    run("prompts", steps="prompt")
    patched, recipient = kls(made, "prompts-divergence", "all"), kls(made, "prompts-divergence", "recipient")
    first = [key for key in patched if key[1] == 1]
    assert [patched[key] for key in first] == pytest.approx([0] * len(first), abs=1e-6)
    assert sum(patched.values()) > 1e-3
    assert patched != pytest.approx(recipient, abs=1e-3)
    same = run("scaled", mode="scale:1").effects
    assert same["closed"].to_list() == pytest.approx([0, 0], abs=1e-5)


def test_nothing_to_close_is_undefined(made: Database, tiny_llama: Path) -> None:
    options = PatchOptions(
        recipient=str(tiny_llama),
        donor=str(tiny_llama),
        neurons=("found:5%",),
        prompts=SOURCE,
        judging=JudgingOptions(("refusal",)),
        writing=WritingOptions(max_new_tokens=4),
        allow_overlap=True,
    )
    patch(made, "itself", options)
    (row,) = divergence(made, "itself").effects.iter_rows(named=True)
    assert row["closed"] is None
    assert row["kl_recipient"] == pytest.approx(0, abs=1e-12)
    assert row["agreement_recipient"] == 1


def test_a_locate_run_whose_writer_is_the_donor(made: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    tuned = f"{tiny_llama}+{tiny_adapter}"
    swapped = DivergenceOptions(completions="found", neurons=("all",), recipient=tuned, donor=str(tiny_llama))
    assert divergence(made, "back", swapped).effects["closed"].to_list() == pytest.approx([1], abs=1e-6)
    for options, message in (
        (
            DivergenceOptions(completions="found", neurons=("all",), recipient=str(tiny_llama), donor=tuned),
            "donor .* is not the before model of 'found'",
        ),
        (DivergenceOptions(completions="found", neurons=("all",), recipient=str(tiny_llama)), "which donor"),
        (DivergenceOptions(completions="found"), "'found' is a locate run: say which neurons"),
    ):
        with pytest.raises(InputError, match=message):
            divergence(made, "wrong", options)


def test_a_run_that_was_cut_off_goes_on(made: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    divergence(made, "large", DivergenceOptions(completions="moved"))
    monkeypatch.setattr("snql.patching.reader.choosing_tokens", lambda _: 100)
    monkeypatch.setattr("snql.jobs.work.COMMIT_SECONDS", 0.0)
    whole = divergence(made, "moved").effects.drop("run")
    for variant in ("recipient", "found:20%", "all"):  # read some variants at a time, a text or two
        assert kls(made, "moved-divergence", variant) == pytest.approx(kls(made, "large", variant), rel=1e-3, abs=1e-6)
    calls: list[int] = []

    def cutting(donor: torch.Tensor, other: torch.Tensor) -> tuple[Sequence[float], Sequence[bool]]:
        calls.append(1)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return diverge(donor, other)

    options = DivergenceOptions(completions="moved")
    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(comparing, "divergence", cutting)
        divergence(made, "cut", options)
    ((done, total),) = made.rows("SELECT done, total FROM run_progress WHERE run = 'cut'")
    assert 0 < done < total == 20
    assert divergence(made, "cut", options, resume=True).effects.drop("run").equals(whole)
    assert made.rows("SELECT done, total, stage FROM run_progress WHERE run = 'cut'") == [(20, 20, "done")]


def test_bad_input_writes_nothing(made: Database, tmp_path: Path) -> None:
    other = save_tiny_llama(tmp_path / "other", seed=9)
    with made.write() as connection:
        connection.execute("UPDATE runs SET status = 'interrupted' WHERE name = 'found'")
    for name, options, message in (
        ("lost", DivergenceOptions(), "no patch or locate run 'lost'"),
        (
            "x",
            DivergenceOptions(completions="found", neurons=("all",)),
            "locate run 'found' is interrupted: finish it first",
        ),
        ("x", DivergenceOptions(completions="moved", donor=str(other)), "donor .* is not the donor model of 'moved'"),
        (
            "x",
            DivergenceOptions(completions="moved", recipient=str(other)),
            "recipient .* is not the recipient model of 'moved'",
        ),
        ("x", DivergenceOptions(completions="moved", neurons=("lost:5%",)), "no finished locate run 'lost'"),
    ):
        with pytest.raises(InputError, match=message):
            divergence(made, name, options)
    with pytest.raises(InputError, match="`random` does nothing without `neurons`"):
        DivergenceOptions(random=3)
    assert made.rows("SELECT count(*) FROM runs WHERE kind = 'divergence'") == [(0,)]


def test_without_a_donor_a_patch_is_compared_with_the_unpatched_model(
    made: Database, tiny_llama: Path, logits_by_hand: Logits
) -> None:
    options = PatchOptions(
        recipient=str(tiny_llama),
        donor=None,
        neurons=("found:20%",),
        random=1,
        prompts=SOURCE,
        mode="zero",
        writing=WritingOptions(max_new_tokens=4),
        allow_overlap=True,
        judging=JudgingOptions(("refusal",)),
    )
    patch(made, "ablated", options)
    found = divergence(made, "ablated").effects.filter(variant="found:20%", judge="refusal")
    neurons = Evaluator(made, SHAPE).evaluate("found:20%")
    texts = made.rows(
        """
        SELECT p.input_ids, c.token_ids FROM run_completions AS c JOIN run_prompts AS p USING (run_id, prompt_id)
        WHERE c.run = 'ablated' AND c.variant = 'recipient'
        """
    )
    wanted: list[float] = []
    for given, written in texts:
        ids, positions = [*given, *written], slice(len(given) - 1, len(given) + len(written) - 1)
        zeroed = logits_by_hand(ids, neurons, lambda _la, _at, _neurons, own, _other: own * 0)
        wanted += kl(logits_by_hand(ids)[positions], zeroed[positions])
    (row,) = found.iter_rows(named=True)
    assert (row["n_prompts"], row["n_tokens"], row["kl_recipient"]) == (5, len(wanted), pytest.approx(0, abs=1e-9))
    assert row["kl_patched"] == pytest.approx(sum(wanted) / len(wanted), rel=1e-3)
    model_id = load_models({"m": str(tiny_llama)}, LoadOptions(device="cpu"))["m"].model_id
    costs = costs_of(made, model_id, neurons, 0.0).filter(measure="KL from itself")
    assert costs.select("run", "before", "after").rows() == [
        ("ablated-divergence", row["kl_recipient"], row["kl_patched"])
    ]
    (line,) = show_run(made, "ablated-divergence").found
    assert line.startswith("found:20% is ") and " nats a token from the unpatched model on " in line
