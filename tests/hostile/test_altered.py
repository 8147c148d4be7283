"""``snql db check`` says so when somebody changed by hand what results are read through, or what they follow from."""

import shutil
from pathlib import Path

import duckdb
import pytest

from snql.db.check import check
from snql.db.connection import Database
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.patching.options import PatchOptions
from snql.patching.patch import patch
from snql.prompts.options import PromptOptions

from ..cli.conftest import Snql, snql  # noqa: F401 - a fixture
from ..conftest import ORACLE

CHANGES = {
    "CREATE OR REPLACE VIEW neuron_scores AS SELECT run_id, -score AS score FROM neuron_statistics": (
        "the view neuron_scores was changed"
    ),
    "CREATE OR REPLACE MACRO overlap_at(run_a, run_b, k) AS (1.0)": "the macro overlap_at was changed",
    "CREATE OR REPLACE MACRO top_neurons(run_name, k) AS TABLE SELECT 1 AS layer": "the macro top_neurons was changed",
    "DROP VIEW figure_verdicts": "the view figure_verdicts is missing",
    "UPDATE runs SET config = replace(config, '\"seed\": 0', '\"seed\": 1')": "its settings are not those",
    "UPDATE judgements SET score = score + 100 WHERE variant_id = 2": "effects are not those that its judgements give",
    "UPDATE judgements SET score = 1 - score WHERE variant_id = 0": "effects are not those that its judgements give",
    "UPDATE judgements SET score = NULL WHERE prompt_id = 1": "effects are not those that its judgements give",
    "UPDATE effects SET mean_patched = mean_patched + 0.001 WHERE dataset = '*'": "1 effects are not those",
    "UPDATE effects SET n_prompts = 9": "3 effects are not those",
}


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two data sets: three effects."""
    folder = tmp_path_factory.mktemp("altered")
    lines = (ORACLE / "prompts.jsonl").read_text("utf-8").splitlines()
    for name, part in (("a", lines[:3]), ("b", lines[3:6])):
        (folder / f"{name}.jsonl").write_text("\n".join(part), "utf-8")
    base, sft, dpo = (str(ORACLE / name) for name in ("model", "sft", "dpo"))
    options = PatchOptions(
        recipient=f"{base}+{sft}",
        donor=f"{base}+{sft}+{dpo}",
        neurons=("L0.N3,L1.N9,L2.N70",),
        prompts=PromptOptions((str(folder / "a.jsonl"), str(folder / "b.jsonl"))),
        judging=JudgingOptions(("python:tests.hostile.length:length",)),
        writing=WritingOptions(max_new_tokens=5),
        graded=False,
    )
    with Database(folder / "patched.duckdb") as db:
        patch(db, "run", options)
        assert check(db) == []
    return folder / "patched.duckdb"


@pytest.mark.parametrize("sql", CHANGES)
def test_what_was_changed_is_found(patched: Path, tmp_path: Path, sql: str) -> None:
    made = shutil.copy(patched, tmp_path / "x.duckdb")
    with duckdb.connect(str(made)) as connection:
        connection.execute(sql)
    with Database(made) as db:
        found = check(db)
    assert len(found) == 1 and CHANGES[sql] in found[0].what, found


def test_migrating_makes_views_again_and_leaves_others(snql: Snql, patched: Path, tmp_path: Path) -> None:  # noqa: F811
    made = shutil.copy(patched, tmp_path / "x.duckdb")
    with duckdb.connect(str(made)) as connection:
        for sql in list(CHANGES)[:4]:
            connection.execute(sql)
        connection.execute("CREATE VIEW mine AS SELECT 7 AS x")
    done = snql("--db", str(made), "db", "check")
    assert done.code == 1 and done.out.count("`snql db migrate` makes") == 4
    assert snql("--db", str(made), "db", "migrate").code == 0
    assert snql("--db", str(made), "db", "check").code == 0
    with Database(made) as db:
        assert db.rows("FROM mine") == [(7,)]
