"""How many tokens fit into one batch."""

import psutil
import torch

from snql.models.loaded import LoadedModel

_SHARE = 0.4
"""Of the free memory: the rest is for a reading pass, logits and fragments."""

_MOST_WRITING = {"cpu": 8_192}
_MOST_WRITING_ELSEWHERE = 131_072
_READING = {"cpu": 4_096}
_READING_ELSEWHERE = 32_768
"""Beyond this a batch gains no speed, and a run that is killed loses more."""

_MOST_PATCHED = {"cpu": 256}
_MOST_PATCHED_ELSEWHERE = 2_048
_LOGIT_BYTES = 512 << 20

_HELD_BYTES = 2 << 30
"""What reading with two models holds of the first one's activations. Fixed, as _READING is, and not a share of the free
memory: a resumed run must read the same batches to give the same numbers."""


def writing_tokens(model: LoadedModel) -> int:
    """A first guess for rows times (prompt + new tokens) of a batch that is written while its activations are kept."""
    device = model.base.device
    most = _MOST_WRITING.get(device.type, _MOST_WRITING_ELSEWHERE)
    return max(1, min(most, int(_SHARE * free_bytes(model) / bytes_per_token(model))))


def reading_tokens(model: LoadedModel) -> int:
    """Rows times length of a batch that one model reads, layer by layer."""
    return _READING.get(model.base.device.type, _READING_ELSEWHERE)


def holding_tokens(model: LoadedModel) -> int:
    """Rows times length of a batch whose activations of all layers are held until another model has read it too."""
    held = _HELD_BYTES // (model.shape.size * model.base.model.dtype.itemsize)
    return max(1, min(reading_tokens(model), held))


def patching_rows(model: LoadedModel, n_tokens: int, *, reads_source: bool) -> int:
    """A first guess for how many completions of so many tokens, prompt included, are written at once with a patch.

    Each may need a second row, of the model that gives it activations.
    """
    rows = 2 if reads_source else 1
    room = int(_SHARE * free_bytes(model) / (rows * n_tokens * cached_bytes(model)))
    return max(1, min(_MOST_PATCHED.get(model.base.device.type, _MOST_PATCHED_ELSEWHERE), room))


def choosing_tokens(model: LoadedModel) -> int:
    """Rows times length of a batch whose logits at every position are wanted."""
    logits = model.base.vocabulary_size * 4
    return max(1, min(reading_tokens(model), _LOGIT_BYTES // logits))


def bytes_per_token(model: LoadedModel) -> int:
    """What one token of a text that is being written holds: its keys and values, and its kept activations."""
    return int(cached_bytes(model) + model.shape.size * model.base.model.dtype.itemsize)


def cached_bytes(model: LoadedModel) -> int:
    """What a key-value cache holds of a token."""
    config = model.base.model.config
    heads = getattr(config, "num_attention_heads", 1) or 1
    cached_heads = getattr(config, "num_key_value_heads", None) or heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    return int(2 * model.base.n_layers * cached_heads * width * model.base.model.dtype.itemsize)


def free_bytes(model: LoadedModel) -> int:
    """Memory that is free on the devices that hold the model."""
    devices = {parameter.device for parameter in model.base.model.parameters()}
    accelerators = [device for device in devices if device.type == "cuda"]
    if accelerators:
        return sum(torch.cuda.mem_get_info(device)[0] for device in accelerators)
    return int(psutil.virtual_memory().available)
