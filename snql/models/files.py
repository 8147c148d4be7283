"""Files of models: local folders and hub snapshots, and that nothing but what was named is loaded from them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from snql.errors import ModelError
from snql.models.identity import hashes_of
from snql.models.spec import PartSpec

_BASE_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_SUFFIXES = (".json", ".safetensors", ".model", ".jinja", ".txt")
_ADAPTER_CONFIG, _ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_TEMPLATES = "additional_chat_templates"
GGUF = ".gguf"


@dataclass(frozen=True)
class ModelFiles:
    """The files that a base or an adapter is made of, by name. ``gguf``: the one that holds all of a model, if so."""

    place: Path
    files: Mapping[str, Path]
    gguf: str | None = None

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of what each file holds. A GGUF file may have any name."""
        return hashes_of({GGUF if name == self.gguf else name: path for name, path in self.files.items()})

    @contextmanager
    def alone(self) -> Iterator[Path]:
        """A folder with these files and nothing else, for libraries that look around in the folder that they are given.

        transformers applies an adapter that lies beside a model, for example.
        """
        with TemporaryDirectory(prefix="snql-model-") as parent:
            folder = Path(parent) / (self.place.name or "model")
            folder.mkdir()
            for name, path in self.files.items():
                link = folder / name
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(path.resolve())
            yield folder


def base_files(part: PartSpec, *, code: bool = False) -> ModelFiles:
    """What a base model is loaded from, fetched from the hub if need be. code: with the Python files that it ships.

    Raises ModelError if it does not exist, has no config.json, has weights only as pickles, or names weights that are
    not in its folder.
    """
    path = Path(part.location)
    if path.suffix == GGUF:
        return _gguf_file(path)
    folder = _folder(part, _BASE_FILES + (["*.py"] if code else []), "model")
    if not (folder / "config.json").is_file():
        gguf = sorted(each.name for each in folder.glob(f"*{GGUF}"))
        remedy = f"name its file {folder / gguf[0]}" if gguf else "name a folder that a model was saved in"
        raise ModelError(f"model folder {part} has no config.json: {remedy}")
    if not list(folder.glob("*.safetensors")):
        raise ModelError(
            f"model {part} has no *.safetensors file: snql reads no pickles; save it with safe_serialization=True"
        )
    found = {path.name: path for path in folder.iterdir() if path.is_file() and _belongs(path, code=code)}
    found |= {f"{_TEMPLATES}/{path.name}": path for path in folder.glob(f"{_TEMPLATES}/*.jinja")}
    for name in found:
        if name.endswith(".safetensors.index.json"):
            _check_weight_map(part, folder / name)
    return ModelFiles(folder, found)


def _belongs(path: Path, *, code: bool) -> bool:
    of_adapter = path.name.startswith(("adapter_config.", "adapter_model."))
    return path.suffix in (*_SUFFIXES, *((".py",) if code else ())) and not of_adapter


def _gguf_file(path: Path) -> ModelFiles:
    if not path.is_file():
        raise ModelError(f"no model file {path}: check the path")
    return ModelFiles(path, {path.name: path}, path.name)


def _check_weight_map(part: PartSpec, index: Path) -> None:
    """Raise ModelError unless all files that it names are safetensors files beside it."""
    try:
        named = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"model {part} has an unreadable weight map {index.name}: fetch it again") from error
    for name in named:
        where = f"model {part}: the weight map {index.name} names {name!r}"
        if not isinstance(name, str) or Path(name).name != name:
            raise ModelError(
                f"{where}, which is not in the model's folder: put it there, and its plain name in the map"
            )
        if not name.endswith(".safetensors"):
            raise ModelError(f"{where}: snql reads no pickles; save the model with safe_serialization=True")
        if not (index.parent / name).is_file():
            raise ModelError(f"{where}, which its folder does not have: fetch it again")


def tokenizer_files(part: PartSpec) -> ModelFiles:
    """The small files of a base model, of which its tokenizer is loaded; raises ModelError if there are none."""
    path = Path(part.location)
    if path.suffix == GGUF:
        return _gguf_file(path)
    folder = _folder(part, [pattern for pattern in _BASE_FILES if pattern != "*.safetensors"], "model")
    small = {each.name: each for each in folder.iterdir() if each.is_file() and _belongs(each, code=True)}
    small |= {f"{_TEMPLATES}/{each.name}": each for each in folder.glob(f"{_TEMPLATES}/*.jinja")}
    return ModelFiles(folder, {name: each for name, each in small.items() if not name.endswith(".safetensors")})


def adapter_files(part: PartSpec) -> ModelFiles:
    """What an adapter is loaded from, fetched from the hub if need be; raises ModelError like base_files."""
    folder = _folder(part, [_ADAPTER_CONFIG, _ADAPTER_WEIGHTS, *TOKENIZER_FILES], "adapter")
    if not (folder / _ADAPTER_CONFIG).is_file():
        raise ModelError(f"adapter {part} has no {_ADAPTER_CONFIG}: name a folder that PEFT saved an adapter in")
    if not (folder / _ADAPTER_WEIGHTS).is_file():
        if pickled := sorted(folder.glob("adapter_model.*")):
            raise ModelError(
                f"adapter {part} has its weights in {pickled[0].name}: snql reads no pickles; load it with PEFT and "
                "save it again, as safetensors"
            )
        raise ModelError(f"adapter {part} has no {_ADAPTER_WEIGHTS}: name a folder that PEFT saved an adapter in")
    return ModelFiles(folder, {name: folder / name for name in (_ADAPTER_CONFIG, _ADAPTER_WEIGHTS)})


TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
"""Files of a tokenizer that training programs put beside an adapter."""


def _folder(part: PartSpec, patterns: list[str], what: str) -> Path:
    path = Path(part.location)
    if path.is_dir():
        return path
    if path.is_absolute() or part.location.startswith((".", "~")) or part.location.count("/") > 1:
        raise ModelError(f"no {what} folder {part.location}: check the path")
    return _fetch(part, patterns, what)


def _fetch(part: PartSpec, patterns: list[str], what: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(part.location, revision=part.revision, allow_patterns=patterns))
    except HFValidationError as error:
        raise ModelError(f"{what} {part} is neither a folder nor a hub id: check its name") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ModelError(f"{what} {part} is no local folder and did not come from the hub ({reason})") from error
