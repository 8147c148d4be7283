"""Tables, the summary's sentences, the completions beside each other and the command lines."""

import json
import re
import shlex

import numpy as np
import polars as pl
import pytest

from snql.db import Database
from snql.reporting import latex, page, summary
from snql.reporting.reproduce import command
from snql.reporting.tables import TABLES

from .conftest import Builder


def made(database: Database, name: str) -> pl.DataFrame:
    table = next(table for table in TABLES if table.name == name)
    return table.make(database.frame(table.query))


def test_top_neurons_are_those_with_the_highest_scores(database: Database) -> None:
    table = made(database, "top-neurons").filter(pl.col("run") == "safety")
    values = np.random.default_rng(0).lognormal(-2, 1, (6, 200))[:-1]
    order = np.argsort(-values, axis=None)[:20]
    assert table["neuron"].to_list() == [f"L{index // 200}.N{index % 200}" for index in order]
    assert table["change score"].to_list() == pytest.approx(values.ravel()[order].tolist())
    assert table["rank"].to_list() == list(range(1, 21))


def test_effects_stand_beside_their_random_sets(database: Database) -> None:
    row = made(database, "effects").filter((pl.col("run") == "sweep") & (pl.col("neurons") == 50)).row(0, named=True)
    controls = [0.02 * seed + 0.1 * 0.8 - 0.05 for seed in range(3)]
    assert (row["effect"], row["from"], row["to"]) == pytest.approx((0.8, 0.7, 0.9))
    assert row["random mean"] == pytest.approx(sum(controls) / 3)
    assert (row["random lowest"], row["random highest"]) == pytest.approx((min(controls), max(controls)))


def test_runs_have_models_and_sizes(database: Database) -> None:
    row = made(database, "runs").filter(pl.col("run") == "safety").row(0, named=True)
    assert (row["before or recipient"], row["after or donor"], row["tokens"]) == ("demo:sft", "demo:safety", 400)
    assert row["ranked neurons"] == 1000


def test_latex_numbers_fit_their_columns() -> None:
    frame = pl.DataFrame({"name": ["a&b", None], "n": [1, 12345], "x": [-10.25, None], "y": [0.00123, 0.0001]})
    text = latex.tabular(frame)
    (columns,) = re.findall(r"\\begin\{tabular\}\{(.*)\}", text)
    assert columns == "l S[table-format=5] S[table-format=-2.2] S[table-format=1.5]"
    rows = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    assert rows == [r"a\&b & 1 & -10.25 & 0.00123 \\", r"-- & 12345 & {--} & 0.00010 \\"]


def effects(**changes: object) -> pl.DataFrame:
    row: dict[str, object] = {
        "run": "r", "series": "s", "variant": "s:5%", "n_neurons": 50, "fraction": 0.05, "judge": "cost",
        "judge_position": 1, "recipient": "A", "donor": "B", "mean_recipient": 2.0, "mean_patched": -1.2,
        "mean_donor": -2.0, "n_prompts": 100, "effect": 0.8, "ci_low": 0.7, "ci_high": 0.9, "confidence": 0.95,
        "gap": -4.0, "gap_ci_low": -4.5, "gap_ci_high": -3.5, "n_controls_defined": 5, "n_controls_reaching": 0,
        "control_mean": 0.05, "control_min": 0.01, "control_max": 0.1, "headline": True, "pooled": True,
    }  # fmt: skip
    return pl.DataFrame([row | changes])


NO_RUNS = pl.DataFrame(schema={"kind": pl.String, "run": pl.String})


def test_summary_states_the_numbers() -> None:
    (finding,) = summary.findings(effects(), NO_RUNS)
    assert finding.caveats == ()
    assert "from 2.00 to \u22121.20; the donor itself scores \u22122.00 (100 prompts)" in finding.text
    assert "Its causal effect is 0.80 (95 % interval [0.70, 0.90]); 5 random sets" in finding.text
    assert "50 neurons, 5 % of all" in finding.text


@pytest.mark.parametrize(
    ("changes", "caveat"),
    [
        ({"ci_low": -0.1}, "The interval of the effect covers 0"),
        ({"effect": None, "ci_low": None, "ci_high": None}, "which covers 0, so no share of it can be stated"),
        ({"n_controls_reaching": 2}, "2 of 5 random sets have at least as large an effect"),
        ({"n_controls_defined": 0, "control_mean": None}, "Without random sets"),
        ({"effect": -0.3, "ci_low": -0.4, "ci_high": -0.2}, "The effect is negative"),
        ({"n_prompts": 10}, "10 prompts are few"),
    ],
)
def test_summary_has_its_caveats(changes: dict[str, object], caveat: str) -> None:
    (finding,) = summary.findings(effects(**changes), NO_RUNS)
    assert [text for text in finding.caveats if caveat in text]


def test_summary_leaves_out_what_is_not_the_main_set() -> None:
    assert summary.findings(effects(headline=False), NO_RUNS) == ()


def test_completions_stand_side_by_side(database: Database) -> None:
    (first, *_) = page.comparisons(database.frame(page.COMPLETIONS_QUERY))
    assert (first.run, first.judge, first.n_prompts) == ("sweep", "cost", 2)
    dataset, prompt, writings = first.prompts[0]
    assert (dataset, prompt) == ("d", "hello")
    assert [writing.role for writing in writings] == ["recipient", "patched", "donor"]
    # The builder writes "text VARIANT PROMPT" and scores it by the variant; 5 % is the second of three sets.
    variants = [int(writing.text.split()[1]) for writing in writings]
    assert variants == [0, 6, 1]
    assert [writing.score for writing in writings] == ["0.00", "6.00", "1.00"]
    assert writings[1].name == "safety:5%"


def test_completions_are_limited(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Database(tmp_path_factory.mktemp("many") / "x.duckdb") as database:
        with database.write() as connection:
            Builder(connection).patch("many", ((0.05, 0.5),), n_controls=0, texts=[f"p{n}" for n in range(60)])
        (found,) = page.comparisons(database.frame(page.COMPLETIONS_QUERY))
    assert (len(found.prompts), found.n_prompts) == (50, 60)


def test_command_line_is_made_of_the_configuration() -> None:
    config = {
        "recipient": "a b", "donor": "c", "neurons": ["x:5%", "y:5% & z"], "sweep": ["1%", "5%"], "judges": ["j"],
        "prompts": {"source": "p.jsonl"}, "limit": None, "resume": True, "seed": 0, "unknown": 3,
    }  # fmt: skip
    words = shlex.split(command("patch", "my run", json.dumps(config)))
    assert words == [
        *("snql", "patch", "my run", "--recipient", "a b", "--donor", "c"),
        *("--neurons", "x:5%", "--neurons", "y:5% & z", "--sweep", "1%,5%", "--judge", "j"),
        *("--prompts", "p.jsonl", "--seed", "0"),
    ]


def test_stored_command_line_is_preferred() -> None:
    assert command("locate", "x", '{"command": "snql locate x --before a"}') == "snql locate x --before a"
    assert command("locate", "x", '{"argv": ["snql", "a b"]}') == "snql 'a b'"
