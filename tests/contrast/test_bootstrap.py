"""Sums per prompt and what is drawn from them: against token activations, by hand, and after interruptions."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from snql.contrast.bootstrap import bootstrap_intervals
from snql.contrast.locate import locate
from snql.contrast.prompt_sums import PromptSums, staged_chunks
from snql.db.check import check
from snql.db.connection import Database
from snql.db.prompt_sums import SumsChunk
from snql.db.scores import read_scores
from snql.errors import InputError, RunError
from snql.neurons.sets import Shape
from snql.options import changed
from snql.progress import Progress
from snql.stats.scores import score_intervals

from ..stages import stages
from ..synthetic import add_locate_run
from .test_locate import options

pytestmark = pytest.mark.usefixtures("lingering")

RESAMPLES = 100
INTERVALS = "SELECT * EXCLUDE (run, run_id) FROM neuron_intervals WHERE run = ? ORDER BY layer, neuron"
SUMS = "SELECT * EXCLUDE (run, run_id) FROM prompt_scores WHERE run = ? ORDER BY layer, neuron, prompt_id"


def located(db: Database, llama: Path, adapter: Path, name: str, **settings: Any) -> None:
    locate(db, name, options(llama, adapter, **{"bootstrap": RESAMPLES, "keep": "none", "seed": 3, **settings}))


OTHERS = pytest.mark.slow("read as one of the others is")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        pytest.param({"completions_by": "after", "batch_size": 5}, marks=OTHERS),
        pytest.param({"recompute": True}, marks=OTHERS),
        {"positions": "prompt", "batch_size": 1},
    ],
    ids=["generating", "after", "recompute", "prompt"],
)
def test_sums_per_prompt_are_those_of_its_tokens(
    db: Database, tiny_llama: Path, tiny_adapter: Path, settings: dict[str, Any]
) -> None:
    located(db, tiny_llama, tiny_adapter, "x", keep="all", **settings)
    square = (pl.col("after").cast(pl.Float64) - pl.col("before")).pow(2)
    by_tokens = (
        db.frame("SELECT * FROM token_activations WHERE run = 'x'")
        .group_by("layer", "neuron", "prompt_id")
        .agg(squared=square.sum(), n=pl.len())
        .sort("layer", "neuron", "prompt_id")
    )
    stored = db.frame(SUMS, ["x"])
    assert stored.select("layer", "neuron", "prompt_id").equals(by_tokens.select("layer", "neuron", "prompt_id"))
    assert stored["n_tokens"].to_list() == by_tokens["n"].to_list()
    np.testing.assert_allclose(stored["squared_differences"], by_tokens["squared"], rtol=2e-4, atol=1e-9)
    assert stored["prompt_id"].n_unique() == 12
    assert check(db) == []


def test_intervals_by_hand(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    located(db, tiny_llama, tiny_adapter, "x")
    sums = db.frame(SUMS, ["x"])
    prompts = sorted(sums["prompt_id"].unique())
    drawn = np.random.default_rng([3, len(prompts)]).multinomial(len(prompts), [1 / 12] * 12, size=RESAMPLES)
    by_neuron: dict[tuple[int, int], list[float]] = {}
    values = {
        (la, ne, p): (s, n)
        for la, ne, p, s, n in sums.select(
            "layer", "neuron", "prompt_id", "squared_differences", "n_tokens"
        ).iter_rows()
    }
    for layer, neuron in read_scores(db, "x").select("layer", "neuron").iter_rows():
        by_neuron[layer, neuron] = [
            math.sqrt(
                sum(w * values[layer, neuron, p][0] for w, p in zip(weights, prompts, strict=True))
                / sum(w * values[layer, neuron, p][1] for w, p in zip(weights, prompts, strict=True))
            )
            for weights in drawn.tolist()
        ]
    ranked = [place for place in by_neuron if place[0] < 2]
    k = round(0.05 * len(ranked))
    at_top = dict.fromkeys(by_neuron, 0)
    for index in range(RESAMPLES):
        for place in sorted(ranked, key=lambda place: -by_neuron[place][index])[:k]:
            at_top[place] += 1
    for row in db.frame(INTERVALS, ["x"]).iter_rows(named=True):
        place = (row["layer"], row["neuron"])
        squared, n = np.array([values[*place, prompt] for prompt in prompts]).T
        whole = score_intervals(squared[:, None], n[:, None])  # by hand in tests/stats
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((whole.low[0], whole.high[0]))
        assert row["standard_error"] == pytest.approx(whole.standard_error[0])
        assert row["standard_error"] == pytest.approx(np.std(by_neuron[place]), rel=0.35), "as resamples spread"
        assert row["top_share"] == (at_top[place] / RESAMPLES if place in ranked else None)
        assert row["ci_low"] <= row["score"] <= row["ci_high"]
    assert db.rows("SELECT sum(top_share) FROM neuron_intervals") == [(pytest.approx(k),)]


@pytest.mark.parametrize("stage", ["contrast", "bootstrap"])
def test_an_interrupted_run_comes_to_the_same_intervals(
    db: Database, tiny_llama: Path, tiny_adapter: Path, stage: str
) -> None:
    def interrupt(report: Progress) -> None:
        if report.stage == stage and report.done > 0:
            raise KeyboardInterrupt

    located(db, tiny_llama, tiny_adapter, "whole", batch_size=5)
    settings = {"bootstrap": RESAMPLES, "keep": "none", "seed": 3, "batch_size": 5}
    with pytest.raises(KeyboardInterrupt):
        locate(db, "cut", options(tiny_llama, tiny_adapter, **settings), progress=interrupt)
    reports: list[Progress] = []
    locate(db, "cut", options(tiny_llama, tiny_adapter, **settings), resume=True, progress=reports.append)
    assert stages(reports)["bootstrap"] == (0, 120, 120)
    for query in (INTERVALS, SUMS):
        assert db.frame(query, ["cut"]).equals(db.frame(query, ["whole"]))
    assert check(db) == []
    assert not list(db.path.parent.glob("*.staging"))


def test_a_staged_file_that_is_gone(
    db: Database, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(report: Progress) -> None:
        if report.stage == "bootstrap":
            next(db.path.parent.glob("*.staging/*/prompts-*")).unlink()

    with pytest.raises(RunError, match=r"sums per prompt, which `bootstrap` needs.*`force`"):
        locate(db, "x", options(tiny_llama, tiny_adapter, bootstrap=100), progress=lose)
    assert db.rows("SELECT status FROM runs") == [("failed",)]


def test_sums_that_do_not_add_up_are_found(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    located(db, tiny_llama, tiny_adapter, "x")
    assert check(db) == []
    with db.write() as connection:
        connection.execute("UPDATE prompt_sums SET squared_differences = squared_differences * 1.1 WHERE neuron = 7")
    assert [problem.what for problem in check(db)] == ["the sums per prompt of 3 neurons do not add up to their scores"]


def test_experts_count_the_tokens_that_reached_them(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = Shape(2, 6, 2)  # two experts of three neurons
    owners = torch.tensor([0, 0, 1, 1, 1])
    parts = []
    for _ in range(2):
        sums = PromptSums(2, shape)
        pair = [torch.randn(5, 6, generator=generator) for _ in range(2)]
        pair[0][1, :3] = float("nan")
        pair[1][3, 3:] = float("nan")
        sums.add(1, pair[0], pair[1], owners)
        parts.append((sums, pair))
    from safetensors.numpy import save_file

    joined = PromptSums.joined([sums for sums, _ in parts])
    save_file(dict(joined.arrays([7, 5, 9, 2])), tmp_path / "a.safetensors")
    rows = pl.concat([chunk.rows for chunk in staged_chunks([tmp_path / "a.safetensors"], shape)])
    expected: dict[tuple[int, int, int, int], tuple[int, float]] = {}
    for index, (_, (before, after)) in enumerate(parts):
        for row, token_owner in enumerate(owners.tolist()):
            for column in range(6):
                difference = float(after[row, column]) - float(before[row, column])
                if not math.isnan(difference):
                    key = (1, column // 3, column % 3, [[7, 5], [9, 2]][index][int(token_owner)])
                    n, total = expected.get(key, (0, 0.0))
                    expected[key] = (n + 1, total + difference**2)
    found = {row[:4]: row[4:] for row in rows.iter_rows()}
    assert found.keys() == expected.keys()
    for key, (n, total) in expected.items():
        assert found[key][0] == n
        assert found[key][1] == pytest.approx(total, rel=1e-6)
    assert rows.select("layer", "expert", "neuron").equals(rows.select("layer", "expert", "neuron").sort(pl.all()))


@pytest.mark.parametrize("n_layers", [1, 3])
def test_tokens_of_a_prompt_are_counted_once(n_layers: int) -> None:
    sums = PromptSums(3, Shape(n_layers, 4))
    for layer in range(n_layers):
        sums.add(layer, torch.zeros(5, 4), torch.ones(5, 4), torch.tensor([0, 0, 2, 2, 2]))
    assert sums.counts.tolist() == [2, 0, 3]
    assert sums.squared[:, :, 0].T.tolist() == [[2, 0, 3]] * n_layers


def test_bad_settings(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    with pytest.raises(InputError, match="`bootstrap` 5 is out of range: use 0 for none, or 100 to 10000"):
        options(tiny_llama, tiny_adapter, bootstrap=5)
    one = options(tiny_llama, tiny_adapter, bootstrap=100)
    with pytest.raises(InputError, match="one prompt is too few"):
        locate(db, "x", changed(one, limit=1))
    assert not db.path.exists()


def test_a_model_against_itself(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    from dataclasses import replace

    plain = options(tiny_llama, tiny_adapter)
    itself = replace(plain, after=plain.before)
    locate(db, "shape", itself)
    locate(db, "recomputed", replace(itself, recompute=True))
    locate(db, "dtype", replace(itself, after_dtype="bfloat16"))
    add_locate_run(db, "other", np.random.default_rng(0).random((2, 5)))
    largest = dict(db.rows("SELECT run, max(score) FROM neuron_scores WHERE run <> 'other' GROUP BY run"))
    assert largest["recomputed"] == 0
    assert 0 < largest["shape"] < 1e-4
    assert largest["dtype"] > 100 * largest["shape"]
    assert db.rows("SELECT dtype FROM runs WHERE name IN ('shape', 'dtype') ORDER BY name") == [
        ("float32/bfloat16",),
        ("float32",),
    ]


def test_neurons_of_experts_keep_their_expert() -> None:
    class Reader:
        n_prompts = 3

        def chunks(self) -> Iterator[SumsChunk]:
            yield SumsChunk(np.arange(12), np.arange(1.0, 37).reshape(3, 12), np.ones((3, 12)))

    reader: Any = Reader()
    found = bootstrap_intervals(reader, Shape(2, 6, n_experts=3), np.arange(1, 13), RESAMPLES, 0)
    assert found.select("layer", "expert", "neuron").rows() == [
        (layer, expert, neuron) for layer in range(2) for expert in range(3) for neuron in range(2)
    ]
