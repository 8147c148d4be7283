"""Models whose rotary frequencies depend on the length of a pass are read only where they do not."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
)

import snql
from snql.db.connection import Database
from snql.errors import InputError, RunError
from snql.generation.decode import generate
from snql.models.context import Context, shortest
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions

from ..conftest import ORACLE, TOKENIZER_FILES

ORIGINAL = 32
SIZES: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LONG = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [1.0, 1.7, 3.0, 8.0],
    "factor": 16.0,
    "original_max_position_embeddings": ORIGINAL,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}


def phi3() -> Any:
    config = Phi3Config(
        **SIZES, max_position_embeddings=512, original_max_position_embeddings=ORIGINAL, rope_parameters=dict(LONG)
    )
    return Phi3ForCausalLM(config)


def dynamic() -> Any:
    return LlamaForCausalLM(LlamaConfig(**SIZES, max_position_embeddings=ORIGINAL, rope_parameters=dict(DYNAMIC)))


def layered() -> Any:
    """Rotary embeddings by the type of layer: those of the full layers change with the length."""
    parameters = {"full_attention": dict(LONG), "sliding_attention": dict(PLAIN)}
    config = Gemma3TextConfig(
        **SIZES,
        head_dim=8,
        max_position_embeddings=512,
        sliding_window=16,
        rope_parameters=parameters,
        layer_types=["sliding_attention", "full_attention"],
    )
    return Gemma3ForCausalLM(config)


MADE = {"phi3": phi3, "dynamic": dynamic, "layered": layered}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for name, make in MADE.items():
        torch.manual_seed(3)
        found[name] = tmp_path_factory.mktemp(name)
        make().save_pretrained(found[name])
        for file in TOKENIZER_FILES:
            shutil.copy(ORACLE / "model" / file, found[name] / file)
    return found


def load(folder: Path) -> LoadedModel:
    return load_models({"before": str(folder)}, LoadOptions(device="cpu"))["before"]


@pytest.mark.parametrize(("name", "rope"), [("phi3", "longrope"), ("dynamic", "dynamic"), ("layered", "longrope")])
def test_the_context_ends_where_frequencies_change(folders: dict[str, Path], name: str, rope: str) -> None:
    model = load(folders[name])
    assert model.base.context == Context(ORIGINAL, rope)
    ids = torch.randint(3, 250, (1, ORIGINAL + 1), generator=torch.Generator().manual_seed(1))

    def first(length: int) -> torch.Tensor:
        """What the model itself says after the first tokens, read with others behind them."""
        with model.switched_on() as network:
            logits: torch.Tensor = network(input_ids=ids[:, :length], use_cache=False).logits[0, :8]
        return logits

    torch.testing.assert_close(first(ORIGINAL), first(8), atol=1e-4, rtol=1e-4)
    assert (first(ORIGINAL + 1) - first(8)).abs().max() > 1e-2


@pytest.mark.parametrize("name", list(MADE))
def test_up_to_there_a_batch_changes_nothing(folders: dict[str, Path], name: str, plain_model: Any) -> None:
    model, plain = load(folders[name]), plain_model(folders[name])
    generator = torch.Generator().manual_seed(4)
    texts = [torch.randint(3, 250, (length,), generator=generator).tolist() for length in (20, 3, 11)]
    expected = [
        plain.generate(torch.tensor([text]), max_new_tokens=ORIGINAL - 20, do_sample=False)[0, len(text) :].tolist()
        for text in texts
    ]
    assert [list(completion.token_ids) for completion in generate(model, texts, ORIGINAL - 20)] == expected


@pytest.mark.parametrize("name", list(MADE))
def test_beyond_it_no_text_is_read(folders: dict[str, Path], name: str) -> None:
    model = load(folders[name])
    assert len(generate(model, [[1, 7] * 10, [1, 8]], ORIGINAL - 20)) == 2
    with pytest.raises(RunError, match=r"33 tokens is longer than 32, beyond which the model's rotary frequencies"):
        generate(model, [[1, 7] * 10, [1, 8]], ORIGINAL - 18)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_model_against_itself_is_zero(
    db: Database, folders: dict[str, Path], tmp_path: Path, batch_size: int
) -> None:
    prompts = tmp_path / "p.txt"
    prompts.write_text("ab\nabcdefgh\nabcdefghijklmnopq\n", "utf-8")
    options = snql.LocateOptions(
        before=str(folders["phi3"]),
        after=str(folders["phi3"]),
        skip_last_layers=0,
        prompts=snql.PromptOptions((str(prompts),), template="plain"),
        writing=snql.WritingOptions(max_new_tokens=10, batch_size=batch_size),
    )
    assert snql.locate(db, "self", options).noise is not None, "no more than rounding, on any machine"


def test_longer_prompts_are_refused_before_anything_is_stored(
    db: Database, folders: dict[str, Path], tmp_path: Path
) -> None:
    prompts = tmp_path / "p.txt"
    prompts.write_text("ab\nabcdefghijklmnopqrstuvw\n", "utf-8")
    read = snql.PromptOptions((str(prompts),), template="plain")
    spec = str(folders["phi3"])
    writing = snql.WritingOptions(max_new_tokens=20)
    reason = r"with 20 new ones it is longer than 32, beyond which .*longrope.*: remove it or lower `max_new_tokens`"
    with pytest.raises(InputError, match=reason):
        snql.locate(db, "a", snql.LocateOptions(before=spec, after=spec, prompts=read, writing=writing))
    patching = snql.PatchOptions(
        recipient=str(folders["phi3"]),
        donor=str(folders["phi3"]),
        neurons=("L0.N1",),
        prompts=read,
        writing=writing,
        judging=snql.JudgingOptions(judges=("refusal",)),
    )
    with pytest.raises(InputError, match=reason):
        snql.patch(db, "a", patching)
    windows = snql.PerplexityOptions(
        subject=snql.SubjectOptions(model=spec), text=snql.TextOptions(text=(str(prompts),)), window=33
    )
    with pytest.raises(InputError, match="`window` 33 is longer than 32, beyond which"):
        snql.perplexity(db, "a", windows)
    assert not db.path.exists()


def test_models_that_read_the_same_texts_have_the_shortest_context() -> None:
    assert shortest([None, Context(64), Context(32, "longrope"), Context(32)]) == Context(32, "longrope")
    assert shortest([None]) is None
