"""A comparison on the bundled model: what each classifier reads, against hooks of the tests; views; bad input."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from snql.db.connection import Database
from snql.errors import InputError
from snql.guard.comparing import GuardComparison, compare_guards
from snql.guard.nested import Candidate, family_folds, nested
from snql.guard.options import GuardCompareOptions
from snql.options import changed
from snql.reporting.showing import show_run

from ..synthetic import add_locate_run
from .conftest import OPTIONS, last_activations

pytestmark = pytest.mark.usefixtures("lingering")

CHOSEN = changed(
    OPTIONS,
    **{"benign": ("demo:benign-edgy",), "judge": "by-set", "threshold": 0.0, "sizes": (), "random": 1},
    **{"max_new_tokens": 1, "limit": 14, "batch_size": 28},
)
"""Prompts that look alike, so that there is something to get wrong."""
COMPARED = GuardCompareOptions(guard=CHOSEN, folds=2, repeats=1)
KINDS = ["guard", "matched", "magnitude", "last-layer", "anywhere", "all", "components", "residual"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Database, GuardComparison]:
    db = Database(tmp_path_factory.mktemp("compared") / "made.duckdb")
    drawn = np.random.default_rng(0).random((2, 9, 256))
    add_locate_run(db, "found", drawn[0], 8, drawn[1])
    return db, compare_guards(db, "fair", COMPARED)


def residual_by_hand(network: Any, ids: list[int]) -> np.ndarray:
    """The stream after each layer at the last token: outputs of the decoder layers, by hooks of the tests."""
    seen: list[torch.Tensor] = []
    handles = [
        layer.register_forward_hook(
            lambda _, __, output: seen.append((output[0] if isinstance(output, tuple) else output)[0, -1])
        )
        for layer in network.model.layers
    ]
    with torch.inference_mode():
        network(torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    return torch.stack(seen).numpy()


def test_classifiers_are_fits_to_activations_by_hand(
    compared: tuple[Database, GuardComparison], sft_network: Any
) -> None:
    db, _ = compared
    rows = db.frame(
        """
        SELECT p.prompt_id, p.category, r.input_ids, l.label FROM run_prompts AS r JOIN runs USING (run_id)
        JOIN prompts AS p USING (prompt_id) JOIN guard_labels AS l USING (run_id, prompt_id)
        WHERE runs.kind = 'guard-compare' ORDER BY r.ordinal
        """
    )
    labels, families = rows["label"].to_numpy(), rows["category"].to_list()
    folds = family_folds(labels, families, 2, 0)
    neurons = np.stack([last_activations(sft_network, ids) for ids in rows["input_ids"].to_list()]).astype(np.float32)
    streams = np.stack([residual_by_hand(sft_network, ids) for ids in rows["input_ids"].to_list()])
    readers = db.frame("FROM guard_readers ORDER BY classifier_id")
    assert readers["kind"].to_list() == KINDS
    members = db.frame("SELECT set_id, layer * 256 + neuron AS id FROM neuron_set_members ORDER BY ALL")
    said = db.frame("SELECT p.* FROM guard_probabilities AS p JOIN guard_readers USING (run_id, classifier_id)")
    order = np.argsort(rows["prompt_id"].to_numpy())
    for reader in readers.iter_rows(named=True):
        own = members.filter(set_id=reader["set_id"] or 0)["id"].to_numpy()
        wide = {"all": 2304, "components": 2304, "residual": streams.shape[2]}
        assert reader["n_numbers"] == wide.get(reader["kind"], len(own))
        assert reader["added_ms"] is not None
        if reader["kind"] == "components":
            candidates = [Candidate(neurons, components=True)]
        elif reader["kind"] == "residual":
            candidates = [Candidate(streams[:, layer], layer) for layer in range(9)]
        elif reader["kind"] in ("guard", "all"):
            candidates = [Candidate(neurons[:, own])]
        else:
            continue
        by_hand = nested(candidates, labels, families, folds, 0)
        found = said.filter(classifier_id=reader["classifier_id"]).sort("prompt_id")
        # The prompts were read in batches with padding: the last digits of float32 differ.
        np.testing.assert_allclose(found["probability"], by_hand.held_out[order], atol=5e-3)
        query = "SELECT c, layer, components FROM guard_folds WHERE classifier_id = ? ORDER BY fold"
        chosen = [(fold.c, fold.layer, fold.components) for fold in by_hand.folds]
        assert db.rows(query, [reader["classifier_id"]]) == chosen


def test_scores_are_of_the_stored_probabilities(compared: tuple[Database, GuardComparison]) -> None:
    db, result = compared
    right = dict(
        db.rows(
            """
            SELECT r.kind, avg(((p.probability >= 0.5) = l.label)::INTEGER)
            FROM guard_probabilities AS p JOIN guard_readers AS r USING (run_id, classifier_id)
            JOIN guard_labels AS l USING (run_id, prompt_id) GROUP BY r.kind
            """
        )
    )
    pooled = result.scores.filter(dataset="*")
    assert pooled["kind"].to_list() == KINDS
    for row in pooled.iter_rows(named=True):
        assert row["accuracy"] == pytest.approx(right[row["kind"]])
        assert row["accuracy_ci_low"] < row["accuracy"] or row["accuracy"] == 0
        expected = None if row["kind"] == "guard" else pytest.approx(right["guard"] - right[row["kind"]])
        assert row["difference"] == expected
    assert (pooled["n_folds"] == 2).all() and (pooled["families"] == "category").all()
    assert result.says[0].startswith("chosen neurons: accuracy")
    assert list(show_run(db, "fair", "guard-compare").found) == result.says
    assert db.rows("SELECT count(*) FROM guard_scores WHERE run = 'fair'") == [(0,)]


def test_it_resumes_to_the_same(compared: tuple[Database, GuardComparison]) -> None:
    db, first = compared
    with db.write() as connection:
        connection.execute("UPDATE runs SET status = 'failed' WHERE name = 'fair'")
        for table in ("guard_readers", "guard_folds", "guard_probabilities", "guard_measures"):
            connection.execute(f"DELETE FROM {table} WHERE run_id = {first.run_id}")
    again = compare_guards(db, "fair", COMPARED, resume=True)
    timed = ["added_ms", "added_ms_low", "added_ms_high"]
    assert again.scores.drop(timed).equals(first.scores.drop(timed))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 1}, "`folds` 1: at least 2 are needed"),
        ({"families": "kin"}, "`families` 'kin' is not known: use category, dataset, none"),
        ({"repeats": -1}, "`repeats` must be at least 0"),
    ],
)
def test_options_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(COMPARED, **changes)


def test_one_family_is_no_fold(compared: tuple[Database, GuardComparison]) -> None:
    db, _ = compared
    with pytest.raises(InputError, match="harmful answers are to prompts of 1 families and harmless ones of"):
        compare_guards(db, "sets", changed(COMPARED, families="dataset"))
    with pytest.raises(InputError, match="no finished locate run 'lost'"):
        compare_guards(db, "sets", changed(COMPARED, neurons="lost:5%", model="nowhere"), force=True)
