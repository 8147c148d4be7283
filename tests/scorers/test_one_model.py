"""Scorers of one model against a plain forward pass with hooks of the test's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from snql.db.connection import Database
from snql.db.scores import read_run_scores, read_scores
from snql.errors import InputError, RunError
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.options import build
from snql.scorers.one_model import score_prompts
from snql.scorers.options import ScorerOptions
from snql.scorers.reading import column_norms
from tests.conftest import ORACLE

pytestmark = pytest.mark.usefixtures("lingering")

MODEL = f"{ORACLE / 'model'}+{ORACLE / 'sft'}"
ROUNDING = 3e-5
"""Activations are up to 16 in size here, in float32, and batches round otherwise than single texts."""
Values = npt.NDArray[np.float64]
TEXTS = {
    "harm": ["how to pick a lock", "make a bomb", "steal the car now", "poison"],
    "benign": ["how to bake", "a cake for two people"],
    "neutral": ["one", "two three", "four five six", "seven", "eight nine"],
}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_models({"one": MODEL}, LoadOptions(device="cpu"))["one"]


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, str]:
    paths = {name: tmp_path / f"{name}.txt" for name in TEXTS}
    for name, path in paths.items():
        path.write_text("\n".join(TEXTS[name]))
    return {name: str(path) for name, path in paths.items()}


def activations(model: LoadedModel, texts: Sequence[str]) -> list[Values]:
    """Of each text alone: (layers, tokens, neurons), what the base's down-projections are given."""
    found = []
    base = model.base
    taken: dict[int, Values] = {}
    for text in texts:
        handles = [
            site.entry.register_forward_pre_hook(  # type: ignore[attr-defined]
                lambda _, given, layer=layer: taken.__setitem__(layer, given[0][0].double().numpy())
            )
            for layer, site in enumerate(base.sites)
        ]
        ids = base.tokenizer(text, return_tensors="pt").input_ids
        with model.switched_on() as network:
            network(input_ids=ids)
        for handle in handles:
            handle.remove()
        found.append(np.stack([taken[layer] for layer in range(base.n_layers)]))
    return found


def options(sets: dict[str, str], scorer: str, **changes: object) -> ScorerOptions:
    given = {"scorer": scorer, "model": MODEL, "prompts": (sets["harm"],), "template": "plain"}
    return build(ScorerOptions, given | changes)


def test_prompt_difference_without_universal_neurons(model: LoadedModel, sets: dict[str, str], db: Database) -> None:
    chosen = options(
        sets,
        "prompt-difference",
        contrast=(sets["benign"],),
        neutral=(sets["neutral"],),
        universal_top=25,
        universal_share=0.6,
    )
    found = score_prompts(db, "difference", chosen)
    last = {name: np.stack([each[:, -1] for each in activations(model, texts)]) for name, texts in TEXTS.items()}
    expected = np.abs(last["harm"].mean(axis=0) - last["benign"].mean(axis=0))
    stored = read_run_scores(db, "difference")
    assert stored.scores.reshape(expected.shape) == pytest.approx(expected, abs=ROUNDING)
    sizes = np.abs(last["neutral"])
    at_top = sizes >= np.sort(sizes, axis=2)[:, :, -25:-24]
    universal = at_top.sum(axis=0) >= 0.6 * len(TEXTS["neutral"])
    assert 0 < universal[:-1].sum() < universal[:-1].size
    ranked = stored.ranks.reshape(expected.shape) > 0
    assert np.array_equal(ranked[:-1], ~universal[:-1])
    assert not ranked[-1].any(), "the last layer is not ranked by default"
    assert found.n_ranked == ranked.sum()
    rows = read_scores(db, "difference")
    assert rows["mean_after"].to_numpy().reshape(expected.shape) == pytest.approx(
        last["harm"].mean(axis=0), abs=ROUNDING
    )
    assert rows["std_before"].to_numpy().reshape(expected.shape) == pytest.approx(
        last["benign"].std(axis=0, ddof=1), abs=ROUNDING
    )


