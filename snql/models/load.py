"""Loaded models: a base that several models share, and the adapters that each of them switches on."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from snql.errors import InputError, ModelError
from snql.models import adapters, files
from snql.models.sites import architecture_of, check_sites, neuron_sites
from snql.models.spec import ModelSpec, parse_model_spec

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LoadOptions:
    """How to load: ``dtype`` (auto, float32, bfloat16, float16), ``device`` (auto, cpu, cuda, …), remote code."""

    dtype: str = "auto"
    device: str = "auto"
    trust_remote_code: bool = False


@dataclass
class Base:
    """One copy of a base model's weights, wrapped by PEFT once it has an adapter."""

    folder: Path
    hashes: dict[str, str]
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    architecture: str
    n_layers: int
    n_neurons: int
    vocabulary_size: int
    end_ids: frozenset[int]
    pad_id: int
    device: torch.device
    dtype: torch.dtype
    peft: PeftModel | None = None
    adapters: dict[str, Path] = field(default_factory=dict)
    active: tuple[str, ...] = ()

    @property
    def dtype_name(self) -> str:
        """Such as ``float32``."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def context_length(self) -> int | None:
        """How many tokens the model can read, if its config says so."""
        length = getattr(self.model.config, "max_position_embeddings", None)
        return int(length) if isinstance(length, int) else None

    @property
    def sites(self) -> list[nn.Linear]:
        """The base down-projection of each layer: where neurons are read and overwritten."""
        return neuron_sites(self.model, self.architecture)

    @property
    def _tuner(self) -> Any:
        """PEFT's inner model: unlike PeftModel it can switch on several adapters at once."""
        return self.peft.base_model if self.peft is not None else None

    def add_adapter(self, folder: Path, name: str) -> None:
        """Load the adapter unless it is already there; raises ModelError if it does not fit."""
        if name in self.adapters:
            return
        adapters.check_widths(self.model, folder)
        self.peft = adapters.load_adapter(self.peft or self.model, folder, name)
        self.peft.eval()
        self.adapters[name] = folder
        self.active = (name,)
        self.activate(())

    def activate(self, names: tuple[str, ...]) -> None:
        """Switch on exactly this stack of adapters, in order; () is the plain base."""
        if self.peft is None or names == self.active:
            return
        if not names:
            self._tuner.disable_adapter_layers()
        else:
            self._tuner.enable_adapter_layers()
            self._tuner.set_adapter(list(names), inference_mode=True)
        self.active = names


