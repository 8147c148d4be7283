"""Rows of one batch under different adapters: models that share a base run in one forward pass.

IA3 rescales activations, so each row gets its own model's scale; LoRA adds a low-rank term, so each model's rows get
theirs. Both repeat what PEFT computes for a batch of one model, in the same number types and order.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from peft.tuners import ia3, lora
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from torch import nn

from snql.models.loaded import LoadedModel


def can_mix(models: Sequence[LoadedModel]) -> bool:
    """Whether the models can be rows of one batch: one base, and adapters of plain IA3 or LoRA on linear layers."""
    first = models[0]
    if any(model.base is not first.base for model in models):
        return False
    names = {name for model in models for name in model.adapter_names}
    wrapped = [module for module in first.base.model.modules() if isinstance(module, BaseTunerLayer)]
    if names and any(isinstance(module, ModulesToSaveWrapper) for module in first.base.model.modules()):
        return False
    return all(_is_plain(module, names) for module in wrapped if names & set(_adapters_of(module)))


def _is_plain(module: Any, names: set[str]) -> bool:
    if type(module) is ia3.layer.Linear:
        kinds = {module.ia3_l[name].dtype for name in names & set(module.ia3_l)}
        return len(kinds) == 1
    return type(module) is lora.layer.Linear and not names & set(module.lora_variant)


def _adapters_of(module: Any) -> list[str]:
    """Names of the adapters that a wrapped layer has."""
    parts = [getattr(module, name) for name in module.adapter_layer_names if hasattr(module, name)]
    return [str(key) for part in parts for key in part]


class AdapterRows:
    """Applies to each row of a batch the adapters of one of several models, which the base itself runs without.

    ``assign`` says before a forward pass which model each row is of.
    """

    def __init__(self, models: Sequence[LoadedModel]) -> None:
        self.plain = replace(models[0], adapter_names=(), adapter_hashes=())
        self._stacks = [model.adapter_names for model in models]
        self._rows: list[int] = []
        self._indices: dict[torch.device, tuple[torch.Tensor, list[torch.Tensor]]] = {}
        self._entering: dict[nn.Module, torch.Tensor] = {}

    @contextmanager
    def assigned(self, rows: Sequence[int]) -> Iterator[None]:
        """Within the block, the rows of what is computed are of other models, and may be others than the batch's."""
        before = self._rows, self._indices
        self._rows, self._indices = list(rows), {}
        try:
            yield
        finally:
            self._rows, self._indices = before

    def entering(self, module: nn.Module, values: torch.Tensor) -> torch.Tensor:
        """What a base projection reads of such inputs: rescaled, where an IA3 adapter does so (while applied)."""
        return self._rescaled(values, self._entering[module]) if module in self._entering else values

    def assign(self, rows: Sequence[int]) -> None:
        """Row ``i`` of the next batch is of model ``rows[i]``."""
        if list(rows) != self._rows:
            self._rows = list(rows)
            self._indices.clear()

    def _index(self, device: torch.device) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The model of each row, and the rows of each model."""
        if device not in self._indices:
            owners = torch.tensor(self._rows)
            rows = [torch.nonzero(owners == model)[:, 0].to(device) for model in range(len(self._stacks))]
            self._indices[device] = owners.to(device), rows
        return self._indices[device]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block, the plain base computes for each row what its model does."""
        with ExitStack() as stack:
            for module in self.plain.base.model.modules():
                if not isinstance(module, BaseTunerLayer):
                    continue
                if any(name in _adapters_of(module) for names in self._stacks for name in names):
                    stack.callback(self._hook(module))
            yield

    def _hook(self, module: Any) -> Callable[[], None]:
        if isinstance(module, ia3.layer.Linear):
            known = [name for names in self._stacks for name in names]
            scales = torch.stack([self._scale(module, names, known) for names in self._stacks])
            base: nn.Module = module.base_layer
            if module.is_feedforward:
                self._entering[base] = scales

            def before(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
                return (self._rescaled(inputs[0], scales), *inputs[1:])

            def after(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
                return self._rescaled(output, scales)

            handle = (
                base.register_forward_pre_hook(before) if module.is_feedforward else base.register_forward_hook(after)
            )
            return handle.remove

        def low_rank(_module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            return self._with_low_rank(module, inputs[0], output)

        return module.register_forward_hook(low_rank).remove  # type: ignore[no-any-return]

    @staticmethod
    def _scale(module: Any, names: Sequence[str], known: Iterable[str]) -> torch.Tensor:
        """The product of a stack's vectors: Float[Tensor, "neurons"]."""
        vectors = {name: module.ia3_l[name].detach().flatten() for name in known if name in module.ia3_l}
        scale = torch.ones_like(next(iter(vectors.values())))
        for name in names:
            scale = scale * vectors.get(name, 1)
        return scale

    def _rescaled(self, values: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        owners, _ = self._index(scales.device)
        by_row = values.reshape(len(self._rows), -1, values.shape[-1])
        return (by_row.to(scales.dtype) * scales[owners][:, None]).to(values.dtype).reshape(values.shape)

    def _with_low_rank(self, module: Any, inputs: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        given = inputs.reshape(len(self._rows), -1, inputs.shape[-1])
        result = output.reshape(len(self._rows), -1, output.shape[-1])
        for rows, names in zip(self._index(output.device)[1], self._stacks, strict=True):
            chosen = [name for name in names if name in module.lora_A]
            if not len(rows) or not chosen:
                continue
            own, total = given[rows], result[rows]
            for name in chosen:
                down, up = module.lora_A[name], module.lora_B[name]
                own = own.to(down.weight.dtype)
                total = total + up(down(own)) * module.scaling[name]
            result[rows] = total.to(output.dtype)
        return result.reshape(output.shape)
