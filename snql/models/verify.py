"""A second opinion on every load: plain transformers and PEFT in a fresh object must give the same logits.

Adapters, shared bases and hooks are snql's own doing, so what they come to is compared with a load that has none of it.
It costs a load; what held once for a model's files and the versions of the libraries is remembered.
"""

import time
from dataclasses import dataclass, replace
from typing import Any

import psutil
import torch
from peft import PeftModel

from snql.errors import ModelError
from snql.models.checks import tolerance
from snql.models.circumstances import circumstances
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.models.remembered import recall, remember
from snql.models.weights import load_weights

_TEXT = "The quick brown fox jumps over the lazy dog, and 12 of its 345 friends ask why."
_MOST_TOKENS = 24


@dataclass(frozen=True)
class Comparison:
    """The largest difference between two loads' logits, relative to the largest logit, and what it may be."""

    difference: float
    allowed: float

    @property
    def equal(self) -> bool:
        return self.difference <= self.allowed


def verified(model: LoadedModel, options: LoadOptions) -> LoadedModel:
    """The model, with a remark on what the comparison took; raises ModelError if the loads differ.

    A model that does not fit into memory a second time is not compared, which it then says.
    """
    key = f"{model.model_id} {circumstances(model.base, options)}"
    if recall("loads", key) is not None:
        return model
    if (lacking := _lacking_bytes(model)) > 0:
        return replace(
            model,
            remarks=(
                *model.remarks,
                f"model {model.spec.text} is not compared with an independent load: memory lacks "
                f"{lacking / 1e9:.1f} GB for it",
            ),
        )
    start = time.monotonic()
    found = compare(model, options)
    if not found.equal:
        raise ModelError(
            f"model {model.spec.text} is not loaded as plain transformers and PEFT load it: logits differ by "
            f"{found.difference:.1e} of the largest; merge its adapters into a checkpoint, or report this"
        )
    remember("loads", key, f"{found.difference:.3e}")
    took = f"{time.monotonic() - start:.1f} s"
    remark = f"model {model.spec.text}: logits equal those of an independent load ({took}, once; `verify`)"
    return replace(model, remarks=(*model.remarks, remark))


def compare(model: LoadedModel, options: LoadOptions) -> Comparison:
    """Logits of a short text by the loaded model, beside those of a fresh object."""
    ids = torch.tensor([_ids(model)], device=model.base.device)
    arguments = (ids, torch.ones_like(ids), torch.arange(ids.shape[1], device=ids.device)[None])
    found = model.logits(*arguments, keep=ids.shape[1]).float()
    network = _fresh(model, options)
    with torch.inference_mode():
        expected = network(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits.float()
    scale = float(expected.abs().max()) or 1.0
    quantized = bool(getattr(model.base.model, "is_quantized", False))
    return Comparison(float((found - expected).abs().max()) / scale, tolerance(model.base.model.dtype, quantized))


def _fresh(model: LoadedModel, options: LoadOptions) -> Any:
    """The same files by the libraries alone: a base that nobody shares, and PEFT's own way of stacking."""
    network: Any = load_weights(model.spec.base, model.base.files, options)
    stack = [model.base.adapters[name] for name in model.adapter_names]
    if not stack:
        return network
    first, *others = stack
    autocast = {adapter.name: adapter.keeps_float32 for adapter in stack}
    peft = PeftModel.from_pretrained(
        network,
        str(first.files.place),
        adapter_name=first.name,
        autocast_adapter_dtype=autocast[first.name],
    )
    for adapter in others:
        peft.load_adapter(
            str(adapter.files.place), adapter_name=adapter.name, autocast_adapter_dtype=autocast[adapter.name]
        )
    if others:
        tuner: Any = peft.base_model
        tuner.set_adapter([adapter.name for adapter in stack])
    return peft.eval()


def _ids(model: LoadedModel) -> list[int]:
    """A short text; token ids that a model of a tiny vocabulary does not have are left out."""
    network: Any = model.base.model
    tokenizer: Any = model.base.tokenizer
    size = int(network.get_input_embeddings().weight.shape[0])
    ids = [token for token in tokenizer(_TEXT, add_special_tokens=True).input_ids if token < size]
    return ids[:_MOST_TOKENS] or [min(3, size - 1)]


def _lacking_bytes(model: LoadedModel) -> float:
    """How much more memory a second copy needs than is free, on the CPU or the accelerator that the model is on."""
    needed = 1.2 * sum(parameter.numel() * parameter.element_size() for parameter in model.base.model.parameters())
    if model.base.device.type == "cuda":
        return needed - sum(torch.cuda.mem_get_info(index)[0] for index in range(torch.cuda.device_count()))
    return needed - float(psutil.virtual_memory().available)
