"""``snql compare-scorers`` and ``snql locate --scorer`` as a user runs them."""

import json

import polars as pl
import pytest

from snql.db import Database
from snql.scorers.compare import sentences

from ..cli.conftest import Snql, snql  # noqa: F401  (a fixture)

COMPARE = (
    "compare-scorers",
    "few",
    "--before",
    "demo:sft",
    "--after",
    "demo:safety",
    "--prompts",
    "demo:locate",
    "--limit",
    "12",
    "--contrast-prompts",
    "demo:benign",
    "--evaluate-prompts",
    "demo:harmful",
    "--judge",
    "demo:cost",
    "--scorers",
    "change-score,mean-difference,wanda",
    "--random",
    "1",
    "--max-new-tokens",
    "16",
    "--top",
    "10%",
)


def test_scorers_side_by_side(snql: Snql) -> None:  # noqa: F811
    done = snql("--quiet", "--json", *COMPARE)
    assert (done.code, done.err) == (0, "")
    rows = pl.DataFrame(json.loads(done.out))
    assert set(rows["scorer"]) == {"change-score", "mean-difference", "wanda"}
    assert rows["n_neurons"].to_list() == [205] * 3
    with Database("snql.duckdb") as db:
        members = db.frame(
            "SELECT v.neurons, m.layer, m.neuron FROM variants AS v JOIN neuron_set_members AS m USING (set_id) "
            "JOIN runs USING (run_id) WHERE runs.name = 'few' AND runs.kind = 'patch' AND v.control_of IS NULL"
        )
        sets = {key[0]: set(group.select("layer", "neuron").rows()) for key, group in members.group_by("neurons")}
        effects = db.frame("SELECT variant, effect FROM causal_effects WHERE run = 'few' AND control_of IS NULL")
    reference = sets["few-change-score:205"]
    for row in rows.iter_rows(named=True):
        assert row["overlap"] == pytest.approx(len(sets[row["variant"]] & reference) / 205)
        assert row["chance"] == pytest.approx(205 / 2048)
        assert row["effect"] == effects.filter(pl.col("variant") == row["variant"])["effect"].item()
    again = snql(*COMPARE, "--resume")
    assert again.code == 0
    assert "change-score (205 neurons): effect" in again.out
    assert snql(*COMPARE).code == 2


def test_sentences_say_what_cannot_be_told_from_random_sets() -> None:
    row = {
        "scorer": "wanda",
        "n_neurons": 10,
        "effect": 0.01,
        "ci_low": -0.01,
        "ci_high": 0.03,
        "control_mean": 0.0,
        "overlap": 0.2,
        "chance": 0.05,
        "difference_ci_low": -0.02,
    }
    undefined = {**row, "scorer": "cohens-d", "effect": None, "difference_ci_low": None}
    lines = sentences(pl.DataFrame([row, undefined]))
    assert lines[0] == (
        "wanda (10 neurons): effect 0.010 [\u22120.010, 0.030], random sets 0.000; 20% of its neurons are among those "
        "of change-score (5% by chance)."
    )
    assert "cohens-d (10 neurons): the effect is undefined" in lines[1]
    assert lines[2].startswith("Not above random sets of as many neurons in each layer: wanda (")


def test_bad_input(snql: Snql) -> None:  # noqa: F811
    for arguments, words in (
        (("locate", "x", "--scorer", "wanda", "--prompts", "demo:locate"), "which models? give --before and --after"),
        (
            ("locate", "x", "--from-run", "y", "--before", "demo:sft"),
            "--from-run takes models and prompts from the run",
        ),
        (("locate", "x", "--model", "demo:sft", "--after", "a", "--prompts", "demo:locate"), "leave out --before"),
        (
            ("locate", "x", "--before", "a", "--after", "b", "--prompts", "demo:locate", "--contrast-prompts", "c"),
            "are for scorers of one model",
        ),
        (
            ("locate", "x", "--scorer", "nope", "--model", "demo:sft", "--prompts", "demo:locate"),
            "use prompt-difference",
        ),
        ((*COMPARE, "--scorers", "wanda"), "one scorer has nothing to be compared with"),
        ((*COMPARE, "--scorers", "wanda,nope"), "scorer 'nope' is not known: use change-score"),
        ((*COMPARE, "--top", "lots"), "--top 'lots' is no size"),
    ):
        done = snql(*arguments)
        assert (done.code, done.out) == (2, ""), arguments
        assert words in done.err
        assert done.err.count("\n") == 1
