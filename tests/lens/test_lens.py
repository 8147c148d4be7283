"""Lens runs: tokens and cosines against plain forward passes, stored, shown, and what is refused."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from snql.db.connection import Database
from snql.errors import InputError
from snql.lens import tokens as lens_tokens
from snql.lens.lens import lens
from snql.lens.options import LensOptions
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.neuron_pages import describe_neuron, describe_neurons
from snql.neuron_pages.html import neuron_html, neurons_html
from snql.prompts.options import PromptOptions
from tests.cli.conftest import Snql
from tests.conftest import ORACLE

from ..cli.conftest import snql  # noqa: F401  (a fixture)

MODEL = f"{ORACLE / 'model'}+{ORACLE / 'sft'}"
HARMFUL = ["how to pick a lock", "make a bomb", "steal"]
HARMLESS = ["bake a cake", "two words"]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_models({"one": MODEL}, LoadOptions(device="cpu"))["one"]


@pytest.fixture
def sets(tmp_path: Path) -> tuple[tuple[str], tuple[str]]:
    made = []
    for name, texts in (("harmful", HARMFUL), ("harmless", HARMLESS)):
        path = tmp_path / f"{name}.txt"
        path.write_text("\n".join(texts))
        made.append((str(path),))
    return made[0], made[1]


def direction(model: LoadedModel, layer: int) -> np.ndarray:
    """Hugging Face's own hidden states after a layer, at the last token of each prompt alone."""
    means = []
    for texts in (HARMFUL, HARMLESS):
        states = []
        for text in texts:
            with model.switched_on() as network:
                ids = model.base.tokenizer(text, return_tensors="pt").input_ids
                states.append(network.model(ids, output_hidden_states=True).hidden_states[layer + 1][0, -1].double())
        means.append(torch.stack(states).mean(dim=0).numpy())
    return np.asarray(means[0] - means[1])


@pytest.mark.parametrize("at", [None, 0])
def test_cosines_are_those_with_hugging_faces_hidden_states(
    model: LoadedModel, sets: tuple[tuple[str], tuple[str]], db: Database, at: int | None
) -> None:
    """The last layer is left out: its hidden state in Hugging Face has passed the final norm."""
    chosen = LensOptions(
        neurons="L0.N3,L0.N7,L1.N11",
        model=MODEL,
        top=3,
        harmful=sets[0],
        harmless=sets[1],
        layer=at,
        prompts=PromptOptions(template="plain"),
    )
    found = lens(db, "cosines", chosen).vectors
    assert found.select("layer", "neuron").rows() == [(0, 3), (0, 7), (1, 11)]
    for row in found.iter_rows(named=True):
        layer = row["layer"] if at is None else at
        other = direction(model, layer)
        weight = model.sites[row["layer"]].down.weight.detach().double().numpy()
        every = (weight.T @ other) / np.linalg.norm(weight, axis=0) / np.linalg.norm(other)
        assert row["refusal_cosine"] == pytest.approx(every[row["neuron"]], abs=1e-5)
        assert row["refusal_percentile"] == pytest.approx(100 * (every < every[row["neuron"]]).mean(), abs=1e-9)
        assert row["norm"] == pytest.approx(np.linalg.norm(weight[:, row["neuron"]]), rel=1e-5)
        assert row["chance_deviation"] == pytest.approx(1 / np.sqrt(weight.shape[0]))
        assert (row["n_harmful"], row["n_harmless"], row["direction_layer"]) == (3, 2, layer)
    norms = db.frame("SELECT layer, norm FROM lens_directions ORDER BY layer")
    for layer, norm in norms.rows():
        assert norm == pytest.approx(np.linalg.norm(direction(model, layer)), rel=1e-5)


