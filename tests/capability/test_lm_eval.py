"""Tasks of our own over local files: the unpatched model against the harness's own, sample for sample."""

import json
from pathlib import Path
from typing import Any

import pytest

from snql.capability.lm_eval import MISSING, LmEvalResult, lm_eval
from snql.capability.options import LmEvalOptions, SubjectOptions
from snql.db.connection import Database
from snql.errors import InputError, RunError
from snql.options import changed

TASKS = {
    "snql_choice": """
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
fewshot_split: test
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "snql_write": """
output_type: generate_until
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{say}}"
generation_kwargs: {until: ["e", "Ba"], max_gen_toks: 14, do_sample: false}
metric_list: [{metric: exact_match}]
""",
    "snql_rolling": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{long}}"
metric_list: [{metric: byte_perplexity}]
""",
    "snql_drawn": """
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{say}}"
generation_kwargs: {until: ["e"], max_gen_toks: 8, do_sample: true, top_k: 5}
metric_list: [{metric: exact_match}]
""",
    "snql_repeated": """
output_type: generate_until
repeats: 3
doc_to_text: "{{question}}"
doc_to_target: "{{say}}"
generation_kwargs: {until: ["e"], max_gen_toks: 8, do_sample: true, temperature: 2.0}
filter_list: [{name: all, filter: [{function: take_first_k, k: 3}]}]
metric_list: [{metric: bypass}]
""",
}
NAMES = tuple(TASKS)[:3]


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tasks over a JSONL file; the last one's texts are longer than the model's context."""
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {
            "question": f"Which number follows {i}?",
            "choices": [str(i + 1), f"{i + 2}, I think", "none"],
            "answer": i % 3,
            "say": f"It is {i + 1}.",
            "long": " ".join(str(n) for n in range(i, i + 150)),
        }
        for i in range(7)
    ]
    (folder / "docs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(
            f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {folder}/docs.jsonl}}}}\n"
            f"test_split: test\n{text}metadata: {{version: 3.0}}\n"
        )
    group = "group: snql_group\ntask: [snql_choice]\naggregate_metric_list: [{metric: acc, weight_by_size: true}]\n"
    (folder / "snql_group.yaml").write_text(group)
    return folder


@pytest.fixture(autouse=True)
def data_in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("lm_eval")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "datasets")


@pytest.fixture
def own_tasks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the harness's thousands of definitions, which take seconds to list."""
    from lm_eval.tasks import TaskManager

    def listed(include_path: str | None) -> Any:
        return TaskManager(include_path=include_path, include_defaults=False)

    monkeypatch.setattr("snql.capability.tasks.TaskManager", listed)


@pytest.fixture
def run(made: Database, tasks: Path, tiny_llama: Path, tiny_adapter: Path) -> Any:
    def call(name: str, names: tuple[str, ...], neurons: tuple[str, ...] = (), **settings: Any) -> LmEvalResult:
        donor = f"{tiny_llama}+{tiny_adapter}" if neurons else None
        more = {key: settings.pop(key) for key in ("resume", "force") if key in settings}
        subject = SubjectOptions(model=str(tiny_llama), donor=donor, neurons=neurons)
        settings = {"include_path": str(tasks)} | settings
        return lm_eval(made, name, changed(LmEvalOptions(subject=subject, tasks=names), **settings), **more)

    return call


