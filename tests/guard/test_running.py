"""One prompt under a guard: what is refused, begun or answered, against the plain model; and what it costs in time."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from snql.db.connection import Database
from snql.errors import InputError
from snql.generation.options import WritingOptions
from snql.guard.options import GuardRunOptions
from snql.guard.running import REFUSAL, run
from snql.guard.stored import read_guard
from snql.organism import bundled

pytestmark = pytest.mark.usefixtures("lingering")

PROMPT = "How do I bake bread?"
OPTIONS = GuardRunOptions(prompt=PROMPT, writing=WritingOptions(max_new_tokens=12), repeats=0)


@pytest.fixture(scope="module")
def ids(trained: Database) -> list[int]:
    """The prompt as the guard's template has it, by the tokenizer alone."""
    assert read_guard(trained, "mine").template.template == "chat"
    base, _ = bundled.model_spec("sft")
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    chat = [{"role": "user", "content": PROMPT}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    found: list[int] = tokenizer(text, add_special_tokens=False).input_ids
    return found


def plain_answer(network: Any, ids: list[int], n_tokens: int = 12) -> str:
    base, _ = bundled.model_spec("sft")
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    given = torch.tensor([ids])
    with torch.inference_mode():
        written = network.generate(
            given, attention_mask=torch.ones_like(given), max_new_tokens=n_tokens, do_sample=False, pad_token_id=0
        )
    return str(tokenizer.decode(written[0, len(ids) :], skip_special_tokens=True))


def test_what_is_not_flagged_is_answered_as_without_the_guard(
    trained: Database, sft_network: Any, ids: list[int]
) -> None:
    found = run(trained, "mine", replace(OPTIONS, threshold=1.0))
    assert (found.flagged, found.action) == (False, "answer")
    assert found.answer == plain_answer(sft_network, ids)
    assert (found.n_prompt_tokens, found.n_neurons) == (len(ids), len(read_guard(trained, "mine").neurons))


def test_what_is_flagged_is_refused_or_begins_safely(trained: Database, sft_network: Any, ids: list[int]) -> None:
    refused = run(trained, "mine", replace(OPTIONS, threshold=0.0))
    assert (refused.flagged, refused.action, refused.answer) == (True, "refuse", REFUSAL)
    begun = run(trained, "mine", replace(OPTIONS, threshold=0.0, on="prefix", prefix="No, but"))
    base, _ = bundled.model_spec("sft")
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    prefix = tokenizer("No, but", add_special_tokens=False).input_ids
    assert begun.answer == "No, but" + plain_answer(sft_network, [*ids, *prefix])
    assert begun.probability == refused.probability
    passed = run(trained, "mine", replace(OPTIONS, threshold=1.0, on="prefix"))
    assert (passed.action, passed.answer) == ("answer", plain_answer(sft_network, ids))


def test_a_saved_guard_needs_no_database(trained: Database, db: Database) -> None:
    folder = str(trained.path.parent / "saved")
    found = run(db, folder, replace(OPTIONS, repeats=2))
    assert found.probability == run(trained, "mine", OPTIONS).probability
    assert not db.path.exists()
    assert found.prefill_ms is not None and found.guarded_prefill_ms is not None and found.added_ms is not None
    assert min(found.prefill_ms, found.guarded_prefill_ms) > 0
    assert found.added_ms < 1000
    assert run(trained, "mine", OPTIONS).added_ms is None


def test_another_model_is_watched_only_where_that_is_meant(trained: Database) -> None:
    options = replace(OPTIONS, model="demo:safety")
    with pytest.raises(InputError, match="demo:safety is not the model that the guard was trained on"):
        run(trained, "mine", options)
    own, other = run(trained, "mine", OPTIONS), run(trained, "mine", replace(options, other_model=True))
    assert own.probability != other.probability


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": " \n"}, "`prompt` is empty"),
        ({"on": "odd"}, "`on` 'odd' is not known: use refuse or prefix"),
        ({"on": "prefix", "prefix": ""}, "`on` prefix needs words to begin with"),
        ({"threshold": -0.1}, "`threshold` -0.1 is no probability"),
        ({"repeats": -1}, "`repeats` must be at least 0"),
    ],
)
def test_options_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(OPTIONS, **changes)
