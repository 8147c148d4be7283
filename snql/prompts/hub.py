"""``hub:ID[@REVISION][:SPLIT]``: the data files of a Hugging Face hub data set, fetched into the hub's cache.

Which files belong to a split is what the data set's card says (``configs`` in its README.md); without a card, files
with the split's name in their path. Nothing of a data set is executed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from snql.errors import InputError
from snql.prompts.files import is_readable

PREFIX = "hub:"
_SOURCE = re.compile(r"hub:(?P<id>[^:@]+)(@(?P<revision>[^:]+))?(:(?P<split>.+))?")
_SPLITS = ("train", "test", "validation", "valid", "dev", "eval")


@dataclass(frozen=True)
class _Repository:
    """The files of one data set: on the hub at a commit, or in the cache's ``folder`` if the hub cannot be reached."""

    name: str
    files: tuple[str, ...]
    commit: str | None = None
    folder: Path | None = None

    def path(self, file: str) -> Path:
        """The file on this machine, fetched if need be."""
        from huggingface_hub import hf_hub_download

        if self.folder is not None:
            return self.folder / file
        return Path(hf_hub_download(self.name, file, repo_type="dataset", revision=self.commit))


def data_files(source: str) -> list[Path]:
    """The files of one split on this machine, in order of their names.

    Raises InputError if the data set cannot be had, has no such split, or has several and none is named.
    """
    match = _SOURCE.fullmatch(source)
    if match is None:
        raise InputError(
            f"prompt set {source!r} is malformed: write hub:OWNER/NAME:SPLIT or hub:OWNER/NAME@REVISION:SPLIT"
        )
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    try:
        repository = _open(match["id"], match["revision"])
        return [repository.path(file) for file in _files_of_split(repository, match["split"], source)]
    except (HTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"data set {source} did not come from the hub ({reason}): check its name and the network, or name a file"
        ) from error


def _open(name: str, revision: str | None) -> _Repository:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HTTPError, RepositoryNotFoundError  # type: ignore[attr-defined]

    try:
        info = HfApi().dataset_info(name, revision=revision)
    except RepositoryNotFoundError:
        raise
    except (HTTPError, OSError) as error:
        try:
            cached = snapshot_download(name, repo_type="dataset", revision=revision, local_files_only=True)
        except OSError:
            raise error from None
        folder = Path(cached)
        files = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        return _Repository(name, tuple(sorted(files)), folder=folder)
    return _Repository(name, tuple(sorted(file.rfilename for file in info.siblings or ())), commit=info.sha)


def _files_of_split(repository: _Repository, split: str | None, source: str) -> list[str]:
    readable = [file for file in repository.files if is_readable(file) and not file.endswith("dataset_infos.json")]
    splits = _card_splits(repository, readable) or _named_splits(readable, split)
    if split is None:
        if len(splits) == 1:
            return next(iter(splits.values()))
        raise InputError(f"data set {source} has several splits: name one as {source}:SPLIT, of {_listed(splits)}")
    found = [files for name, files in splits.items() if split in (name, name.rpartition("/")[2])]
    if len(found) > 1:
        raise InputError(f"data set {source} has that split more than once: name one of {_listed(splits)}")
    if not found or not found[0]:
        raise InputError(f"data set {source} has no readable file of that split: it has {_listed(splits)}")
    return found[0]


def _card_splits(repository: _Repository, readable: Sequence[str]) -> dict[str, list[str]]:
    """Files by ``config/split`` as the card lists them; {} if it lists none."""
    if "README.md" not in repository.files:
        return {}
    from huggingface_hub import metadata_load

    metadata: dict[str, Any] = metadata_load(repository.path("README.md")) or {}
    configs = metadata.get("configs") or ()
    splits: dict[str, list[str]] = {}
    for config in configs:
        for split, patterns in _patterns(config.get("data_files")):
            files = [file for file in readable if any(fnmatch(file, pattern) for pattern in patterns)]
            splits[f"{config.get('config_name', 'default')}/{split}"] = files
    return splits


def _patterns(listed: Any) -> Iterable[tuple[str, list[str]]]:
    """(split, file patterns) pairs of one entry of a card; files without a split are ``train``, as on the hub."""
    if isinstance(listed, list) and all(isinstance(entry, dict) for entry in listed):
        return [(str(entry.get("split")), _as_list(entry.get("path"))) for entry in listed]
    return [("train", _as_list(listed))] if listed else []


def _as_list(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def _named_splits(readable: Sequence[str], split: str | None) -> dict[str, list[str]]:
    """Files by the splits that their paths name; all files under one name if no path names any."""
    names = _SPLITS if split is None else (split, *_SPLITS)
    splits = {name: [file for file in readable if _names(file, name)] for name in dict.fromkeys(names)}
    found = {name: files for name, files in splits.items() if files}
    return found or ({"all files": list(readable)} if readable and split is None else {})


def _names(file: str, split: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(split)}(?![A-Za-z0-9])", file) is not None


def _listed(splits: Iterable[str]) -> str:
    return ", ".join(splits) or "no data file that snql reads"
