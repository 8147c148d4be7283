"""What docs/architecture.md says to touch to add an X, done: each way is gone by a package made for the test."""

import json
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from snql.cli.commands import COMMANDS
from transformers import AutoConfig, AutoModelForCausalLM

from snql.contrast import scorers
from snql.db import scripts
from snql.db.connection import Database
from snql.db.scores import read_scores
from snql.errors import ModelError
from snql.judges import registry
from snql.models import architectures
from snql.models.load import load_models
from snql.models.options import LoadOptions
from snql.querying import questions
from snql.querying.execute import query
from snql.scorers.rerank import rerank

from .cli.conftest import Snql, snql
from .conftest import ORACLE, TOKENIZER_FILES
from .patching.test_patch import run as patch_run
from .synthetic import add_locate_run

__all__ = ["snql"]
Package = Callable[[str, str], ModuleType]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Write a module of an own package ``ours``, and import it."""
    folder = tmp_path / "packages" / "ours"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(folder.parent))

    def write(name: str, text: str) -> ModuleType:
        (folder / f"{name}.py").write_text(dedent(text), "utf-8")
        return import_module(f"ours.{name}")

    return write


@pytest.fixture(autouse=True)
def forget_package() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "ours"]:
        del sys.modules[name]


def test_an_architecture_is_an_entry_of_the_table(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its layers have two MLPs, of which one does nothing: their structure alone does not say where the neurons are."""
    ours = package(
        "modeling",
        """
        from torch import nn
        from transformers import LlamaConfig, LlamaForCausalLM


        class OursConfig(LlamaConfig):
            model_type = "ours"


        class OursForCausalLM(LlamaForCausalLM):
            config_class = OursConfig

            def __init__(self, config):
                super().__init__(config)
                for layer in self.model.layers:
                    layer.idle = nn.ModuleDict(
                        {
                            "up": nn.Linear(config.hidden_size, config.intermediate_size, bias=False),
                            "act": nn.SiLU(),
                            "down": nn.Linear(config.intermediate_size, config.hidden_size, bias=False),
                        }
                    )
                self.post_init()
        """,
    )
    AutoConfig.register("ours", ours.OursConfig, exist_ok=True)
    AutoModelForCausalLM.register(ours.OursConfig, ours.OursForCausalLM, exist_ok=True)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 260, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2}
    config = ours.OursConfig(**sizes, num_attention_heads=4, initializer_range=0.4, pad_token_id=0)
    ours.OursForCausalLM(config).save_pretrained(tmp_path / "model")
    for name in TOKENIZER_FILES:
        (tmp_path / "model" / name).write_bytes((ORACLE / "model" / name).read_bytes())

    def load() -> Any:
        return load_models({"before": str(tmp_path / "model")}, LoadOptions(device="cpu"))["before"]

    with pytest.raises(ModelError, match="not in snql's table"):
        load()
    table = architectures.ARCHITECTURES
    monkeypatch.setitem(table, "ours", table["llama"])  # the one line that is written
    assert load().shape.size == 2 * 24


