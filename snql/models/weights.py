"""A base model's weights with transformers: all that its files have, and nothing else."""

import re
import struct
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from snql.distribution import install
from snql.errors import ModelError, reason
from snql.models.devices import quantization, resolve_device, resolve_dtype
from snql.models.files import ModelFiles
from snql.models.limits import check_files
from snql.models.options import LoadOptions
from snql.models.spec import PartSpec

LOADING_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    ImportError,
    struct.error,
    SafetensorError,
)
_HARMLESS = re.compile(
    r"(rotary_emb\.inv_freq|\.(attn|attention|self_attn|self_attention)\.(bias|masked_bias)|position_ids"
    r"|rotary_emb\.(cos|sin)_cached)$"
)
"""Weights that old versions saved and that are computed today: frequencies, masks and counting numbers."""


def load_weights(part: PartSpec, files: ModelFiles, options: LoadOptions) -> PreTrainedModel:
    """The model of these files, on its device, ready to be run; raises ModelError if it is not all of them."""
    if files.gguf is not None and find_spec("gguf") is None:
        raise ModelError(f"model {part} is a GGUF file, which needs the package gguf: {install('gguf')}")
    device = resolve_device(options.device)
    placed = options.device_map is not None or options.quantize is not None
    settings: dict[str, Any] = {
        "dtype": resolve_dtype(options.dtype, device),
        "quantization_config": quantization(options.quantize),
        "device_map": options.device_map or ("auto" if options.quantize else None),
        "attn_implementation": options.attn_implementation,
        "gguf_file": files.gguf,
    }
    # transformers has no way to keep the progress of reading a GGUF file off the terminal.
    silence = redirect_stderr(StringIO()) if files.gguf is not None else nullcontext()
    with files.alone() as folder, silence:
        if files.gguf is None:
            check_files(f"model {part}", folder)
        try:
            model, info = _loaded(folder, part, files, options, settings)
        except LOADING_ERRORS as error:
            words = _words(error).replace(str(folder), str(files.place))
            again = "" if files.gguf is None else ": the file is damaged or of a kind that transformers cannot read"
            raise ModelError(f"model {part} cannot be loaded: {words}{again}") from error
    check_whole(f"model {part}", info)
    if files.gguf is not None:
        _forget_quantization(model)
    model.name_or_path = model.config._name_or_path = str(files.place)
    ready: PreTrainedModel = (model if placed else model.to(device)).eval()
    return ready


def _forget_quantization(model: Any) -> None:
    """Take off the mark of a model read from a GGUF file: its weights are ordinary numbers, and can be trained."""
    for name in ("hf_quantizer", "quantization_method"):
        if hasattr(model, name):
            delattr(model, name)
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _loaded(
    folder: Path, part: PartSpec, files: ModelFiles, options: LoadOptions, settings: Mapping[str, Any]
) -> tuple[Any, Mapping[str, Any]]:
    trust = options.trust_remote_code
    gguf = {} if files.gguf is None else {"gguf_file": files.gguf}
    config = AutoConfig.from_pretrained(folder, trust_remote_code=trust, **gguf)
    _check_causal(config, part)
    _check_rope(config, part)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        config=config,
        use_safetensors=True,
        trust_remote_code=trust,
        output_loading_info=True,
        **{name: value for name, value in settings.items() if value is not None},
    )
    model, info = loaded
    return model, info


def check_whole(what: str, info: Mapping[str, Any]) -> None:
    """Raise ModelError unless the files had every weight of the model and the model every weight of the files.

    A weight that is missing would be random; one that is left over shows that the files are of another model. info: as
    transformers gives it with ``output_loading_info``.
    """
    if info["missing_keys"]:
        raise ModelError(f"{what} lacks weights: {min(info['missing_keys'])} is in none of its files")
    if info["mismatched_keys"]:
        name = min(str(entry[0]) for entry in info["mismatched_keys"])
        raise ModelError(f"{what}: the weight {name} has another shape in its files than its config.json says")
    left = sorted(key for key in info["unexpected_keys"] if not _HARMLESS.search(key))
    if left:
        raise ModelError(
            f"{what} has a weight {left[0]} in its files that its config.json does not use ({len(left)} in all): files "
            "and config are of two models, or transformers has no such part; repair config.json"
        )


def _words(error: BaseException) -> str:
    """The reason; a KeyError of transformers says nothing but the key."""
    known = re.fullmatch(r"'([\w.-]+)'", str(error)) if isinstance(error, KeyError) else None
    return reason(error) if known is None else f"this transformers does not know {known.group(1)!r}"


def _check_rope(config: Any, part: PartSpec) -> None:
    """Refuse kinds of rotary embeddings that transformers would trip over."""
    given = getattr(config, "rope_parameters", None) or {}
    by_layer = [each for each in given.values() if isinstance(each, dict)] or [given]
    for kind in (each.get("rope_type", "default") for each in by_layer):
        if kind != "default" and kind not in ROPE_INIT_FUNCTIONS:
            raise ModelError(
                f"model {part} cannot be loaded: its rope type {kind!r} is unknown to this transformers "
                f"({transformers.__version__}): upgrade it, or repair config.json"
            )


def _check_causal(config: Any, part: PartSpec) -> None:
    """Refuse encoders and encoder-decoders, which transformers might wrap as if they wrote text."""
    named = config.architectures or []
    if getattr(config, "is_encoder_decoder", False) or (named and not any("LM" in name for name in named)):
        raise ModelError(
            f"model {part} is a {', '.join(named) or config.model_type}, not a causal language model: "
            "snql contrasts models that write text from left to right"
        )
    if any("MaskedLM" in name for name in named):
        raise ModelError(f"model {part} is an encoder ({', '.join(named)}), not a causal language model")
