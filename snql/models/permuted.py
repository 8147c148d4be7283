"""Contentless adapters: the numbers of a real one, shuffled within each module.

Such an adapter changes activations as much, layer by layer, and means nothing: what it does to a ranking is what any
adapter of that size would do.
"""

import zlib
from pathlib import Path

import torch
from safetensors.torch import save_file

from snql.errors import ModelError
from snql.models.adapters import Adapter
from snql.models.architectures import ARCHITECTURES

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_DOWN = tuple(f".{each.down}" for each in ARCHITECTURES.values())


def write_permuted(adapter: Adapter, folder: Path, seed: int) -> None:
    """Write an adapter of the same kind and sizes into a new folder.

    Of IA3, the scales of each module change places. Of LoRA, the rows of each module's update do; of a down-projection,
    whose columns are neurons, these. One seed gives the same file anywhere. Raises ModelError for an adapter that has
    whole weights of its own, or weights of tokens: there is no update of neurons to shuffle.
    """
    tensors = {key: _permuted(adapter, key, tensor, seed) for key, tensor in adapter.tensors().items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_bytes((adapter.files.place / CONFIG).read_bytes())
    waiting = folder / f"{WEIGHTS}.part"
    save_file(tensors, waiting)
    waiting.replace(folder / WEIGHTS)


def _permuted(adapter: Adapter, key: str, tensor: torch.Tensor, seed: int) -> torch.Tensor:
    module, mark, part = key.rpartition(".ia3_l") if key.endswith(".ia3_l") else key.partition(".lora_")
    if not mark or "embedding" in part:
        raise ModelError(
            f"{adapter} has {key}, which is no scale and no low-rank update of a projection: nulls are made of IA3 "
            "vectors and LoRA updates alone"
        )
    if mark == ".ia3_l":
        flat = tensor.flatten()
        return flat[_order(len(flat), module, seed)].reshape(tensor.shape).contiguous()
    by_columns = module.endswith(_DOWN)
    if part.startswith("A."):
        return tensor[:, _order(tensor.shape[1], module, seed)].contiguous() if by_columns else tensor
    if by_columns:
        return tensor
    flat = tensor.flatten() if part.startswith("magnitude") else tensor
    return flat[_order(len(flat), module, seed)].reshape(tensor.shape).contiguous()


def _order(n: int, module: str, seed: int) -> torch.Tensor:
    """A permutation of its own for each module."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}:{module}".encode()))
    return torch.randperm(n, generator=generator)
