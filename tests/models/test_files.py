"""What is loaded is what was named, and what a model is called is what its files hold."""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from snql.errors import ModelError
from snql.models import identity
from snql.models.identity import sha256_of
from snql.models.load import load_models
from snql.models.options import LoadOptions

from .test_against_peft import by_snql, lora, plain, save

CPU = LoadOptions(device="cpu", verify=False)
WEIGHTS = "model.safetensors"


def copy(source: Path, to: Path) -> Path:
    return Path(shutil.copytree(source, to))


def change(folder: Path, **changes: torch.Tensor | None) -> None:
    """Put tensors into a model's file, or take them out."""
    tensors = load_file(folder / WEIGHTS)
    for name, tensor in changes.items():
        tensors.pop(name, None)
        if tensor is not None:
            tensors[name] = tensor
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def shard(folder: Path, weight_map: dict[str, str]) -> None:
    """Name the weights in a map, which transformers looks at where there is no model.safetensors."""
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_an_adapter_beside_a_model_is_not_loaded(tiny_llama: Path, tmp_path: Path) -> None:
    """As after merging, in the same folder: transformers would apply the adapter a second time."""
    merged = copy(tiny_llama, tmp_path / "merged")
    save(tiny_llama, merged, lora())
    with_it: Any = AutoModelForCausalLM.from_pretrained(merged)
    ids = torch.tensor([[1, 114, 138, 116, 103, 43, 76, 200, 5, 17]])
    with torch.no_grad():
        expected = plain(tiny_llama)(ids).logits
        assert (with_it(ids).logits - expected).abs().max() > 1e-3  # it would
    models = load_models({"m": str(merged), "b": str(tiny_llama)}, CPU)
    assert torch.equal(by_snql(models["m"]), expected)
    assert models["m"].base is models["b"].base


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("model.layers.0.self_attn.q_proj.bias", (32,)),
        ("model.layers.3.mlp.up_proj.weight", (40, 32)),
        ("transformer.wpe.weight", (7, 32)),
    ],
)
def test_weights_that_the_model_does_not_use(
    tiny_llama: Path, tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    folder = copy(tiny_llama, tmp_path / "more")
    change(folder, **{name: torch.ones(shape)})
    with pytest.raises(ModelError, match=rf"has a weight {name} in its files that its config.json does not use \(1 in"):
        load_models({"m": str(folder)}, CPU)


def test_buffers_that_old_versions_saved_are_harmless(tiny_llama: Path, tmp_path: Path) -> None:
    folder = copy(tiny_llama, tmp_path / "old")
    change(folder, **{"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)})
    load_models({"m": str(folder)}, CPU)


def test_a_map_of_weights_that_are_elsewhere(tiny_llama: Path, tmp_path: Path) -> None:
    folder, elsewhere = copy(tiny_llama, tmp_path / "m"), tmp_path / "w"
    elsewhere.mkdir()
    names = list(load_file(folder / WEIGHTS))
    (folder / WEIGHTS).rename(elsewhere / "w.safetensors")
    (folder / "decoy.safetensors").write_bytes((elsewhere / "w.safetensors").read_bytes())
    for named in ("../w/w.safetensors", str(elsewhere / "w.safetensors")):
        shard(folder, dict.fromkeys(names, named))
        with pytest.raises(ModelError, match=r"names '.*w\.safetensors', which is not in the model's folder"):
            load_models({"m": str(folder)}, CPU)
    shard(folder, dict.fromkeys(names, "lost.safetensors"))
    with pytest.raises(ModelError, match=r"names 'lost\.safetensors', which its folder does not have"):
        load_models({"m": str(folder)}, CPU)
    shard(folder, dict.fromkeys(names, "decoy.safetensors"))
    load_models({"m": str(folder)}, CPU)


def test_a_map_that_names_a_pickle_loads_none(tiny_llama: Path, tmp_path: Path) -> None:
    folder = copy(tiny_llama, tmp_path / "m")
    names = list(load_file(folder / WEIGHTS))
    (folder / WEIGHTS).rename(folder / "decoy.safetensors")

    class Pickled:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"x": Pickled()}, folder / "pytorch_model.bin")
    shard(folder, dict.fromkeys(names, "pytorch_model.bin"))
    with pytest.raises(ModelError, match=r"names 'pytorch_model\.bin': snql reads no pickles"):
        load_models({"m": str(folder)}, CPU)
    assert not (tmp_path / "ran").exists()


def test_a_name_that_looks_like_a_hash_is_none(tiny_llama: Path, tmp_path: Path) -> None:
    """As in a forged hub cache: two models whose files link to blobs of one name."""
    models = {}
    for number in (1, 2):
        root = tmp_path / str(number)
        folder = copy(tiny_llama, root / "snapshots")
        change(folder, **{"model.norm.weight": torch.full((32,), float(number))})
        (root / "blobs").mkdir()
        blob = root / "blobs" / ("ab" * 32)
        (folder / WEIGHTS).rename(blob)
        (folder / WEIGHTS).symlink_to(blob)
        models[str(number)] = str(folder)
    loaded = load_models(models, CPU)
    assert loaded["1"].model_id != loaded["2"].model_id
    assert loaded["1"].base is not loaded["2"].base
    file = Path(models["1"]) / WEIGHTS
    assert loaded["1"].base.hashes[WEIGHTS] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_hashes_of_large_files_are_remembered_until_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    compute = identity._computed

    def counted(path: Path) -> str:
        computed.append(path)
        return compute(path)

    monkeypatch.setattr(identity, "_computed", counted)
    monkeypatch.setattr(identity, "_REMEMBERED_FROM", 4)
    file = tmp_path / "weights"

    def write(text: str) -> str:
        file.write_text(text)
        return hashlib.sha256(text.encode()).hexdigest()

    first = write("first")
    assert [sha256_of(file), sha256_of(file)] == [first, first]
    assert len(computed) == 2  # it changed a moment ago
    monkeypatch.setattr(time, "time_ns", lambda: 2**62)
    assert [sha256_of(file), sha256_of(file)] == [first, first]
    assert len(computed) == 3
    state = file.stat()
    second = write("other")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert sha256_of(file) == second
    (tmp_path / "again").symlink_to(file)
    assert sha256_of(tmp_path / "again") == second
    assert len(computed) == 4


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"gone cannot be read \(No such file or directory\): check the file"):
        sha256_of(tmp_path / "gone")


