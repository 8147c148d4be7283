"""From a down-projection to the logits: what lies between, found in the model and checked against its own logits.

A value vector v of layer l reaches the logits through, in this order: the norm after the MLP where the architecture has
one (gain p_l), a multiplier of the residual branch, the final norm (gain g; LayerNorm also subtracts the mean), and the
unembedding U with its scale. Norms divide by a size that depends on the text; that division, a positive number, is left
out, and so are biases and a soft cap (monotone). So the lens of v is

    logits(v) = U (g * centred(m * p_l * v)) * s,

exact but for a positive factor: what the direct path from the neuron adds to the logits at any position.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from snql.errors import ModelError
from snql.models.loaded import LoadedModel

FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f")
POST_NORMS = ("post_feedforward_layernorm", "post_mlp_layernorm")
_TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}
_PROBE = 8


@dataclass(frozen=True)
class OutputPath:
    """gain: Float32[Tensor, "hidden"]; centred: whether the final norm subtracts the mean; unembedding: Tensor
    ["vocabulary hidden"]; scale: factor of the logits; cap: soft cap of the logits, None without one."""

    norm: nn.Module
    gain: torch.Tensor
    centred: bool
    unembedding: torch.Tensor
    bias: torch.Tensor | None
    scale: float
    cap: float | None

    def directions(self, written: torch.Tensor) -> torch.Tensor:
        """What the unembedding is applied to: Float32[Tensor, "hidden neurons"], for vectors in the residual stream."""
        written = written.to(self.gain.device)
        if self.centred:
            written = written - written.mean(dim=0, keepdim=True)
        return written * self.gain[:, None]


def output_path(model: LoadedModel) -> OutputPath:
    """The path of a model. Raises ModelError if it is not found, or does not give the model's own logits."""
    base = model.base
    container = base.model.get_submodule(base.architecture.layers.rpartition(".")[0])
    norm = next((found for name in FINAL_NORMS if isinstance(found := getattr(container, name, None), nn.Module)), None)
    head: Any = base.model.get_output_embeddings()  # type: ignore[no-untyped-call]
    weight = getattr(head, "weight", None)
    if norm is None or not isinstance(weight, torch.Tensor):
        raise ModelError(
            f"model {model.spec.text!r} ({base.model_type}) has no final norm or unembedding that is known"
        )
    if getattr(container, "project_out", None) is not None:
        raise ModelError(f"model {model.spec.text!r} projects its last layer before the unembedding: not supported")
    if not torch.is_floating_point(weight):
        raise ModelError(f"model {model.spec.text!r} has a quantised unembedding: load it without `quantize`")
    config = base.model.config
    if isinstance(getattr(config, "logit_scale", None), str):
        raise ModelError(f"model {model.spec.text!r} has logit_scale {config.logit_scale!r}: only numbers will do")
    scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)
    bias = getattr(head, "bias", None)
    found = OutputPath(norm, *_gain(norm, weight.shape[1]), weight.detach(), bias, scale, cap)
    _check(model, found)
    return found


def written(model: LoadedModel, layer: int, vectors: torch.Tensor) -> torch.Tensor:
    """What a down-projection's output adds to the residual stream, but for a positive factor: same shape.

    vectors: Float32[Tensor, "hidden neurons"].
    """
    module = model.base.model.get_submodule(model.base.architecture.layers)[layer]  # type: ignore[index]
    post = next((found for name in POST_NORMS if isinstance(found := getattr(module, name, None), nn.Module)), None)
    if post is not None:
        gain, centred = _gain(post, vectors.shape[0])
        vectors = (vectors - vectors.mean(dim=0, keepdim=True) if centred else vectors) * gain[:, None]
    return vectors * float(getattr(module, "residual_multiplier", 1.0))


@torch.inference_mode()
def _gain(norm: nn.Module, width: int) -> tuple[torch.Tensor, bool]:
    """What a norm multiplies its normalised input by: Float32[Tensor, "hidden"]; and whether it is a LayerNorm."""
    if isinstance(norm, nn.LayerNorm):
        weight = norm.weight
        return (torch.ones(width) if weight is None else weight.detach().float()), True
    parameter = next(norm.parameters(), None)
    if parameter is None:
        raise ModelError(f"a norm of type {type(norm).__name__} has no gain that is known")
    # The root mean square of ones is 1: what comes out is the gain, whatever it is stored as.
    ones = torch.ones(1, width, device=parameter.device, dtype=parameter.dtype)
    return norm(ones)[0].float(), False


@torch.inference_mode()
def _check(model: LoadedModel, path: OutputPath) -> None:
    """Compare the path with the model's logits, on a few tokens."""
    base = model.base
    ids = torch.arange(_PROBE, device=base.device)[None] % base.vocabulary_size
    mask, positions = torch.ones_like(ids), torch.arange(_PROBE, device=base.device)[None]
    taken: list[torch.Tensor] = []
    handle = path.norm.register_forward_pre_hook(lambda _, given: taken.append(given[0].detach()))
    try:
        logits = model.logits(ids, mask, positions)[0, -1].float()
    finally:
        handle.remove()
    stream = taken[-1][0, -1].float()
    size = (stream - stream.mean()).square().mean() if path.centred else stream.square().mean()
    eps = float(getattr(path.norm, "eps", None) or getattr(path.norm, "variance_epsilon", 0.0) or 0.0)
    direct = path.directions(stream[:, None])[:, 0] * torch.rsqrt(size + eps).to(path.gain.device)
    if isinstance(path.norm, nn.LayerNorm) and path.norm.bias is not None:
        direct = direct + path.norm.bias.float()
    expected = path.unembedding.float() @ direct.to(path.unembedding.device)
    if path.bias is not None:
        expected = expected + path.bias.float()
    expected = expected * path.scale
    if path.cap is not None:
        expected = torch.tanh(expected / path.cap) * path.cap
    error = (expected.to(logits.device) - logits).abs().max() / logits.abs().max().clamp(min=1e-6)
    if not error < _TOLERANCE.get(path.unembedding.dtype, 1e-3):
        raise ModelError(
            f"the logits of model {model.spec.text!r} ({base.model_type}) are not those of its final norm and "
            f"unembedding (relative error {float(error):.1e}): the lens does not know this architecture"
        )


@contextmanager
def streams(
    model: LoadedModel, take: Callable[[int, torch.Tensor], None], only: Collection[int] | None = None
) -> Iterator[None]:
    """Within the block, ``take`` is given the residual stream after each layer: Float[Tensor, "rows width hidden"].

    only: after these layers alone; None: all.
    """
    layers: Any = model.base.model.get_submodule(model.base.architecture.layers)

    def hook(layer: int) -> Callable[..., None]:
        def after(_module: nn.Module, _given: Any, output: Any) -> None:
            take(layer, (output[0] if isinstance(output, tuple) else output).detach())

        return after

    chosen = [(layer, module) for layer, module in enumerate(layers) if only is None or layer in only]
    handles = [module.register_forward_hook(hook(layer)) for layer, module in chosen]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
