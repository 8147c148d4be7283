"""Preferences from prompts alone: which side is whose, what is left out, and a file that is kept or refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from snql.errors import InputError
from snql.generation.options import WritingOptions
from snql.judges.refusal import refuses
from snql.models.options import LoadOptions
from snql.organism.bundled import bundle_path
from snql.prompts.options import PromptOptions
from snql.training.examples import Preference, preference_of
from snql.training.options import PairsOptions
from snql.training.pairs import ANSWER, REFUSALS, REFUSE, PairsResult, pairs, whole_sentences

OPTIONS = PairsOptions(
    model="demo:base",
    refuse=("demo:harmful",),
    answer=("demo:benign",),
    prompts=PromptOptions(limit=6),
    writing=WritingOptions(max_new_tokens=48),
    models=LoadOptions(device="cpu"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> PairsResult:
    return pairs(tmp_path_factory.mktemp("pairs") / "made.jsonl", OPTIONS)


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def plain_answer(prompt: str) -> str:
    """What transformers alone writes greedily."""
    folder = bundle_path() / "base"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    auto: Any = AutoModelForCausalLM
    model = auto.from_pretrained(folder).eval()
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
    )
    ids = torch.tensor([tokenizer(text, add_special_tokens=False).input_ids])
    written = model.generate(ids, max_new_tokens=48, do_sample=False)[0, ids.shape[1] :]
    return str(tokenizer.decode(written, skip_special_tokens=True)).strip()


def test_a_refusal_is_chosen_for_one_kind_and_the_own_answer_for_the_other(made: PairsResult) -> None:
    found = rows(made.path)
    assert {row["prefers"] for row in found} == {REFUSE, ANSWER}
    for row in found:
        refusal, own = ("chosen", "rejected") if row["prefers"] == REFUSE else ("rejected", "chosen")
        assert row[refusal] in REFUSALS and not refuses(row[own])
        assert plain_answer(row["prompt"]).startswith(row[own])
        assert isinstance(preference_of(dict(row), "made.jsonl"), Preference)


def test_prompts_that_give_no_pair_are_counted(made: PairsResult) -> None:
    counts = made.counts
    assert counts["prompts"].to_list() == [6, 6]
    left = counts.select(pl.sum_horizontal("pairs", "refused", "unfinished"))
    assert left.to_series().to_list() == [6, 6]
    assert counts["pairs"].sum() == len(rows(made.path))
    assert counts["refused"][0] > 0, "the bundled base refuses some harmful requests by itself"


def test_the_same_settings_make_the_same_file_and_another_seed_another(made: PairsResult, tmp_path: Path) -> None:
    again = pairs(tmp_path / "again.jsonl", OPTIONS)
    assert again.path.read_bytes() == made.path.read_bytes()
    other = pairs(tmp_path / "other.jsonl", replace(OPTIONS, seed=1))
    assert other.path.read_bytes() != made.path.read_bytes()
    assert sorted(row["prompt"] for row in rows(other.path)) == sorted(row["prompt"] for row in rows(made.path))


def test_a_file_that_is_there(made: PairsResult) -> None:
    with pytest.raises(InputError, match=r"made\.jsonl exists: name another file, or `force` to replace it"):
        pairs(made.path, OPTIONS)
    kept = pairs(made.path, OPTIONS, resume=True)
    assert kept.counts.equals(made.counts)
    with pytest.raises(InputError, match=r"was made with other seed: use the same, or `force`"):
        pairs(made.path, replace(OPTIONS, seed=5), resume=True)


@pytest.mark.parametrize(
    ("name", "words"),
    [("made.csv", r"name a file that ends with \.jsonl"), ("no/made.jsonl", "is no folder: make it")],
)
def test_files_that_cannot_be(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        pairs(tmp_path / name, OPTIONS)


def test_no_pair_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    short = replace(OPTIONS, writing=WritingOptions(max_new_tokens=1), answer=())
    with pytest.raises(InputError, match="no prompt gives a pair"):
        pairs(tmp_path / "none.jsonl", short)
    assert not list(tmp_path.iterdir())


def test_no_prompts_are_refused() -> None:
    with pytest.raises(InputError, match="which prompts"):
        PairsOptions(model="demo:base")


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("One. Two is not don", "One."),
        ("Done!", "Done!"),
        ("Eggs, 10.\n2. mil", "Eggs, 10."),
        ("1. eggs\n2. mil", "1. eggs"),
        ("eggs\nmil", "eggs"),
        ("never ends", ""),
        ("  ", ""),
    ],
)
def test_whole_sentences(text: str, whole: str) -> None:
    assert whole_sentences(text) == whole
