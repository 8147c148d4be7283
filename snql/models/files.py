"""Files of models: local folders and hub snapshots, and that nothing but what was named is loaded from them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import SafetensorError, safe_open

from snql.errors import ModelError
from snql.models.identity import hashes_of
from snql.models.spec import PartSpec

_BASE_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_SUFFIXES = (".json", ".model", ".jinja", ".txt")
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_ADAPTER_CONFIG, _ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_OF_ADAPTERS = ("adapter_config.", "adapter_model.")
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
    if (gguf := _gguf_file(part)) is not None:
        return gguf
    folder = _folder(part, _BASE_FILES + (["*.py"] if code else []), "model")
    if not (folder / "config.json").is_file():
        others = sorted(each.name for each in folder.glob(f"*{GGUF}"))
        remedy = f"name its file {folder / others[0]}" if others else "name a folder that a model was saved in"
        raise ModelError(f"model folder {part} has no config.json: {remedy}")
    found = _small_files(folder, code=code)
    return ModelFiles(folder, found | {name: folder / name for name in _weight_files(part, folder)})


def _small_files(folder: Path, *, code: bool) -> dict[str, Path]:
    """A model's files but its weights, and but those of an adapter that lies beside it."""
    suffixes = (*_SUFFIXES, *((".py",) if code else ()))
    found = {
        path.name: path
        for path in folder.iterdir()
        if path.is_file() and path.suffix in suffixes and not path.name.startswith(_OF_ADAPTERS)
    }
    return found | {f"{_TEMPLATES}/{path.name}": path for path in folder.glob(f"{_TEMPLATES}/*.jinja")}


def _weight_files(part: PartSpec, folder: Path) -> list[str]:
    """The files that hold the model's weights; raises ModelError unless it is plain which these are."""
    if _transformers_weights(folder / "config.json") is not None:
        raise ModelError(
            f"model {part}: its config.json names the weights to load (transformers_weights): save the model with "
            "save_pretrained, so that they are model.safetensors"
        )
    whole, index = folder / _WEIGHTS, folder / _INDEX
    if not index.is_file():
        if whole.is_file():
            return [_WEIGHTS]
        other = min((path.name for path in folder.glob("*.safetensors")), default=None)
        if other is None:
            raise ModelError(
                f"model {part} has no *.safetensors file: snql reads no pickles; save it with safe_serialization=True"
            )
        raise ModelError(f"model {part} has {other}, but no {_WEIGHTS} and no {_INDEX}: rename it, or fetch the rest")
    named = _weight_map(part, index)
    if whole.is_file() and named.keys() != {_WEIGHTS}:
        raise ModelError(
            f"model {part} has {_WEIGHTS} and a weight map {_INDEX} of other files ({min(named)}, …), as when two "
            "models were saved in one folder: delete those that are not meant"
        )
    for name, tensors in named.items():
        _check_shard(part, folder / name, tensors)
    return list(named)


def _transformers_weights(config: Path) -> object:
    try:
        found = json.loads(config.read_text("utf-8"))
    except (OSError, ValueError):
        return None  # transformers says what is wrong with it
    return found.get("transformers_weights") if isinstance(found, dict) else None


def _weight_map(part: PartSpec, index: Path) -> dict[str, set[str]]:
    """The tensors of each file of a weight map, which are safetensors files beside it; raises ModelError."""
    try:
        entries = dict(json.loads(index.read_text("utf-8"))["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"model {part} has an unreadable weight map {index.name}: fetch it again") from error
    if not entries:
        raise ModelError(f"model {part} has a weight map {index.name} without weights: fetch it again")
    named: dict[str, set[str]] = {}
    for tensor, name in entries.items():
        where = f"model {part}: the weight map {index.name} names {name!r}"
        if not isinstance(name, str) or Path(name).name != name:
            raise ModelError(f"{where}, which is not in the model's folder: put it there, and name it so")
        if not name.endswith(".safetensors"):
            raise ModelError(f"{where}: snql reads no pickles; save the model with safe_serialization=True")
        if name not in named and not (index.parent / name).is_file():
            raise ModelError(f"{where}, which its folder does not have: fetch it again")
        named.setdefault(name, set()).add(tensor)
    return named


def _check_shard(part: PartSpec, path: Path, tensors: set[str]) -> None:
    """Raise ModelError unless a file has the tensors that the weight map says, and no others."""
    try:
        with safe_open(path, framework="pt") as file:
            held = set(file.keys())
    except SafetensorError as error:
        raise ModelError(f"model {part} has a damaged {path.name} ({error}): fetch it again") from error
    if other := min(held ^ tensors, default=None):
        where = "holds" if other in held else "does not hold"
        raise ModelError(
            f"model {part}: {path.name} {where} the tensor {other}, unlike what the weight map {_INDEX} says: fetch "
            "both again"
        )


def _gguf_file(part: PartSpec) -> ModelFiles | None:
    """The files of a spec that is one GGUF file, None for another one; raises ModelError if it is not there."""
    path = Path(part.location)
    if path.suffix.lower() != GGUF or path.is_dir():
        return None
    if not path.is_file():
        raise ModelError(f"no model file {path}: check the path")
    _check_no_revision(part)
    return ModelFiles(path, {path.name: path}, path.name)


def _check_no_revision(part: PartSpec) -> None:
    if part.revision is not None:
        raise ModelError(f"{part} is on this machine, and revisions are of hub ids: leave out @{part.revision}")


def tokenizer_files(part: PartSpec) -> ModelFiles:
    """The small files of a base model, of which its tokenizer is loaded; raises ModelError if there are none."""
    if (gguf := _gguf_file(part)) is not None:
        return gguf
    folder = _folder(part, [pattern for pattern in _BASE_FILES if pattern != "*.safetensors"], "model")
    return ModelFiles(folder, _small_files(folder, code=True))


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
        _check_no_revision(part)
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
