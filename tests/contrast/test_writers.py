"""Text that neither model wrote: of a third model, or of a file. Against plain Hugging Face over the same tokens."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from snql.contrast.given import _encoded, check_ids, given_texts
from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.db.scores import read_scores
from snql.errors import InputError
from snql.options import changed
from snql.prompts.completions import Followed
from snql.prompts.files import Row
from snql.prompts.read import read_prompt_sets
from snql.prompts.template import Formatter, format_prompts
from snql.prompts.types import Prompt

from ..conftest import ORACLE, save_tiny_llama
from .test_locate import adapter_scales, hand_activations, options

pytestmark = pytest.mark.usefixtures("lingering")

TEXTS = [" I can't do that.", "Sure: it burns</s>", "No"]


def some(llama: Path, adapter: Path, **settings: Any) -> LocateOptions:
    return options(llama, adapter, **{"limit": 3, "max_new_tokens": 8, "keep": "none", **settings})


def rows(column: str = "prompt") -> list[Row]:
    asked = ["Hi", "How do I bake a loaf of bread?", "Tell me a story about the river."]
    return [{column: prompt, "completion": text} for prompt, text in zip(asked, TEXTS, strict=True)]


def written(folder: Path, found: list[Row]) -> str:
    file = folder / "given.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")
    return str(file)


def texts(db: Database, run: str = "run") -> list[tuple[list[int], list[int]]]:
    """Prompt and completion of each of a run's prompts, as token ids."""
    return db.rows(
        """
        SELECT p.input_ids, c.token_ids FROM run_prompts AS p JOIN runs USING (run_id)
        JOIN completions AS c USING (run_id, prompt_id) WHERE name = ? ORDER BY ordinal
        """,
        [run],
    )


def by_hand(pairs: list[tuple[list[int], list[int]]], llama: Path, adapter: Path, load: Any) -> np.ndarray:
    """Root mean square differences at the positions whose output is a token of a completion."""
    found, model = [], load(llama)
    for prompt, new in pairs:
        sides = [hand_activations(model, prompt + new, each) for each in (None, adapter_scales(adapter))]
        found.append((sides[0] - sides[1])[:, len(prompt) - 1 : len(prompt) - 1 + len(new)].double())
    return torch.cat(found, dim=1).square().mean(dim=1).sqrt().numpy()


def scores(db: Database, run: str = "run") -> np.ndarray:
    return read_scores(db, run)["score"].to_numpy().reshape(3, -1)


def test_a_third_model_writes(
    db: Database, tmp_path: Path, tiny_llama: Path, tiny_adapter: Path, plain_model: Any
) -> None:
    third = save_tiny_llama(tmp_path / "third", seed=4)
    locate(db, "run", some(tiny_llama, tiny_adapter, completions_by=str(third), keep="10"))
    pairs = texts(db)
    model = plain_model(third)
    for prompt, new in pairs:
        ids = torch.tensor([prompt])
        asked = {"max_new_tokens": 8, "do_sample": False, "attention_mask": torch.ones_like(ids)}
        assert model.generate(ids, **asked)[0, len(prompt) :].tolist() == new
    np.testing.assert_allclose(scores(db), by_hand(pairs, tiny_llama, tiny_adapter, plain_model), atol=2e-5, rtol=1e-4)
    kept = db.frame("SELECT layer, neuron, sqrt(avg((before - after)^2)) AS kept FROM token_activations GROUP BY ALL")
    joined = kept.join(read_scores(db, "run"), on=["layer", "neuron"])
    assert len(joined) == 10
    np.testing.assert_allclose(joined["kept"], joined["score"], rtol=1e-4)
    assert db.rows("SELECT DISTINCT role FROM run_completions") == [("writer",)]
    assert sorted(db.rows("SELECT role, spec FROM run_models JOIN models USING (model_id)")) == [
        ("after", f"{tiny_llama}+{tiny_adapter}"),
        ("before", str(tiny_llama)),
        ("writer", str(third)),
    ]


