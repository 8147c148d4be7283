"""Patch runs in the database: variants, effects, resuming; and the engine against a recomputation without caches."""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from snql.analysis import open_database
from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.errors import ExpressionError, InputError
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.neurons.sets import Shape
from snql.options import changed
from snql.patching.engine import PatchEngine
from snql.patching.options import PatchOptions
from snql.patching.patch import PatchResult, patch
from snql.patching.rows import Task, Written
from snql.progress import Progress
from snql.prompts.options import PromptOptions
from snql.rankings.saved_sets import save_set

from ..conftest import ORACLE
from ..stages import stages
from .located import SOURCE, locate_run

pytestmark = pytest.mark.usefixtures("lingering")

SHAPE = Shape(4, 176)


def options(llama: Path, adapter: Path, **settings: Any) -> PatchOptions:
    chosen: dict[str, Any] = {
        "neurons": ("found",),
        "sweep": ("5%", "20%"),
        "random": 2,
        "max_new_tokens": 8,
        "allow_overlap": True,
    } | settings
    return changed(
        PatchOptions(
            recipient=str(llama),
            donor=f"{llama}+{adapter}",
            neurons=(),
            prompts=SOURCE,
            judging=JudgingOptions(("refusal",)),
        ),
        **chosen,
    )


def run(db: Database, llama: Path, adapter: Path, name: str = "run", **settings: Any) -> PatchResult:
    if not db.path.exists():
        locate_run(db, llama, adapter)
    return patch(db, name, options(llama, adapter, **settings))


