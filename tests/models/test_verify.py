"""Every load has a second opinion, once: a load by the libraries alone."""

from pathlib import Path
from typing import Any

import pytest

from snql.errors import ModelError
from snql.models import load, loaded, remembered, verify, weights
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions

from ..conftest import save_tiny_llama
from .test_against_peft import lora, save

CPU = LoadOptions(device="cpu")


@pytest.fixture(autouse=True)
def nothing_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(remembered.FOLDER, str(tmp_path / "cache"))


def test_a_load_is_compared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = save_tiny_llama(tmp_path / "base", seed=11)
    spec = f"{base}+{save(base, tmp_path / 'a', lora())}"
    compared = []
    compare = verify.compare

    def counted(model: LoadedModel, options: LoadOptions) -> verify.Comparison:
        compared.append(model)
        return compare(model, options)

    monkeypatch.setattr(verify, "compare", counted)
    models = load_models({"before": str(base), "after": spec}, CPU)
    assert [model.spec.text for model in compared] == [str(base), spec]
    assert models["after"].remarks[0].startswith(f"model {spec}: logits equal those of an independent load (")
    assert load_models({"before": str(base), "after": spec}, CPU)["after"].remarks == ()
    assert len(compared) == 2
    load_models({"after": spec}, LoadOptions(device="cpu", dtype="bfloat16"))
    assert len(compared) == 3  # another number type is another load
    (Path(spec.partition("+")[2]) / "adapter_model.safetensors").touch()
    load_models({"after": spec}, CPU)
    assert len(compared) == 3  # what counts is what the file holds
    other = save(base, tmp_path / "b", lora(), seed=5)
    load_models({"after": f"{base}+{other}"}, LoadOptions(device="cpu", verify=False))
    assert len(compared) == 3


@pytest.mark.parametrize("fault", ["other role", "stack", "base"])
def test_a_fault_of_a_kind_that_nobody_thought_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    base = save_tiny_llama(tmp_path / "base", seed=12)
    one, two = (save(base, tmp_path / str(seed), lora(), seed) for seed in (1, 2))
    after = f"{base}+{one}+{two}" if fault == "stack" else f"{base}+{one}"
    if fault == "base":  # something of the model that is no weight
        loads = weights.load_weights

        def loads_otherwise(*arguments: Any) -> Any:
            model = loads(*arguments)
            model.model.norm.variance_epsilon = 0.5
            return model

        monkeypatch.setattr(load, "load_weights", loads_otherwise)
    else:
        activate = loaded.Base.activate

        def activates_otherwise(self: Any, names: tuple[str, ...]) -> None:
            activate(self, names[:1] if fault == "stack" else tuple(self.adapters)[:1])

        monkeypatch.setattr(loaded.Base, "activate", activates_otherwise)
    with pytest.raises(ModelError, match=r"is not loaded as plain transformers and PEFT load it: logits differ by"):
        load_models({"before": str(base), "after": after}, CPU)


def test_what_does_not_fit_twice_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = save_tiny_llama(tmp_path / "base", seed=13)
    monkeypatch.setattr(verify, "_lacking_bytes", lambda _: 2.5e9)
    model = load_models({"m": str(base)}, CPU)["m"]
    assert "is not compared with an independent load: memory lacks 2.5 GB for it" in model.remarks[0]
    monkeypatch.undo()
    assert verify._lacking_bytes(model) < 0
