"""How models are loaded: number types, devices, attention, quantization."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from transformers import BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from snql.errors import InputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
QUANTIZATIONS = ("8bit", "4bit")


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model.

    dtype: auto, float32, bfloat16 or float16. device: auto, cpu, cuda, …. device_map: as in transformers ("auto"
    spreads a model over several GPUs). attn_implementation: sdpa, eager, flash_attention_2, …. quantize: 8bit or 4bit.
    """

    dtype: str = "auto"
    device: str = "auto"
    trust_remote_code: bool = False
    device_map: str | None = None
    attn_implementation: str | None = None
    quantize: str | None = None

    def resolved_dtype(self, device: torch.device) -> torch.dtype | str:
        """``auto`` is the checkpoint's own type on an accelerator and float32 on a CPU; raises InputError."""
        if self.dtype == "auto":
            return torch.float32 if device.type == "cpu" else "auto"
        if self.dtype not in DTYPES:
            raise InputError(f"--dtype {self.dtype!r} is not known: use auto, {', '.join(DTYPES)}")
        return DTYPES[self.dtype]

    def quantization(self) -> BitsAndBytesConfig | None:
        """The bitsandbytes configuration; raises InputError for an unknown one, or if the package is missing."""
        if self.quantize is None:
            return None
        if self.quantize not in QUANTIZATIONS:
            raise InputError(f"--quantize {self.quantize!r} is not known: use {' or '.join(QUANTIZATIONS)}")
        if find_spec("bitsandbytes") is None:
            raise InputError(f"--quantize {self.quantize} needs bitsandbytes: pip install 'snql[quantize]'")
        bits = {"load_in_8bit": self.quantize == "8bit", "load_in_4bit": self.quantize == "4bit"}
        return BitsAndBytesConfig(**bits)  # type: ignore[no-untyped-call]


def resolve_device(name: str) -> torch.device:
    """The device of that name, or the best there is for ``auto``; raises InputError if there is none such."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"--device {name!r} is not a device: use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"--device {name!r}: this machine has no CUDA device; use --device cpu")
    return device


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep the model libraries' progress bars and notes off the terminal while they load."""
    shown, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if shown:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