def test_variants_and_their_sets_are_stored(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    run(db, tiny_llama, tiny_adapter)
    variants = db.rows(
        "SELECT v.name, role, n_neurons, control_seed FROM variants AS v JOIN runs USING (run_id) "
        "WHERE kind = 'patch' ORDER BY variant_id"
    )
    assert variants == [
        ("recipient", "recipient", None, None),
        ("donor", "donor", None, None),
        ("found:5%", "patched", 4, None),
        ("random(found:5%, seed=1)", "patched", 4, 1),
        ("random(found:5%, seed=2)", "patched", 4, 2),
        ("found:20%", "patched", 16, None),
        ("random(found:20%, seed=1)", "patched", 16, 1),
        ("random(found:20%, seed=2)", "patched", 16, 2),
    ]
    stored = db.rows(
        "SELECT layer, neuron FROM variants JOIN neuron_set_members USING (set_id) WHERE name = 'found:5%'"
    )
    ranked = db.rows("SELECT layer, neuron FROM top_neurons('found', 4)")
    assert sorted(stored) == sorted(ranked)
    counted = "SELECT count(*), count(DISTINCT (variant, prompt_id)) FROM run_completions WHERE run = 'run'"
    assert db.rows(counted) == [(96, 96)]
    controls = db.rows("SELECT DISTINCT control_of FROM causal_effects WHERE control_seed IS NOT NULL ORDER BY 1")
    assert controls == [("found:20%",), ("found:5%",)]
    with open_database(db.path) as opened:
        assert set(opened.effects("run")["variant"]) == {"found:5%", "found:20%"}
        assert opened.effects("run", controls=True).height == 3 * opened.effects("run").height


def test_controls_of_a_set_that_has_most_of_a_layer(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    """There are such controls, and the run says how far they match; of more than half the model there are none."""
    crowded = " | ".join(f"L1.N{neuron}" for neuron in range(30))
    found = run(db, tiny_llama, tiny_adapter, neurons=(crowded,), sweep=(), max_new_tokens=2)
    note = f"random sets of {crowded} are matched by layer for 33% of their neurons: it has 30 of the 40 neurons of "
    assert [text.startswith(note) for text in found.notes] == [True]
    assert db.rows("SELECT notes FROM runs WHERE name = 'run' AND kind = 'patch'") == [(list(found.notes),)]
    layers = db.rows(
        """
        SELECT layer, count(*) FROM variants JOIN neuron_set_members USING (set_id)
        WHERE control_seed = 1 GROUP BY layer ORDER BY layer
        """
    )
    assert layers == [(0, 20), (1, 10)]
    with pytest.raises(ExpressionError, match="no disjoint random set: the set has .* of 120 neurons, more than half"):
        run(db, tiny_llama.parent / "nowhere", tiny_adapter, "other", sweep=("90%",))  # before a model is looked for


def test_controls_in_magnitude_need_a_ranking_before_a_model_is_looked_for(
    db: Database, tiny_llama: Path, tiny_adapter: Path
) -> None:
    with pytest.raises(InputError, match="sets like L1.N2 in magnitude need a locate run that knows the sizes"):
        patch(
            db,
            "x",
            options(tiny_llama.parent / "nowhere", tiny_adapter, neurons=("L1.N2",), sweep=(), random_magnitude=2),
        )


def test_effects_are_those_of_the_judgements(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    found = run(db, tiny_llama, tiny_adapter, judges=("demo:cost",)).effects
    means = dict(
        db.rows("SELECT v.name, avg(score) FROM judgements JOIN variants AS v USING (run_id, variant_id) GROUP BY 1")
    )
    assert len(found) == 6
    for row in found.iter_rows(named=True):
        assert row["mean_recipient"] == pytest.approx(means["recipient"])
        assert row["mean_patched"] == pytest.approx(means[row["variant"]])
        assert row["n_prompts"] == 12
        if row["effect"] is not None:
            gap = means["donor"] - means["recipient"]
            assert row["effect"] == pytest.approx((means[row["variant"]] - means["recipient"]) / gap)
        assert (row["effect"] is None) == (row["gap_ci_low"] <= 0 <= row["gap_ci_high"]) == (not row["defined"])


def test_batch_size_changes_nothing(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    for name, size in (("one", 1), ("seven", 7), ("all", 500)):
        run(db, tiny_llama, tiny_adapter, name + "-run", batch_size=size, limit=6)
    rows = [
        db.rows(
            "SELECT variant, prompt_id, token_ids FROM run_completions WHERE run = ? ORDER BY variant, prompt_id",
            [f"{name}-run"],
        )
        for name in ("one", "seven", "all")
    ]
    assert len(rows[0]) == 48
    assert rows[0] == rows[1] == rows[2]


@contextmanager
def cut_off(monkeypatch: pytest.MonkeyPatch, after: int) -> Iterator[None]:
    """Within the block, the engine is interrupted after so many steps; what is finished is committed at once."""
    real = PatchEngine._turn
    turns: list[int] = []

    def turn(engine: PatchEngine, new: Sequence[Task]) -> list[Written]:
        turns.append(1)
        if len(turns) > after:
            raise KeyboardInterrupt
        return real(engine, new)

    with monkeypatch.context() as patched:
        patched.setattr(PatchEngine, "_turn", turn)
        patched.setattr("snql.jobs.work.COMMIT_SECONDS", 0.0)
        yield


def test_a_run_that_was_killed_resumes(
    db: Database, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(db, tiny_llama, tiny_adapter, "whole", batch_size=10)
    with cut_off(monkeypatch, after=30), pytest.raises(KeyboardInterrupt):
        run(db, tiny_llama, tiny_adapter, "cut", batch_size=10)
    ((kept,),) = db.rows("SELECT count(*) FROM run_completions WHERE run = 'cut'")
    assert 0 < kept < 96
    assert db.rows("SELECT status FROM runs WHERE name = 'cut'") == [("interrupted",)]
    reports: list[Progress] = []
    cut = patch(db, "cut", options(tiny_llama, tiny_adapter, batch_size=10), resume=True, progress=reports.append)
    ((n_margins,),) = db.rows("SELECT count(*) FROM margins JOIN runs USING (run_id) WHERE name = 'cut'")
    assert stages(reports) == {
        "patch": (kept, 96, 96),
        "margins": (0, n_margins, n_margins),
        "judge refusal": (0, 96, 96),
    }
    assert cut.effects.drop("run").equals(whole.effects.drop("run"))
    columns = "variant_id, prompt_id, sample, text, token_ids, finish_reason, donor_ids, unpatched_ids"
    query = f"SELECT {columns} FROM run_completions WHERE run = ? ORDER BY ALL"
    assert db.rows(query, ["cut"]) == db.rows(query, ["whole"])
    assert len(db.rows(query, ["cut"])) == 96


def test_prompts_of_the_rankings_are_left_out(
    db: Database, tiny_llama: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    """By their text, whatever the file is called; every run that the expressions name counts, also in SQL."""
    texts = [json.loads(line)["prompt"] for line in (ORACLE / "prompts.jsonl").read_text("utf-8").splitlines()]
    files = {"a": texts[:3], "b": texts[3:5], "c": texts[5:7], "all": texts}
    for name, chosen in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps([{"question": text} for text in chosen]))
    sources = {name: PromptOptions((str(tmp_path / f"{name}.json"),), template="tulu") for name in files}
    before, after = str(tiny_llama), f"{tiny_llama}+{tiny_adapter}"
    for name in ("a", "b", "c"):
        locate(
            db,
            name,
            LocateOptions(
                before=before, after=after, prompts=sources[name], writing=WritingOptions(max_new_tokens=2), keep="none"
            ),
        )

    def given(name: str, neurons: tuple[str, ...], source: PromptOptions = sources["all"], **more: Any) -> list[str]:
        options = changed(
            PatchOptions(
                recipient=before,
                donor=after,
                neurons=neurons,
                prompts=source,
                writing=WritingOptions(max_new_tokens=2),
                judging=JudgingOptions(("refusal",)),
                graded=False,
            ),
            **more,
        )
        (counts,) = patch(db, name, options).prompt_sets
        found = [
            text
            for (text,) in db.rows(
                "SELECT text FROM run_prompts JOIN prompts USING (prompt_id) JOIN runs "
                "USING (run_id) WHERE runs.name = ? AND kind = 'patch' ORDER BY ordinal",
                [name],
            )
        ]
        assert (counts.rows, counts.kept, counts.overlapping) == (len(texts), len(found), len(texts) - len(found))
        return found

    assert given("one", ("a:5%",)) == texts[3:]
    assert given("both", ("a:5% & b:10",)) == texts[5:]
    assert given("separate", ("random(a:5%, seed=1)", "b:5%")) == texts[5:]
    by_sql = "sql(SELECT layer, neuron FROM neuron_scores WHERE run = 'c' AND rank <= 3)"
    assert given("by-sql", (by_sql,)) == texts[:5] + texts[7:]
    assert given("a", ("a",), sweep=("5%",)) == texts[3:]
    save_set(db, "saved", "a:5%")
    save_set(db, "derived", "@saved - b:1")
    assert given("by-name", ("@derived",)) == texts[5:]
    assert given("none", ("L1.N3",)) == texts
    assert given("allowed", ("a:5%",), allow_overlap=True) == texts
    asked = replace(sources["all"], disjoint_from=("c",))
    assert given("asked", ("a:5%",), asked) == texts[3:5] + texts[7:]
    assert given("asked-only", ("a:5%",), asked, allow_overlap=True) == texts[:5] + texts[7:]
    stored = db.rows(
        "SELECT n_overlapping, disjoint_from FROM run_prompt_sets JOIN runs USING (run_id) WHERE name = 'asked'"
    )
    assert stored == [(5, ["c", "a"])]

    for source, neurons, message in (
        (
            sources["a"],
            "a:5%",
            r"no prompt of a.json is left: of 3 rows, .* 3 were used by the runs to be disjoint from",
        ),
        (replace(sources["all"], disjoint_from=("lost",)), "a:5%", "`disjoint_from` lost: no such run in"),
    ):
        with pytest.raises(InputError, match=message):
            patch(
                db,
                "bad",
                PatchOptions(
                    recipient=before,
                    donor=after,
                    neurons=(neurons,),
                    prompts=source,
                    writing=WritingOptions(max_new_tokens=2),
                    judging=JudgingOptions(("refusal",)),
                ),
            )
    assert not db.rows("FROM runs WHERE name = 'bad'")
    locate(
        db,
        "rest",
        LocateOptions(before=before, after=after, prompts=asked, writing=WritingOptions(max_new_tokens=2), keep="none"),
    )
    assert db.rows("SELECT n_prompts FROM locate_runs WHERE run = 'rest'") == [(len(texts) - 2,)]


def test_bad_input_writes_nothing(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    locate_run(db, tiny_llama, tiny_adapter)
    for settings, error, message in (
        ({"neurons": ("lost",)}, ExpressionError, "no finished locate run 'lost'"),
        ({"sweep": (), "neurons": ("found:5% &",)}, ExpressionError, "column 11"),
        ({"judges": ("nobody",)}, InputError, "no judge 'nobody'"),
        ({"judges": ()}, InputError, "which judge"),
        ({"batch_size": 0}, InputError, "`batch_size` and `max_new_tokens`"),
    ):
        with pytest.raises(error, match=message):
            run(db, tiny_llama, tiny_adapter, **settings)
    assert db.rows("SELECT count(*) FROM runs WHERE kind = 'patch'") == [(0,)]


def test_a_resumed_run_must_have_the_same_neurons_and_models(
    db: Database, tiny_llama: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = Path(shutil.copytree(tiny_adapter, tmp_path / "adapter"))
    locate_run(db, tiny_llama, adapter)
    with cut_off(monkeypatch, after=5), pytest.raises(KeyboardInterrupt):
        patch(db, "cut", options(tiny_llama, adapter, batch_size=10))
    with db.write() as connection:
        connection.execute("UPDATE neuron_statistics SET rank = 121 - rank WHERE rank IS NOT NULL")
        connection.execute("UPDATE neuron_statistics SET rank = rank - 40 WHERE rank > 40")
    with pytest.raises(InputError, match="cannot be resumed: the neurons of found:5% differ"):
        patch(db, "cut", options(tiny_llama, adapter, batch_size=10), resume=True)
    tensors = load_file(adapter / "adapter_model.safetensors")
    save_file({key: 2 * tensor for key, tensor in tensors.items()}, adapter / "adapter_model.safetensors")
    with pytest.raises(InputError, match="cannot be resumed: the files of its donor model differ"):
        patch(db, "cut", options(tiny_llama, adapter, batch_size=10), resume=True)
    assert db.rows("SELECT status FROM runs WHERE name = 'cut'") == [("interrupted",)]


def test_a_judge_that_changed_is_known_before_anything_is_written(
    db: Database, tiny_llama: Path, tiny_adapter: Path
) -> None:
    run(db, tiny_llama, tiny_adapter)
    with db.write() as connection:
        connection.execute("UPDATE judges SET version = 'older'")
    with pytest.raises(InputError, match="has scored in this database with other files"):
        run(db, tiny_llama, tiny_adapter, "second")
    assert db.rows("SELECT count(*) FROM runs WHERE name = 'second'") == [(0,)]


def test_plain_neurons_need_no_earlier_run(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    """The first thing in a new database may be a patch."""
    chosen = options(tiny_llama, tiny_adapter, neurons=("L1.N3",), sweep=(), max_new_tokens=2, limit=2)
    assert not db.path.exists()
    assert patch(db, "first", chosen).effects["neurons"].drop_nulls().to_list()[0] == "L1.N3"


def test_a_batch_has_room_for_the_longest_prompt_and_its_answer(
    db: Database, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def rows(_: object, n_tokens: int, *, reads_source: bool) -> int:
        asked.append(n_tokens)
        return 2

    monkeypatch.setattr("snql.generation.budget.patching_rows", rows)
    run(db, tiny_llama, tiny_adapter, neurons=("found:5%",), sweep=(), random=0, batch_size="auto")
    ((longest,),) = db.rows("SELECT max(len(input_ids)) FROM run_prompts JOIN runs USING (run_id) WHERE kind = 'patch'")
    assert asked == [longest + 8]
