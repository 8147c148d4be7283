"""What a finding about a loaded model depends on beside its files; with them, the key that it is remembered by."""

from functools import cache
from importlib.metadata import version
from pathlib import Path

from snql.models.identity import combined_hash, hashes_of
from snql.models.loaded import Base
from snql.models.options import LoadOptions

_LIBRARIES = ("transformers", "peft", "torch", "safetensors", "tokenizers")


def circumstances(base: Base, options: LoadOptions) -> str:
    """Number type, kind of device, ways of loading, where neurons are looked for, versions, and snql's own code."""
    way = f"{base.dtype_name} {base.device.type} {options.attn_implementation} {options.quantize} {options.device_map}"
    return f"{way} {base.architecture} {_libraries()}"


@cache
def _libraries() -> str:
    code = {path.name: path for path in Path(__file__).parent.glob("*.py")}
    return " ".join([f"snql={combined_hash(hashes_of(code))}", *(f"{name}={version(name)}" for name in _LIBRARIES)])
