"""The catalogue names exactly what the bundle holds, and stays light."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from snql.organism import bundled


def test_every_name_leads_to_files_and_every_folder_has_a_name() -> None:
    root = bundled.bundle_path()
    for name in bundled.model_names():
        base, adapters = bundled.model_spec(name)
        assert (base / "model.safetensors").is_file()
        assert all((adapter / "adapter_model.safetensors").is_file() for adapter in adapters)
    assert {p.name for p in (root / "adapters").iterdir()} == set(bundled.model_names()) - {"base"}
    assert {p.name for p in (root / "judges").iterdir()} == set(bundled.judge_names())
    assert {p.stem for p in (root / "prompts").iterdir()} == set(bundled.prompt_names())
    data = {bundled.training_path(name) for name in (*bundled.SFT_DATA, *bundled.PREFERENCE_DATA)}
    assert set((root / "training").iterdir()) == data
    assert all(bundled.judge_path(n).is_dir() for n in bundled.judge_names())
    assert all(bundled.prompt_path(n).is_file() for n in bundled.prompt_names())


def test_preference_adapters_are_stacked_on_sft() -> None:
    assert bundled.model_spec("base")[1] == ()
    assert [path.name for path in bundled.model_spec("sft")[1]] == ["sft"]
    assert [path.name for path in bundled.model_spec("safety-seed2")[1]] == ["sft", "safety-seed2"]


@pytest.mark.parametrize("lookup", [bundled.model_spec, bundled.judge_path, bundled.prompt_path, bundled.training_path])
def test_an_unknown_name_lists_the_known_ones(lookup: Callable[[str], object]) -> None:
    with pytest.raises(KeyError, match=r"'no-such'; there are: (base|cost|locate|sft), "):
        lookup("no-such")


def test_the_catalogue_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, snql.organism.bundled;"
        "sys.exit(bool({'torch', 'transformers', 'tokenizers', 'typer', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
