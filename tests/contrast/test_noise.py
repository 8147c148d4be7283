"""Rankings that are noise say so; pairs that were trained apart do not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import snql
from snql.contrast.noise import NOISE, equal_scores_note, relative_differences, rounding_bound, rounding_note
from snql.db.connection import Database
from snql.scorers.rerank import rerank

from ..conftest import save_ia3

pytestmark = pytest.mark.usefixtures("lingering")

PROMPTS = snql.PromptOptions(("demo:locate",), limit=6)
MORE = pytest.mark.slow("another number type, or pair, of those that are looked at always")
WRITING = snql.WritingOptions(max_new_tokens=12, batch_size=2)


def located(db: Database, before: str, after: str, **more: Any) -> Any:
    said: list[str | None] = []
    options = snql.LocateOptions(
        **{"before": before, "after": after, "prompts": PROMPTS, "writing": WRITING, "keep": "none", **more}
    )
    found = snql.locate(db, "run", options, progress=lambda report: said.append(report.message), force=True)
    assert [f"note: {note}" for note in found.notes] == [line for line in said if str(line).startswith("note: ")]
    return found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", pytest.param("float16", marks=MORE)])
def test_a_model_against_itself_is_said_to_be_noise(db: Database, dtype: str) -> None:
    models = snql.LoadOptions(device="cpu", dtype=dtype)
    found = located(db, "demo:sft", "demo:sft", models=models)
    assert 0 < found.top["score"].max() < 0.1
    assert found.noise is not None
    assert "before and after differ by no more than rounding can make (at most" in found.noise
    assert db.rows("SELECT notes FROM runs") == [([found.noise],)]


@pytest.mark.parametrize(
    ("before", "after", "dtype"),
    [
        ("demo:sft", "demo:safety", "bfloat16"),
        ("demo:safety-seed2", "demo:safety-seed3", "float32"),
        pytest.param("demo:sft", "demo:safety", "float32", marks=MORE),
        pytest.param("demo:safety-seed2", "demo:safety-seed3", "bfloat16", marks=MORE),
    ],
)
def test_pairs_that_were_trained_apart_are_not(db: Database, before: str, after: str, dtype: str) -> None:
    assert located(db, before, after, models=snql.LoadOptions(device="cpu", dtype=dtype)).notes == ()


def test_an_adapter_that_does_nothing(db: Database, tiny_llama: Path, tmp_path: Path) -> None:
    """At rounding where one model writes and the other reads; exactly equal where both read."""
    nothing = save_ia3(tmp_path / "nothing", [torch.ones(40)] * 3)
    slight = save_ia3(tmp_path / "slight", [torch.full((40,), 1.001)] * 3)
    base, plain = str(tiny_llama), snql.PromptOptions(("demo:locate",), limit=6, template="plain")
    found = located(db, base, f"{base}+{nothing}", prompts=plain)
    assert "rounding can make" in str(found.noise)
    found = located(db, base, f"{base}+{nothing}", prompts=plain, recompute=True)
    assert found.top["score"].max() == 0
    assert found.noise == f"before and after are equal to the last bit: {NOISE}"
    ranked = rerank(db, "other", "run", "mean-difference")
    assert found.noise in ranked.notes
    assert located(db, base, f"{base}+{slight}", prompts=plain).noise is None


def test_relative_differences_are_those_of_the_definition() -> None:
    scores = np.array([[0.3, 0.0, np.nan], [0.0, 2.0, 1.0]])
    squares = np.array([[9.0, 1.0, np.nan], [0.0, 1.0, 2.0]])
    expected = [[0.3 / np.sqrt(9 + 5), 0, np.nan], [0, 2 / np.sqrt(1 + 1), 1 / np.sqrt(2 + 1)]]
    np.testing.assert_allclose(relative_differences(scores, squares), expected)
    assert relative_differences(np.zeros((1, 2)), np.zeros((1, 2))).tolist() == [[0, 0]]


def test_the_bound_is_that_of_the_coarser_type() -> None:
    assert rounding_bound(["float32"]) == 1040 * 2.0**-24
    assert rounding_bound(["float32", "bfloat16"]) == 16 * 2.0**-8 + 1024 * 2.0**-24
    bound = rounding_bound(["float16"])
    assert rounding_note(np.array([[bound, np.nan]]), ["float16"], "they") is not None
    assert rounding_note(np.array([[bound * 1.001, 0]]), ["float16"], "they") is None
    assert rounding_note(np.array([[np.nan]]), ["float16"], "they") is None


@pytest.mark.parametrize(("scores", "said"), [([2.0, 2.0, 7.0], True), ([2.0, 2.5, 7.0], False), ([2.0], False)])
def test_equal_scores_are_said(scores: list[float], said: bool) -> None:
    ranks = [1, 2, None][: len(scores)]
    note = equal_scores_note(pl.DataFrame({"score": scores, "rank": pl.Series(ranks, dtype=pl.Int32)}))
    assert (note is not None) == said


def test_one_model_on_equal_prompts_is_noise(db: Database, tmp_path: Path) -> None:
    same, other = tmp_path / "same.txt", tmp_path / "other.txt"
    same.write_text("How do I bake bread?\nTell me a story.\n", "utf-8")
    other.write_text("How do I bake bread?\nTell me a story.\n\n", "utf-8")
    score: Callable[..., Any] = snql.score_prompts
    for contrast, noise in ((other, True), ("demo:benign", False)):
        options = snql.ScorerOptions(
            scorer="prompt-difference",
            model="demo:sft",
            prompts=snql.PromptOptions((str(same),)),
            contrast=(str(contrast),),
        )
        found = score(db, f"run-{noise}", options)
        assert (found.noise is not None) == noise


def test_models_that_write_the_same_are_said_to(db: Database) -> None:
    judging = snql.JudgingOptions(judges=("refusal",))
    options = snql.PatchOptions(
        recipient="demo:sft", donor="demo:sft", neurons=("L0.N1",), prompts=PROMPTS, writing=WRITING, judging=judging
    )
    (note,) = snql.patch(db, "same", options).notes
    assert note.startswith("recipient and donor write the same for every prompt")
    harmful = snql.PromptOptions(("demo:harmful",), limit=6)
    options = snql.PatchOptions(
        recipient="demo:sft", donor="demo:safety", neurons=("L0.N1",), prompts=harmful, judging=judging
    )
    assert snql.patch(db, "apart", options).notes == ()
