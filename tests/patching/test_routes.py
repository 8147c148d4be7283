"""Mode donor-weights: the direct effect of the donor's parameters, by hand and at its limits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from polars.testing import assert_frame_equal
from transformers import LlamaForCausalLM

from snql.capability.divergence import divergence
from snql.capability.options import SubjectOptions
from snql.db.connection import Database
from snql.errors import InputError
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.neurons.sets import NeuronSet, Shape
from snql.patching.options import PatchOptions
from snql.patching.patch import patch
from snql.prompts.options import PromptOptions

from ..conftest import ORACLE, save_ia3, save_tiny_llama
from .by_hand import read_whole
from .test_patch import cut_off

pytestmark = pytest.mark.usefixtures("lingering")

SOURCE = PromptOptions((str(ORACLE / "prompts.jsonl"),), template="tulu", limit=12)
SHAPE = Shape(3, 40)
PLANTED = "L0.N3,L1.N7,L1.N20,L2.N11"


def written(db: Database, run: str) -> dict[str, list[list[int]]]:
    """Token ids by variant, in the order of prompts."""
    found: dict[str, list[list[int]]] = {}
    for variant, ids in db.rows(
        "SELECT variant, token_ids FROM run_completions WHERE run = ? AND kind = 'patch' ORDER BY prompt_id", [run]
    ):
        found.setdefault(variant, []).append(ids)
    return found


def run(
    db: Database,
    name: str,
    recipient: str,
    donor: str,
    neurons: tuple[str, ...],
    *,
    resume: bool = False,
    **settings: Any,
) -> None:
    chosen: dict[str, Any] = {"mode": "donor-weights", **settings}
    options = PatchOptions(
        recipient=recipient,
        donor=donor,
        neurons=neurons,
        prompts=SOURCE,
        judging=JudgingOptions(("refusal",)),
        writing=WritingOptions(max_new_tokens=8),
        **chosen,
    )
    patch(db, name, options, resume=resume)


def greedy(model: LoadedModel, ids: list[int], n: int, hook: Any) -> list[int]:
    text = list(ids)
    for _ in range(n):
        text.append(int(read_whole(model, text, hook)[-1].argmax()))
        if text[-1] in model.base.end_ids:
            break
    return text[len(ids) :]


@pytest.fixture
def planted(tiny_llama: Path, tmp_path: Path) -> str:
    """The tiny Llama with an IA3 adapter that changes the scales of four neurons, and of no other."""
    scales = torch.ones(3, 40)
    for layer, neuron in ((0, 3), (1, 7), (1, 20), (2, 11)):
        scales[layer, neuron] = 9.0
    folder = save_ia3(tmp_path / "planted", scales)
    return f"{tiny_llama}+{folder}"


def test_planted_parameters_are_all_of_it_and_others_nothing(db: Database, tiny_llama: Path, planted: str) -> None:
    """Later neurons hand over what planted ones did, in total; their own parameters do nothing."""
    later = "L1.N0,L1.N5,L2.N1,L2.N2,L2.N30"
    run(db, "direct", str(tiny_llama), planted, (PLANTED, later, "all", "L0.N0"))
    run(db, "total", str(tiny_llama), planted, (later,), mode="donor")
    direct, total = written(db, "direct"), written(db, "total")
    assert direct["donor"] != direct["recipient"]
    assert direct[PLANTED] == direct["all"] == direct["donor"]
    assert direct[later] == direct["L0.N0"] == direct["recipient"]
    graded = dict(db.rows("SELECT (run, variant), graded FROM graded_effects"))
    assert graded["direct", PLANTED] == pytest.approx(1, abs=1e-5)
    assert graded["direct", later] == pytest.approx(0, abs=1e-6)
    assert abs(graded["total", later]) > 0.001, "what earlier layers did is in later activations"
    assert total["donor"] == direct["donor"]
    routes = db.rows("SELECT DISTINCT run, route FROM causal_effects ORDER BY run")
    assert routes == [("direct", "direct"), ("total", "total")]


def made(kind: str, base: Path, folder: Path) -> Path:
    """A random adapter: IA3 on the down-projections, or LoRA on what makes neurons."""
    torch.manual_seed(3)
    if kind == "ia3":
        return save_ia3(folder, torch.randn(3, 40) + 1)
    network = LlamaForCausalLM.from_pretrained(base)
    config = LoraConfig(r=2, lora_alpha=16, target_modules=["up_proj", "gate_proj"], init_lora_weights=False)
    get_peft_model(network, config).save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("kind", ["ia3", "lora"])
def test_against_hooks_on_plain_models(db: Database, tiny_llama: Path, tmp_path: Path, kind: str) -> None:
    """Neuron by neuron: the donor's MLP, alone, on what the patched recipient's MLP reads."""
    donor = f"{tiny_llama}+{made(kind, tiny_llama, tmp_path / kind)}"
    neurons = "L0.N1,L0.N2,L1.N0,L1.N9,L1.N33,L2.N4,L2.N5"
    run(db, "direct", str(tiny_llama), donor, (neurons, "all"), drafts=kind == "ia3")
    members = NeuronSet.of(
        SHAPE, [(la, None, n) for la, n in ((0, 1), (0, 2), (1, 0), (1, 9), (1, 33), (2, 4), (2, 5))]
    )
    models = load_models({"recipient": str(tiny_llama)}, LoadOptions(device="cpu"))
    other = load_models({"donor": donor}, LoadOptions(device="cpu"))["donor"]
    mine = models["recipient"]
    read: dict[int, torch.Tensor] = {}
    sites: Any = mine.base.sites

    def keep(layer: int) -> Any:
        return lambda _module, inputs: read.__setitem__(layer, inputs[0])

    handles = [site.up.register_forward_pre_hook(keep(layer)) for layer, site in enumerate(sites)]

    def by_donor(layer: int) -> torch.Tensor:
        """What the donor's own MLP, called by itself, gives its down-projection."""
        found: list[torch.Tensor] = []
        site: Any = other.base.sites[layer]
        handle = site.entry.register_forward_pre_hook(lambda _m, inputs: found.append(inputs[0]))
        with other.switched_on() as network:
            mlp = next(module for name, module in network.named_modules() if name.endswith(f"layers.{layer}.mlp"))
            mlp(read[layer])
        handle.remove()
        return found[0]

    def hook(chosen: dict[int, Any]) -> Any:
        def change(layer: int, own: torch.Tensor) -> torch.Tensor:
            if layer not in chosen:
                return own
            new = own.clone()
            new[..., chosen[layer]] = by_donor(layer)[..., chosen[layer]]
            return new

        return change

    prompts = [
        ids for (ids,) in db.rows("SELECT input_ids FROM run_prompts JOIN runs USING (run_id) ORDER BY prompt_id")
    ]
    some = {layer: torch.from_numpy(np.asarray(found)) for layer, found in members.by_layer().items()}
    every = dict.fromkeys(range(3), slice(None))
    found = written(db, "direct")
    assert found[neurons] == [greedy(mine, ids, 8, hook(some)) for ids in prompts]
    assert found["all"] == [greedy(mine, ids, 8, hook(every)) for ids in prompts]
    for handle in handles:
        handle.remove()
    assert found["all"] != found["recipient"]


