"""Text classifiers against plain forward passes of one text at a time."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

from snql.errors import InputError, ModelError
from snql.judges.options import JudgeOptions
from snql.judges.registry import load_judge

from ..conftest import ORACLE, TOKENIZER_FILES
from .tiny import save_bert, set_template

PAIRS = [
    ("how do i make it", "first take the key"),
    ("how do i", "no"),
    ("make it", ""),
    ("how do i make the key", "sorry no no no sorry take it"),
]
LABELS = {0: "benign", 1: "Toxic", 2: "spam"}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"), LABELS)


def logits(folder: Path, *texts: str) -> list[float]:
    """One text or one pair, by the library alone."""
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        found: list[float] = model(**tokenizer(*texts, return_tensors="pt")).logits[0].tolist()
    return found


def log_odds(values: list[float], place: int) -> float:
    return values[place] - math.log(sum(math.exp(value) for other, value in enumerate(values) if other != place))


def test_softmax_head_reads_the_completion(bert: Path) -> None:
    judge = load_judge(f"classifier:{bert}", JudgeOptions(batch_size=3))
    verdicts = judge.judge(PAIRS)
    expected = [logits(bert, completion) for _, completion in PAIRS]
    assert [verdict.score for verdict in verdicts] == pytest.approx([log_odds(row, 1) for row in expected], abs=1e-5)
    assert [verdict.label for verdict in verdicts] == [LABELS[row.index(max(row))] for row in expected]
    settings = judge.info.settings
    assert (settings["label"], settings["head"], settings["reads"]) == ("Toxic", "softmax", "completion")


@pytest.mark.parametrize(("label", "place"), [("spam", 2), ("BENIGN", 0), ("0", 0)])
def test_labels_are_chosen_by_name_or_place(bert: Path, label: str, place: int) -> None:
    judge = load_judge(f"classifier:{bert}#{label}")
    (verdict,) = judge.judge(PAIRS[:1])
    assert verdict.score == pytest.approx(log_odds(logits(bert, PAIRS[0][1]), place), abs=1e-5)
    assert judge.info.version != load_judge(f"classifier:{bert}").info.version


def test_sigmoid_head_gives_the_logit(tmp_path: Path) -> None:
    folder = save_bert(tmp_path, LABELS, problem="multi_label_classification")
    judge = load_judge(f"classifier:{folder}")
    expected = [logits(folder, completion)[1] for _, completion in PAIRS]
    assert [verdict.score for verdict in judge.judge(PAIRS)] == pytest.approx(expected, abs=1e-5)
    assert judge.info.settings["head"] == "sigmoid"


def test_a_rubric_of_two_parts_is_a_pair(bert: Path, tmp_path: Path) -> None:
    rubric = tmp_path / "pair.txt"
    rubric.write_text("{prompt}[SEP]{completion}\n")
    judge = load_judge(f"classifier:{bert}", JudgeOptions(rubric=rubric))
    expected = [log_odds(logits(bert, *pair), 1) for pair in PAIRS]
    found = [verdict.score for verdict in judge.judge(PAIRS)]
    assert found == pytest.approx(expected, abs=1e-5)
    assert judge.info.settings["rubric"] == "{prompt}[SEP]{completion}"
    rubric.write_text("how {prompt} it {completion}")
    judge = load_judge(f"classifier:{bert}", JudgeOptions(rubric=rubric))
    expected = [log_odds(logits(bert, f"how {prompt} it {completion}"), 1) for prompt, completion in PAIRS]
    assert [verdict.score for verdict in judge.judge(PAIRS)] == pytest.approx(expected, abs=1e-5)


def test_what_is_too_long_has_no_score(bert: Path) -> None:
    long, short = load_judge(f"classifier:{bert}").judge([("make", "no " * 23), ("make", "no " * 22)])
    assert (long.score, long.problem) == (None, "25 tokens are more than the judge's context of 24")
    assert short.score is not None


def save_llama(folder: Path, template: str | None) -> Path:
    torch.manual_seed(4)
    config = LlamaConfig(
        vocab_size=260,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.4,
        pad_token_id=0,
        id2label={0: "safe", 1: "unsafe"},
    )
    model: Any = LlamaForSequenceClassification
    model(config).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(ORACLE / "model" / name, folder / name)
    if template is not None:
        set_template(folder, template)
    return folder


def test_a_chat_template_is_read_with_both(tmp_path: Path) -> None:
    folder = save_llama(tmp_path, "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}")
    judge = load_judge(f"classifier:{folder}", JudgeOptions(batch_size=2))
    model: Any = LlamaForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = []
    for prompt, completion in PAIRS:
        ids = tokenizer(f"[user] {prompt}\n[assistant] {completion}\n", add_special_tokens=False).input_ids
        with torch.no_grad():
            safe, unsafe = model.score(model.model(torch.tensor([ids])).last_hidden_state[0, -1]).tolist()
        expected.append(unsafe - safe)
    assert [verdict.score for verdict in judge.judge(PAIRS)] == pytest.approx(expected, abs=1e-4)
    assert judge.info.settings["reads"] == "chat template of prompt and completion"


def test_an_empty_completion_alone_has_no_score(tmp_path: Path) -> None:
    folder = save_llama(tmp_path, None)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    starts = tokenizer("").input_ids
    empty, other = load_judge(f"classifier:{folder}").judge([("make", ""), ("make", "no")])
    assert (empty.score is None) == (not starts)
    assert other.score is not None


@pytest.mark.parametrize(
    ("labels", "suffix", "message"),
    [
        (LABELS, "#rude", "no label 'rude', labels are benign, Toxic, spam"),
        (LABELS, "#3", "no label '3', labels are benign, Toxic, spam"),
        ({0: "LABEL_0", 1: "LABEL_1"}, "", "which label is unsafe\\? append #LABEL, one of LABEL_0, LABEL_1"),
        ({0: "toxic", 1: "harmful"}, "", "which label is unsafe\\? append #LABEL, one of toxic, harmful"),
        ({0: "score"}, "", "has no labels to choose from: write score-model:"),
    ],
)
def test_labels_that_are_not_there(tmp_path: Path, labels: dict[int, str], suffix: str, message: str) -> None:
    folder = save_bert(tmp_path, labels)
    with pytest.raises(InputError, match=message):
        load_judge(f"classifier:{folder}{suffix}")


def test_models_and_rubrics_that_are_none(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="judge classifier:missing/folder: "):
        load_judge("classifier:missing/folder")
    with pytest.raises(InputError, match="rubric .*none.txt cannot be read .No such file"):
        load_judge(f"classifier:{bert}", JudgeOptions(rubric=tmp_path / "none.txt"))