def test_a_kind_of_rotary_embedding_that_nobody_knows(tiny_llama: Path, tmp_path: Path) -> None:
    folder = copy(tiny_llama, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "brandnew", "rope_theta": 10000.0}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"its rope type 'brandnew' is unknown to this transformers \("):
        load_models({"m": str(folder)}, CPU)


def test_two_models_in_one_folder(tiny_llama: Path, tmp_path: Path) -> None:
    """As when a model is saved again in more files: transformers would load the older one."""
    folder = copy(tiny_llama, tmp_path / "m")
    newer: Any = plain(tiny_llama)
    newer.save_pretrained(tmp_path / "newer", max_shard_size="40KB")
    for file in (tmp_path / "newer").glob("model*"):
        shutil.copy(file, folder / file.name)
    with pytest.raises(ModelError, match=r"has model\.safetensors and a weight map .* of other files \(model-00001-of"):
        load_models({"m": str(folder)}, CPU)
    (folder / WEIGHTS).unlink()
    (folder / "left-over.safetensors").write_bytes(b"no weights")
    model = load_models({"m": str(folder)}, CPU)["m"]
    assert "left-over.safetensors" not in model.base.hashes
    ids = torch.tensor([[1, 114, 138, 116, 103, 43, 76, 200, 5, 17]])
    with torch.no_grad():
        assert torch.equal(by_snql(model), newer(ids).logits)


def test_a_tensor_in_another_file_than_the_map_says(tiny_llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    plain(tiny_llama).save_pretrained(folder, max_shard_size="40KB")
    for file in tiny_llama.glob("tokenizer*"):
        shutil.copy(file, folder / file.name)
    first, second = sorted(folder.glob("model-0000[12]*"))
    tensors, name = load_file(second), next(iter(load_file(first)))
    save_file(tensors | {name: load_file(first)[name] * 2}, second, {"format": "pt"})
    with pytest.raises(ModelError, match=rf"{second.name} holds the tensor {name}, unlike what the weight map"):
        load_models({"m": str(folder)}, CPU)
    missing = next(iter(tensors))
    save_file({key: value for key, value in tensors.items() if key != missing}, second, {"format": "pt"})
    with pytest.raises(ModelError, match=rf"{second.name} does not hold the tensor {missing}"):
        load_models({"m": str(folder)}, CPU)


def test_weights_that_the_config_or_nobody_names(tiny_llama: Path, tmp_path: Path) -> None:
    folder = copy(tiny_llama, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": "other.safetensors"}))
    with pytest.raises(ModelError, match=r"names the weights to load \(transformers_weights\): save the model with"):
        load_models({"m": str(folder)}, CPU)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / WEIGHTS).rename(folder / "model.fp16.safetensors")
    with pytest.raises(ModelError, match=r"has model\.fp16\.safetensors, but no model\.safetensors and no .*: rename"):
        load_models({"m": str(folder)}, CPU)
    shard(folder, {})
    with pytest.raises(ModelError, match="without weights: fetch it again"):
        load_models({"m": str(folder)}, CPU)


def test_a_revision_of_a_local_folder(tiny_llama: Path) -> None:
    with pytest.raises(ModelError, match="is on this machine, and revisions are of hub ids: leave out @v2"):
        load_models({"m": f"{tiny_llama}@v2"}, CPU)
