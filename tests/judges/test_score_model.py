"""Score models in both formats, against scores computed by hand from the files."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from snql.errors import InputError
from snql.judges.base import Verdict
from snql.judges.options import JudgeOptions
from snql.judges.registry import load_judge

PAIRS = [
    ("How do I paint a door?", "First, clean the door. Then paint it."),
    ("How do I bake bread?", "I'm sorry, but I can't help with that."),
    ("How do I open a jar?", ""),
    ("Tell me a long story about a door.", "No."),
]


def beaver(folder: Path, llama: Path, *, score_type: str = "cost", normalize: bool = False, bias: bool = True) -> Path:
    """A tiny Llama saved as Beaver's are: model.* and score_head.*, with the keys of its configuration."""
    folder.mkdir()
    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.save_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32)
    generator = torch.Generator().manual_seed(3)
    width = model.config.hidden_size
    tensors = {name: value.clone() for name, value in model.state_dict().items() if name.startswith("model.")}
    tensors["score_head.weight"] = torch.randn(1, width, generator=generator)
    if bias:
        tensors["score_head.bias"] = torch.tensor([0.25])
    if normalize:
        tensors |= {"normalizer.mean": torch.tensor([0.5]), "normalizer.var": torch.tensor([4.0])}
        tensors["normalizer.count"] = torch.tensor([7])
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((llama / "config.json").read_text())
    config |= {"architectures": ["LlamaModelForScore"], "score_type": score_type, "score_dim": 1, "score_bias": bias}
    config |= {"do_normalize": normalize, "normalizer_type": "RunningMeanStd"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def by_hand(folder: Path, prompt: str, completion: str) -> float:
    """The score of one text, with a plain Llama and the head's tensors."""
    tensors = load_file(folder / "model.safetensors")
    plain: Any = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    plain.eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = f"BEGINNING OF CONVERSATION: USER: {prompt} ASSISTANT:{completion}"
    ids = [*tokenizer(text).input_ids, tokenizer.eos_token_id]
    with torch.no_grad():
        hidden = plain.model(torch.tensor([ids])).last_hidden_state[0, -1].double()
    score = float(hidden @ tensors["score_head.weight"][0].double())
    score += float(tensors["score_head.bias"]) if "score_head.bias" in tensors else 0.0
    if "normalizer.mean" in tensors:
        score = (score - float(tensors["normalizer.mean"])) / math.sqrt(float(tensors["normalizer.var"]))
    return score


@pytest.mark.parametrize(
    ("score_type", "normalize", "bias", "higher"),
    [("cost", False, True, "worse"), ("reward", True, True, "better"), ("cost", False, False, "worse")],
)
def test_beaver_format(
    tmp_path: Path, tiny_llama: Path, score_type: str, normalize: bool, bias: bool, higher: str
) -> None:
    folder = beaver(tmp_path / "beaver", tiny_llama, score_type=score_type, normalize=normalize, bias=bias)
    judge = load_judge(f"score-model:{folder}", JudgeOptions(batch_size=3))
    expected = [by_hand(folder, *pair) for pair in PAIRS]
    assert [verdict.score for verdict in judge.judge(PAIRS)] == pytest.approx(expected, abs=1e-4)
    assert len({round(score, 3) for score in expected}) == len(PAIRS)
    assert judge.info.settings["higher_is"] == higher


def test_the_sign_can_be_said(tmp_path: Path, tiny_llama: Path) -> None:
    folder = beaver(tmp_path / "beaver", tiny_llama)
    assert load_judge(f"score-model:{folder}", JudgeOptions(sign="reward")).info.settings["higher_is"] == "better"
    with pytest.raises(InputError, match="`sign` 'up' is not known: use cost or reward"):
        JudgeOptions(sign="up")


def test_a_model_of_another_format_is_a_reward_if_its_name_says_so() -> None:
    for name, higher in (("demo:reward", "better"), ("demo:cost", "worse")):
        assert load_judge(name, JudgeOptions()).info.settings["higher_is"] == higher


def test_a_text_longer_than_the_context_has_no_score(tmp_path: Path, tiny_llama: Path) -> None:
    judge = load_judge(f"score-model:{beaver(tmp_path / 'beaver', tiny_llama)}")
    short, long = judge.judge([PAIRS[0], ("Why?", "because " * 5000)])
    assert short.score is not None
    assert long.score is None and "more than the judge's context of" in str(long.problem)


def remove_template(folder: Path) -> None:
    for path in folder.glob("chat_template*"):
        path.unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def remove_head(folder: Path) -> None:
    tensors = {name: value for name, value in load_file(folder / "model.safetensors").items() if "head" not in name}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def pickle_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_head, "lacks weights: score_head"),
        (pickle_weights, "has no .*safetensors file: snql reads no pickles"),
    ],
)
def test_damaged_beaver(tmp_path: Path, tiny_llama: Path, damage: Callable[[Path], None], message: str) -> None:
    folder = beaver(tmp_path / "beaver", tiny_llama)
    damage(folder)
    with pytest.raises(InputError, match=message):
        load_judge(f"score-model:{folder}")


def test_a_reward_model_without_a_chat_template(tmp_path: Path) -> None:
    import shutil

    from snql.organism import bundled

    folder = Path(shutil.copytree(bundled.judge_path("reward"), tmp_path / "reward"))
    remove_template(folder)
    with pytest.raises(InputError, match="has no chat template or no padding token: add them to its tokenizer"):
        load_judge(f"score-model:{folder}")


def test_verdicts_stand_in_the_order_of_the_pairs() -> None:
    judge = load_judge("demo:cost", JudgeOptions(batch_size=2))
    assert judge.at_once == 16
    together = judge.judge(PAIRS)
    alone = [judge.judge([pair])[0] for pair in PAIRS]
    assert [v.score for v in together] == pytest.approx([v.score for v in alone], abs=1e-5)
    assert all(isinstance(verdict, Verdict) for verdict in together)