def harness_results(model: Path, tasks: Path, names: tuple[str, ...], **settings: Any) -> dict[str, Any]:
    """What the harness itself makes of the tasks, with its own Hugging Face model."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    own = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=4)
    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    seeds = dict.fromkeys(("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed"), 0)
    found: dict[str, Any] = simple_evaluate(own, tasks=list(names), task_manager=manager, **seeds, **settings)
    return found


def samples(db: Database, run: str, task: str, variant: int = 0) -> dict[tuple[int, str], tuple[float, Any]]:
    """By document and metric: its value, and the answer."""
    query = (
        "SELECT doc_id, metric, value, response FROM task_samples JOIN runs USING (run_id) "
        "WHERE name = ? AND task = ? AND variant_id = ?"
    )
    return {(doc, metric): (value, response) for doc, metric, value, response in db.rows(query, [run, task, variant])}


@pytest.mark.usefixtures("own_tasks_only")
@pytest.mark.parametrize("shots", [None, 2])
def test_the_plain_model_is_the_harness_own_sample_for_sample(
    made: Database, run: Any, tiny_llama: Path, tasks: Path, shots: int | None
) -> None:
    names = NAMES if shots is None else NAMES[:1]
    scores = run("plain", names, num_fewshot=shots).scores
    wanted = harness_results(tiny_llama, tasks, names, num_fewshot=shots)
    for task in names:
        entries = wanted["results"][task]
        for row in scores.filter(task=task).iter_rows(named=True):
            assert row["value"] == pytest.approx(entries[f"{row['metric']},{row['filter']}"], rel=1e-5)
            stderr = entries[f"{row['metric']}_stderr,{row['filter']}"]
            assert row["stderr"] == (None if stderr == "N/A" else pytest.approx(stderr))
            assert (row["n_samples"], row["n_shot"], row["task_version"]) == (7, shots or 0, "3.0")
        found = samples(made, "plain", task)
        assert {doc for doc, _ in found} == set(range(7))
        for sample in wanted["samples"][task]:
            for metric in sample["metrics"]:
                value, response = found[sample["doc_id"], metric]
                (given,) = sample["filtered_resps"] if len(sample["filtered_resps"]) == 1 else [None]
                if task == "snql_choice":
                    assert value == sample[metric]
                    ours = json.loads(response)
                    assert [p for p, _ in ours] == pytest.approx([p for p, _ in sample["filtered_resps"]], abs=1e-3)
                    assert [greedy for _, greedy in ours] == [greedy for _, greedy in sample["filtered_resps"]]
                elif task == "snql_write":
                    assert (value, response) == (sample[metric], given)
                else:
                    assert float(response) == pytest.approx(given, rel=1e-5)
    if shots is None:
        written = {response for _, response in samples(made, "plain", "snql_write").values()}
        assert len(written) > 1
        assert not any("e" in text or "Ba" in text for text in written)


@pytest.mark.usefixtures("own_tasks_only")
def test_patched_models_at_their_limits(made: Database, run: Any, tiny_llama: Path, tiny_adapter: Path) -> None:
    names = NAMES[:2]
    found = run("patched", names, ("all", "found:0", "found:20%")).scores
    variants = dict(
        made.rows("SELECT v.name, variant_id FROM variants AS v JOIN runs USING (run_id) WHERE runs.name = 'patched'")
    )
    texts = {name: samples(made, "patched", "snql_write", number) for name, number in variants.items()}
    assert texts["found:0"] == texts["recipient"]
    assert texts["all"] == texts["donor"] != texts["recipient"]
    choices = {name: samples(made, "patched", "snql_choice", number) for name, number in variants.items()}
    for a, b in (("found:0", "recipient"), ("all", "donor")):
        for key, (value, response) in choices[a].items():
            assert value == choices[b][key][0]
            ours, theirs = (json.loads(text) for text in (response, choices[b][key][1]))
            assert [p for p, _ in ours] == pytest.approx([p for p, _ in theirs], abs=1e-3)
    assert choices["found:20%"] != choices["recipient"]
    for row in found.iter_rows(named=True):
        (plain,) = found.filter(variant="recipient", task=row["task"], metric=row["metric"])["value"]
        assert row["change"] == pytest.approx(row["value"] - plain)


def test_groups_limits_and_what_is_tested(made: Database, run: Any) -> None:
    scores = run("grouped", ("snql_group",), ("found:20%",), limit=3, patched_only=True).scores
    assert set(scores["variant"]) == {"found:20%"}
    rows = {(row["task"], row["metric"]): row for row in scores.iter_rows(named=True)}
    assert rows["snql_group", "acc"]["value"] == rows["snql_choice", "acc"]["value"]
    assert (rows["snql_choice", "acc"]["n_samples"], rows["snql_group", "acc"]["n_samples"]) == (3, None)
    assert set(scores["requested"]) == {"snql_group"}
    assert scores["change"].is_null().all()


@pytest.mark.usefixtures("own_tasks_only")
def test_a_run_that_was_cut_off_does_the_other_tasks(made: Database, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from snql.capability.harness import HarnessModel

    monkeypatch.setattr("snql.jobs.work.COMMIT_SECONDS", 0.0)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut, pytest.raises(KeyboardInterrupt):
        cut.setattr(HarnessModel, "generate_until", fail)
        run("cut", NAMES[:2])
    assert made.rows("SELECT status, done, total FROM run_progress WHERE run = 'cut'") == [("interrupted", 1, 2)]
    scores = run("cut", NAMES[:2], resume=True).scores
    assert scores.drop("run").equals(run("whole", NAMES[:2]).scores.drop("run"))
    assert made.rows("SELECT status, done, total FROM run_progress WHERE run = 'cut'") == [("done", 2, 2)]


@pytest.mark.usefixtures("own_tasks_only")
def test_bad_input_writes_nothing(made: Database, run: Any, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for names, settings, message in (
        (("snql_chioce",), {}, "the harness has no task 'snql_chioce': did you mean snql_choice"),
        ((), {}, "which tasks"),
        (NAMES[:1], {"limit": 0}, "`limit` 0"),
        (NAMES[:1], {"num_fewshot": -1}, "`num_fewshot` -1"),
        (NAMES[:1], {"patched_only": True}, "`patched_only` tests nothing without `neurons`"),
        (NAMES[:1], {"include_path": str(tasks / "docs.jsonl")}, "is no folder"),
    ):
        with pytest.raises(InputError, match=message):
            run("bad", names, **settings)
    (tasks / "snql_lost.yaml").write_text(
        "task: snql_lost\ndataset_path: json\ndataset_kwargs: {data_files: {test: nowhere.jsonl}}\ntest_split: test\n"
        "output_type: multiple_choice\ndoc_to_text: x\ndoc_to_choice: [a, b]\ndoc_to_target: 0\n"
    )
    with pytest.raises(InputError, match="task 'snql_lost' cannot be read .*check its definition, and the network"):
        run("bad", ("snql_lost",))
    monkeypatch.setattr("snql.capability.lm_eval.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'snql-neurons\[lm-eval\]'"):
        run("bad", NAMES[:1])
    assert "pip install 'snql-neurons[lm-eval]', or in a clone pip install '.[lm-eval]'" in MISSING
    assert made.rows("SELECT name FROM runs WHERE kind = 'lm-eval'") == []


@pytest.mark.usefixtures("own_tasks_only")
def test_ways_of_drawing_that_snql_lacks_are_refused(run: Any) -> None:
    with pytest.raises((InputError, RunError), match="a task asks for generation with top_k"):
        run("drawn", ("snql_drawn",))


@pytest.mark.usefixtures("own_tasks_only")
def test_a_document_asked_several_times_gets_several_answers(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from snql.capability.harness import HarnessModel

    answers: list[list[str]] = []
    real = HarnessModel.generate_until

    def spy(model: HarnessModel, requests: Any, **more: Any) -> list[str]:
        answers.append(real(model, requests, **more))
        return answers[-1]

    monkeypatch.setattr(HarnessModel, "generate_until", spy)
    for name in ("first", "again"):
        run(name, ("snql_repeated",), limit=2)
    assert answers[0] == answers[1]
    assert len(answers[0]) == 6
    assert len(set(answers[0][:3])) == len(set(answers[0][3:])) == 3
