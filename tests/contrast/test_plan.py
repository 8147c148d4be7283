"""Which prompts are written together, and how much of memory a batch may take."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from snql.contrast.keep import KeepRule, keep_plan
from snql.contrast.locate import plan
from snql.contrast.options import LocateOptions
from snql.db import batches as stored
from snql.db.connection import Database
from snql.db.scores import statistics_frame
from snql.engines.local import describe
from snql.errors import InputError
from snql.generation import budget
from snql.generation.options import WritingOptions
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.neurons.sets import NeuronSet, Shape
from snql.options import changed
from snql.prompts.options import PromptOptions
from snql.prompts.types import Prompt
from snql.rankings.evaluate import Evaluator

from .test_locate import run

OPTIONS = LocateOptions(before="a", after="b", prompts=PromptOptions(("x",)), writing=WritingOptions(max_new_tokens=10))
PROMPTS = [Prompt("d", str(n), input_ids=(1,) * n) for n in (5, 20, 8, 30, 2)]


@pytest.fixture(scope="module")
def model(tiny_llama: Path) -> LoadedModel:
    return load_models({"before": str(tiny_llama)}, LoadOptions(device="cpu"))["before"]


def test_a_number_of_rows_and_a_budget_of_tokens(model: LoadedModel) -> None:
    info = replace(describe({"before": model}), writing_tokens=60)
    assert plan(PROMPTS, changed(OPTIONS, batch_size=2), info) == [1, 0, 1, 0, 2]
    # With 10 new tokens each: 40 alone, 30 + 30, 15 + 15.
    assert plan(PROMPTS, OPTIONS, info) == [2, 1, 1, 0, 2]
    # Where no model writes, only the prompts count.
    assert plan(PROMPTS, replace(OPTIONS, positions="prompt"), info) == [1, 0, 1, 0, 1]


@pytest.mark.parametrize("text", ["1", "25%", "2/layer", "30%/layer", "1/index", "40%/index", "3..6", "9/layer", "99"])
def test_ranks_of_the_run_itself_are_kept_as_expressions_choose_them(db: Database, text: str) -> None:
    """Of statistics that are not stored yet; those of a stored run are chosen by Polars."""
    scores = np.random.default_rng(3).permutation(24).reshape(4, 6).astype(float)
    columns = dict.fromkeys(("mean_before", "mean_after", "std_before", "std_after", "mean_difference"), scores)
    statistics = statistics_frame(Shape(4, 6), scores, columns, np.ones((4, 6), dtype=np.int64), 3)
    kept = KeepRule.parse(text).members(Evaluator(db, Shape(4, 6)), statistics, Shape(4, 6))
    amount, _, per = text.partition("/")
    low, _, high = amount.rpartition("..")
    over = {"layer": ["layer"], "index": ["neuron"]}.get(per, [pl.lit(0)])
    place, n = pl.col("rank").rank().over(over), pl.len().over(over)
    last = (float(high.rstrip("%")) / 100 * n).round().clip(1) if "%" in high else float(high)
    chosen = statistics.drop_nulls("rank").filter((place > float(low or 0)) & (place <= last))
    assert kept == NeuronSet.of(Shape(4, 6), chosen.select("layer", "expert", "neuron").iter_rows())
    assert len(kept)


def test_what_keep_cannot_be() -> None:
    for text, message in (("5% & L3", "`keep` '5% & L3' is not known"), ("5%/row", "expected")):
        with pytest.raises(InputError, match=message):
            KeepRule.parse(text)


def test_bytes_of_a_token(model: LoadedModel) -> None:
    """Keys and values of 3 layers of 2 heads of 8, and 3 x 40 activations, in float32."""
    config = model.base.model.config
    heads = config.num_key_value_heads * (config.hidden_size // config.num_attention_heads)
    assert budget.bytes_per_token(model) == 4 * (2 * 3 * heads + 3 * 40)


def test_the_budget_is_a_share_of_free_memory_up_to_a_limit(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 1000 * budget.bytes_per_token(model)
    monkeypatch.setattr(budget, "free_bytes", lambda _: free)
    assert budget.writing_tokens(model) == 400
    monkeypatch.setattr(budget, "free_bytes", lambda _: 10**15)
    assert budget.writing_tokens(model) == 8_192
    monkeypatch.setattr(budget, "free_bytes", lambda _: 0)
    assert budget.writing_tokens(model) == 1


def test_texts_are_read_once_more_in_numbered_batches(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    found = run(db, tiny_llama, tiny_adapter)
    lengths = stored.text_lengths(db, found.run_id)
    batches = keep_plan(lengths, "generating", frozenset({2}), 4 << 20)  # 8 tokens of them would fill a file
    assert len(batches) == 12
    assert [batch.index for batch in batches] == list(range(12))
    assert sorted(prompt for batch in batches for prompt in batch.prompt_ids) == lengths["prompt_id"].to_list()
    written = dict(db.rows("SELECT prompt_id, len(token_ids) FROM completions"))
    first = 0
    for batch in batches:
        assert (batch.first_token, batch.n_tokens) == (first, sum(written[prompt] for prompt in batch.prompt_ids))
        first += batch.n_tokens
    assert len(keep_plan(lengths, "generating", frozenset({2}), 6)) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": "many"}, "`batch_size` 'many' is not known: use auto or a number of rows"),
        ({"batch_size": 0}, "`batch_size` and `max_new_tokens` must be at least 1"),
        ({"store": "csv"}, "`store` 'csv' is not known: use auto, rows, parquet"),
    ],
)
def test_options_that_make_no_sense(settings: dict[str, int | str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        changed(OPTIONS, **settings)
