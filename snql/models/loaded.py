"""Loaded models: a base that several models share, and the adapters that each of them switches on."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase

from snql.errors import ModelError, RunError, reason
from snql.models import adapters
from snql.models.adapters import Adapter
from snql.models.architectures import Architecture
from snql.models.checks import Check
from snql.models.context import Context, context_of
from snql.models.files import ModelFiles
from snql.models.identity import combined_hash
from snql.models.sites import Site, find_sites
from snql.models.spec import ModelSpec
from snql.models.unchanged import WeightSample
from snql.neurons.sets import Shape


@dataclass
class Base:
    """One copy of a base model's weights, wrapped by PEFT once it has an adapter.

    accepts: names of the forward pass's parameters. kind: the type of its adapters, None before the first. private: one
    of its adapters changes its weights, so that it is no other model's.
    """

    files: ModelFiles
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    architecture: Architecture
    accepts: frozenset[str]
    end_ids: frozenset[int]
    pad_id: int
    device: torch.device
    checks: list[Check] = field(default_factory=list)
    peft: PeftModel | None = None
    kind: str | None = None
    private: bool = False
    adapters: dict[str, Adapter] = field(default_factory=dict)
    active: tuple[str, ...] = ()
    _sites: list[Site] | None = None
    _sample: WeightSample | None = None

    @property
    def folder(self) -> Path:
        """The folder, or the GGUF file, that it was loaded from."""
        return self.files.place

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of its files."""
        return self.files.hashes

    @property
    def model_type(self) -> str:
        """The Hugging Face config's model type."""
        return str(self.model.config.model_type)

    @property
    def sites(self) -> list[Site]:
        """Where the neurons of each layer are read and overwritten."""
        if self._sites is None:
            self._sites = find_sites(self.model, self.architecture)
        return self._sites

    @property
    def n_layers(self) -> int:
        return len(self.sites)

    @property
    def n_neurons(self) -> int:
        """Neurons of each layer."""
        return self.sites[0].n_neurons

    @property
    def n_experts(self) -> int:
        """Experts of each layer; 1 for a dense model."""
        return self.sites[0].n_experts

    @property
    def vocabulary_size(self) -> int:
        return int(self.model.config.vocab_size)

    @property
    def n_embeddings(self) -> int:
        """How many token ids the model has vectors for: a tokenizer may have more tokens."""
        embeddings: Any = self.model.get_input_embeddings()
        return int(embeddings.weight.shape[0])

    @property
    def dtype_name(self) -> str:
        """Such as ``float32``."""
        return str(self.model.dtype).removeprefix("torch.")

    @cached_property
    def context(self) -> Context | None:
        """How many tokens the model can read, if its config says so."""
        return context_of(self.model, self.model.config)

    @property
    def _tuner(self) -> Any:
        """PEFT's inner model: unlike PeftModel it can switch on several adapters at once."""
        return self.peft.base_model if self.peft is not None else None

    def add_adapter(self, adapter: Adapter) -> None:
        """Load the adapter unless it is already there; raises ModelError if it does not fit, or changes the base."""
        if adapter.name in self.adapters:
            return
        adapters.check_fits(self.model, adapter)
        self._sample = self._sample or WeightSample.of(self.model)
        self.peft = adapters.load_adapter(self.peft or self.model, adapter)
        self.peft.eval()
        self.private = self.private or adapter.config.changes_base
        if not self.private and (changed := self._sample.changed()) is not None:
            raise ModelError(
                f"{adapter} changes the weight {changed} of its base when PEFT loads it, and so the models that share "
                "the base: merge it into a checkpoint (merge_and_unload, save_pretrained), and name that"
            )
        try:
            find_sites(self.model, self.architecture)
        except ModelError as error:
            raise ModelError(
                f"{adapter} replaces a part of the MLP that snql reads ({error}): merge it into a checkpoint with PEFT "
                "(merge_and_unload, save_pretrained), and name that"
            ) from error
        self.adapters[adapter.name] = adapter
        self.kind = adapter.config.kind
        self._sites = None
        self.active = (adapter.name,)
        self.activate(())

    def activate(self, names: tuple[str, ...]) -> None:
        """Switch on exactly this stack of adapters, in order; () is the plain base."""
        if self.peft is None or names == self.active:
            return
        if not names:
            self._tuner.disable_adapter_layers()
        else:
            self._tuner.enable_adapter_layers()
            try:
                self._tuner.set_adapter(list(names), inference_mode=True)
            except ValueError as error:
                paths = " and ".join(str(self.adapters[name].files.place) for name in names)
                raise ModelError(f"adapters {paths} cannot be active together: {reason(error)}") from error
        self.active = names


@dataclass(frozen=True)
class LoadedModel:
    """One model of a run: a shared base and the names of the adapters it switches on, in order.

    notes: what runs with it must say and keep; remarks: what is worth saying only.
    """

    spec: ModelSpec
    base: Base
    adapter_names: tuple[str, ...]
    adapter_hashes: tuple[dict[str, str], ...]
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def model_id(self) -> str:
        """Identity by file contents: the hash of the base's and the adapters' files."""
        parts = [self.base.hashes, *self.adapter_hashes]
        return combined_hash({str(i): combined_hash(part) for i, part in enumerate(parts)})

    @property
    def sites(self) -> list[Site]:
        """Where the neurons of each layer are read and overwritten."""
        return self.base.sites

    @property
    def shape(self) -> Shape:
        """How many layers, experts and neurons the model has."""
        return Shape(self.base.n_layers, self.base.n_neurons, self.base.n_experts)

    def text(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """Token ids as text; special tokens are left out unless ``special``."""
        return str(self.base.tokenizer.decode(list(token_ids), skip_special_tokens=not special))

    @contextmanager
    def switched_on(self) -> Iterator[Any]:
        """The model with exactly its own adapters active, in inference mode.

        They stay active afterwards: switching walks over every layer, which a model that writes does not need to do
        for each token. Whoever runs the base switches on what it needs.
        """
        self.base.activate(self.adapter_names)
        with torch.inference_mode():
            yield self.base.model

    def logits(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        cache: Cache | None = None,
        keep: int = 1,
    ) -> torch.Tensor:
        """Read a left-padded batch; return the logits after its last tokens: Float[Tensor, "rows keep vocabulary"].

        ids and positions: Int[Tensor, "rows unread"]; mask: Int[Tensor, "rows all"], with what the cache holds. Models
        without position ids (ALiBi) get the positions from the mask. Raises RunError for a text that would change how
        others are read.
        """
        self._check_length(mask, positions)
        arguments = {"input_ids": ids, "attention_mask": mask, "use_cache": cache is not None}
        if cache is not None:
            arguments["past_key_values"] = cache
        if "position_ids" in self.base.accepts:
            arguments["position_ids"] = positions
        if "logits_to_keep" in self.base.accepts:
            arguments["logits_to_keep"] = keep
        with self.switched_on() as network:
            logits: torch.Tensor = network(**arguments).logits[:, -keep:, :]
        return logits

    def _check_length(self, mask: torch.Tensor, positions: torch.Tensor) -> None:
        """Jobs refuse such texts before they begin: this is for whoever reads without one."""
        context = self.base.context
        if context is None or context.rope is None or mask.shape[1] <= context.length:
            return
        if (length := int(positions.max()) + 1) > context.length:
            raise RunError(f"a text of {length} tokens is longer than {context}: read shorter ones")
