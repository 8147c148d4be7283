"""What options of loading come to on this machine: devices, number types, quantization."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from transformers import BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from snql.distribution import install
from snql.errors import InputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
QUANTIZATIONS = ("8bit", "4bit")


def resolve_dtype(name: str, device: torch.device) -> torch.dtype | str:
    """``auto`` is the checkpoint's own type on an accelerator and float32 on a CPU; raises InputError."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    if name not in DTYPES:
        raise InputError(f"`dtype` {name!r} is not known: use auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def quantization(name: str | None) -> BitsAndBytesConfig | None:
    """The bitsandbytes configuration; raises InputError for an unknown one, or if the package is missing."""
    if name is None:
        return None
    if name not in QUANTIZATIONS:
        raise InputError(f"`quantize` {name!r} is not known: use {' or '.join(QUANTIZATIONS)}")
    if find_spec("bitsandbytes") is None:
        raise InputError(f"`quantize` {name} needs bitsandbytes: {install('quantize')}")
    bits = {"load_in_8bit": name == "8bit", "load_in_4bit": name == "4bit"}
    return BitsAndBytesConfig(**bits)  # type: ignore[no-untyped-call]


def resolve_device(name: str) -> torch.device:
    """The device of that name, or the best there is for ``auto``; raises InputError if there is none such."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"`device` {name!r} is not a device: use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"`device` {name!r}: this machine has no CUDA device; use `device` cpu")
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
