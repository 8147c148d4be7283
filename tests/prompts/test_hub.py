"""Data sets of the hub: which files belong to a split, and reading from the cache when the hub cannot be reached."""

import json
import lzma
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.hf_api import DatasetInfo

from snql.errors import InputError
from snql.prompts.options import PromptOptions
from snql.prompts.read import read_prompt_sets

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = """---
license: mit
configs:
- config_name: default
  data_files:
  - split: big_train
    path: round0/big/train.jsonl.xz
  - split: big_test
    path: "round0/big/test*.jsonl.xz"
- config_name: small
  data_files:
  - split: small_test
    path: [round0/small/test.csv]
---
# A card
"""


def texts(source: str) -> list[str]:
    sets = read_prompt_sets(PromptOptions((source,)))
    assert {prompt.dataset for prompt in sets.prompts} == {source}
    return [prompt.text for prompt in sets.prompts]


def lines(*prompts: str) -> bytes:
    return "".join(json.dumps({"prompt": text}) + "\n" for text in prompts).encode()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A data set with a card, as a folder."""
    folder = tmp_path / "repository"
    (folder / "round0" / "big").mkdir(parents=True)
    (folder / "round0" / "small").mkdir()
    (folder / "README.md").write_text(CARD)
    (folder / "round0" / "big" / "train.jsonl.xz").write_bytes(lzma.compress(lines("train")))
    (folder / "round0" / "big" / "test-0.jsonl.xz").write_bytes(lzma.compress(lines("test 0", "test 0b")))
    (folder / "round0" / "big" / "test-1.jsonl.xz").write_bytes(lzma.compress(lines("test 1")))
    (folder / "round0" / "small" / "test.csv").write_text("prompt\nsmall\n")
    (folder / "notes.pdf").write_text("not data")
    return folder


@pytest.fixture
def hub(repository: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A hub that has this one data set; the list is filled with what is fetched, and at which revision."""
    fetched: list[tuple[str, str]] = []

    def dataset_info(_: Any, name: str, *, revision: str | None = None) -> DatasetInfo:
        assert (name, revision) in [("owner/set", None), ("owner/set", "v1")]
        files = [path.relative_to(repository) for path in repository.rglob("*") if path.is_file()]
        return DatasetInfo(id=name, sha=COMMIT, siblings=[{"rfilename": str(file)} for file in files])  # type: ignore[no-untyped-call]

    def download(name: str, file: str, *, repo_type: str, revision: str) -> str:
        assert (name, repo_type) == ("owner/set", "dataset")
        fetched.append((file, revision))
        return str(repository / file)

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return fetched


def test_the_card_says_which_files_a_split_has(hub: list[tuple[str, str]]) -> None:
    assert texts("hub:owner/set:big_test") == ["test 0", "test 0b", "test 1"]
    assert hub == [
        ("README.md", COMMIT),
        ("round0/big/test-0.jsonl.xz", COMMIT),
        ("round0/big/test-1.jsonl.xz", COMMIT),
    ]
    assert texts("hub:owner/set@v1:big_train") == ["train"]
    assert texts("hub:owner/set:small/small_test") == ["small"]


def test_without_a_card_the_paths_say_it(hub: list[tuple[str, str]], repository: Path) -> None:
    (repository / "README.md").unlink()
    assert texts("hub:owner/set:train") == ["train"]
    assert texts("hub:owner/set:test") == ["test 0", "test 0b", "test 1", "small"]
    assert texts("hub:owner/set:small") == ["small"]
    shutil.rmtree(repository / "round0" / "big")
    assert texts("hub:owner/set") == ["small"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "hub:owner/set",
            "has several splits: name one as hub:owner/set:SPLIT, of default/big_train, default/big_test",
        ),
        ("hub:owner/set:dev", "has no readable file of that split: it has default/big_train, default/big_test, small"),
        ("hub:", "is malformed: write hub:OWNER/NAME:SPLIT"),
        ("hub:owner/set@:x", "is malformed: write hub:OWNER/NAME:SPLIT"),
    ],
)
def test_splits_that_are_not_there(hub: list[tuple[str, str]], source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        texts(source)


def no_network(*_: Any, **__: Any) -> Any:
    raise OSError("no network")


def test_the_cache_serves_when_the_hub_cannot_be_reached(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", no_network)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError) as caught:
        texts("hub:owner/set:big_test")
    assert str(caught.value) == (
        "data set hub:owner/set:big_test did not come from the hub (no network): check its name and the network, or "
        "name a file"
    )
    cached = tmp_path / "cache" / "datasets--owner--set"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(COMMIT)
    shutil.copytree(repository, cached / "snapshots" / COMMIT)
    assert texts("hub:owner/set:big_test") == ["test 0", "test 0b", "test 1"]
