"""Where a model's files are on this machine, and what they hash to."""

import hashlib
import re
from pathlib import Path

from snql.errors import ModelError
from snql.models.spec import PartSpec

_BASE_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_ADAPTER_FILES = ["adapter_config.json", "adapter_model.safetensors"]
_HASHED = re.compile(r"\.(json|safetensors|model|jinja|txt)$")
_BLOB = re.compile(r"^[0-9a-f]{64}$")


def base_folder(part: PartSpec) -> Path:
    """The local folder of a base model, fetched from the hub if need be.

    Raises ModelError if it does not exist, has no config.json, or has weights only as pickles.
    """
    folder = _folder(part, _BASE_FILES, "model")
    if not (folder / "config.json").is_file():
        raise ModelError(f"model folder {part} has no config.json: name a folder that a model was saved in")
    if not list(folder.glob("*.safetensors")):
        raise ModelError(
            f"model {part} has no *.safetensors file: snql reads no pickles; save it with safe_serialization=True"
        )
    return folder


def tokenizer_folder(part: PartSpec) -> Path:
    """The local folder of a base model with at least its small files; raises ModelError if there is none."""
    return _folder(part, [pattern for pattern in _BASE_FILES if pattern != "*.safetensors"], "model")


def adapter_folder(part: PartSpec) -> Path:
    """The local folder of an adapter, fetched from the hub if need be; raises ModelError like base_folder."""
    folder = _folder(part, _ADAPTER_FILES, "adapter")
    for name in _ADAPTER_FILES:
        if not (folder / name).is_file():
            raise ModelError(f"adapter {part} has no {name}: name a folder that PEFT saved an adapter in")
    return folder


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


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each configuration, tokenizer and weight file of a model or adapter folder, by file name."""
    chosen = sorted(path for path in folder.iterdir() if path.is_file() and _HASHED.search(path.name))
    return {path.name: _sha256(path) for path in chosen}


def combined_hash(hashes: dict[str, str]) -> str:
    """One SHA-256 for a set of file hashes."""
    listing = "".join(f"{name} {digest}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def _sha256(path: Path) -> str:
    """Hash a file; a hub cache blob already carries its SHA-256 as its name."""
    target = path.resolve()
    if target.parent.name == "blobs" and _BLOB.match(target.name):
        return target.name
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
