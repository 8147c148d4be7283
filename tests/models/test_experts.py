"""Mixtures of experts: neurons with three coordinates, against the models' own code and a hand computation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from transformers import AutoModelForCausalLM

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.contrast.positions import Text
from snql.contrast.read import contrast_batch
from snql.db.connection import Database
from snql.errors import ModelError
from snql.generation.decode import generate
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.neurons.sets import NeuronSet
from snql.prompts.options import PromptOptions
from snql.rankings.evaluate import Evaluator

from ..conftest import ORACLE
from ..patched import PatchRow, patch_and_generate
from .test_architectures import CONFIGS, EXPERTS, GROUPED, PROMPTS, save_random

CPU = LoadOptions(device="cpu")


@pytest.fixture(scope="module", params=sorted(EXPERTS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    folder = tmp_path_factory.mktemp(request.param)
    names = enumerate(("before", "after"))
    return load_models({role: str(save_random(folder / role, CONFIGS[request.param](), i)) for i, role in names}, CPU)


def routed_by_hand(model: LoadedModel, prompt: list[int]) -> list[torch.Tensor]:
    """Each layer's neurons, (tokens, experts, neurons), NaN where the model's own router did not send the token."""
    network: Any = AutoModelForCausalLM.from_pretrained(
        model.base.folder, dtype=torch.float32, experts_implementation="eager"
    )
    found = []
    for layer in network.model.layers:

        def keep(experts: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            hidden, chosen = inputs[0], inputs[1]
            rows = torch.full((len(hidden), experts.num_experts, experts.down_proj.shape[-1]), torch.nan)
            for token, row in enumerate(chosen.tolist()):
                for expert in row:
                    gate, up = (experts.gate_up_proj[expert] @ hidden[token]).chunk(2)
                    rows[token, expert] = experts.act_fn(gate) * up
            found.append(rows)

        layer.mlp.experts.register_forward_pre_hook(keep)
    with torch.no_grad():
        network.eval()(torch.tensor([prompt]))
    return found


def test_neurons_are_those_of_the_experts_that_got_the_token(pair: dict[str, LoadedModel]) -> None:
    model = pair["before"]
    captured: dict[int, torch.Tensor] = {}
    texts = [Text(0, tuple(PROMPTS[2]), tuple(range(len(PROMPTS[2]))))]
    contrast_batch(model, model, texts, range(2), lambda layer, b, _a: captured.__setitem__(layer, b))
    for layer, expected in enumerate(routed_by_hand(model, PROMPTS[2])):
        assert expected.isnan().any()
        torch.testing.assert_close(captured[layer], expected.flatten(1), equal_nan=True, atol=1e-5, rtol=1e-4)


def test_running_experts_our_way_is_running_them_theirs(pair: dict[str, LoadedModel]) -> None:
    model = pair["before"]
    theirs: Any = AutoModelForCausalLM.from_pretrained(
        model.base.folder, dtype=torch.float32, experts_implementation="eager"
    )
    for prompt in PROMPTS:
        expected = theirs.eval().generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False, pad_token_id=0)
        assert list(generate(model, [prompt], 8)[0].token_ids) == expected[0, len(prompt) :].tolist()


def test_locate_counts_only_tokens_routed_in_both_models(db: Database, pair: dict[str, LoadedModel]) -> None:
    before, after = pair["before"], pair["after"]
    source = PromptOptions((str(ORACLE / "prompts.jsonl"),), template="tulu", limit=4)
    options = LocateOptions(
        before=str(before.base.folder),
        after=str(after.base.folder),
        prompts=source,
        positions="prompt",
        skip_last_layers=0,
        keep="all",
    )
    found = locate(db, "moe", options)
    assert found.shape == before.shape
    prompts = [list(ids) for (ids,) in db.rows("SELECT input_ids FROM run_prompts ORDER BY ordinal")]
    both = [
        torch.cat([torch.stack(routed_by_hand(model, prompt), dim=0) for prompt in prompts], dim=1).double()
        for model in (before, after)
    ]
    counted = ~(both[0].isnan() | both[1].isnan())
    squares = torch.where(counted, both[0] - both[1], 0).square().sum(dim=1)
    counts = counted.sum(dim=1)
    rows = db.rows("SELECT layer, expert, neuron, score, rank, n_tokens FROM neuron_scores WHERE run = 'moe'")
    assert len(rows) == before.shape.n_layers * before.shape.n_neurons
    for layer, expert, neuron, score, rank, n_tokens in rows:
        assert n_tokens == counts[layer, expert, neuron]
        assert (score is None) == (rank is None) == (n_tokens == 0)
        if n_tokens:
            expected = float((squares[layer, expert, neuron] / n_tokens).sqrt())
            assert score == pytest.approx(expected, rel=1e-4, abs=1e-5)
    kept = db.rows("SELECT expert, count(*) FROM token_activations WHERE layer = 0 GROUP BY 1 ORDER BY 1")
    assert kept == [(e, int(counts[0, e].sum())) for e in range(4) if counts[0, e].sum()]
    top = Evaluator(db, before.shape).evaluate("moe:10%")
    assert set(zip(*(column.tolist() for column in (top.layers, top.experts, top.neurons)), strict=True)) == {  # type: ignore[union-attr]
        (layer, expert, neuron) for layer, expert, neuron, _, rank, _ in rows if rank and rank <= len(top)
    }


def test_patching_writes_what_the_donor_has_and_nothing_else(pair: dict[str, LoadedModel]) -> None:
    """Patching one expert's neurons from a donor that is the recipient with that expert changed gives the donor."""
    before = pair["before"]
    shape = before.shape
    rows = [PatchRow(tuple(prompt), NeuronSet.all(shape)) for prompt in PROMPTS]
    assert patch_and_generate(before, before, rows, 8) == generate(before, PROMPTS, 8)
    donor = load_models({"m": str(before.base.folder)}, CPU)["m"]
    experts: Any = donor.base.model.get_submodule("model.layers.1.mlp.experts")
    with torch.no_grad():
        experts.gate_up_proj[2] *= 3.0
    changed = np.arange(2 * shape.per_expert, 3 * shape.per_expert) + shape.n_neurons
    others = NeuronSet.all(shape) - NeuronSet.from_ids(shape, changed)
    only = [PatchRow(tuple(prompt), NeuronSet.from_ids(shape, changed)) for prompt in PROMPTS]
    rest = [PatchRow(tuple(prompt), others) for prompt in PROMPTS]
    expected = generate(donor, PROMPTS, 8)
    assert expected != generate(before, PROMPTS, 8)
    assert patch_and_generate(before, donor, only, 8) == expected
    assert patch_and_generate(before, donor, rest, 8) == generate(before, PROMPTS, 8)


def test_mixtures_that_cannot_be_read_are_refused_with_the_reason(tmp_path: Path) -> None:
    mixed: dict[str, Any] = {**GROUPED, "moe_intermediate_size": 12, "num_experts": 4, "mlp_only_layers": [0]}
    folder = save_random(tmp_path / "mixed", hf.AutoConfig.for_model("qwen3_moe", head_dim=8, **mixed))
    with pytest.raises(ModelError, match="mixes dense and expert layers"):
        load_models({"m": str(folder)}, CPU)
    sizes: dict[str, Any] = {**GROUPED, "num_local_experts": 4}
    folder = save_random(tmp_path / "phimoe", hf.AutoConfig.for_model("phimoe", **sizes))
    with pytest.raises(ModelError, match="'phimoe' are mixtures of experts .* not in snql's table"):
        load_models({"m": str(folder)}, CPU)