COLUMNS = "token_ids, finish_reason, donor_ids, unpatched_ids"
EFFECTS = """
    SELECT * EXCLUDE (run, run_id, variant, variant_id, control_of) REPLACE (coalesce(control_of, '') <> '' AS judge)
    FROM causal_effects WHERE run = ? AND route = ? ORDER BY control_seed NULLS FIRST, neurons
"""


def test_both_routes_in_one_batch_are_what_each_is_alone(
    db: Database, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Token for token, also of a run that was cut off; effects, margins and divergences follow, and one chart."""
    donor = f"{tiny_llama}+{tiny_adapter}"
    sets = ("L0.N1,L1.N0,L1.N9,L2.N4", ",".join(f"L{layer}.N{n}" for layer in range(3) for n in range(0, 40, 3)))
    for name, mode in (("total", "donor"), ("direct", "donor-weights")):
        run(db, name, str(tiny_llama), donor, sets, mode=mode, random=1)
    with cut_off(monkeypatch, after=9), pytest.raises(KeyboardInterrupt):
        run(db, "both", str(tiny_llama), donor, sets, mode="both", random=1)
    run(db, "both", str(tiny_llama), donor, sets, resume=True, mode="both", random=1)
    query = f"""
        SELECT rtrim(replace(variant, '(direct)', '')) AS set, prompt_id, {COLUMNS} FROM run_completions
        WHERE run = ? AND (role = 'patched') AND contains(variant, '(direct)') = ? ORDER BY ALL
    """
    alone = {name: db.rows(query, [name, False]) for name in ("total", "direct")}
    assert db.rows(query, ["both", False]) == alone["total"] != alone["direct"] == db.rows(query, ["both", True])
    assert len(alone["total"]) == len(alone["direct"]) == 4 * 12
    for route in ("total", "direct"):
        found, expected = db.frame(EFFECTS, ["both", route]), db.frame(EFFECTS, [route, route])
        assert len(found) == 4 and found["graded"].is_not_null().all()
        assert_frame_equal(found, expected, rel_tol=1e-4, abs_tol=1e-5)
    routes = db.rows("SELECT route, count(*) FROM figure_routes WHERE run = 'both' GROUP BY route ORDER BY route")
    assert routes == [("direct", 4), ("total", 4)]
    for name in ("total", "direct", "both"):
        divergence(db, name)
    closed = "SELECT (run, neurons), closed FROM screened_effects WHERE contains(variant, '(direct)') = ?"
    (plain, direct) = (dict(db.rows(closed, [which])) for which in (False, True))
    for neurons in sets:
        assert plain["both-divergence", neurons] == pytest.approx(plain["total-divergence", neurons], abs=1e-5)
        assert direct["both-divergence", neurons] == pytest.approx(plain["direct-divergence", neurons], abs=1e-5)


def test_what_cannot_be_is_refused(db: Database, tiny_llama: Path, tmp_path: Path) -> None:
    other = save_tiny_llama(tmp_path / "other", seed=5)
    for mode in ("donor-weights", "both"):
        with pytest.raises(InputError, match="no plain IA3 or LoRA adapters on one dense base"):
            run(db, "x", str(tiny_llama), str(other), ("all",), mode=mode)
    with pytest.raises(InputError, match="`mode` donor-weights needs a donor"):
        PatchOptions(
            recipient="a", neurons=("all",), mode="donor-weights", prompts=SOURCE, judging=JudgingOptions(("refusal",))
        )
    with pytest.raises(InputError, match="`mode` both is for `snql patch`: use `mode` donor or donor-weights here"):
        SubjectOptions(model="a", donor="b", neurons=("all",), mode="both")
    assert not db.path.exists()
