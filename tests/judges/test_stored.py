"""Judging again what is stored: what is kept, what is asked again, and effects with missing scores."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from snql.db.connection import Database
from snql.db.judgements import list_judges
from snql.errors import InputError, RunError
from snql.judges import registry, stored
from snql.judges.base import JudgeInfo, Pair, Verdict
from snql.judges.judging import effect_rows
from snql.judges.options import JudgeOptions, RejudgeFlags
from snql.judges.stored import judge

from ..patching.test_patch import run

pytestmark = pytest.mark.usefixtures("lingering")


class Lengths:
    """The length of a completion, but for those that it refuses to judge; it can break after some answers."""

    version = "1"
    missing: frozenset[int] = frozenset()
    breaks_after: int | None = None
    value: float | None = None

    def __init__(self) -> None:
        self.asked: list[Pair] = []

    @property
    def info(self) -> JudgeInfo:
        return JudgeInfo("lengths", "test", self.version, {"higher_is": "worse"})

    @property
    def at_once(self) -> int:
        return 3

    def judge(self, pairs: Sequence[Pair]) -> list[Verdict]:
        if self.breaks_after is not None and len(self.asked) >= self.breaks_after:
            raise RunError("judge lengths is down")
        self.asked += pairs
        return [self._verdict(len(text)) for _, text in pairs]

    def _verdict(self, length: int) -> Verdict:
        if length % 4 in self.missing:
            return Verdict(None, problem="not today")
        return Verdict(float(length) if self.value is None else self.value, "long" if length > 20 else "short")


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lengths]:
    found = Lengths()
    monkeypatch.setattr(stored, "judge_loader", lambda name, _: lambda: found)
    yield found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, tiny_adapter: Path) -> Path:
    with Database(tmp_path_factory.mktemp("patched") / "finished.duckdb") as made:
        run(made, tiny_llama, tiny_adapter)
    return made.path


@pytest.fixture
def patched(db: Database, finished: Path) -> Database:
    """A database of the test's own with a locate run and a patch run."""
    shutil.copy(finished, db.path)
    return db


def scores(db: Database) -> pl.DataFrame:
    return db.frame(
        "SELECT variant_id, prompt_id, length(c.text) AS length, j.score, j.label, j.problem FROM judgements AS j"
        " JOIN completions AS c USING (run_id, variant_id, prompt_id, sample) WHERE judge = 'lengths'"
        " ORDER BY variant_id, prompt_id"
    )


def test_scores_effects_and_labels_are_added(patched: Database, lengths: Lengths) -> None:
    found = judge(patched, "run", ["lengths"])
    frame = scores(patched)
    assert frame["score"].to_list() == frame["length"].to_list()
    assert frame["label"].to_list() == ["long" if length > 20 else "short" for length in frame["length"]]
    assert len(frame) == patched.rows("SELECT count(*) FROM completions WHERE text IS NOT NULL")[0][0] - len(
        patched.rows("SELECT 1 FROM completions JOIN runs USING (run_id) WHERE kind = 'locate'")
    )
    means = {row["variant"]: row["mean"] for row in found.scores.iter_rows(named=True)}
    by_id = frame.group_by("variant_id").agg(pl.col("length").mean())
    assert means["recipient"] == pytest.approx(by_id.filter(variant_id=0)["length"].item())
    assert set(found.effects["judge"]) == {"lengths"}
    pairs = patched.rows(
        "SELECT p.text, c.text FROM completions AS c JOIN prompts AS p USING (prompt_id) JOIN runs USING (run_id)"
        " WHERE kind = 'patch' ORDER BY variant_id, prompt_id, sample"
    )
    assert lengths.asked == list(dict.fromkeys(pairs))  # an equal pair is judged once
    listed = list_judges(patched).filter(judge="lengths").row(0, named=True)
    assert (listed["scores"], listed["missing"], listed["higher_is"]) == (len(frame), 0, "worse")


def test_what_broke_goes_on(patched: Database, lengths: Lengths) -> None:
    lengths.breaks_after = 6
    with pytest.raises(RunError, match="is down"):
        judge(patched, "run", ["lengths"])
    half = scores(patched)
    assert len(half) > 0
    assert patched.rows("SELECT count(*) FROM effects WHERE judge = 'lengths'") == [(0,)]
    lengths.breaks_after = None
    with pytest.raises(InputError, match=r"has judged \d+ of \d+ completions of 'run': use `resume`"):
        judge(patched, "run", ["lengths"])
    before = len(lengths.asked)
    judge(patched, "run", ["lengths"], flags=RejudgeFlags(resume=True))
    assert scores(patched).filter(pl.col("score").is_null()).is_empty()
    assert scores(patched).join(half, on=["variant_id", "prompt_id", "score"], how="semi").height == len(half)
    assert len(lengths.asked) - before < len(scores(patched))
    assert patched.rows("SELECT count(*) > 0 FROM effects WHERE judge = 'lengths'") == [(True,)]
    with pytest.raises(InputError, match="use `force` to judge them again"):
        judge(patched, "run", ["lengths"])


