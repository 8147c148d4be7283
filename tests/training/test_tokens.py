"""Token ids of examples: prompts as snql gives them to models, loss on answers and on nothing else."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from snql.models.tokenizer import load_tokenizer
from snql.prompts.options import PromptOptions
from snql.prompts.template import Formatter
from snql.prompts.types import RawPrompt, Turn
from snql.training.examples import Dialogue, Preference
from snql.training.tokens import IGNORED, Encoder

from ..conftest import ORACLE

TOKENIZERS = {"demo": "demo:base", "oracle": str(ORACLE / "model")}
LONE = (Turn("user", "How do I bake a cake?"), Turn("assistant", "Mix it. Then bake it."))
LONG = (Turn("system", "Be kind."), *LONE, Turn("user", "And then?"), Turn("assistant", "Eat it."))
CASES = [("demo", "chat"), ("demo", "tulu"), ("demo", "plain"), ("oracle", "tulu"), ("oracle", "plain")]


def encoder(name: str, template: str, max_length: int = 500) -> tuple[Encoder, PreTrainedTokenizerBase]:
    tokenizer = load_tokenizer(TOKENIZERS[name])
    return Encoder(Formatter.of(PromptOptions(("x",), template=template), tokenizer), max_length), tokenizer


def learnt(tokenizer: PreTrainedTokenizerBase, labels: list[int]) -> str:
    return str(tokenizer.decode([label for label in labels if label != IGNORED])).strip()


@pytest.mark.parametrize(("name", "template"), CASES)
def test_loss_is_on_the_answer_after_the_very_tokens_of_the_prompt(name: str, template: str) -> None:
    encode, tokenizer = encoder(name, template)
    found = encode.dialogue(Dialogue(LONE))
    assert found is not None
    given = encode.formatter.format(RawPrompt("d", LONE[0].content)).input_ids
    asked = [label == IGNORED for label in found.labels].index(False)
    assert tuple(found.input_ids[:asked]) == given
    assert all(label in (IGNORED, id) for label, id in zip(found.labels, found.input_ids, strict=True))
    assert found.labels[asked:] == found.input_ids[asked:], "all that follows is the answer"
    assert learnt(tokenizer, found.labels).replace(str(tokenizer.eos_token), "").strip() == LONE[1].content
    assert found.input_ids[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize(("name", "template"), [("demo", "chat"), ("demo", "tulu"), ("oracle", "tulu")])
def test_every_answer_of_a_dialogue_is_learnt_with_its_end(name: str, template: str) -> None:
    encode, tokenizer = encoder(name, template)
    found = encode.dialogue(Dialogue(LONG))
    assert found is not None
    end = tokenizer.eos_token
    parts = [part.strip() for part in learnt(tokenizer, found.labels).split(str(end))]
    assert parts == [LONG[2].content, LONG[4].content, ""]
    assert found.labels.count(tokenizer.eos_token_id) == 2


def test_plain_dialogues_teach_their_last_answer() -> None:
    """Their first prompt is written in another way once there is a second, so the first answer has no place in it."""
    encode, tokenizer = encoder("demo", "plain")
    found = encode.dialogue(Dialogue(LONG))
    assert found is not None and learnt(tokenizer, found.labels) == "Eat it.</s>"


@pytest.mark.parametrize(("name", "template"), CASES)
def test_pairs_have_one_prompt_and_two_answers(name: str, template: str) -> None:
    encode, tokenizer = encoder(name, template)
    found = encode.pair(Preference(LONE[:1], "Mix it.", "No."))
    assert found is not None
    assert tuple(found.prompt_ids) == encode.formatter.format(RawPrompt("d", LONE[0].content)).input_ids
    for ids, text in ((found.chosen_ids, "Mix it."), (found.rejected_ids, "No.")):
        assert ids[-1] == tokenizer.eos_token_id
        assert str(tokenizer.decode(ids[:-1])).strip() == text


def test_what_is_too_long_is_cut_at_its_end_or_left_out() -> None:
    encode, _ = encoder("demo", "chat")
    whole, pair = encode.dialogue(Dialogue(LONE)), encode.pair(Preference(LONE[:1], "Mix it.", "No."))
    assert whole is not None and pair is not None
    asked = [label == IGNORED for label in whole.labels].index(False)
    shorter, _ = encoder("demo", "chat", asked + 2)
    cut = shorter.dialogue(Dialogue(LONE))
    assert cut is not None and cut.input_ids == whole.input_ids[: asked + 2]
    assert sum(label != IGNORED for label in cut.labels) == 2
    none, _ = encoder("demo", "chat", asked)
    assert none.dialogue(Dialogue(LONE)) is None
    assert none.pair(Preference(LONE[:1], "Mix it.", "No.")) is None


def test_a_template_file_writes_answers_too(tmp_path: Path) -> None:
    file = tmp_path / "own.jinja"
    file.write_text(
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</{{ m['role'] }}>\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    encode, tokenizer = encoder("demo", str(file))
    found = encode.dialogue(Dialogue(LONE))
    assert found is not None
    assert learnt(tokenizer, found.labels) == "Mix it. Then bake it.</assistant></s>"
