"""The refusal direction: mean residual stream at the last prompt token, harmful prompts less harmless ones.

As in arXiv 2406.11717. Sums are float64, so memory does not grow with prompts.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from snql.generation.batch import by_tokens, left_padded
from snql.generation.budget import reading_tokens
from snql.lens.path import streams
from snql.models.loaded import LoadedModel

Array = npt.NDArray[np.float64]
Prompts = Sequence[tuple[int, ...]]


def mean_streams(model: LoadedModel, prompts: Prompts, advance: Callable[[int], None]) -> Array:
    """The mean over prompts of the residual stream after each layer, at the last token: Float64["layers hidden"]."""
    sums: dict[int, torch.Tensor] = {}

    def take(layer: int, stream: torch.Tensor) -> None:
        last = stream[:, -1].cpu().double().sum(dim=0)
        sums[layer] = sums[layer] + last if layer in sums else last

    base = model.base
    with streams(model, take):
        for members in by_tokens([len(ids) for ids in prompts], reading_tokens(model)):
            batch = left_padded([prompts[member] for member in members], base.pad_id, base.device)
            model.logits(batch.ids, batch.mask, batch.positions)
            advance(len(members))
    return np.stack([sums[layer].numpy() for layer in range(base.n_layers)]) / len(prompts)


def cosines(vectors: torch.Tensor, direction: Array) -> Array:
    """Cosines of vectors with a direction: Float64["neurons"]; 0 where one of the two is 0.

    vectors: Float32[Tensor, "hidden neurons"].
    """
    other = torch.from_numpy(direction).to(vectors.device, torch.float32)
    products = vectors.T @ other
    sizes = vectors.norm(dim=0) * other.norm()
    found: Array = torch.where(sizes > 0, products / sizes.clamp(min=1e-30), 0.0).double().cpu().numpy()
    return found