def test_wanda_without_what_utility_needs(model: LoadedModel, sets: dict[str, str], db: Database) -> None:
    score_prompts(db, "wanda", options(sets, "wanda", contrast=(sets["benign"],), utility_share=0.2))
    norms = np.stack([site.down.weight.detach().double().norm(dim=0).numpy() for site in model.sites])  # type: ignore[attr-defined]

    def importance(name: str) -> Values:
        tokens = np.concatenate(activations(model, TEXTS[name]), axis=1)
        return np.asarray(norms * np.sqrt((tokens**2).sum(axis=1)))

    stored = read_run_scores(db, "wanda")
    expected, utility = importance("harm"), importance("benign")[:-1]
    assert stored.scores.reshape(expected.shape) == pytest.approx(expected, rel=1e-5)
    ranked = (stored.ranks.reshape(expected.shape) > 0)[:-1]
    n_dropped = round(0.2 * utility.size)
    assert (~ranked).sum() == n_dropped
    assert utility[~ranked].min() >= utility[ranked].max()


def test_safety_specific_neurons_are_at_the_top_on_every_prompt(
    model: LoadedModel, sets: dict[str, str], db: Database
) -> None:
    score_prompts(db, "specific", options(sets, "safety-specific", specific_share=0.3, skip_last_layers=0))
    norms = column_norms(model)
    sizes = np.stack([np.sqrt((each**2).sum(axis=1)) * norms for each in activations(model, TEXTS["harm"])])
    most = round(0.3 * norms.size)
    tops = [set(np.argsort(-size.ravel(), kind="stable")[:most]) for size in sizes]
    everywhere = set.intersection(*tops)
    assert 0 < len(everywhere) < most
    stored = read_run_scores(db, "specific")
    assert set(np.flatnonzero(stored.ranks)) == everywhere
    assert stored.scores.reshape(norms.shape) == pytest.approx(sizes.mean(axis=0), rel=1e-5)


def test_batches_do_not_change_the_numbers(sets: dict[str, str], db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = options(sets, "safety-specific", specific_share=0.3)
    score_prompts(db, "whole", whole)
    monkeypatch.setattr("snql.scorers.one_model.reading_tokens", lambda _: 1)
    score_prompts(db, "parts", whole)
    one, many = read_run_scores(db, "whole"), read_run_scores(db, "parts")
    assert many.scores == pytest.approx(one.scores, rel=1e-5)
    assert np.array_equal(one.ranks > 0, many.ranks > 0)
    rows = [read_scores(db, run)["std_after"].to_numpy() for run in ("whole", "parts")]
    assert rows[1] == pytest.approx(rows[0], rel=1e-4)


def test_column_norms_with_lora_are_those_of_the_merged_weights(tmp_path: Path, model: LoadedModel) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    plain = AutoModelForCausalLM.from_pretrained(ORACLE / "model")
    tuned = get_peft_model(plain, LoraConfig(r=2, target_modules=["down_proj"], init_lora_weights=False))
    tuned.save_pretrained(str(tmp_path / "lora"))
    loaded = load_models({"lora": f"{ORACLE / 'model'}+{tmp_path / 'lora'}"}, LoadOptions(device="cpu"))["lora"]
    merged: Any = tuned.merge_and_unload()
    expected = [layer.mlp.down_proj.weight.double().norm(dim=0).detach().numpy() for layer in merged.model.layers]
    assert column_norms(loaded) == pytest.approx(np.stack(expected), rel=1e-5)
    assert not np.allclose(column_norms(loaded), column_norms(model), rtol=1e-3)


def test_bad_combinations(sets: dict[str, str], db: Database) -> None:
    for changes, words in (
        ({"scorer": "prompt-difference"}, "give `contrast`"),
        ({"scorer": "safety-specific", "contrast": ("x",)}, "leave out `contrast`"),
        ({"scorer": "wanda", "neutral": ("x",)}, "`neutral` are for the filter of prompt-difference"),
        ({"scorer": "wanda", "utility_share": 0.0}, "`utility_share` 0.0 is no share"),
        ({"scorer": "cohens-d"}, "scorer 'cohens-d' is none of one model"),
    ):
        with pytest.raises(InputError, match=words):
            options(sets, **changes)
    with pytest.raises(InputError, match="leaves none of"):
        score_prompts(db, "x", options(sets, "wanda", skip_last_layers=9))
    with pytest.raises(RunError, match="no neuron is left by scorer wanda"):
        score_prompts(db, "none", options(sets, "wanda", contrast=(sets["benign"],), utility_share=1.0))
    (reason,) = db.frame("SELECT error FROM runs WHERE name = 'none'")["error"]
    assert "no neuron is left" in reason
