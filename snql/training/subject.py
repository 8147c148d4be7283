"""The model that is trained: its own adapters merged into its weights, and new IA3 vectors, or LoRA, on top."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model, get_peft_model_state_dict
from transformers import PreTrainedTokenizerBase

from snql.errors import ModelError, RunError
from snql.models.ia3 import CONFIG, WEIGHTS, base_name, ia3_config, target_modules, write_ia3
from snql.models.identity import combined_hash
from snql.models.load import load_models
from snql.neurons.sets import NeuronSet
from snql.training import lora
from snql.training.masking import Mask
from snql.training.options import TrainOptions


@dataclass(frozen=True)
class Subject:
    """A model with trainable vectors, all 1 at first, or LoRA. base: its spec's base. hashes: of its files. mask: what
    of them is trained, None for all. check: of what is about to be written, by name."""

    model: PeftModel
    tokenizer: PreTrainedTokenizerBase
    base: str
    hashes: dict[str, str]
    mask: Mask | None = None
    check: Callable[[Mapping[str, torch.Tensor]], None] | None = None


def load_subject(options: TrainOptions, members: NeuronSet | None = None) -> Subject:
    """Load the model of the options, which are resolved ones; members: the neurons that are trained, None for all.

    Its adapters are merged, so that switching the new vectors off gives the model they began with: DPO's reference. A
    vector of IA3 on top of another multiplies with it, so ``SPEC+OUT`` is the trained model. Raises ModelError.
    """
    loaded = load_models({"model": options.model}, options.models)["model"]
    base = loaded.base
    network: Any = base.model
    if base.peft is not None:
        network = base.peft.merge_and_unload(adapter_names=list(loaded.adapter_names))
    model: PeftModel
    if options.lora is None:
        model = get_peft_model(network, ia3_config(target_modules(network, base.architecture, options.target)))
        _check(model, base.n_layers, base.n_neurons)
    else:
        torch.manual_seed(options.seed)  # A begins at random
        names = lora.targets(network, base.architecture)
        model = get_peft_model(network, lora.lora_config(network, names, options.lora))
    hashes = {"base": combined_hash(base.hashes)}
    for part, adapter in zip(loaded.spec.adapters, loaded.adapter_hashes, strict=True):
        hashes[Path(part.location).name] = combined_hash(adapter)
    subject = Subject(model, base.tokenizer, base_name(loaded), hashes)
    if members is None:
        return subject
    if options.lora is None:
        return replace(subject, mask=Mask.on(model, members))
    mask = lora.mask_on(model, base.architecture, members)
    return replace(subject, mask=mask, check=lambda tensors: lora.check_updates(tensors, base.architecture, members))


def _check(model: Any, n_layers: int, n_neurons: int) -> None:
    """Raise ModelError unless exactly one vector a layer, as wide as its neurons, can be trained."""
    trained = [tuple(parameter.shape) for parameter in model.parameters() if parameter.requires_grad]
    if trained != [(1, n_neurons)] * n_layers:
        raise ModelError(
            f"PEFT would train {trained[:3]}… and not one vector of {n_neurons} in each of {n_layers} layers"
        )


def vectors(model: PeftModel) -> dict[str, torch.Tensor]:
    """The trained tensors by PEFT's names, in float32: of IA3 Float[Tensor, "1 neurons"] each."""
    found = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tensor.detach().float().cpu().contiguous() for name, tensor in found.items()}


def save(subject: Subject, folder: Path) -> None:
    """Write the adapter in PEFT's format; both files or, on an error, none. Raises RunError for a value not
    finite, or an entry that was trained though it was not to be."""
    tensors = vectors(subject.model)
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise RunError("the trained vectors are not finite: lower `learning_rate`")
    if subject.mask is not None:
        subject.mask.check(tensors)
    if subject.check is not None:
        subject.check(tensors)
    write_ia3(folder, tensors, subject.model.peft_config["default"], subject.base)


def adapter_files(folder: Path) -> Sequence[Path]:
    """The files of a finished adapter that are there."""
    return [path for name in (WEIGHTS, CONFIG) if (path := folder / name).exists()]