def test_missing_scores_are_counted_and_asked_again(patched: Database, lengths: Lengths) -> None:
    lengths.missing = frozenset({1, 2})
    found = judge(patched, "run", ["lengths"])
    frame = scores(patched)
    assert frame["problem"].to_list() == ["not today" if n % 4 in (1, 2) else None for n in frame["length"]]
    assert found.scores["missing"].sum() == frame["score"].null_count() > 0
    with pytest.raises(InputError, match="use `retry` to ask about the"):
        judge(patched, "run", ["lengths"])
    lengths.missing = frozenset()
    judge(patched, "run", ["lengths"], flags=RejudgeFlags(retry=True))
    assert scores(patched)["score"].to_list() == frame["length"].to_list()


def test_force_takes_another_version(patched: Database, lengths: Lengths) -> None:
    judge(patched, "run", ["lengths"])
    lengths.version = "2"
    with pytest.raises(InputError, match="has scored in this database with other files"):
        judge(patched, "run", ["lengths"], flags=RejudgeFlags(resume=True))
    judge(patched, "run", ["lengths"], flags=RejudgeFlags(force=True))
    assert patched.rows("SELECT version FROM judges WHERE judge = 'lengths'") == [("2",)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers(patched: Database, lengths: Lengths, value: float) -> None:
    lengths.value = value
    with pytest.raises(RunError, match="which is not a finite number: mend the judge"):
        judge(patched, "run", ["lengths"])
    assert scores(patched).is_empty()


def test_bad_input(patched: Database) -> None:
    with pytest.raises(InputError, match="no run 'nope'"):
        judge(patched, "nope", ["refusal"])
    with pytest.raises(InputError, match="which judge"):
        judge(patched, "run", [])
    with pytest.raises(InputError, match="judges are refusal, demo:cost"):
        judge(patched, "run", ["nobody"])
    with patched.write() as connection:
        connection.execute("UPDATE runs SET status = 'failed' WHERE name = 'run'")
    with pytest.raises(InputError, match="patch run 'run' is failed: finish it with"):
        judge(patched, "run", ["refusal"], flags=RejudgeFlags(force=True))


def test_judging_again_comes_to_the_same_effects(patched: Database) -> None:
    """To the seed of the sign flips, which is the run's."""
    effects = "SELECT * EXCLUDE (run_id) FROM causal_effects WHERE run = 'run' ORDER BY variant_id"
    before = patched.frame(effects)
    judge(patched, "run", ["refusal"], flags=RejudgeFlags(force=True))
    assert before["seed"].unique().to_list() == [0]
    assert patched.frame(effects).equals(before)


def test_a_judge_keeps_its_sign(patched: Database) -> None:
    judge(patched, "run", ["demo:cost"])
    with pytest.raises(InputError, match="as one whose high scores are worse, not better: leave `judge_signs`"):
        judge(patched, "found", ["demo:cost"], JudgeOptions(sign="reward"))


def test_completions_of_a_locate_run(patched: Database) -> None:
    found = judge(patched, "found", ["refusal"])
    assert found.kind == "locate" and found.effects.is_empty()
    assert found.scores["role"].to_list() == ["before"]


def test_effects_leave_out_prompts_without_a_score() -> None:
    """With holes, each effect is that of the complete prompts alone."""
    random = np.random.default_rng(0)
    full = pl.DataFrame(
        {"dataset": ["d"] * 30, "prompt_id": range(30)}
        | {str(i): random.normal(m, 1, 30) for i, m in enumerate((5, 0, 2, 4))}
    )
    variants = pl.DataFrame(
        {
            "variant_id": [0, 1, 2, 3],
            "role": ["recipient", "donor", "patched", "patched"],
            "control_of": [None, None, None, 2],
            "control_kind": [None, None, None, "matched"],
        }
    )
    holes = full.with_columns(
        pl.when(pl.col("prompt_id") == 3).then(None).otherwise("1").alias("1"),
        pl.when(pl.col("prompt_id").is_in([5, 6])).then(None).otherwise("2").alias("2"),
        pl.when(pl.col("prompt_id") == 9).then(None).otherwise("3").alias("3"),
    )
    effects, controls = effect_rows(holes, "j", variants, 0)
    for row, left_out in zip(effects, ([3, 5, 6], [3, 9]), strict=True):
        kept = full.filter(~pl.col("prompt_id").is_in(left_out))
        expected, _ = effect_rows(kept, "j", variants, 0)
        same = next(other for other in expected if other.variant_id == row.variant_id)
        assert row == same and row.effect.n_prompts == 30 - len(left_out)
    _, expected_controls = effect_rows(full.filter(~pl.col("prompt_id").is_in([3, 5, 6, 9])), "j", variants, 0)
    assert controls == expected_controls and [(row.variant_id, row.control_kind) for row in controls] == [
        (2, "matched")
    ]
    empty, none = effect_rows(holes.with_columns(pl.lit(None, pl.Float64).alias("2")), "j", variants, 0)
    assert [row.variant_id for row in empty] == [3] and none == []


def test_registry_knows_every_kind() -> None:
    for kind, (_, written) in registry.KINDS.items():
        assert written.startswith(f"{kind}:")
