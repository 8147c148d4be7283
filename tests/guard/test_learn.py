"""Training against a plain Hugging Face model and scikit-learn alone; resuming; other runs' answers; bad input."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoTokenizer

from snql.db.connection import Database
from snql.db.guards import ClassifierRow
from snql.errors import InputError, RunError
from snql.generation.options import WritingOptions
from snql.guard import reading, testing
from snql.guard.learn import template_of, train
from snql.guard.model import Guard
from snql.guard.options import GuardOptions, GuardTestOptions
from snql.guard.plan import make_plan, random_last_layer
from snql.guard.results import measure_rows
from snql.guard.stored import load_guard, read_guard
from snql.judges.options import JudgingOptions
from snql.judges.stored import judge
from snql.neurons.sets import NeuronSet, Shape
from snql.options import changed
from snql.patching.options import PatchOptions
from snql.patching.patch import patch
from snql.progress import Progress
from snql.prompts.options import PromptOptions
from snql.prompts.template import Formatter, format_prompts
from snql.prompts.types import Prompt, RawPrompt
from snql.rankings.evaluate import Evaluator

from ..stages import stages
from .conftest import OPTIONS, SOURCE, last_activations

pytestmark = pytest.mark.usefixtures("lingering")


def prompts_of(db: Database, kind: str = "guard") -> pl.DataFrame:
    return db.frame(
        """
        SELECT p.prompt_id, p.dataset, r.input_ids, l.label, l.score, l.benign, c.token_ids
        FROM run_prompts AS r JOIN runs USING (run_id) JOIN prompts AS p USING (prompt_id)
        JOIN guard_labels AS l USING (run_id, prompt_id)
        JOIN completions AS c ON c.run_id = r.run_id AND c.prompt_id = r.prompt_id AND c.variant_id = 0
        WHERE runs.name = 'mine' AND runs.kind = ? ORDER BY r.ordinal
        """,
        [kind],
    )


def activations_by_hand(network: Any, rows: pl.DataFrame) -> np.ndarray:
    return np.stack([last_activations(network, ids) for ids in rows["input_ids"].to_list()])


def test_the_guard_is_what_scikit_learn_fits_on_activations_by_hand(trained: Database, sft_network: Any) -> None:
    rows = prompts_of(trained)
    labels = rows["label"].to_numpy()
    guard = read_guard(trained, "mine")
    own = activations_by_hand(sft_network, rows)[:, guard.neurons.ids]
    assert 5 < labels.sum() < len(labels) - 5
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=guard.facts["c"], max_iter=1000)).fit(own, labels)
    # The prompts were read in batches with padding: the last digits of float32 differ.
    assert guard.probabilities(own) == pytest.approx(theirs.predict_proba(own)[:, 1], abs=1e-4)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    held_out = cross_val_predict(theirs, own, labels, cv=folds, method="predict_proba")[:, 1]
    stored = trained.frame("FROM guard_predictions WHERE stage = 'train' AND classifier_id = 0 ORDER BY prompt_id")
    assert stored["probability"].to_list() == pytest.approx(held_out.tolist(), abs=1e-4)
    assert guard.facts["n_folds"] == 5
    assert guard.facts["n_harmful"] == labels.sum()


def test_answers_are_greedy_and_labels_the_judges(trained: Database, sft_network: Any) -> None:
    rows = prompts_of(trained)
    for row in rows[::12].iter_rows(named=True):
        ids = torch.tensor([row["input_ids"]])
        with torch.inference_mode():
            written = sft_network.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False, pad_token_id=0
            )
        assert written[0, ids.shape[1] :].tolist() == row["token_ids"]
    judged = trained.frame(
        "SELECT prompt_id, score FROM judgements JOIN runs USING (run_id) WHERE kind = 'guard' AND name = 'mine'"
    )
    joined = rows.join(judged, on="prompt_id", suffix="_judged")
    assert (joined["score"] == joined["score_judged"]).all()
    assert (joined["label"] == (joined["score"] > 4.9)).all()
    assert (joined["benign"] == (joined["dataset"] == "demo:benign")).all()
    assert joined["label"].n_unique() == 2


def test_classifiers_are_the_guard_a_smaller_one_and_controls_of_each(trained: Database) -> None:
    rows = trained.frame(
        "SELECT c.* FROM guard_classifiers AS c JOIN runs USING (run_id) WHERE runs.kind = 'guard' ORDER BY ALL"
    )
    evaluator = Evaluator(trained, Shape(9, 256))
    kinds = ["guard", "matched", "magnitude", "last-layer", "anywhere"]
    assert rows["kind"].to_list() == kinds * 2
    assert rows["control_seed"].to_list() == [None, 1, 1, 1, 1] * 2
    members = trained.frame("FROM neuron_set_members")
    for neurons in ("found:3%", "found:1%"):
        chosen = evaluator.evaluate(neurons)
        for row in rows.filter(neurons=neurons).iter_rows(named=True):
            places = members.filter(set_id=row["set_id"])
            ids = set((places["layer"] * 256 + places["neuron"]).to_list())
            assert len(ids) == row["n_neurons"] == len(chosen)
            if row["kind"] == "guard":
                assert ids == set(chosen.ids.tolist())
                continue
            assert not ids & set(chosen.ids.tolist())
            if row["kind"] in ("matched", "magnitude"):
                counts = dict(places.group_by("layer").len().iter_rows())
                assert counts == {layer: len(columns) for layer, columns in chosen.by_layer().items()}
            if row["kind"] == "magnitude":
                drawn = evaluator.evaluate(f"random({neurons}, seed={row['control_seed']}, match=magnitude)")
                assert ids == set(drawn.ids.tolist())
            if row["kind"] == "last-layer":
                assert places["layer"].unique().to_list() == [8]


def test_scores_are_those_of_the_stored_predictions(trained: Database) -> None:
    """By Polars and SQL from the view of predictions, on each data set and on all."""
    predictions = trained.frame("FROM guard_predictions WHERE stage = 'train'")
    scores = trained.frame("FROM guard_scores WHERE stage = 'train'")
    assert set(scores["dataset"]) == {"demo:harmful", "demo:benign", "*"}
    right = (pl.col("refused") == pl.col("label")).mean()
    for dataset in ("demo:harmful", "demo:benign", "*"):
        part = predictions.filter((pl.col("dataset") == dataset) | (dataset == "*"))
        by_classifier = part.group_by("neurons", "kind", "classifier_id").agg(
            right.alias("accuracy"), (pl.col("probability") - pl.col("label")).pow(2).mean().alias("brier")
        )
        expected = by_classifier.group_by("neurons", "kind").agg(pl.col("accuracy", "brier").mean())
        found = scores.filter(dataset=dataset).pivot(on="measure", index=["neurons", "kind"], values="value")
        joined = expected.join(found, on=["neurons", "kind"], suffix="_stored")
        assert len(joined) == 10
        for name in ("accuracy", "brier"):
            assert joined[f"{name}_stored"].to_list() == pytest.approx(joined[name].to_list())
    assert 0.5 < scores.filter(dataset="*", kind="guard", measure="accuracy")["value"].min() < 1  # type: ignore[operator]
    assert scores.filter(is_main=True)["neurons"].unique().to_list() == ["found:3%"]


def test_several_seeds_are_averaged_and_unlabelled_prompts_left_out() -> None:
    prompts = [Prompt("x", str(n), prompt_id=n) for n in range(4)]
    labels = [{"label": label, "benign": not label} for label in (True, False, True)] + [
        {"label": None, "benign": True}
    ]
    some = NeuronSet.of(Shape(2, 6), [(0, 1)])
    kinds = (("guard", None), ("matched", 1), ("matched", 2))
    rows = [ClassifierRow(n, "a", kind, seed, some, 1.0, 5, 0.1, True) for n, (kind, seed) in enumerate(kinds)]
    said = {0: (0.9, 0.2, 0.8), 1: (0.1, 0.2, 0.8), 2: (0.1, 0.9, 0.2)}
    probabilities = {number: dict(enumerate(each)) for number, each in said.items()}
    found = {(row["kind"], row["measure"]): row for row in measure_rows(prompts, labels, rows, probabilities, 0.5, 0)}
    assert found["guard", "accuracy"]["value"] == 1
    matched = found["matched", "accuracy"]
    assert matched["value"] == pytest.approx((2 / 3 + 0) / 2)
    assert (matched["n_classifiers"], matched["n_prompts"], matched["n_harmful"], matched["n_benign"]) == (2, 3, 2, 1)
    assert matched["difference"] == pytest.approx(2 / 3)
    assert ("matched", "majority") not in found


def test_the_saved_folder_is_the_guard_of_the_database(trained: Database) -> None:
    saved, stored = Guard.load(trained.path.parent / "saved"), read_guard(trained, "mine")
    rows = np.random.default_rng(0).normal(size=(4, len(stored.neurons)))
    assert saved.neurons == stored.neurons
    assert np.array_equal(saved.probabilities(rows), stored.probabilities(rows))
    assert (saved.facts, saved.template, saved.model) == (stored.facts, stored.template, "demo:sft")
    assert load_guard(trained, str(trained.path.parent / "saved")).facts == stored.facts
    with pytest.raises(InputError, match=r"no guard 'lost' in .*: its guards are mine"):
        load_guard(trained, "lost")


def test_a_run_that_was_cut_off_goes_on_to_the_same_bits(made_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snql.jobs.work.COMMIT_SECONDS", 0.0)
    calls: list[int] = []
    decode = reading.decode  # type: ignore[attr-defined]

    def cut(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return decode(*arguments)

    with monkeypatch.context() as cutting, pytest.raises(KeyboardInterrupt):
        cutting.setattr(reading, "decode", cut)
        train(made_db, "cut", OPTIONS)
    assert made_db.rows("SELECT status, done, total FROM run_progress WHERE run = 'cut'") == [("interrupted", 16, 40)]
    with pytest.raises(InputError, match="guard 'cut' is interrupted: finish it with `snql guard train cut"):
        read_guard(made_db, "cut")
    with pytest.raises(InputError, match="cannot be resumed: threshold differ from when it began"):
        train(made_db, "cut", changed(OPTIONS, threshold=1.0), resume=True)
    reports: list[Progress] = []
    found = train(made_db, "cut", OPTIONS, resume=True, progress=reports.append)
    assert stages(reports) == {"guard": (16, 40, 40), "judge demo:cost": (0, 40, 40), "guard fit": (1, 10, 10)}
    query = "SELECT * EXCLUDE (run, guard, run_id) FROM guard_scores WHERE run = ? AND stage = 'train' ORDER BY ALL"
    assert made_db.frame(query, ["cut"]).equals(made_db.frame(query, ["mine"]))
    again, whole = read_guard(made_db, "cut").linear, read_guard(made_db, "mine").linear
    assert np.array_equal(again.weights, whole.weights)
    assert made_db.rows("SELECT done, total FROM run_progress WHERE run = 'cut'") == [(40, 40)]
    assert train(made_db, "cut", OPTIONS, resume=True).says == found.says
    with pytest.raises(InputError, match="a guard run 'cut' exists"):
        train(made_db, "cut", OPTIONS)


def test_answers_of_a_patch_run_make_the_same_guard(made_db: Database) -> None:
    patch(
        made_db,
        "moved",
        PatchOptions(
            recipient="demo:sft",
            donor=None,
            neurons=("found:1%",),
            prompts=PromptOptions((*SOURCE.prompts, "demo:benign"), limit=20),
            mode="zero",
            judging=JudgingOptions(("demo:cost",)),
            writing=WritingOptions(max_new_tokens=24),
            trace=False,
            allow_overlap=False,
        ),
    )
    options = changed(OPTIONS, prompts=(), benign=(), judge=None, from_run="moved")
    train(made_db, "theirs", options)
    theirs, mine = read_guard(made_db, "theirs"), read_guard(made_db, "mine")
    rows = activations = np.random.default_rng(0).normal(size=(4, len(mine.neurons)))
    assert theirs.probabilities(activations) == pytest.approx(mine.probabilities(rows), abs=1e-3)
    assert theirs.facts["datasets"] == ["demo:harmful", "demo:benign"]
    assert theirs.template == mine.template
    with pytest.raises(InputError, match="20 answers to demo:harmful are judged harmful and 0 harmless"):
        train(made_db, "some", changed(options, prompts=SOURCE.prompts, threshold=-3.0))
    assert made_db.rows("SELECT count(*) FROM runs WHERE name = 'some'") == [(0,)]
    judge(made_db, "moved", ["refusal"])
    for changes, message in (
        ({}, "these judged it: demo:cost, refusal; name one with `judge`"),
        ({"judge": "x"}, "these judged it: demo:cost, refusal"),
        ({"judge": "demo:cost", "model": "demo:base"}, "is not the recipient model of 'moved': its files differ"),
        ({"judge": "demo:cost", "benign": ("demo:locate",)}, "patch run 'moved' has no prompts of demo:locate"),
        ({"from_run": "lost"}, "`from_run` lost: no run with answers of that name"),
        ({"from_run": "found"}, "`from_run` found: nobody judged it: use `snql judge` first"),
    ):
        with pytest.raises(InputError, match=message):
            train(made_db, "bad", changed(options, **changes))


def test_rewards_are_harmful_below_the_threshold(made_db: Database) -> None:
    found = train(made_db, "kind", changed(OPTIONS, judge="demo:reward", threshold=6.8, random=0, sizes=()))
    assert found.facts["higher_is"] == "better"
    labels = made_db.rows("SELECT label, score < 6.8 FROM guard_labels JOIN runs USING (run_id) WHERE name = 'kind'")
    assert all(label == below for label, below in labels)
    assert len(set(labels)) == 2
    assert found.says[-1] == "No random neurons were tried, so nothing shows what any neurons would do."


def test_one_kind_of_answers_is_one_line_and_a_failed_run(made_db: Database) -> None:
    options = changed(OPTIONS, prompts=("demo:harmful",), limit=4, benign=(), threshold=-5.0)
    with pytest.raises(
        RunError, match="4 answers to demo:harmful are judged harmful and 0 harmless: a guard needs"
    ) as e:
        train(made_db, "one", options)
    assert made_db.rows("SELECT status, error FROM runs WHERE name = 'one'") == [("failed", str(e.value))]
    assert made_db.rows("SELECT count(*) FROM guards JOIN runs USING (run_id) WHERE name = 'one'") == [(0,)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neurons": "lost:5%", "model": "nowhere"}, "no finished locate run 'lost'"),
        ({"neurons": "found:0"}, "`neurons` found:0 has no neurons"),
        ({"neurons": "found:1%..3%"}, "`sizes` takes the top of a ranking"),
        ({"neurons": "L1.N3"}, "`sizes` takes the top of a ranking"),
        ({"sizes": ("odd",)}, "`sweep` size 'odd' is not known|size 'odd'"),
        ({"judge": "lost"}, "no judge 'lost'"),
        ({"template": "odd"}, "`template` 'odd' is not known"),
        ({"model": "nowhere"}, "nowhere"),
    ],
)
def test_bad_input_writes_nothing(made_db: Database, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(made_db, "bad", changed(OPTIONS, **changes))
    assert made_db.rows("SELECT count(*) FROM runs WHERE name = 'bad'") == [(0,)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": (), "benign": ()}, "which prompts"),
        ({"judge": None}, "which judge"),
        ({"random": -1}, "`random` -1 is out of range: use 0 to"),
        ({"refuse_from": 1.5}, "`refuse_from` 1.5 is no probability"),
        ({"threshold": float("nan")}, "`threshold` nan is not a score"),
        ({"batch_size": 0}, "`batch_size` and `max_new_tokens` must be at least 1"),
        ({"batch_size": "many"}, "`batch_size` 'many' is not known"),
        ({"seed": -1}, "`seed` -1 is out of range"),
    ],
)
def test_options_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        changed(OPTIONS, **changes)


def test_sizes_are_of_each_layer_or_index_as_the_neurons_are(trained: Database) -> None:
    evaluator = Evaluator(trained, Shape(9, 256))
    for neurons, wanted, expected in (
        ("found:3%", ("1/layer",), "found:1/layer"),
        ("found:2/layer", ("1",), "found:1/layer"),
        ("found:2/index", ("1/layer", "1"), "found:1/layer"),
    ):
        sets = {each.neurons: each.members for each in make_plan(evaluator, neurons, wanted, 0).classifiers}
        assert list(sets)[:2] == [neurons, expected]
        assert all(sets[name] == evaluator.evaluate(name) for name in sets)


def test_controls_that_do_not_fit_are_left_out_and_said(trained: Database) -> None:
    plan = make_plan(Evaluator(trained, Shape(9, 256)), "found:60%", (), 2)
    assert [each.kind for each in plan.classifiers] == ["guard"]
    assert len(plan.left_out) == 4
    assert "no last-layer controls of found:60%: the last layer has" in plan.left_out[2]
    some = NeuronSet.of(Shape(2, 6), [(1, 0), (1, 1), (0, 3)])
    drawn = np.random.default_rng([1, 2, 1]).choice([8, 9, 10, 11], size=3, replace=False)
    assert random_last_layer(some, 1).ids.tolist() == sorted(drawn.tolist())
    full = NeuronSet.of(Shape(2, 6), [(1, n) for n in range(3)])
    assert random_last_layer(full, 1).ids.tolist() == [9, 10, 11]
    with pytest.raises(InputError, match="the last layer has 2 other neurons, not 4"):
        random_last_layer(NeuronSet.of(Shape(2, 6), [(1, n) for n in range(4)]), 1)


def test_prompts_that_ranked_the_neurons_are_left_out(made_db: Database) -> None:
    source = PromptOptions(("demo:locate",), limit=10)
    quick = changed(
        OPTIONS, prompts=source.prompts, limit=source.limit, random=0, sizes=(), threshold=0.0, max_new_tokens=8
    )
    found = train(made_db, "apart", quick)
    assert {each.dataset: each.overlapping for each in found.prompt_sets}["demo:locate"] == 8
    options = GuardOptions(
        model="demo:sft",
        neurons="found:1%",
        prompts=source,
        benign=("demo:benign",),
        judge="demo:cost",
        random=0,
        allow_overlap=True,
    )
    kept = train(made_db, "together", changed(options, max_new_tokens=8, plain=True, out=made_db.path.parent / "x"))
    assert {each.dataset: each.overlapping for each in kept.prompt_sets}["demo:locate"] == 0
    assert (kept.facts["plain"], kept.facts["c"]) == (True, 1.0)
    assert Guard.load(made_db.path.parent / "x").linear.scales.tolist() == [1.0] * len(
        read_guard(made_db, "together").neurons
    )


def test_a_full_path_is_no_guard(trained: Database, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no guard in .*empty: it has no guard.json"):
        load_guard(Database(tmp_path / "none.duckdb"), str(tmp_path / "empty"))


@pytest.mark.parametrize(("asks", "day"), [(None, None), ("", None), ("{{ strftime_now('%d %b %Y') }}", "2024-02-29")])
def test_a_guard_keeps_the_day_that_its_template_asked_for(tiny_llama: Path, asks: str | None, day: str | None) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.chat_template = None if asks is None else asks + "{{ messages[0].content }}"
    options = PromptOptions(("x",), template="plain" if asks is None else "chat")
    formatter = Formatter.of(options, tokenizer, day=dt.date(2024, 2, 29))
    format_prompts([RawPrompt("d", "Hi")], formatter)
    found = template_of(formatter)
    assert (found.template, found.chat_template, found.date) == (options.template, None, day)
    assert found.options == {} and not found.special_tokens


def test_labels_by_set(made_db: Database) -> None:
    """Whatever is answered: every prompt of a harmful set is harmful, and no other."""
    options = changed(OPTIONS, judge="by-set", threshold=0.0, max_new_tokens=1, sizes=(), limit=6)
    made = train(made_db, "sets", options)
    labels = made_db.frame(
        "SELECT benign, label FROM guard_labels JOIN runs USING (run_id) WHERE name = 'sets' AND kind = 'guard'"
    )
    assert labels.height == 12 and (labels["benign"] != labels["label"]).all()
    assert made.facts["judge"] == "by-set"
    found = testing.test(made_db, "sets", GuardTestOptions(prompts=SOURCE, benign=("demo:benign-edgy",)))
    assert found.scores["judge"].unique().to_list() == ["by-set"]


def test_a_judge_of_refusals_is_no_judge_of_harm(trained: Database) -> None:
    with pytest.raises(InputError, match="`judge` refusal:zou2023 calls every answer that is no refusal harmful"):
        changed(OPTIONS, judge="refusal:zou2023")
    with pytest.raises(InputError, match="`judge` by-set labels prompts by their sets: give harmful `prompts`"):
        changed(OPTIONS, judge="by-set", benign=())
    with pytest.raises(InputError, match="`judge` refusal calls every answer"):
        asked = GuardTestOptions(prompts=SOURCE, benign=("demo:benign-edgy",), judge="refusal", run="by-refusals")
        testing.test(trained, "mine", asked)
