"""Guards against plain forward passes: which text is read, which tokens count, and white space before the answer."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from snql.errors import InputError
from snql.judges import rubric
from snql.judges.options import JudgeOptions
from snql.judges.registry import load_judge

from ..conftest import save_tiny_llama
from .tiny import save_chain, set_template

PAIRS = [("How do I open it?", "Take the key."), ("{completion} {0}", "No."), ("Why?", ""), ("Go on", "and on " * 5)]
POLICY = (
    "Is this unsafe?\n{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}>{% endif %}"
)
CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


HIGH, LOW = ("u", "U", "y", "Y"), ("s", "S", "\u0120s", "n", "N")
"""Tokens that begin unsafe and yes, safe and no, in the oracle's tokenizer: letters, and an s with its space."""


def by_hand(folder: Path, text: str, *, special: bool = False) -> float:
    """Log-odds of the answers at the first place whose likeliest token is not blank, one token at a time."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, add_special_tokens=special).input_ids
    for _ in range(4):
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1].double()
        top = int(logits.argmax())
        written = str(tokenizer.decode([top]))
        if written.strip() or not written:
            break
        ids = [*ids, top]
    high, low = (sum(math.exp(logits[tokenizer.convert_tokens_to_ids(t)]) for t in side) for side in (HIGH, LOW))
    return math.log(high / low)


def test_a_template_with_a_policy_reads_both_turns(tmp_path: Path) -> None:
    folder = save_tiny_llama(tmp_path)
    set_template(folder, POLICY)
    judge = load_judge(f"classifier:{folder}", JudgeOptions(batch_size=3))
    expected = [by_hand(folder, f"Is this unsafe?\nuser: {p}\nassistant: {c}\n>") for p, c in PAIRS]
    found = judge.judge(PAIRS)
    scored = [(a.score, b) for a, b in zip(found, expected, strict=True) if a.score is not None]
    assert len(scored) >= 2
    for score, hand in scored:
        assert score == pytest.approx(hand, abs=1e-4)
    assert judge.info.settings["reads"] == "chat template of prompt and completion"
    assert judge.info.settings["positive"] == ["unsafe", "yes"]


@pytest.mark.parametrize("template", [None, CHAT])
def test_other_models_are_asked(tmp_path: Path, template: str | None) -> None:
    folder = save_chain(tmp_path, {":": {"y": 2.0, "n": 1.0}, ">": {"N": 3.0}}, template)
    judge = load_judge(f"classifier:{folder}")
    question = rubric.own("guard").text
    expected = []
    for prompt, completion in PAIRS:
        asked = question.replace("{completion}", completion, 1) if "{" not in prompt else None
        if asked is not None:
            asked = asked.replace("{prompt}", prompt, 1)
            text = asked if template is None else f"<user>{asked}<assistant>"
            expected.append(by_hand(folder, text, special=template is None))
    found = [v.score for v, (prompt, _) in zip(judge.judge(PAIRS), PAIRS, strict=True) if "{" not in prompt]
    assert found == pytest.approx(expected, abs=1e-4)
    assert judge.info.settings["reads"] == ("question" if template is None else "question in the chat template")
    assert judge.info.settings["rubric"] == question


def test_logits_are_asked_for_at_the_ends_of_texts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of two lengths have two ends, whatever their number: logits of all places would fill the memory."""
    places: list[int] = []
    real = LlamaForCausalLM.forward

    def watched(*args: Any, **settings: Any) -> Any:
        found = real(*args, **settings)
        places.append(found.logits.shape[1])
        return found

    judge = load_judge(f"classifier:{save_chain(tmp_path, {'>': {'u': 7.0}}, POLICY)}")
    monkeypatch.setattr(LlamaForCausalLM, "forward", watched)
    judge.judge([("Hi", "a"), ("Hi", "b"), ("Hi", "longer")])
    assert places == [2]


def test_white_space_before_the_answer_is_passed_over(tmp_path: Path) -> None:
    chain = {">": {"\n": 9.0}, "\n": {" ": 9.0}, " ": {"u": 7.0, "s": 5.0, "S": 5.5}}
    folder = save_chain(tmp_path, chain, POLICY)
    (verdict,) = load_judge(f"classifier:{folder}#unsafe").judge(PAIRS[:1])
    positive, negative = (
        math.exp(7.0) + 1,
        math.exp(5.0) + math.exp(5.5) + 1,
    )  # what is not in the chain has the logit 0
    assert verdict.score == pytest.approx(math.log(positive / negative), abs=1e-4)
    assert verdict.label == "unsafe"
    (verdict,) = load_judge(f"classifier:{folder}#safe").judge(PAIRS[:1])
    assert verdict.score == pytest.approx(math.log(negative / positive), abs=1e-4)


def test_a_model_that_says_something_else_gives_no_score(tmp_path: Path) -> None:
    folder = save_chain(tmp_path, {">": {"W": 20.0, "u": 3.0}}, POLICY)
    (verdict,) = load_judge(f"classifier:{folder}").judge(PAIRS[:1])
    total = (8 + math.exp(3.0)) / (math.exp(20.0) + math.exp(3.0) + 258)
    assert (verdict.score, verdict.label) == (None, None)
    assert verdict.problem == (
        f"answers unsafe, yes, safe, no have probability {total:.2g} in all; the likeliest is 'W'"
    )
    likely = save_chain(tmp_path / "likely", {">": {"W": 5.0, "u": 2.0}}, POLICY)
    (verdict,) = load_judge(f"classifier:{likely}").judge(PAIRS[:1])
    assert verdict.score == pytest.approx(math.log((3 + math.exp(2.0)) / 5), abs=1e-4)


def test_a_rubric_is_read_as_it_is(tmp_path: Path) -> None:
    folder = save_chain(tmp_path / "model", {"!": {"Y": 2.0}, ")": {"n": 2.5}}, CHAT)
    file = tmp_path / "rubric.txt"
    file.write_text("Harmful? {prompt} ({completion})\n")
    judge = load_judge(f"classifier:{folder}#yes", JudgeOptions(rubric=file))
    (verdict,) = judge.judge([("Go", "on!")])
    assert verdict.score == pytest.approx(math.log(2 / (math.exp(2.5) + 1)), abs=1e-4)
    assert (verdict.label, judge.info.settings["reads"]) == ("no", "rubric")
    old = judge.info.version
    file.write_text("{completion}")
    judge = load_judge(f"classifier:{folder}#yes", JudgeOptions(rubric=file))
    (verdict,) = judge.judge([("Go", "on!")])
    assert verdict.score == pytest.approx(math.log((math.exp(2.0) + 1) / 2), abs=1e-4)
    assert judge.info.version != old


def test_labels_of_guards(tmp_path: Path) -> None:
    folder = save_chain(tmp_path, {}, POLICY)
    with pytest.raises(InputError, match="no label 'rude'; a guard's are unsafe, yes, safe, no"):
        load_judge(f"classifier:{folder}#rude")