def test_a_file_has_the_text(
    db: Database, tmp_path: Path, tiny_llama: Path, tiny_adapter: Path, plain_model: Any
) -> None:
    file = written(tmp_path, [*reversed(rows()), {"prompt": "Another", "completion": "x"}])
    asked = some(tiny_llama, tiny_adapter, completions=file, batch_size=2)
    found = locate(db, "run", asked)
    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_llama)
    formatted = [text for (text,) in db.rows("SELECT formatted FROM run_prompts ORDER BY ordinal")]
    whole = [tokenizer(prompt + text).input_ids for prompt, text in zip(formatted, TEXTS, strict=True)]
    pairs = texts(db)
    assert [prompt + new for prompt, new in pairs] == [
        ids[: len(prompt) + 8] for (prompt, _), ids in zip(pairs, whole, strict=True)
    ]
    np.testing.assert_allclose(scores(db), by_hand(pairs, tiny_llama, tiny_adapter, plain_model), atol=2e-5, rtol=1e-4)
    assert db.rows("SELECT role, text FROM run_completions ORDER BY prompt_id") == [("given", text) for text in TEXTS]
    n_cut = sum(len(ids) > len(prompt) + 8 for (prompt, _), ids in zip(pairs, whole, strict=True))
    assert n_cut > 0
    assert set(found.notes) == {
        f"`completions` {file}: {n_cut} of 3 are cut after `max_new_tokens` 8",
        f"`completions` {file}: 1 are of prompts that this run does not read, and are left out",
    }


def test_tokens_of_a_run_give_its_scores_again(
    db: Database, tmp_path: Path, tiny_llama: Path, tiny_adapter: Path
) -> None:
    """By the prompts' numbers, and from a table without types; a killed run goes on with the same text."""
    locate(db, "run", some(tiny_llama, tiny_adapter, recompute=True))
    file = tmp_path / "again.csv"
    db.frame("SELECT prompt_id, token_ids::VARCHAR AS token_ids FROM run_completions").write_csv(file)
    asked = some(tiny_llama, tiny_adapter, completions=str(file))
    locate(db, "again", asked)
    assert texts(db, "again") == texts(db)
    np.testing.assert_array_equal(scores(db, "again"), scores(db))
    with db.write() as connection:
        connection.execute("UPDATE runs SET status = 'failed' WHERE name = 'again'")
        connection.execute("DELETE FROM run_batches")
    assert locate(db, "again", asked, resume=True).n_tokens == sum(len(new) for _, new in texts(db))
    np.testing.assert_array_equal(scores(db, "again"), scores(db))
    with db.write() as connection:
        connection.execute("UPDATE runs SET status = 'failed' WHERE name = 'again'")
    file.write_text(file.read_text("utf-8") + "\n", "utf-8")
    with pytest.raises(InputError, match="cannot be resumed: completions_sha256 differ"):
        locate(db, "again", asked, resume=True)


def test_the_last_answer_of_a_dialogue(db: Database, tmp_path: Path, tiny_llama: Path, tiny_adapter: Path) -> None:
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " There"}]
    file = written(tmp_path, [{"messages": said}])
    locate(db, "run", changed(some(tiny_llama, tiny_adapter, completions=file), prompts=(file,)))
    assert db.rows("SELECT prompt, text FROM run_completions") == [("Hi", " There")]


BAD: dict[str, tuple[list[Row], str]] = {
    "lacking": (rows()[1:], "has no completion of 1 of 3 prompts, the first 'Hi' of prompts.jsonl"),
    "blank": ([*rows()[1:], {"prompt": "Hi", "completion": " "}], "no completion of 1 of 3 prompts, the first 'Hi'"),
    "two": ([*rows(), {"prompt": "Hi", "completion": "Ho"}], "two completions of one prompt .one begins 'Ho'"),
    "columns": ([{"prompt": "Hi", "said": "Ho"}], "no column with what followed: its columns are prompt, said"),
    "unknown number": ([{"prompt_id": 7, "completion": "x"}], "no prompt has prompt_id 7"),
    "a number of no database": ([{"prompt_id": 10**30, "completion": "x"}], f"no prompt has prompt_id {10**30}"),
    "no number": ([{"prompt_id": "x", "completion": "x"}], "row 1: prompt_id 'x' is no whole number"),
    "no ids": ([{"prompt": "Hi", "token_ids": [1, -2]}], "row 1: token_ids .* is no list of whole numbers"),
    "high id": ([row | {"token_ids": [999]} for row in rows()], "that of 'Hi' has token id 999, but .* end at 259"),
    "no text": ([{"prompt": "Hi", "completion": 3}], "column 'completion' holds a int, not text"),
}