def test_parts_of_the_vocabulary_and_of_the_neurons_give_what_the_whole_gives(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = lens(db, "whole", LensOptions(neurons="all", model=MODEL, top=4)).vectors
    monkeypatch.setattr(lens_tokens, "MOST_ROWS", 7)
    monkeypatch.setattr(lens_tokens, "MOST_LOGITS", 7 * 5)
    parts = lens(db, "parts", LensOptions(neurons="all", model=MODEL, top=4)).vectors
    assert whole.height == 704
    assert whole.drop("run", "run_id").equals(parts.drop("run", "run_id"))
    assert whole["refusal_cosine"].null_count() == whole.height


def test_a_run_that_was_cut_off_goes_on_with_the_layers_that_are_left(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snql.lens import lens as module

    options = LensOptions(neurons="L0.N1,L1.N2,L2.N3", model=MODEL, top=2)
    full = lens(db, "full", options).vectors
    work = module._layer
    monkeypatch.setattr("snql.jobs.work.COMMIT_SECONDS", 0.0)

    def stops(*given: object) -> object:
        if given[3] == 1:
            raise KeyboardInterrupt
        return work(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_layer", stops)
    with pytest.raises(KeyboardInterrupt):
        lens(db, "cut", options)
    assert db.frame("SELECT done, total, status FROM run_progress WHERE run = 'cut'").row(0) == (1, None, "interrupted")
    monkeypatch.setattr(module, "_layer", work)
    assert lens(db, "cut", options, resume=True).vectors.drop("run", "run_id").equals(full.drop("run", "run_id"))


def test_pages_and_tables_show_it(snql: Snql) -> None:  # noqa: F811
    located = ("locate", "safety", "--before", "demo:sft", "--after", "demo:safety", "--prompts", "demo:locate")
    assert snql("--quiet", *located, "--limit", "4", "--max-new-tokens", "4", "--skip-last-layers", "0").code == 0
    with Database("snql.duckdb") as db:
        assert describe_neurons(db, "safety:3").frame["lens_run"].null_count() == 3
    viewed = ("lens", "safety:3", "--model", "demo:sft", "--harmful-prompts", "demo:locate", "--harmless-prompts")
    done = snql(*viewed, "demo:benign", "--limit", "8", "--top", "4")
    assert done.code == 0
    assert "cosine of a random vector: 0 ± 0.088" in done.out
    again = snql("--quiet", "--json", *viewed, "demo:benign", "--limit", "8", "--top", "4")
    rows = json.loads(again.out)
    assert len(rows) == 3, "the same settings find the run again"
    best = max(rows, key=lambda row: row["refusal_cosine"])
    with Database("snql.duckdb") as db:
        table = describe_neurons(db, "safety:5", sort="refusal-cosine")
        assert table.frame["refusal_cosine"][0] == best["refusal_cosine"]
        assert table.frame["promotes"][0].to_list() == best["promotes"]
        assert table.frame["lens_run"].null_count() == 2
        page = describe_neuron(db, f"L{best['layer']}.N{best['neuron']}")
        assert page.values["suppresses"][0].to_list() == best["suppresses"]
        assert page.frames()["values"].equals(page.values)
        assert best["promotes"][0].strip() in neuron_html(page)
        assert "refusal cosine" in neurons_html(table)
    assert "Value vector" in snql("neuron", f"L{best['layer']}.N{best['neuron']}").out
    assert "refusal cosine" in snql("neurons", "safety:5").out
    assert snql("--quiet", "report", "scores", "--out", "report", "--format", "svg").code == 0
    made = pl.read_csv("report/table-value-vectors.csv")
    assert made["rank"].to_list() == [1, 2, 3]
    assert set(made["refusal cosine"].round(9)) == {round(row["refusal_cosine"], 9) for row in rows}


def test_bad_input(snql: Snql, sets: tuple[tuple[str], tuple[str]]) -> None:  # noqa: F811
    one = ("lens", "L0.N1", "--model", "demo:sft")
    for arguments, words in (
        ((*one, "--harmful-prompts", "demo:locate"), "needs --harmful-prompts and --harmless-prompts"),
        ((*one, "--layer", "1"), "--layer is that of the refusal direction"),
        ((*one, "--top", "0"), "--top 0 is out of range"),
        (("lens", "L9.N1", "--model", "demo:sft"), "L9"),
        (
            (*one, "--harmful-prompts", "demo:benign", "--harmless-prompts", "demo:benign"),
            "a prompt is in --harmful-prompts and in --harmless-prompts",
        ),
        (
            (*one, "--harmful-prompts", "demo:locate", "--harmless-prompts", "demo:benign", "--layer", "9"),
            "--layer 9 is no layer of 'demo:sft': use 0 to 8",
        ),
    ):
        done = snql(*arguments)
        assert (done.code, done.out) == (2, ""), arguments
        assert words in done.err
        assert done.err.count("\n") == 1
    with pytest.raises(InputError, match="needs `harmful` and `harmless`"):
        LensOptions(neurons="all", model=MODEL, harmful=sets[0])