def test_a_judge_is_a_module_and_an_entry_of_the_registry(
    package: Package, db: Database, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(
        "counting",
        """
        from snql.judges.base import JudgeInfo, Verdict


        class CountingJudge:
            at_once = 100

            def __init__(self, name, letter):
                self.info, self._letter = JudgeInfo(name, "counting", "1", {"higher_is": "better"}), letter

            def judge(self, pairs):
                return [Verdict(float(completion.count(self._letter))) for _, completion in pairs]


        def prepare(name, rest, options):
            return lambda: CountingJudge(name, rest)
        """,
    )
    monkeypatch.setitem(registry.KINDS, "counting", ("ours.counting", "counting:LETTER"))  # the one line
    patch_run(db, tiny_llama, tiny_adapter)
    judged = import_module("snql.judges.stored").judge(db, "run", ["counting:e"])
    assert judged
    rows = db.rows(
        "SELECT j.score, len(c.text) - len(replace(c.text, 'e', '')) FROM judgements AS j "
        "JOIN completions AS c USING (run_id, variant_id, prompt_id) WHERE j.judge = 'counting:e'"
    )
    assert rows
    assert all(score == counted for score, counted in rows)
    assert any(score > 0 for score, _ in rows)


def test_a_scorer_is_a_function_and_an_entry_of_the_table(
    package: Package, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = package(
        "scoring",
        """
        import numpy as np


        def from_the_end(change_scores, columns):
            layers, neurons = change_scores.shape
            return np.arange(layers * neurons, dtype=float).reshape(layers, neurons)
        """,
    )
    monkeypatch.setitem(scorers.CONTRAST, "from-the-end", ours.from_the_end)  # the one line
    add_locate_run(db, "plain", np.random.default_rng(0).random((3, 5)))
    rerank(db, "ours", "plain", "from-the-end")
    first = read_scores(db, "ours").filter(rank=1).row(0, named=True)
    assert (first["layer"], first["neuron"]) == (2, 4)


def test_a_question_is_a_file(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "schema" / "questions"
    folder.mkdir(parents=True)
    (folder / "how_many.sql").write_text(
        "-- Question: How many neurons does a run rank?\n-- Grain:    one row.\n-- Parameters:\n"
        "--   $run: a locate run\nSELECT count(rank) AS n FROM neuron_scores WHERE run = $run;\n",
        "utf-8",
    )
    add_locate_run(db, "plain", np.random.default_rng(0).random((3, 5)))
    monkeypatch.setattr(questions, "read_folder", lambda name: scripts.read_folder.__wrapped__(name))
    monkeypatch.setattr(scripts, "files", lambda _: tmp_path / "schema")
    questions.questions.cache_clear()
    try:
        assert query(db, *questions.ask(db, "how-many", {"run": "plain"})).rows() == [(15,)]
        assert json.loads(questions.list_questions().write_json())[0]["parameters"] == "run="
    finally:
        questions.questions.cache_clear()


def test_a_command_is_a_function_and_an_entry_of_the_table(
    package: Package, snql: Snql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its option is one annotated field: flag, help, default, environment, TOML and messages come from there."""
    ours = package(
        "greet",
        """
        import sys
        from dataclasses import dataclass
        from typing import Annotated

        from typing_extensions import Doc

        from snql.errors import InputError


        @dataclass(frozen=True, kw_only=True)
        class GreetOptions:
            how_often: Annotated[int, Doc("Times that it is said.")] = 1

            def __post_init__(self):
                if self.how_often < 1:
                    raise InputError(f"`how_often` {self.how_often} is too few: use at least 1")


        def greet(name: str, options: GreetOptions) -> None:
            "Say hello."
            sys.stdout.write(f"hello {name}\\n" * options.how_often)
        """,
    )
    monkeypatch.setitem(sys.modules, "snql.cli.greet", ours)  # as a file in cli/
    monkeypatch.setitem(COMMANDS, "greet", ("greet", "Say hello."))  # the one line
    assert "greet" in snql("--help").out
    assert "--how-often" in snql("greet", "--help").out and "Times that it is said." in snql("greet", "--help").out
    assert snql("greet", "you").out == "hello you\n"
    assert snql("greet", "you", "--how-often", "3").out == "hello you\n" * 3
    monkeypatch.setenv("SNQL_GREET_HOW_OFTEN", "2")
    assert snql("greet", "you").out == "hello you\n" * 2
    Path("run.toml").write_text("[greet]\nhow_often = 4\n", "utf-8")
    monkeypatch.delenv("SNQL_GREET_HOW_OFTEN")
    assert snql("--config", "run.toml", "greet", "you").out == "hello you\n" * 4
    refused = snql("greet", "you", "--how-often", "0")
    assert (refused.code, refused.err) == (2, "snql: --how-often 0 is too few: use at least 1\n")
