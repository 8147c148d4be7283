"""``snql doctor``: what snql finds in a model, and the result of each check."""

import time
from dataclasses import dataclass

import polars as pl
import torch

from snql.models.checks import Check
from snql.models.context import Context
from snql.models.load import inspect_model
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.models.verify import compare


@dataclass(frozen=True)
class Diagnosis:
    """What was found in a model.

    ``facts``: rows of (what, found). ``checks``: rows of (check, ok, found). ``notes``: what runs with it say.
    """

    model: str
    sound: bool
    facts: pl.DataFrame
    checks: pl.DataFrame
    notes: tuple[str, ...] = ()


def _weights(model: LoadedModel) -> list[str]:
    """The base's files that its weights are in."""
    files = model.base.files
    names = [name for name in files.files if name.endswith(".safetensors") or name == files.gguf]
    return names if len(names) < 4 else [names[0], f"… {names[-1]} ({len(names)} files)"]


def _neurons(model: LoadedModel) -> str:
    shape, down = model.shape, model.base.architecture.down
    if not shape.routed:
        return f"{shape.n_neurons} a layer, the input of {down}"
    return f"{shape.per_expert} in each of {shape.n_experts} experts a layer, the input of {down}; no shared expert's"


def _frequencies(context: Context) -> str:
    return "" if context.rope is None else f", as far as rotary frequencies stay the same ({context.rope})"


def _changes(model: LoadedModel) -> bool:
    """Whether the adapters change what the base says on a few tokens."""
    base = LoadedModel(model.spec, model.base, (), ())
    ids = torch.arange(3, 9, device=model.base.device)[None] % model.base.vocabulary_size
    batch = (ids, torch.ones_like(ids), torch.arange(6, device=ids.device)[None])
    return not torch.equal(base.logits(*batch), model.logits(*batch))


def _independent(model: LoadedModel, options: LoadOptions) -> Check:
    """The comparison with a load by the libraries alone, done again although it may be remembered."""
    start = time.monotonic()
    found = compare(model, options)
    words = f"logits differ by {found.difference:.1e} relative, {found.allowed:.0e} is allowed"
    return Check("equals an independent load", found.equal, f"{words} ({time.monotonic() - start:.1f} s)")


def diagnose(spec: str, options: LoadOptions) -> Diagnosis:
    """Load a model with its adapters and run every check; raises ModelError if it cannot be loaded at all."""
    model = inspect_model(spec, options)
    base, places = model.base, model.base.architecture
    facts = {
        "model type": base.model_type,
        "layers": f"{base.n_layers}, at {places.layers}",
        "neurons": _neurons(model),
        "gate": "none" if places.gate is None and not places.fused else places.gate or f"fused in {places.up}",
        "vocabulary": str(base.vocabulary_size),
        "context": "not limited by the config"
        if base.context is None
        else f"{base.context.length} tokens{_frequencies(base.context)}",
        "chat template": "none" if base.tokenizer.chat_template is None else "the tokenizer's own",
        "end tokens": ", ".join(map(str, sorted(base.end_ids))) or "none",
        "device and type": f"{base.device}, {base.dtype_name}",
        "positions": "given" if "position_ids" in base.accepts else "from the mask",
        "weights": ", ".join(_weights(model)),
        "identity": model.model_id,
    }
    if model.adapter_names:
        facts["adapters change the logits"] = "yes" if _changes(model) else "no: they do nothing on a small input"
    for name in model.adapter_names:
        facts[f"adapter {base.adapters[name].files.place.name}"] = f"{base.kind}, every tensor equals its file"
    checks = [*base.checks, *([_independent(model, options)] if options.verify else [])]
    return Diagnosis(
        model=spec,
        sound=all(check.ok for check in checks),
        facts=pl.DataFrame(list(facts.items()), schema=["what", "found"], orient="row"),
        checks=pl.DataFrame([vars(check) for check in checks], schema=["name", "ok", "found"]),
        notes=model.notes,
    )
