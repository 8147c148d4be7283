"""Where the neurons of an architecture are: its layers and the MLP down-projection inside each.

Differences between architectures are data. A neuron is a coordinate of the input of the *base* down-projection, so
an adapter's wrapper is looked through: what a wrapper rescales is read after the rescaling.
"""

from dataclasses import dataclass

from torch import nn

from snql.errors import ModelError


@dataclass(frozen=True)
class Architecture:
    """Dotted paths: the list of layers in the model, and the down-projection in a layer."""

    layers: str
    down_projection: str


ARCHITECTURES = {"llama": Architecture("model.layers", "mlp.down_proj")}
"""By ``model_type`` of the Hugging Face config."""


def architecture_of(model_type: str) -> Architecture:
    """The table's entry for a model type; raises ModelError if there is none."""
    if model_type not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ModelError(f"models of type {model_type!r} are not supported: supported types are {known}")
    return ARCHITECTURES[model_type]


def neuron_sites(model: nn.Module, model_type: str) -> list[nn.Linear]:
    """The base down-projection of every layer, in order.

    Raises ModelError for an architecture that is not in the table, or a model that is not built like its entry.
    """
    architecture = architecture_of(model_type)
    layers = model.get_submodule(architecture.layers)
    if not isinstance(layers, nn.ModuleList):
        raise ModelError(f"model of type {model_type!r} has no list of layers at {architecture.layers}")
    return [_base_linear(layer.get_submodule(architecture.down_projection)) for layer in layers]


def _base_linear(module: nn.Module) -> nn.Linear:
    base = getattr(module, "base_layer", module)
    if not isinstance(base, nn.Linear):
        raise ModelError(f"the MLP down-projection is a {type(base).__name__}, not a linear layer")
    return base


def check_sites(sites: list[nn.Linear], n_layers: int, n_neurons: int, name: str) -> None:
    """Raise ModelError unless there is one site a layer, each as wide as the config's intermediate size."""
    if len(sites) != n_layers:
        raise ModelError(f"model {name} has {len(sites)} MLP layers where its config says {n_layers}")
    for layer, site in enumerate(sites):
        if site.in_features != n_neurons:
            raise ModelError(
                f"model {name} has {site.in_features} neurons in layer {layer} where its config says {n_neurons}"
            )