@dataclass(frozen=True)
class LoadedModel:
    """One model of a run: a shared base and the names of the adapters it switches on, in order."""

    spec: ModelSpec
    base: Base
    adapter_names: tuple[str, ...]
    adapter_hashes: tuple[dict[str, str], ...]

    @property
    def model_id(self) -> str:
        """Identity by file contents: the hash of the base's and the adapters' files."""
        parts = [self.base.hashes, *self.adapter_hashes]
        return files.combined_hash({str(i): files.combined_hash(part) for i, part in enumerate(parts)})

    def text(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """Token ids as text; special tokens are left out unless ``special``."""
        return str(self.base.tokenizer.decode(list(token_ids), skip_special_tokens=not special))

    @contextmanager
    def switched_on(self) -> Iterator[nn.Module]:
        """The model with exactly its own adapters active, in inference mode; the plain base again afterwards."""
        self.base.activate(self.adapter_names)
        try:
            with torch.inference_mode():
                yield self.base.model
        finally:
            self.base.activate(())


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep the model libraries' progress bars and deprecation notes off the terminal while they load."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_models(specs: Mapping[str, str], options: LoadOptions) -> dict[str, LoadedModel]:
    """Load the models of a run by role; models with the same base files share one copy of its weights.

    Raises ModelError when a part is missing, does not fit or did not load, or when token ids do not mean the same
    to all of the models.
    """
    bases: dict[str, Base] = {}
    with quiet_loading():
        models = {role: _load_model(parse_model_spec(spec), options, bases) for role, spec in specs.items()}
    for role, model in models.items():
        _check_same_tokens(next(iter(models.items())), (role, model))
    return models


def _load_model(spec: ModelSpec, options: LoadOptions, bases: dict[str, Base]) -> LoadedModel:
    folder = files.base_folder(spec.base)
    adapter_folders = [files.adapter_folder(part) for part in spec.adapters]
    for adapter in adapter_folders:
        adapters.read_config(adapter)
    hashes = files.file_hashes(folder)
    key = files.combined_hash(hashes)
    if key not in bases:
        bases[key] = _load_base(spec, folder, hashes, options)
    adapter_hashes = tuple(files.file_hashes(adapter) for adapter in adapter_folders)
    # PEFT forbids dots in adapter names; the hash makes equal adapters one and different ones distinct.
    names = tuple(f"adapter_{files.combined_hash(hashes)[:16]}" for hashes in adapter_hashes)
    if len(set(names)) != len(names):
        raise ModelError(f"model spec {spec.text!r} applies the same adapter twice: name each one once")
    for name, adapter in zip(names, adapter_folders, strict=True):
        bases[key].add_adapter(adapter, name)
    return LoadedModel(spec, bases[key], names, adapter_hashes)


def _load_base(spec: ModelSpec, folder: Path, hashes: dict[str, str], options: LoadOptions) -> Base:
    device = resolve_device(options.device)
    model = _load_weights(spec, folder, options, device)
    config = model.config
    tokenizer = _load_tokenizer(spec, folder, options)
    end_ids = _end_ids(model, tokenizer)
    base = Base(
        folder=folder,
        hashes=hashes,
        model=model,
        tokenizer=tokenizer,
        architecture=config.model_type,
        n_layers=config.num_hidden_layers,
        n_neurons=config.intermediate_size,
        vocabulary_size=config.vocab_size,
        end_ids=end_ids,
        pad_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(end_ids, default=0),
        device=device,
        dtype=model.dtype,
    )
    check_sites(base.sites, base.n_layers, base.n_neurons, spec.text)
    return base


def _load_weights(spec: ModelSpec, folder: Path, options: LoadOptions, device: torch.device) -> PreTrainedModel:
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=options.trust_remote_code)
        architecture_of(config.model_type)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=_dtype(options.dtype, device),
            use_safetensors=True,
            trust_remote_code=options.trust_remote_code,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"model {spec.base} cannot be loaded: {reason}") from error
    model, info = loaded
    # A weight that is missing from the files would be random: a number published from it would be wrong.
    if info["missing_keys"]:
        raise ModelError(f"model {spec.base} lacks weights: {sorted(info['missing_keys'])[0]} is in none of its files")
    moved: PreTrainedModel = model.to(device).eval()
    return moved


def _load_tokenizer(spec: ModelSpec, folder: Path, options: LoadOptions) -> PreTrainedTokenizerBase:
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=options.trust_remote_code
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"model {spec.base} has no tokenizer that loads: {' '.join(str(error).split())}") from error
    return tokenizer


def _end_ids(model: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    ids = {configured} if isinstance(configured, int) else set(configured or ())
    if tokenizer.eos_token_id is not None:
        ids.add(int(tokenizer.eos_token_id))
    return frozenset(ids)


def resolve_device(name: str) -> torch.device:
    """The device of that name, or the best there is for ``auto``; raises InputError if there is none such."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"--device {name!r} is not a device: use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"--device {name!r}: this machine has no CUDA device; use --device cpu")
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype | str:
    """``auto`` is the checkpoint's own type on an accelerator and float32 on a CPU."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    if name not in DTYPES:
        raise InputError(f"--dtype {name!r} is not known: use auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def _check_same_tokens(first: tuple[str, LoadedModel], second: tuple[str, LoadedModel]) -> None:
    (role_a, a), (role_b, b) = first, second
    if a.base is b.base:
        return
    names = f"{role_a} ({a.spec.text}) and {role_b} ({b.spec.text})"
    if a.base.tokenizer.get_vocab() != b.base.tokenizer.get_vocab():
        raise ModelError(f"the tokenizers of {names} differ: token ids must mean the same to both models")
    if a.base.vocabulary_size != b.base.vocabulary_size or a.base.end_ids != b.base.end_ids:
        raise ModelError(f"the vocabularies or end-of-sequence tokens of {names} differ: they must be the same")
    if (a.base.n_layers, a.base.n_neurons) != (b.base.n_layers, b.base.n_neurons):
        raise ModelError(
            f"{names} have different shapes ({a.base.n_layers}x{a.base.n_neurons} and "
            f"{b.base.n_layers}x{b.base.n_neurons} neurons): neurons can only be compared between models of one shape"
        )
