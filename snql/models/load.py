"""Loading the models of a run: bases shared, adapters proven, every model checked before it is used."""

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from snql.errors import ModelError
from snql.models import files
from snql.models.adapter_config import check_stack, read_config
from snql.models.adapters import Adapter
from snql.models.architectures import architecture_of
from snql.models.beside import brought_along
from snql.models.checks import Check, Subject, check_model, require_sound
from snql.models.circumstances import circumstances
from snql.models.devices import quiet_loading
from snql.models.experts import use_hookable_experts
from snql.models.files import ModelFiles
from snql.models.gguf_once import parsed_once
from snql.models.identity import combined_hash
from snql.models.limits import built
from snql.models.loaded import Base, LoadedModel
from snql.models.options import LoadOptions
from snql.models.precision import mixed_note
from snql.models.remembered import recall, remember
from snql.models.spec import ModelSpec, PartSpec, parse_model_spec
from snql.models.tokenizer import tokenizer_in
from snql.models.verify import verified
from snql.models.weights import load_weights

_WIDTH_NAMES = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")


def load_models(
    specs: Mapping[str, str],
    options: LoadOptions,
    dtypes: Mapping[str, str] | None = None,
    *,
    own_template: bool = True,
) -> dict[str, LoadedModel]:
    """Load the models of a run by role; models with the same base files share one copy of its weights.

    dtypes: number types by role, where they are not that of the options; weights are shared within one type only.
    own_template: whether prompts are put into the tokenizers' own chat templates, which are then to be the same.

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
        first = next(iter(models.items()))
        for role, model in models.items():
            _check_same_tokens(first, (role, model))
            if own_template:
                _check_same_template(first, (role, model))
        models = _with_common_ends(models)
        if options.verify:
            models = {role: verified(model, replace(options, dtype=chosen[role])) for role, model in models.items()}
    return models


def _with_common_ends(models: dict[str, LoadedModel]) -> dict[str, LoadedModel]:
    """All end a completion at the same tokens: at those that end one for any of them; notes say what else differs."""
    common = frozenset().union(*(model.base.end_ids for model in models.values()))
    ends = {role: _names_of(model, sorted(model.base.end_ids)) for role, model in models.items()}
    around = {role: _names_of(model, model.base.tokenizer("a").input_ids) for role, model in models.items()}
    for model in models.values():
        model.base.end_ids = common
    notes = []
    if len(set(ends.values())) > 1:
        notes.append(f"the models' end tokens differ ({_by_role(ends)}): a completion ends at any of them")
    if len(set(around.values())) > 1:
        notes.append(
            f"the models' tokenizers put other special tokens around a text ({_by_role(around)}): both are given what "
            f"that of {next(iter(around))} gives"
        )
    if mixed := mixed_note(models):
        notes.append(mixed)
    return {role: replace(model, notes=(*model.notes, *notes)) for role, model in models.items()}


def _by_role(words: Mapping[str, str]) -> str:
    return ", ".join(f"{role}: {text}" for role, text in words.items())


def _names_of(model: LoadedModel, ids: Iterable[int]) -> str:
    return " ".join(str(token) for token in model.base.tokenizer.convert_ids_to_tokens(list(ids))) or "none"


def inspect_model(spec: str, options: LoadOptions) -> LoadedModel:
    """Load one model and run its checks without refusing it for one that fails: see ``base.checks``."""
    with quiet_loading():
        return _load_model(parse_model_spec(spec), options, [], strict=False)


def _load_model(spec: ModelSpec, options: LoadOptions, bases: list[Base], *, strict: bool = True) -> LoadedModel:
    with built(f"model {spec.text!r}"):
        return _built(spec, options, bases, strict=strict)


def _built(spec: ModelSpec, options: LoadOptions, bases: list[Base], *, strict: bool) -> LoadedModel:
    given = files.base_files(spec.base, code=options.trust_remote_code)
    stack = [_adapter(part) for part in spec.adapters]
    if len({adapter.name for adapter in stack}) != len(stack):
        raise ModelError(f"model spec {spec.text!r} applies the same adapter twice: name each one once")
    check_stack([adapter.config for adapter in stack], spec.text)
    base = _shared(bases, given, stack)
    if base is None:
        base = _load_base(spec, given, options)
        base.checks = _checked(base, spec.text, options) if strict else check_model(_subject(base))
        bases.append(base)
    for adapter in stack:
        base.add_adapter(adapter)
    names = tuple(adapter.name for adapter in stack)
    base.activate(names)  # fails here for a stack that cannot be
    own = [brought_along(adapter, base.tokenizer) for adapter in stack]
    base.end_ids |= {token for each in own for token in each.end_ids}
    notes = [note for each in own for note in each.notes]
    notes += [_changing(adapter) for adapter in stack if adapter.config.changes_base]
    return LoadedModel(spec, base, names, tuple(adapter.files.hashes for adapter in stack), tuple(notes))


def _adapter(part: PartSpec) -> Adapter:
    found = files.adapter_files(part)
    # PEFT forbids dots in adapter names; the hash makes equal adapters one and different ones distinct.
    return Adapter(found, read_config(found.place), f"adapter_{combined_hash(found.hashes)[:16]}")


def _changing(adapter: Adapter) -> str:
    return (
        f"{adapter} takes its part out of the base's weights when it is loaded "
        f"(init_lora_weights={adapter.config.init}), as it was when it was trained: it has its own copy of the base"
    )


def _shared(bases: list[Base], given: ModelFiles, stack: Sequence[Adapter]) -> Base | None:
    """A loaded base with the same files; PEFT keeps one type of adapter on a base, so another type needs a copy.

    So does an adapter that changes the base's weights.
    """
    if any(adapter.config.changes_base for adapter in stack):
        return None
    for base in bases:
        fits = not stack or base.kind in (None, stack[0].config.kind)
        if base.hashes == given.hashes and fits and not base.private:
            return base
    return None


def _load_base(spec: ModelSpec, given: ModelFiles, options: LoadOptions) -> Base:
    with parsed_once(given.gguf):
        model = load_weights(spec.base, given, options)
        tokenizer = tokenizer_in(given, f"model {spec.base}", trust_remote_code=options.trust_remote_code)
    end_ids = _end_ids(model, tokenizer)
    architecture = architecture_of(model)
    if architecture.experts is not None:
        use_hookable_experts(model)
    return Base(
        files=given,
        model=model,
        tokenizer=tokenizer,
        architecture=architecture,
        accepts=frozenset(inspect.signature(type(model).forward).parameters),
        end_ids=end_ids,
        pad_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(end_ids, default=0),
        device=next(model.get_input_embeddings().parameters()).device,
    )


def _checked(base: Base, name: str, options: LoadOptions) -> list[Check]:
    """The checks of a base, all of which hold: those of an earlier load of its files, if nothing else has changed.

    Raises ModelError naming the first check that does not hold.
    """
    key = f"{combined_hash(base.hashes)} {circumstances(base, options)}"
    if (known := recall("checks", key)) is not None:
        return [Check(*each) for each in json.loads(known)]
    checks = check_model(_subject(base))
    require_sound(checks, name)
    remember("checks", key, json.dumps([(check.name, check.ok, check.found) for check in checks]))
    return checks


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


def _difference(a: Mapping[str, int], b: Mapping[str, int]) -> str | None:
    """One token that two vocabularies do not have alike, in words."""
    for token in sorted(a.keys() | b.keys(), key=lambda token: (a.get(token, b.get(token, 0)), token)):
        if a.get(token) != b.get(token):
            ids = [str(vocabulary.get(token, "none")) for vocabulary in (a, b)]
            return f"{token!r} is token {' and '.join(ids)}"
    return None


def _check_same_template(first: tuple[str, LoadedModel], second: tuple[str, LoadedModel]) -> None:
    """Raise ModelError unless both tokenizers have one chat template, or none."""
    (role_a, a), (role_b, b) = first, second
    one, other = a.base.tokenizer.chat_template, b.base.tokenizer.chat_template
    if one == other:
        return
    names = f"{role_a} ({a.spec.text}) and {role_b} ({b.spec.text})"
    role = role_a if other is None else role_b
    only = f" (only {role} has one)" if one is None or other is None else ""
    raise ModelError(
        f"the chat templates of {names} differ{only}, but both must be given the same text: use `template` {role} for "
        f"that of the model {role}, or the path of a .jinja file, or plain"
    )


def _check_same_tokens(first: tuple[str, LoadedModel], second: tuple[str, LoadedModel]) -> None:
    """Raise ModelError unless both models read token ids alike and have neurons of one shape."""
    (role_a, a), (role_b, b) = first, second
    if a.base is b.base:
        return
    names = f"{role_a} ({a.spec.text}) and {role_b} ({b.spec.text})"
    if different := _difference(a.base.tokenizer.get_vocab(), b.base.tokenizer.get_vocab()):
        raise ModelError(
            f"the tokenizers of {names} differ ({different}): token ids must mean the same to both models; "
            "give them one tokenizer and one vocabulary"
        )
    if a.base.vocabulary_size != b.base.vocabulary_size:
        raise ModelError(
            f"the vocabularies of {names} have {a.base.vocabulary_size} and {b.base.vocabulary_size} tokens: "
            "resize one of the models to the other's"
        )
    if a.shape != b.shape:
        raise ModelError(
            f"{names} have different shapes ({a.shape} and {b.shape} neurons): neurons can only be compared between "
            "models of one shape"
        )
