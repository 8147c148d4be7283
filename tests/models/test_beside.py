"""What lies beside an adapter is said, and its end token ends completions; end tokens of two models are both."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from snql.generation.decode import generate
from snql.models.load import load_models
from snql.models.options import LoadOptions

from ..conftest import TOKENIZER_FILES, save_tiny_llama
from .test_against_peft import lora, save

CPU = LoadOptions(device="cpu", verify=False)


@pytest.fixture
def adapter(tiny_llama: Path, tmp_path: Path) -> Path:
    """An adapter with a copy of its base's tokenizer beside it."""
    folder = save(tiny_llama, tmp_path / "tuned", lora())
    for name in TOKENIZER_FILES:
        if (tiny_llama / name).is_file():
            shutil.copy(tiny_llama / name, folder / name)
    return folder


def settings(folder: Path, **changes: Any) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_same_tokenizer_is_nothing_to_say(tiny_llama: Path, adapter: Path) -> None:
    model = load_models({"m": f"{tiny_llama}+{adapter}"}, CPU)["m"]
    assert model.notes == ()
    assert model.base.end_ids == load_models({"m": str(tiny_llama)}, CPU)["m"].base.end_ids


def test_a_chat_template_of_its_own(tiny_llama: Path, adapter: Path) -> None:
    settings(adapter, chat_template="{{ messages[0].content }}")
    (note,) = load_models({"m": f"{tiny_llama}+{adapter}"}, CPU)["m"].notes
    start = f"adapter {adapter} was saved with another chat template than its base's, which is used only where"
    assert note == f"{start} it is named: `template` {adapter / 'tokenizer_config.json'} puts prompts into it"
    (adapter / "chat_template.jinja").write_text("{{ messages[0].content }}!")
    (note,) = load_models({"m": f"{tiny_llama}+{adapter}"}, CPU)["m"].notes
    assert f"`template` {adapter / 'chat_template.jinja'} puts" in note


def test_a_chat_template_among_named_ones(tiny_llama: Path, adapter: Path) -> None:
    settings(adapter, chat_template=[{"name": "default", "template": "{{ messages[0].content }}"}])
    assert "another chat template" in load_models({"m": f"{tiny_llama}+{adapter}"}, CPU)["m"].notes[0]


def test_an_end_token_of_its_own_ends_completions_of_all(tiny_llama: Path, adapter: Path) -> None:
    """Both models write until either's end: what they write is compared."""
    before = load_models({"m": str(tiny_llama)}, CPU)["m"]
    prompt = [1, 114, 138]
    written = generate(before, [prompt], 12)[0].token_ids
    end = next(token for token in written if token not in before.base.end_ids)
    settings(adapter, eos_token=before.base.tokenizer.convert_ids_to_tokens([end])[0])
    models = load_models({"before": str(tiny_llama), "after": f"{tiny_llama}+{adapter}"}, CPU)
    assert models["before"].base.end_ids == before.base.end_ids | {end}
    assert generate(models["before"], [prompt], 12)[0].token_ids == written[: written.index(end) + 1]
    assert "completions end at it, too" in models["after"].notes[0]


def test_an_end_token_that_the_base_does_not_have(tiny_llama: Path, adapter: Path) -> None:
    settings(adapter, eos_token={"content": "<|done|>", "special": True})
    model = load_models({"m": f"{tiny_llama}+{adapter}"}, CPU)["m"]
    assert "was saved with the end token '<|done|>', which its base's vocabulary does not have" in model.notes[0]


def test_a_vocabulary_of_its_own(tiny_llama: Path, adapter: Path) -> None:
    tokenizer = json.loads((adapter / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.get)[100:102]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (adapter / "tokenizer.json").write_text(json.dumps(tokenizer))
    model = load_models({"m": f"{tiny_llama}+{adapter}"}, CPU)["m"]
    assert "was saved with another vocabulary than its base's (" in model.notes[0]


def test_end_tokens_of_two_models(tiny_llama: Path, tmp_path: Path) -> None:
    """As of a base model and its chat model."""
    chat = save_tiny_llama(tmp_path / "chat", seed=3)
    known = load_models({"m": str(tiny_llama)}, CPU)["m"].base
    (end,) = known.end_ids
    other = next(token for token in range(200, 260) if token != end)
    settings(chat, eos_token=known.tokenizer.convert_ids_to_tokens([other])[0])
    config = json.loads((chat / "generation_config.json").read_text()) | {"eos_token_id": other}
    (chat / "generation_config.json").write_text(json.dumps(config))
    models = load_models({"before": str(tiny_llama), "after": str(chat)}, CPU)
    assert models["before"].base.end_ids == models["after"].base.end_ids == {end, other}
    (note,) = models["before"].notes
    assert note.startswith("the models' end tokens differ (before: ")
    assert note.endswith("): a completion ends at any of them")


def test_other_special_tokens_around_a_text(tiny_llama: Path, tmp_path: Path) -> None:
    bare = save_tiny_llama(tmp_path / "bare", seed=3)
    tokenizer = json.loads((bare / "tokenizer.json").read_text())
    (bare / "tokenizer.json").write_text(json.dumps(tokenizer | {"post_processor": None}))
    (note,) = load_models({"before": str(tiny_llama), "after": str(bare)}, CPU)["after"].notes
    assert note.startswith("the models' tokenizers put other special tokens around a text (before: <s> a, after: a)")
