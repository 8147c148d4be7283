"""Where the bundled models, judges and prompt sets lie. Imports neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

ADAPTERS = ("sft", "safety", "safety-seed2", "safety-seed3", "helpful", "concise", "polite", "format")
JUDGES = ("cost", "reward")
PROMPTS = (
    "locate",
    "harmful",
    "harmful-rephrased",
    "harmful-new-families",
    "harmful-wrapped",
    "benign",
    "benign-edgy",
)
SFT_DATA = ("sft",)
PREFERENCE_DATA = ("safety", "helpful", "concise", "polite", "format")


def bundle_path() -> Path:
    """The folder of the bundle inside the installed package."""
    return Path(str(files("snql.organism"))) / "bundle"


def model_names() -> tuple[str, ...]:
    """Names that `model_spec` knows, the base first."""
    return ("base", *ADAPTERS)


def judge_names() -> tuple[str, ...]:
    """Names that `judge_path` knows."""
    return JUDGES


def prompt_names() -> tuple[str, ...]:
    """Names that `prompt_path` knows."""
    return PROMPTS


def model_spec(name: str) -> tuple[Path, tuple[Path, ...]]:
    """The base folder and the adapter folders, in the order of their stacking, of one bundled model.

    Every adapter other than `sft` was trained on top of `sft`, so it comes with it.
    Raises KeyError, listing the known names, for any other name.
    """
    _known(name, model_names(), "model")
    base, adapters = bundle_path() / "base", bundle_path() / "adapters"
    if name == "base":
        return base, ()
    if name == "sft":
        return base, (adapters / "sft",)
    return base, (adapters / "sft", adapters / name)


def judge_path(name: str) -> Path:
    """The folder of a bundled judge; KeyError, listing the known names, for any other name."""
    _known(name, JUDGES, "judge")
    return bundle_path() / "judges" / name


def prompt_path(name: str) -> Path:
    """The JSONL file of a bundled prompt set; KeyError, listing the known names, for any other name."""
    _known(name, PROMPTS, "prompt set")
    return bundle_path() / "prompts" / f"{name}.jsonl"


def training_path(name: str) -> Path:
    """The compressed JSONL file of bundled training data; KeyError, listing the known names, for any other name."""
    _known(name, (*SFT_DATA, *PREFERENCE_DATA), "training data")
    return bundle_path() / "training" / f"{name}.jsonl.gz"


def _known(name: str, names: Iterable[str], what: str) -> None:
    if name not in names:
        raise KeyError(f"no bundled {what} named {name!r}; there are: {', '.join(names)}")
