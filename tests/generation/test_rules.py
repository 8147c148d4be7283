"""What keeps completions from repeating themselves, and stop texts: against transformers' own ``generate``."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from snql.errors import InputError, RunError
from snql.generation.decode import generate
from snql.generation.options import SamplingOptions, WritingOptions
from snql.generation.rules import Repetition, Rules, StopTexts
from snql.generation.sampling import choose, random_numbers
from snql.models.loaded import LoadedModel
from snql.patching.interventions import SOURCE, TARGET
from snql.patching.rows import Writing
from snql.patching.trace import unpatched_choices

from ..patched import PatchRow, write_rows
from ..patching.by_hand import N_NEW, Models, by_hand, donated, random_sets

NEW = 24
SETTINGS = [(1.3, 0), (0.7, 0), (1.0, 1), (1.0, 2), (1.0, 3), (1.8, 2)]


def rules(model: LoadedModel, penalty: float, ngram: int) -> Rules:
    return Rules.of(WritingOptions(repetition_penalty=penalty, no_repeat_ngram=ngram), model.base)


def theirs(model: LoadedModel, prompt: Sequence[int], **settings: Any) -> list[int]:
    """What transformers writes for a prompt that is alone."""
    with model.switched_on() as network:
        ids = torch.tensor([list(prompt)])
        written = network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=NEW,
            pad_token_id=0,
            **settings,
        )
    found: list[int] = written[0, len(prompt) :].tolist()
    return found


def prompts_of(rows: list[dict[str, Any]], n: int = 3) -> list[tuple[int, ...]]:
    """Prompts of different lengths; one that repeats itself, and one that holds the padding token."""
    return [*(tuple(row["input_ids"]) for row in rows[:n]), (1, 50, 60, 50, 60, 50), (1, 0, 77, 0)]


@pytest.mark.parametrize(
    ("penalty", "ngram"),
    [
        pytest.param(*each, marks=pytest.mark.slow("other strengths")) if n % 2 else each
        for n, each in enumerate(SETTINGS)
    ],
)
def test_completions_are_those_of_generate(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]], penalty: float, ngram: int
) -> None:
    """Alone, and in a batch: there padding counts for nothing, unlike with generate, so a prompt alone is the truth."""
    prompts = prompts_of(oracle_prompts)
    for name in ("base", "dpo"):
        model = oracle_models[name]
        settings = {"repetition_penalty": penalty, "no_repeat_ngram_size": ngram}
        expected = [theirs(model, prompt, **settings) for prompt in prompts]
        together = generate(model, prompts, NEW, rules=rules(model, penalty, ngram))
        assert [list(completion.token_ids) for completion in together] == expected
        alone = [generate(model, [prompt], NEW, rules=rules(model, penalty, ngram))[0] for prompt in prompts]
        assert alone == together
        if ngram < 3:  # random models rarely repeat three tokens
            assert expected != [theirs(model, prompt) for prompt in prompts]


@pytest.mark.parametrize(
    ("donor", "penalty", "ngram"),
    [
        *(("dpo", 1.3, 2), ("other", 1.4, 0)),
        *(
            pytest.param(*each, marks=pytest.mark.slow("one rule of the two"))
            for each in (("dpo", 1.4, 0), ("dpo", 1.0, 2), ("other", 1.0, 2), ("other", 1.3, 2))
        ),
    ],
)
def test_patched_rows_equal_a_recomputation(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]], penalty: float, ngram: int, donor: str
) -> None:
    """Donor, recipient, patched rows, and what unpatched models would have written; with drafts and without."""
    target, source = oracle_models["base"], oracle_models[donor]
    prompts = prompts_of(oracle_prompts, 2)
    sets = random_sets(1, (0, 100, 704))
    rows = [PatchRow(ids, neurons) for ids in prompts for neurons in sets]
    n_patched = len(rows)
    rows += [PatchRow(ids, sets[0], by) for ids in prompts for by in (TARGET, SOURCE)]

    def adjust(text: list[int], logits: torch.Tensor) -> torch.Tensor:
        """By the definitions: divided or multiplied once for each token of the text; no n-gram twice."""
        found = logits.double().clone()
        for token in set(text):
            found[token] = found[token] / penalty if found[token] > 0 else found[token] * penalty
        for start in range(len(text) - ngram + 1 if ngram else 0):
            if text[start : start + ngram - 1] == text[len(text) - ngram + 1 :]:
                found[text[start + ngram - 1]] = -torch.inf
        return found

    expected = [by_hand(target, source, row.input_ids, row.neurons, donated, adjust=adjust) for row in rows[:n_patched]]
    plain = [
        by_hand(target if row.by == TARGET else source, None, row.input_ids, sets[0], donated, adjust=adjust)[0]
        for row in rows[n_patched:]
    ]
    own = rules(target, penalty, ngram)
    order = sorted(range(len(rows)), key=lambda index: rows[index].by != TARGET)
    for drafts, most_rows in ((False, 100), (False, 3), (True, 100), (True, 3)):
        found = write_rows(
            target, source, [rows[index] for index in order], N_NEW, rules=own, drafts=drafts, most_rows=most_rows
        )
        by_row = dict(zip(order, found, strict=True))
        for index, (written, source_ids, target_ids) in enumerate(expected):
            assert list(by_row[index].completion.token_ids) == written
            assert list(by_row[index].source_ids) == source_ids
            assert list(by_row[index].target_ids) == target_ids[: len(by_row[index].target_ids)]
        assert [list(by_row[n_patched + i].completion.token_ids) for i in range(len(plain))] == plain
        patched = [by_row[index] for index in range(n_patched)]
        known = unpatched_choices(target, patched, Writing(N_NEW, own))
        assert [list(choices) for choices in known] == [target_ids for _, _, target_ids in expected]


def test_drawn_tokens_are_drawn_from_what_is_left(oracle_models: Models, oracle_prompts: list[dict[str, Any]]) -> None:
    target, source = oracle_models["sft"], oracle_models["dpo"]
    (neurons,) = random_sets(3, (200,))
    sampling = SamplingOptions(temperature=1.2, top_p=0.9)
    own = rules(target, 1.5, 2)
    rows = [PatchRow(ids, neurons) for ids in prompts_of(oracle_prompts, 2)]
    found = write_rows(target, source, rows, N_NEW, rules=own, sampling=sampling, seed=5)
    for row, item in zip(rows, found, strict=True):
        numbers = random_numbers(5, str(row.input_ids), 0, N_NEW)

        def adjust(text: list[int], logits: torch.Tensor) -> torch.Tensor:
            return own.repetition.adjusted(logits[None], [text])[0]

        def drawn(logits: torch.Tensor, step: int, numbers: Any = numbers) -> int:
            probabilities = torch.softmax(logits.double() / 1.2, dim=-1).numpy()
            order = np.argsort(-probabilities, kind="stable")
            total = np.cumsum(probabilities[order])
            kept = order[: int((total - probabilities[order] < 0.9).sum())]
            point = numbers[step] * probabilities[kept].sum()
            return int(kept[np.searchsorted(np.cumsum(probabilities[kept]), point, side="right")])

        written = by_hand(target, source, row.input_ids, neurons, donated, choose=drawn, adjust=adjust)[0]
        assert list(item.completion.token_ids) == written


def test_the_penalty_is_that_of_the_definition() -> None:
    logits = torch.tensor([[2.0, -2.0, 3.0, -1.0], [2.0, -2.0, 3.0, -1.0]])
    found = Repetition(penalty=2.0).adjusted(logits, [[0, 1, 0, 0], [3]])
    assert found.tolist() == [[1.0, -4.0, 3.0, -1.0], [2.0, -2.0, 3.0, -2.0]]
    assert Repetition().adjusted(logits, []) is logits
    with pytest.raises(RunError, match="every token would repeat an n-gram of 1: raise `no_repeat_ngram`"):
        Repetition(ngram=1).adjusted(logits, [[0, 1, 2, 3], [3]])
    assert choose(SamplingOptions(), logits, [1, 0, 1], [0.0] * 3, Repetition(ngram=1), [[2], [3], [2, 0]]) == [0, 2, 3]


BAD: list[dict[str, Any]] = [
    {"repetition_penalty": 0.0},
    {"repetition_penalty": -1.0},
    {"repetition_penalty": float("inf")},
    {"repetition_penalty": float("nan")},
    {"no_repeat_ngram": -1},
    {"stop": ("x", "")},
]


@pytest.mark.parametrize("settings", BAD, ids=str)
def test_bad_values_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"`{next(iter(settings))}`"):
        WritingOptions(**settings)


def stops_of(text: str) -> list[str]:
    """Readable parts of a completion's text (a random model writes bytes that are no text, too)."""
    runs = re.findall(r"[!-~]+", text)
    return [run[:length] for run in runs[:3] for length in {1, 2, len(run)}]