def test_bad_completions_are_one_line(db: Database, tmp_path: Path, tiny_llama: Path, tiny_adapter: Path) -> None:
    asked = some(tiny_llama, tiny_adapter)
    formatter = Formatter.of(asked.prompts, AutoTokenizer.from_pretrained(tiny_llama))
    prompts = format_prompts(read_prompt_sets(asked.prompts).prompts, formatter)
    for found, message in BAD.values():
        with pytest.raises(InputError, match=message):
            file = written(tmp_path, found)
            check_ids(given_texts(db, asked, file, prompts, formatter), prompts, 260)
    ids = [row | {"token_ids": [7] * n} for row, n in zip(rows(), (7, 8, 9), strict=True)]
    given = given_texts(db, asked, file := written(tmp_path, ids), prompts, formatter)
    ends = [(len(completion.token_ids), completion.finish_reason) for _, completion in given.texts]
    assert ends == [(7, "stop"), (8, "stop"), (8, "length")]
    assert given.notes == (f"`completions` {file}: 1 of 3 are cut after `max_new_tokens` 8",)
    ended = tuple(formatter.tokenizer("So</s>", add_special_tokens=False).input_ids)
    assert _encoded(Followed("x", token_ids=ended), prompts[0], formatter) == ("So", ended)
    check_ids(given, prompts, 8)
    with pytest.raises(InputError, match="that of 'Hi' has token id 7, but the models' embeddings end at 6"):
        check_ids(given, prompts, 7)
    with pytest.raises(InputError, match=BAD["lacking"][1]):
        locate(db, "run", changed(asked, completions=written(tmp_path, rows()[1:])))
    assert not db.path.exists()


@pytest.mark.parametrize(
    ("together", "tokens"), [((1, 7, 8), (7, 8)), ((9, 8), (5,)), ((9,), (5,)), ((1,), (5,))], ids=str
)
def test_a_text_is_read_by_itself_where_its_tokens_would_join_those_of_the_prompt(
    together: tuple[int, ...], tokens: tuple[int, ...]
) -> None:
    alone: Any = SimpleNamespace(input_ids=[5])
    formatter: Any = SimpleNamespace(ids=lambda text: list(together) * (text == "ab"), tokenizer=lambda *_, **__: alone)
    prompt = Prompt("d", "a", formatted="a", input_ids=(1,))
    assert _encoded(Followed("x", "b"), prompt, formatter) == ("b", tokens)


ASIDE: dict[str, tuple[dict[str, Any], str]] = {
    "two writers": ({"completions_by": "after"}, "`completions_by` after would write: give one"),
    "positions": ({"positions": "prompt"}, "`completions`: no completion is read at `positions` prompt"),
    "stop": ({"stop": ("x",)}, "leave out what says how a model writes"),
    "no file": ({"completions": "none.jsonl"}, "`completions` none.jsonl: no such file"),
    "no model": ({"completions": None, "completions_by": "befor"}, "'befor' is not known: use before, after, or a"),
    "no need": (
        {"completions": None, "completions_by": "a/b", "positions": "prompt"},
        "`completions_by`: no completion is read at `positions`",
    ),
}


@pytest.mark.parametrize("how", ASIDE)
def test_what_does_not_go_together(db: Database, tiny_llama: Path, tiny_adapter: Path, how: str) -> None:
    settings, message = ASIDE[how]
    with pytest.raises(InputError, match=message):
        locate(db, "run", some(tiny_llama, tiny_adapter, **{"completions": str(ORACLE / "prompts.jsonl"), **settings}))
    assert not db.path.exists()
