"""``snql.open`` in Python: what its frames hold, that they are lazy where large, typed, and inert as HTML."""

import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any, assert_type

import duckdb
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import snql
from snql.db.connection import Database
from snql.errors import ExpressionError, InputError
from snql.neurons.sets import NeuronSet

from .filled import fill_database
from .synthetic import add_locate_run

pytestmark = pytest.mark.usefixtures("lingering")

N_LAYERS, N_NEURONS, N_TOKENS = 3, 20, 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two rankings and a run that kept four neurons, in rows and in a shard."""
    db = Database(tmp_path_factory.mktemp("analysis") / "made.duckdb")
    random = np.random.default_rng(0)
    for name in ("one", "two"):
        add_locate_run(db, name, random.gamma(2.0, size=(N_LAYERS, N_NEURONS)))
    with db.write() as connection:
        for index in range(N_TOKENS):
            token = [1, index, index // 4, index % 4, index, f"tok{index % 3}"]
            connection.execute("INSERT INTO scored_tokens VALUES (?, ?, ?, ?, ?, ?)", token)
        for layer, neuron in ((0, 3), (1, 7), (1, 8), (2, 3)):
            for index in range(N_TOKENS):
                row = [1, layer, neuron, index, *random.normal(size=2)]
                connection.execute("INSERT INTO activation_rows VALUES (?, ?, NULL, ?, ?, ?, ?)", row)
    return db.path


@pytest.fixture
def path(made: Path, db: Database) -> Path:
    """A copy of it, which tests may write to."""
    shutil.copy(made, db.path)
    return db.path


def stored(path: Path) -> pl.DataFrame:
    """The activations of run one, joined by Polars from the tables."""
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.sql("SELECT * FROM activation_rows WHERE run_id = 1").pl()
        tokens = connection.sql("SELECT * FROM scored_tokens WHERE run_id = 1").pl()
    columns = ["prompt_id", "position", "token", "layer", "expert", "neuron", "before", "after", "token_id"]
    joined: pl.DataFrame = rows.join(tokens, on="token_index").select(columns).sort(pl.all())
    return joined


def test_frames_are_those_of_the_verbs(path: Path) -> None:
    with snql.open(path) as db:
        assert db.runs["name"].to_list() == ["one", "two"]
        scores = db.scores("one")
        assert scores.height == N_LAYERS * N_NEURONS
        ranked = scores.filter(pl.col("rank").is_not_null())
        assert scores.head(ranked.height).equals(ranked) and ranked["rank"].is_sorted()
        best = scores.sort("score", descending=True).head(6)
        members = db.neurons("one:10%")
        found = {(layer, int(n)) for layer, neurons in members.by_layer().items() for n in neurons}
        assert found == set(best.select("layer", "neuron").rows())
        others = set(db.scores("two").sort("score", descending=True).head(6).select("layer", "neuron").rows())
        assert db.overlap("one", "two", top="10%")["overlap"].to_list() == [len(found & others) / 6]
        assert len(db.neurons("L1.N2,L0.N3", like="one")) == 2
        assert db.sql("SELECT count(*) FROM neuron_scores").fetchall() == [(120,)]


def test_what_there_is_not_is_one_line(path: Path) -> None:
    db = snql.open(path)
    for ask, message in (
        (lambda: db.scores("three"), "no finished locate run 'three'"),
        (lambda: db.activations("three"), "no finished locate run 'three'"),
        (lambda: db.completions("three"), "no run 'three' in"),
        (lambda: db.completions("one", kind="patch"), "no patch run 'one' in"),
        (lambda: db.effects("one"), "no patch run 'one' in"),
        (lambda: db.neurons("L1.N2"), "of which model is 'L1.N2'"),
        (lambda: db.overlap("one"), "at least two different runs"),
    ):
        with pytest.raises(InputError, match=message):
            ask()
    with pytest.raises(ExpressionError, match="column 1"):
        db.activations("one", "|")


FILTERS = {
    "all": None,
    "one neuron": (pl.col("layer") == 1) & (pl.col("neuron") == 7),
    "either": (pl.col("layer") == 0) | (pl.col("after") > 0.5),
    "a text": pl.col("token") == "tok1",
    "what DuckDB is not given": pl.col("token").str.ends_with("2") & (pl.col("before").abs() > 0.3),
    "nothing": pl.col("layer") == 99,
    "unknown experts": pl.col("expert").is_null(),
}


@pytest.mark.parametrize(
    ("engine", "which"),
    [
        *(("in-memory", which) for which in FILTERS),
        *(
            pytest.param("streaming", which, marks=pytest.mark.slow("two of the filters are tried always") if n else [])
            for n, which in enumerate(reversed(FILTERS))
        ),
    ],
)
def test_activations_are_the_tables_rows(path: Path, which: str, engine: Any) -> None:
    condition = FILTERS[which]
    lazy, wanted = snql.open(path).activations("one"), stored(path)
    if condition is not None:
        lazy, wanted = lazy.filter(condition), wanted.filter(condition)
    assert_frame_equal(lazy.collect(engine=engine).sort(pl.all()), wanted)
    chosen = ["neuron", "after"]
    assert_frame_equal(lazy.select(chosen).collect(engine=engine).sort(chosen), wanted.select(chosen).sort(chosen))
    assert lazy.select(pl.len()).collect(engine=engine).item() == wanted.height
    assert lazy.head(3).collect(engine=engine).height == min(3, wanted.height)
    top = lazy.top_k(2, by="after").collect(engine=engine)
    assert_frame_equal(top.sort("after"), wanted.top_k(2, by="after").sort("after"))


def test_activations_of_some_neurons(path: Path) -> None:
    db, wanted = snql.open(path), stored(path)
    for expression, condition in (
        ("L1.N7", (pl.col("layer") == 1) & (pl.col("neuron") == 7)),
        ("L0.N3 | L2.N3", pl.col("neuron") == 3),
        ("all - L1.N7,L1.N8", pl.col("layer") != 1),
        ("L0.N0", pl.lit(value=False)),
    ):
        assert_frame_equal(db.activations("one", expression).collect().sort(pl.all()), wanted.filter(condition))
    both = db.activations("one", "L0.N3").join(db.activations("one", "L2.N3"), on=["prompt_id", "position"])
    assert both.collect().height == N_TOKENS


def test_activations_of_shards(tmp_path: Path) -> None:
    db = snql.open(tmp_path / "x.duckdb")
    fill_database(db)
    lazy = db.activations("located")
    assert sorted(lazy.collect()["after"].to_list()) == [-2.0, 0.0, 1.5, 8.0]
    assert lazy.filter(pl.col("layer") == 1).select("after").collect()["after"].to_list() == [-2.0, 8.0]
    assert db.activations("located", "L0.N2").collect()["before"].to_list() == [0.5, -1.0]


def test_little_is_read_of_much(tmp_path: Path) -> None:
    """A neuron's rows, and the first rows, are found without making a frame of the four million others."""
    script = (
        "import resource, sys, polars as pl, snql\n"
        "db = snql.open(sys.argv[1])\n"
        "lazy = db.activations('big')\n"
        "lazy.head(1).collect()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "assert lazy.filter(pl.col('layer') == 1, pl.col('neuron') == 7).collect().height == 1000\n"
        "assert lazy.head(5).collect().height == 5\n"
        "assert lazy.select(pl.col('after').sum()).collect(engine='streaming').item() == 4_000_000\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    db = Database(tmp_path / "big.duckdb")
    add_locate_run(db, "big", np.ones((4, 1000)))
    with db.write() as connection:
        connection.execute("INSERT INTO scored_tokens SELECT 1, i, 0, i, 0, 'tok' FROM range(1000) AS t(i)")
        connection.execute(
            "INSERT INTO activation_rows SELECT 1, i // 1000000, NULL, i // 1000 % 1000, i % 1000, 0, 1 "
            "FROM range(4000000) AS t(i)"
        )
    done = subprocess.run([sys.executable, "-c", script, str(db.path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    whole = 4_000_000 * 40 / 2**20  # a frame of all rows, without its tokens
    assert float(done.stdout) < whole


def test_a_job_can_write_between_reads(path: Path) -> None:
    """Also while a lazy frame waits to be collected; it then reads what is there."""
    db = snql.open(path)
    lazy = db.activations("one")
    lazy.head(1).collect()
    with db.write() as connection:
        connection.execute("DELETE FROM activation_rows WHERE layer = 2")
    other = [sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1]).close()", str(path)]
    assert subprocess.run(other, capture_output=True).returncode == 0
    assert lazy.collect().height == 3 * N_TOKENS


def test_a_relative_path_stays_the_same_file(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(path.parent)
    lazy = snql.open(path.name).activations("one")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert lazy.collect().height == 4 * N_TOKENS


def test_html_is_inert(db: Database) -> None:
    """Names come from whoever made the database."""
    hostile = "<script>alert('&')</script>\x1b[31m\u202e"
    add_locate_run(db, "x", np.ones((1, 2)))
    with db.write() as connection:
        connection.execute("UPDATE runs SET name = ?, device = ?", [hostile, hostile])
    page = snql.open(db.path)._repr_html_()
    assert "&lt;script&gt;alert(&#39;&amp;&#39;)" in page
    assert not any(text in page for text in ("<script", "\x1b", "\u202e"))
    assert "1 runs" in page
    assert "no database yet" in snql.open(db.path.with_name("<b>"))._repr_html_()
    assert "<b>" not in snql.open(db.path.with_name("<b>"))._repr_html_()


def test_results_show_small_tables() -> None:
    from snql.contrast.locate import LocateResult
    from snql.neurons.sets import Shape
    from snql.patching.patch import PatchResult

    top = pl.DataFrame({"rank": range(1, 31), "score": [0.123456] * 30, "note": [None] * 30})
    page = LocateResult("<i>", 1, Shape(2, 50), 3, 40, 100, 0, top, [])._repr_html_()
    assert "<b>locate run &lt;i&gt;: 3 prompts, 40 tokens, 100 of 100 ranked</b>" in page
    assert page.count("<tr>") == 21
    assert "and 10 more rows" in page
    assert "0.1235" in page
    effects = pl.DataFrame({"neurons": ["a:5%"], "effect": [0.5], "ci_low": [None], "other": ["x"]})
    page = PatchResult("p", 2, effects, [])._repr_html_()
    assert page.count("<th ") == 3
    assert "other" not in page


def test_types_are_seen(path: Path) -> None:
    """mypy `strict` reads this: an unused ignore, or a type that is another, is an error there."""
    assert files("snql").joinpath("py.typed").is_file()
    with snql.open(path) as db:
        assert_type(db, snql.Analysis)
        assert_type(db.runs, pl.DataFrame)
        assert_type(db.scores("one"), pl.DataFrame)
        assert_type(db.activations("one"), pl.LazyFrame)
        assert_type(db.neurons("one:5%"), NeuronSet)
        if db.path != path:
            db.scores(3)  # type: ignore[arg-type]
