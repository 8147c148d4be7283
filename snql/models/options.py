"""How models are loaded: the options that all such commands share."""

from dataclasses import dataclass
from typing import Annotated

from typing_extensions import Doc

from snql.options import Aside, Rare


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How to load a model."""

    dtype: Annotated[str, Doc("auto, float32, bfloat16 or float16.")] = "auto"
    device: Annotated[str, Doc("auto, cpu, cuda or cuda:N."), Aside()] = "auto"
    trust_remote_code: Annotated[bool, Doc("Run Python code that a model repository ships."), Rare()] = False
    device_map: Annotated[str | None, Doc("As in transformers: auto spreads a model over several GPUs."), Rare()] = None
    attn_implementation: Annotated[
        str | None, Doc("sdpa, eager, flash_attention_2, ... (the model's own)."), Rare()
    ] = None
    quantize: Annotated[str | None, Doc("8bit or 4bit weights, with bitsandbytes."), Rare()] = None
    verify: Annotated[
        bool, Doc("Compare with an independent load, once per model and version of the libraries."), Aside(), Rare()
    ] = True
