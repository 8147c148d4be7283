"""The model that is trained: its own adapters merged into its weights, and new IA3 vectors on top."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import IA3Config, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from snql.errors import ModelError, RunError
from snql.models.identity import combined_hash
from snql.models.load import load_models
from snql.training.options import TrainOptions
from snql.training.plan import target_modules

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


@dataclass(frozen=True)
class Subject:
    """A model with trainable vectors, all 1 at first. base: its spec's base. hashes: of its files."""

    model: PeftModel
    tokenizer: PreTrainedTokenizerBase
    base: str
    hashes: dict[str, str]


def load_subject(options: TrainOptions) -> Subject:
    """Load the model of the options, which are resolved ones.

    Its adapters are merged, so that switching the new vectors off gives the model they began with: DPO's reference. A
    vector of IA3 on top of another multiplies with it, so ``SPEC+OUT`` is the trained model. Raises ModelError.
    """
    loaded = load_models({"model": options.model}, options.models)["model"]
    base = loaded.base
    targets = target_modules(base.model, base.architecture, options.target)
    network: Any = base.model
    if base.peft is not None:
        network = base.peft.merge_and_unload(adapter_names=list(loaded.adapter_names))
    names = list(targets)
    config = IA3Config(task_type="CAUSAL_LM", target_modules=names, feedforward_modules=names)
    model = get_peft_model(network, config)
    _check(model, base.n_layers, base.n_neurons)
    hashes = {"base": combined_hash(base.hashes)}
    for part, adapter in zip(loaded.spec.adapters, loaded.adapter_hashes, strict=True):
        hashes[Path(part.location).name] = combined_hash(adapter)
    name = "demo:base" if options.model.startswith("demo:") else str(loaded.spec.base)
    return Subject(model, base.tokenizer, name, hashes)


def _check(model: Any, n_layers: int, n_neurons: int) -> None:
    """Raise ModelError unless exactly one vector a layer, as wide as its neurons, can be trained."""
    trained = [tuple(parameter.shape) for parameter in model.parameters() if parameter.requires_grad]
    if trained != [(1, n_neurons)] * n_layers:
        raise ModelError(
            f"PEFT would train {trained[:3]}… and not one vector of {n_neurons} in each of {n_layers} layers"
        )


def vectors(model: PeftModel) -> dict[str, torch.Tensor]:
    """The trained vectors by PEFT's names, in float32: Float[Tensor, "1 neurons"] each."""
    found = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tensor.detach().float().cpu().contiguous() for name, tensor in found.items()}


def save(subject: Subject, folder: Path) -> None:
    """Write the adapter in PEFT's format; both files or, on an error, none. Raises RunError for a value not finite."""
    tensors = vectors(subject.model)
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise RunError("the trained vectors are not finite: lower `learning_rate`")
    config = subject.model.peft_config["default"].to_dict()
    kept = {name: _plain(value) for name, value in sorted(config.items())}
    kept |= {"base_model_name_or_path": subject.base, "inference_mode": True}
    with tempfile.TemporaryDirectory(dir=folder) as staging:
        made = [Path(staging) / name for name in (WEIGHTS, CONFIG)]
        save_file(tensors, made[0], metadata={"format": "pt"})
        made[1].write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
        for path in made:
            path.replace(folder / path.name)


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    return value.value if hasattr(value, "value") else value


def adapter_files(folder: Path) -> Sequence[Path]:
    """The files of a finished adapter that are there."""
    return [path for name in (WEIGHTS, CONFIG) if (path := folder / name).exists()]
