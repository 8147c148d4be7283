"""Loading the models of a run: bases shared, adapters proven, every model checked before it is used."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from snql.errors import ModelError
from snql.models import adapters, files
from snql.models.architectures import architecture_of
from snql.models.checks import Subject, check_model, require_sound
from snql.models.devices import quantization, quiet_loading, resolve_device, resolve_dtype
from snql.models.experts import use_hookable_experts
from snql.models.loaded import Base, LoadedModel
from snql.models.options import LoadOptions
from snql.models.spec import ModelSpec, parse_model_spec
from snql.models.tokenizer import tokenizer_in

_WIDTH_NAMES = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")


def load_models(
    specs: Mapping[str, str], options: LoadOptions, dtypes: Mapping[str, str] | None = None
) -> dict[str, LoadedModel]:
    """Load the models of a run by role; models with the same base files share one copy of its weights.

    dtypes: number types by role, where they are not that of the options; weights are shared within one type only.

    Raises ModelError when a part is missing, does not fit or did not load, when a check of the model fails, or when
    token ids do not mean the same to all of the models.
    """
    parsed = {role: parse_model_spec(spec) for role, spec in specs.items()}
    _check_same_revision(parsed)
    chosen = {role: (dtypes or {}).get(role, options.dtype) for role in parsed}
    bases: dict[str, list[Base]] = {dtype: [] for dtype in chosen.values()}
    with quiet_loading():
        models = {
            role: _load_model(spec, replace(options, dtype=chosen[role]), bases[chosen[role]])
            for role, spec in parsed.items()
        }
    for role, model in models.items():
        _check_same_tokens(next(iter(models.items())), (role, model))
    return models


def inspect_model(spec: str, options: LoadOptions) -> LoadedModel:
    """Load one model and run its checks without refusing it for one that fails: see ``base.checks``."""
    with quiet_loading():
        return _load_model(parse_model_spec(spec), options, [], strict=False)


def _load_model(spec: ModelSpec, options: LoadOptions, bases: list[Base], *, strict: bool = True) -> LoadedModel:
    folder = files.base_folder(spec.base)
    adapter_folders = [files.adapter_folder(part) for part in spec.adapters]
    kind = adapters.common_kind(adapter_folders, spec.text)
    hashes = files.file_hashes(folder)
    base = _shared(bases, hashes, kind)
    if base is None:
        base = _load_base(spec, folder, hashes, options)
        if strict:
            require_sound(base.checks, spec.text)
        bases.append(base)
    adapter_hashes = tuple(files.file_hashes(adapter) for adapter in adapter_folders)
    # PEFT forbids dots in adapter names; the hash makes equal adapters one and different ones distinct.
    names = tuple(f"adapter_{files.combined_hash(hashes)[:16]}" for hashes in adapter_hashes)
    if len(set(names)) != len(names):
        raise ModelError(f"model spec {spec.text!r} applies the same adapter twice: name each one once")
    for name, adapter in zip(names, adapter_folders, strict=True):
        base.add_adapter(adapter, name, str(kind))
    return LoadedModel(spec, base, names, adapter_hashes)


def _shared(bases: list[Base], hashes: dict[str, str], kind: str | None) -> Base | None:
    """A loaded base with the same files; PEFT keeps one type of adapter on a base, so another type needs a copy."""
    for base in bases:
        if base.hashes == hashes and (kind is None or base.kind in (None, kind)):
            return base
    return None


def _load_base(spec: ModelSpec, folder: Path, hashes: dict[str, str], options: LoadOptions) -> Base:
    model = _load_weights(spec, folder, options)
    tokenizer = tokenizer_in(folder, str(spec.base), trust_remote_code=options.trust_remote_code)
    end_ids = _end_ids(model, tokenizer)
    architecture = architecture_of(model)
    if architecture.experts is not None:
        use_hookable_experts(model)
    base = Base(
        folder=folder,
        hashes=hashes,
        model=model,
        tokenizer=tokenizer,
        architecture=architecture,
        accepts=frozenset(inspect.signature(type(model).forward).parameters),
        end_ids=end_ids,
        pad_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(end_ids, default=0),
        device=next(model.get_input_embeddings().parameters()).device,
    )
    base.checks = check_model(_subject(base))
    return base


def _subject(base: Base) -> Subject:
    config = base.model.config

    def run(ids: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = base.model(
                input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False
            ).logits
        return logits

    widths = [getattr(config, name, None) for name in _WIDTH_NAMES]
    if base.architecture.experts is not None:
        width = getattr(config, "moe_intermediate_size", None) or config.intermediate_size
        widths = [width * base.n_experts]
    return Subject(
        sites=base.sites,
        n_layers=config.num_hidden_layers,
        n_neurons=next((width for width in widths if isinstance(width, int)), None),
        hidden_size=config.hidden_size,
        vocabulary_size=config.vocab_size,
        device=base.device,
        run=run,
        quantized=getattr(base.model, "is_quantized", False),
    )


def _load_weights(spec: ModelSpec, folder: Path, options: LoadOptions) -> PreTrainedModel:
    device = resolve_device(options.device)
    placed = options.device_map is not None or options.quantize is not None
    settings: dict[str, Any] = {
        "dtype": resolve_dtype(options.dtype, device),
        "quantization_config": quantization(options.quantize),
        "device_map": options.device_map or ("auto" if options.quantize else None),
        "attn_implementation": options.attn_implementation,
    }
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=options.trust_remote_code)
        _check_causal(config, spec)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            trust_remote_code=options.trust_remote_code,
            output_loading_info=True,
            **{name: value for name, value in settings.items() if value is not None},
        )
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"model {spec.base} cannot be loaded: {reason}") from error
    model, info = loaded
    # A weight that is missing from the files would be random: a number published from it would be wrong.
    if info["missing_keys"]:
        raise ModelError(f"model {spec.base} lacks weights: {sorted(info['missing_keys'])[0]} is in none of its files")
    ready: PreTrainedModel = (model if placed else model.to(device)).eval()
    return ready


def _check_causal(config: Any, spec: ModelSpec) -> None:
    """Refuse encoders and encoder-decoders, which transformers might wrap as if they wrote text."""
    named = config.architectures or []
    if getattr(config, "is_encoder_decoder", False) or (named and not any("LM" in name for name in named)):
        raise ModelError(
            f"model {spec.base} is a {', '.join(named) or config.model_type}, not a causal language model: "
            "snql contrasts models that write text from left to right"
        )
    if any("MaskedLM" in name for name in named):
        raise ModelError(f"model {spec.base} is an encoder ({', '.join(named)}), not a causal language model")


def _end_ids(model: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ids = {configured} if isinstance(configured, int) else set(configured or ())
    if tokenizer.eos_token_id is not None:
        ids.add(int(tokenizer.eos_token_id))
    return frozenset(ids)


def _check_same_revision(specs: Mapping[str, ModelSpec]) -> None:
    """Raise ModelError if one base is named at two revisions: what differs would not be the alignment alone."""
    seen: dict[str, tuple[str, ModelSpec]] = {}
    for role, spec in specs.items():
        other, known = seen.setdefault(spec.base.location, (role, spec))
        if known.base.revision != spec.base.revision:
            raise ModelError(
                f"{other} ({known.text}) and {role} ({spec.text}) name two revisions of the base {spec.base.location}: "
                "use one revision for both"
            )


def _check_same_tokens(first: tuple[str, LoadedModel], second: tuple[str, LoadedModel]) -> None:
    """Raise ModelError unless both models read token ids alike and have neurons of one shape."""
    (role_a, a), (role_b, b) = first, second
    if a.base is b.base:
        return
    names = f"{role_a} ({a.spec.text}) and {role_b} ({b.spec.text})"
    if a.base.tokenizer.get_vocab() != b.base.tokenizer.get_vocab():
        raise ModelError(f"the tokenizers of {names} differ: token ids must mean the same to both models")
    if a.base.tokenizer.chat_template != b.base.tokenizer.chat_template:
        raise ModelError(f"the chat templates of {names} differ: both models must be given the same text")
    if a.base.vocabulary_size != b.base.vocabulary_size or a.base.end_ids != b.base.end_ids:
        raise ModelError(f"the vocabularies or end-of-sequence tokens of {names} differ: they must be the same")
    if a.shape != b.shape:
        raise ModelError(
            f"{names} have different shapes ({a.shape} and {b.shape} neurons): neurons can only be compared between "
            "models of one shape"
        )
