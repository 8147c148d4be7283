"""The neurons of mixtures of experts, whose experts are fused parameters that no token passes as a layer.

transformers lets a model name the function that runs its experts. :func:`run_experts` is such a function: it computes
what the model's own does, expert by expert, and shows the neurons to a hook on the way. Activations are laid out as
Float[Tensor, "tokens experts*neurons"], NaN where the router did not send a token to an expert.
"""

from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from snql.errors import ModelError, RunError

ExpertsHook = Callable[[torch.Tensor], torch.Tensor]
"""Given all activations of a layer, returns those that go on."""

NAME = "snql"
_HOOKS: WeakKeyDictionary[nn.Module, list[ExpertsHook]] = WeakKeyDictionary()


def use_hookable_experts(model: PreTrainedModel) -> None:
    """Let the model run its experts through :func:`run_experts`."""
    ALL_EXPERTS_FUNCTIONS.register(NAME, run_experts)
    model.set_experts_implementation(NAME)


def add_hook(experts: nn.Module, hook: ExpertsHook) -> Callable[[], None]:
    """Hook a layer's experts; returns what takes the hook off again."""
    _HOOKS.setdefault(experts, []).append(hook)
    return lambda: _HOOKS[experts].remove(hook)


def check_layout(experts: nn.Module, name: str) -> None:
    """Raise ModelError unless the experts are laid out as this module reads them."""
    plain = ("has_gate", True), ("has_bias", False), ("is_transposed", False), ("is_concatenated", True)
    for attribute, wanted in plain:
        if getattr(experts, attribute, wanted) != wanted:
            raise ModelError(f"{name}: experts with {attribute}={not wanted} are not supported: use a dense model")
    for attribute in ("gate_up_proj", "down_proj", "act_fn", "num_experts"):
        if not hasattr(experts, attribute):
            raise ModelError(f"{name}: experts without {attribute} are not supported: use a dense model")


def neurons_of(experts: nn.Module, expert: int, inputs: torch.Tensor) -> torch.Tensor:
    """act(gate(x)) * up(x) of one expert: Float[Tensor, "tokens neurons"]."""
    module: object = experts
    weight: torch.Tensor = module.gate_up_proj[expert]  # type: ignore[attr-defined]
    gate, up = nn.functional.linear(inputs, weight).chunk(2, dim=-1)
    activated: torch.Tensor = module.act_fn(gate) * up  # type: ignore[attr-defined]
    return activated


def run_experts(
    experts: nn.Module, hidden: torch.Tensor, top_k_index: torch.Tensor, top_k_weights: torch.Tensor
) -> torch.Tensor:
    """The experts' output, Float[Tensor, "tokens hidden"], with the hooks of the layer applied to their neurons.

    hidden: Float[Tensor, "tokens hidden"]; top_k_index and top_k_weights: [Tensor, "tokens k"].
    """
    routes = _routes(top_k_index)
    activations = {expert: neurons_of(experts, expert, hidden[tokens]) for expert, (tokens, _) in routes.items()}
    if hooks := _HOOKS.get(experts):
        activations = _hooked(hooks, routes, activations, (len(hidden), int(experts.num_experts)))  # type: ignore[arg-type]
    output = torch.zeros_like(hidden)
    for expert, (tokens, places) in routes.items():
        down: torch.Tensor = experts.down_proj[expert]  # type: ignore[index]
        given = nn.functional.linear(activations[expert], down) * top_k_weights[tokens, places, None]
        output.index_add_(0, tokens, given.to(output.dtype))
    return output


Routes = dict[int, tuple[torch.Tensor, torch.Tensor]]


def _routes(top_k_index: torch.Tensor) -> Routes:
    """Tokens of each expert that gets any, and which of the token's k choices it is."""
    hit = sorted(set(top_k_index.flatten().tolist()))
    return {int(expert): torch.where(top_k_index == expert) for expert in hit}  # type: ignore[misc]


def _hooked(
    hooks: list[ExpertsHook], routes: Routes, activations: dict[int, torch.Tensor], size: tuple[int, int]
) -> dict[int, torch.Tensor]:
    n_tokens, n_experts = size
    first = next(iter(activations.values()))
    dense = first.new_full((n_tokens, n_experts, first.shape[-1]), float("nan"))
    for expert, (tokens, _) in routes.items():
        if not bool(torch.isfinite(activations[expert]).all()):
            raise RunError(f"activations of expert {expert} are not finite: the weights or this dtype are unsound")
        dense[tokens, expert] = activations[expert]
    flat = dense.reshape(n_tokens, -1)
    for hook in hooks:
        flat = hook(flat)
    dense = flat.reshape(n_tokens, n_experts, -1)
    return {expert: dense[tokens, expert] for expert, (tokens, _) in routes.items()}