def test_stop_texts_end_completions_as_in_generate(oracle_models: Models, oracle_prompts: list[dict[str, Any]]) -> None:
    model = oracle_models["sft"]
    prompts = prompts_of(oracle_prompts, 2)
    plain = generate(model, prompts, NEW)
    for own in plain[:2]:
        for stop in stops_of(model.text(own.token_ids)):
            expected = [
                theirs(model, prompt, stop_strings=[stop, "never written"], tokenizer=model.base.tokenizer)
                for prompt in prompts
            ]
            stopping = Rules.of(WritingOptions(stop=("never written", stop)), model.base)
            found = generate(model, prompts, NEW, rules=stopping)
            assert [list(completion.token_ids) for completion in found] == expected
            for completion, whole in zip(found, plain, strict=True):
                text = stopping.text(model, completion.token_ids)
                assert text == model.text(whole.token_ids).split(stop)[0]
                stopped = stop in model.text(completion.token_ids) or completion.token_ids[-1] in model.base.end_ids
                assert completion.finish_reason == ("stop" if stopped else "length")


def test_a_stop_text_ends_patched_rows_where_it_ends_others(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]]
) -> None:
    """Whole completions are cut after the token that brings the text, whether drafts are read or tokens written."""
    target, source = oracle_models["sft"], oracle_models["dpo"]
    prompts = prompts_of(oracle_prompts, 4)
    sets = random_sets(1, (0, 60, 704))
    rows = [PatchRow(ids, sets[0], TARGET) for ids in prompts]
    rows += [PatchRow(ids, neurons) for ids in prompts for neurons in sets]
    whole = [item.completion.token_ids for item in write_rows(target, source, rows, NEW)]
    stop = target.text(whole[0])[5:7]
    own = Rules.of(WritingOptions(stop=(stop,)), target.base)
    n_ends = [next((n for n in range(1, len(ids)) if stop in target.text(ids[:n])), len(ids)) for ids in whole]
    assert min(n_ends) < NEW
    for drafts in (True, False):
        found = write_rows(target, source, rows, NEW, rules=own, drafts=drafts)
        assert [item.completion.token_ids for item in found] == [ids[:n] for ids, n in zip(whole, n_ends, strict=True)]


def test_a_stop_text_may_be_a_special_token(oracle_models: Models) -> None:
    tokenizer = oracle_models["base"].base.tokenizer
    letters = tokenizer("abcd", add_special_tokens=False).input_ids
    special = str(tokenizer.convert_ids_to_tokens(1))
    ids = [*letters[:2], 1, *letters[2:]]
    stops = StopTexts(tokenizer, [special])
    assert [stops(ids[:n]) for n in range(1, 4)] == [False, False, True]
    assert stops.cut(ids[:3]) == tokenizer.decode(letters[:2])
    across = StopTexts(tokenizer, ["bc"])  # the text of the completion leaves special tokens out
    assert [across(ids[:n]) for n in range(1, 5)] == [False, False, False, True]
    assert across.cut(ids[:4]) == "a"
    assert StopTexts(tokenizer, ["a"]).cut(letters + letters, n_given=1) == "abcd"
    assert StopTexts(tokenizer, [f"b{special}"]).cut(ids) == "a"
