"""Where the neurons of each architecture are. Differences between architectures are data, not classes.

A layer's MLP is ``down(act(gate(x)) * up(x))`` or, without a gate, ``down(act(up(x)))``; its neurons are the input of
``down``. A model type that is not in the table is searched for the same structure; what is found is not trusted until
:mod:`snql.models.checks` has recomputed it by hand.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from snql.errors import ModelError

Projection = nn.Linear | Conv1D


@dataclass(frozen=True)
class Architecture:
    """Dotted paths: the list of layers in the model; projections and activation function in a layer.

    gate: None where the MLP has none. fused: ``up`` computes gate and up at once, gate first. experts: the module that
    holds all experts of a layer, for mixtures of experts.
    """

    layers: str
    down: str
    up: str
    activation: str
    gate: str | None = None
    fused: bool = False
    experts: str | None = None


_GATED = Architecture("model.layers", "mlp.down_proj", "mlp.up_proj", "mlp.act_fn", gate="mlp.gate_proj")
_DENSE = Architecture("transformer.h", "mlp.dense_4h_to_h", "mlp.dense_h_to_4h", "mlp.act")

_EXPERTS = Architecture(
    "model.layers", "mlp.experts.down_proj", "mlp.experts.gate_up_proj", "mlp.experts.act_fn", None, True, "mlp.experts"
)

ARCHITECTURES = {
    "bloom": Architecture("transformer.h", "mlp.dense_4h_to_h", "mlp.dense_h_to_4h", "mlp.gelu_impl"),
    "falcon": _DENSE,
    "gemma": _GATED,
    "gemma2": _GATED,
    "gemma3_text": _GATED,
    "gpt2": Architecture("transformer.h", "mlp.c_proj", "mlp.c_fc", "mlp.act"),
    "gpt_neox": Architecture("gpt_neox.layers", "mlp.dense_4h_to_h", "mlp.dense_h_to_4h", "mlp.act"),
    "gptj": Architecture("transformer.h", "mlp.fc_out", "mlp.fc_in", "mlp.act"),
    "granite": _GATED,
    "llama": _GATED,
    "mistral": _GATED,
    "mixtral": _EXPERTS,
    "mpt": Architecture("transformer.blocks", "ffn.down_proj", "ffn.up_proj", "ffn.act"),
    "olmo2": _GATED,
    "opt": Architecture("model.decoder.layers", "fc2", "fc1", "activation_fn"),
    "phi": Architecture("model.layers", "mlp.fc2", "mlp.fc1", "mlp.activation_fn"),
    "phi3": Architecture("model.layers", "mlp.down_proj", "mlp.gate_up_proj", "mlp.activation_fn", fused=True),
    "qwen2": _GATED,
    "qwen2_moe": _EXPERTS,
    "qwen3": _GATED,
    "qwen3_moe": _EXPERTS,
    "smollm3": _GATED,
    "starcoder2": Architecture("model.layers", "mlp.c_proj", "mlp.c_fc", "mlp.act"),
}
"""By ``model_type`` of the Hugging Face config."""

_EXPERT_MARKS = ("num_local_experts", "num_experts", "n_routed_experts")


def architecture_of(model: PreTrainedModel) -> Architecture:
    """The table's entry for a model, or what its structure shows.

    Raises ModelError for a mixture of experts that is not in the table, or a model without such a structure.
    """
    config = model.config
    if config.model_type in ARCHITECTURES:
        return ARCHITECTURES[config.model_type]
    marks = [name for name in _EXPERT_MARKS if getattr(config, name, None)]
    if marks:
        raise ModelError(
            f"models of type {config.model_type!r} are mixtures of experts ({marks[0]} is "
            f"{getattr(config, marks[0])}) that are not in snql's table: how they route tokens to fused experts cannot "
            "be seen from their structure; mixtral, qwen2_moe and qwen3_moe are supported"
        )
    return _by_structure(model)


def projection(module: nn.Module, what: str) -> Projection:
    """The module as a projection; an adapter's wrapper is looked through. Raises ModelError if it is none."""
    base = getattr(module, "base_layer", module)
    if not isinstance(base, nn.Linear | Conv1D):
        raise ModelError(f"{what} is a {type(base).__name__}, not a linear layer")
    return base


def widths(module: Projection) -> tuple[int, int]:
    """Number of inputs and outputs."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    n_in, n_out = module.weight.shape
    return int(n_in), int(n_out)


def _by_structure(model: PreTrainedModel) -> Architecture:
    """Look for layers with one projection from a wide space to the model's, and what feeds it."""
    config = model.config
    hidden, n_layers = config.hidden_size, config.num_hidden_layers
    for path, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == n_layers:
            found = list(_mlps(module[0], path, hidden))
            if len(found) == 1:
                return found[0]
    raise ModelError(
        f"models of type {config.model_type!r} are not in snql's table, and no MLP with one down-projection was found "
        f"in {n_layers} layers by structure: supported types are {', '.join(sorted(ARCHITECTURES))}"
    )


def _mlps(layer: nn.Module, layers: str, hidden: int) -> Iterator[Architecture]:
    linears = {name: module for name, module in layer.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    for down, module in linears.items():
        width, out = widths(module)
        if out != hidden or "attn" in down or "attention" in down:
            continue
        parent = down.rpartition(".")[0]
        siblings = [name for name in linears if name.rpartition(".")[0] == parent and name != down]
        ups = [name for name in siblings if widths(linears[name]) == (hidden, width)]
        fused = [name for name in siblings if widths(linears[name]) == (hidden, 2 * width)]
        activations = _activations(layer, parent)
        if len(activations) == 1 and (len(ups) in (1, 2) or len(fused) == 1):
            yield _describe(layers, down, ups, fused, activations[0])


def _activations(layer: nn.Module, parent: str) -> list[str]:
    """Paths of parameterless leaf modules beside the down-projection that are not dropout."""
    home = layer.get_submodule(parent) if parent else layer
    names = [
        name
        for name, child in home.named_children()
        if not any(True for _ in child.parameters())
        and not any(True for _ in child.children())
        and not isinstance(child, nn.Dropout | nn.Identity)
    ]
    return [f"{parent}.{name}" if parent else name for name in names]


def _describe(layers: str, down: str, ups: list[str], fused: list[str], activation: str) -> Architecture:
    if fused and not ups:
        return Architecture(layers, down, fused[0], activation, fused=True)
    if len(ups) == 1:
        return Architecture(layers, down, ups[0], activation)
    gate = next((name for name in ups if "gate" in name.lower()), ups[0])
    up = next(name for name in ups if name != gate)
    return Architecture(layers, down, up, activation, gate=gate)
