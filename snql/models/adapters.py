"""Adapters: loading them into a shared base with PEFT, and proving that they loaded as their files say."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from snql.errors import ModelError, reason
from snql.models.adapter_config import AdapterConfig
from snql.models.architectures import projection, widths
from snql.models.files import ModelFiles

_PREFIX = "base_model.model."
_LOADING_ERRORS = (RuntimeError, ValueError, KeyError, TypeError, AttributeError)
_OWN_PARTS = (".ia3_l", ".lora_", ".trainable_tokens_", ".token_adapter.")


@dataclass(frozen=True)
class Adapter:
    """An adapter's files and what its configuration says. name: PEFT's name for it."""

    files: ModelFiles
    config: AdapterConfig
    name: str

    def __str__(self) -> str:
        return f"adapter {self.files.place}"

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor in its file; raises ModelError for a damaged or an empty one."""
        try:
            with safe_open(self.files.files["adapter_model.safetensors"], framework="pt") as file:
                shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ModelError(f"{self} has a damaged adapter_model.safetensors: {error}") from error
        if not shapes:
            raise ModelError(f"{self} holds no tensors: it would change nothing")
        if empty := [key for key, shape in shapes.items() if 0 in shape]:
            raise ModelError(
                f"{self}: tensor {empty[0]} is empty, as when a model that is parted between devices is saved: save it "
                "with all weights gathered (stage3_gather_16bit_weights_on_model_save of DeepSpeed's ZeRO-3)"
            )
        return shapes

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that its file holds."""
        found: dict[str, torch.Tensor] = load_file(self.files.files["adapter_model.safetensors"])
        return found

    @cached_property
    def keeps_float32(self) -> bool:
        """Whether PEFT may hold it in float32 on a base of another type, as it is in its file.

        A float32 vector on a bfloat16 base must stay float32, and a bfloat16 one must not become float32: either change
        moves activations, and so change scores.
        """
        return any(tensor.dtype == torch.float32 for tensor in self.tensors().values())

    def copies(self) -> Iterator[str]:
        """Keys of whole weights of the base that PEFT saves along, when the vocabulary could have grown."""
        for key in self.shapes:
            module = key.removeprefix(_PREFIX).rpartition(".")[0]
            own = any(part in key for part in _OWN_PARTS)
            if not own and not self._replaces(module):
                yield key

    def _replaces(self, module: str) -> bool:
        """Whether it has its own copy of a module, or of one that holds it: PEFT goes by the ends of names."""
        parts = module.split(".")
        holders = [".".join(parts[: n + 1]) for n in range(len(parts))]
        return any(holder.endswith(name) for holder in holders for name in self.config.replaced)


def check_fits(base: nn.Module, adapter: Adapter) -> None:
    """Compare the adapter's file with the base's modules, before anything is loaded.

    Raises ModelError naming the first module that the base lacks, that has another width, or whose weights the
    adapter's file has otherwise.
    """
    copies = set(adapter.copies())
    for key, shape in adapter.shapes.items():
        if key not in copies:
            _check_width(base, adapter, key.removeprefix(_PREFIX), shape)
    if copies:
        tensors = adapter.tensors()
        for key in sorted(copies):
            _check_copy(base, adapter, key.removeprefix(_PREFIX), tensors[key])


def _check_width(base: nn.Module, adapter: Adapter, key: str, shape: tuple[int, ...]) -> None:
    name, mark, part = key.rpartition(".ia3_l") if key.endswith(".ia3_l") else key.partition(".lora_")
    if not mark or "embedding" in part:
        return  # a tensor of another kind, such as one of modules_to_save: PEFT checks its shape
    try:
        module = base.get_submodule(name)
    except AttributeError as error:
        raise ModelError(f"{adapter} is for a module {name} that the base does not have") from error
    n_in, n_out = widths(projection(module, f"{name} of the base"))
    if part.startswith("A."):
        found, wanted = shape[-1], n_in
    elif part.startswith(("B.", "magnitude")):
        found, wanted = shape[0], n_out
    else:
        found, wanted = max(shape), n_in if adapter.config.is_feedforward(name) else n_out
    if found != wanted:
        raise ModelError(
            f"{adapter} has width {found} at {name} where the base has {wanted}: it was made for another model"
        )


def _check_copy(base: nn.Module, adapter: Adapter, key: str, tensor: torch.Tensor) -> None:
    """Raise ModelError unless a weight that came along is the base's own: loading it would change every model of it."""
    module_name, _, leaf = key.replace(".base_layer.", ".").rpartition(".")
    try:
        module = base.get_submodule(module_name)
        own: torch.Tensor = getattr(getattr(module, "original_module", module), leaf).detach().cpu()
    except AttributeError as error:
        raise ModelError(f"{adapter} has a tensor {key}, of a module that the base does not have") from error
    if own.shape != tensor.shape:
        raise ModelError(
            f"{adapter} has {key} of {len(tensor)} rows where the base has {len(own)}: its vocabulary was resized; "
            "merge it into a checkpoint with PEFT (merge_and_unload, save_pretrained), and name that"
        )
    if not torch.equal(tensor.to(own.dtype), own) and not torch.equal(tensor, own.to(tensor.dtype)):
        raise ModelError(
            f"{adapter} has its own {key}, which differs from the base's: it was trained too, or for another base; "
            "merge it into a checkpoint with PEFT (merge_and_unload, save_pretrained), and name that"
        )


def load_adapter(model: PeftModel | nn.Module, adapter: Adapter) -> PeftModel:
    """Add the adapter; the first one wraps the base. Other adapters stay as they are.

    Raises ModelError if PEFT does not load exactly the tensors of the file.
    """
    folder, name, autocast = str(adapter.files.place), adapter.name, adapter.keeps_float32
    try:
        if isinstance(model, PeftModel):
            model.load_adapter(folder, adapter_name=name, autocast_adapter_dtype=autocast)
        else:
            model = PeftModel.from_pretrained(model, folder, adapter_name=name, autocast_adapter_dtype=autocast)
    except _LOADING_ERRORS as error:
        raise ModelError(f"{adapter} did not load: {reason(error)}") from error
    verify_adapter(model, adapter)
    return model


def verify_adapter(model: PeftModel, adapter: Adapter) -> None:
    """Compare every adapter tensor in the model with its file; raise ModelError if one differs or is missing.

    Values must be equal exactly: a tensor that was rounded to another number type differs.
    """
    wanted = adapter.tensors()
    for key in adapter.copies():
        del wanted[key]
    loaded = get_peft_model_state_dict(model, adapter_name=adapter.name, save_embedding_layers=False)
    if missing := sorted(wanted.keys() ^ loaded.keys()):
        where = "the loaded model, and not in the file" if missing[0] in loaded else "the file, and not loaded by PEFT"
        raise ModelError(f"{adapter}: tensor {missing[0]} is in {where}: save it again with this PEFT")
    for key, tensor in wanted.items():
        found = loaded[key].detach().cpu()
        own = tensor.reshape(found.shape)
        if torch.equal(found.double(), own.double()):
            continue
        if torch.equal(found, own.to(found.dtype)):
            kinds = [str(kind).removeprefix("torch.") for kind in (own.dtype, found.dtype)]
            raise ModelError(
                f"{adapter}: tensor {key} has {kinds[0]} numbers, which the model rounds to {kinds[1]}: use `dtype` "
                f"{kinds[0]}, or merge the adapter into a checkpoint with PEFT first"
            )
        raise ModelError(f"{adapter}: tensor {key} differs between the file and the loaded model")
