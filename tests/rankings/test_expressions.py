"""Sets by layer, by value and by group, each compared with the same question put to Polars."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from snql.db import lens as stored
from snql.db import runs
from snql.db.connection import Database
from snql.db.scores import read_scores, statistics_frame, write_statistics
from snql.db.tables import insert
from snql.errors import ExpressionError
from snql.neurons.sets import NeuronSet, Shape
from snql.patching.variants import VariantPlan
from snql.rankings.evaluate import Evaluator, sized_by
from snql.rankings.shapes import shape_of

DENSE = Shape(5, 40)
EXPERTS = Shape(3, 24, 4)
MODEL = {"spec": "x", "base": "x", "base_sha256": "x", "base_files": "{}", "architecture": "x", "adapter_ids": []}
COLUMNS = ("mean_before", "mean_after", "std_before", "std_after", "mean_difference")


def add_run(db: Database, name: str, shape: Shape, seed: int, n_ranked_layers: int) -> pl.DataFrame:
    """A locate run with random statistics, a few neurons without tokens; returns what the database says of it."""
    generator = np.random.default_rng(seed)
    size = (shape.n_layers, shape.n_neurons)
    values = {column: generator.normal(size=size) for column in COLUMNS}
    scores = generator.integers(0, 30, size=size) / 30  # with ties
    tokens = generator.integers(0, 12, size=size)
    frame = statistics_frame(shape, scores, values, tokens, n_ranked_layers)
    with runs.stored_at_once(db, runs.NewRun("locate", name, {"before": "x", "after": "y"}, 0)) as (connection, run_id):
        write_statistics(connection, run_id, frame)
    return read_scores(db, name)


def add_lens(db: Database, name: str, shape: Shape, layers: range) -> pl.DataFrame:
    """A lens run of some layers of a model; returns its rows."""
    generator = np.random.default_rng(len(name))
    rows = [
        {
            **{"layer": layer, "expert": None, "neuron": neuron, "norm": generator.random(), "width": 16},
            **{"direction_layer": 1, "refusal_cosine": generator.uniform(-1, 1), "refusal_percentile": 50.0},
        }
        for layer in layers
        for neuron in range(shape.n_neurons)
    ]
    frame = pl.DataFrame(rows, schema=stored.VECTORS)
    with runs.stored_at_once(db, runs.NewRun("lens", name, {"model": "x"}, 0)) as (connection, run_id):
        model = {"model_id": name, "n_layers": shape.n_layers, "n_neurons": shape.n_neurons}
        insert(connection, "models", [MODEL | model])
        insert(connection, "run_models", [{"role": "recipient", "model_id": name}], run_id=run_id)
        insert(connection, "lens_vectors", frame, run_id=run_id)
    return frame


@dataclass(frozen=True)
class World:
    """A database with locate runs ``a``, ``moe`` and ``other`` and lens runs of the first one's model."""

    db: Database
    a: pl.DataFrame
    moe: pl.DataFrame
    early: pl.DataFrame
    late: pl.DataFrame

    def dense(self, text: str) -> NeuronSet:
        return Evaluator(self.db, DENSE).evaluate(text)

    def experts(self, text: str) -> NeuronSet:
        return Evaluator(self.db, EXPERTS).evaluate(text)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Database(tmp_path_factory.mktemp("expressions") / "test.duckdb") as db:
        add_run(db, "other", Shape(2, 40), 4, 2)
        located = add_run(db, "a", DENSE, 1, 4), add_run(db, "moe", EXPERTS, 2, 3)
        lenses = add_lens(db, "early", DENSE, range(3)), add_lens(db, "late-run", DENSE, range(2, 5))
        with db.reading():
            yield World(db, *located, *lenses)


def of_frame(shape: Shape, rows: pl.DataFrame) -> NeuronSet:
    return NeuronSet.of(shape, rows.select("layer", "expert", "neuron").iter_rows())


def best(rows: pl.DataFrame, by: list[str], ends: tuple[float, float], percent: bool) -> pl.DataFrame:
    """Of each group those whose place in it is above ``low`` and at most ``high``."""
    ranked = rows.drop_nulls("rank").with_columns(
        place=pl.col("rank").rank("ordinal").over(by, mapping_strategy="group_to_rows"), n=pl.len().over(by)
    )

    def bound(value: float) -> pl.Expr:
        share = (pl.col("n") * value / 100).round(mode="half_to_even").clip(1)
        return (share if value else pl.lit(0.0)) if percent else pl.lit(float(value))

    return ranked.filter((pl.col("place") > bound(ends[0])) & (pl.col("place") <= bound(ends[1])))


@pytest.mark.parametrize("per", ["layer", "index"])
def test_the_best_of_each_layer_and_of_each_index(world: World, per: str) -> None:
    for amount in ("1", "7", "3..9", "5%", "12.5%", "0%..30%", "20%..21%", "100%", "0"):
        check_groups(world, amount, per)


def check_groups(world: World, amount: str, per: str) -> None:
    ends = [float(end.rstrip("%")) for end in (amount if ".." in amount else f"0..{amount}").split("..")]
    for run, shape, evaluate, rows in (("a", DENSE, world.dense, world.a), ("moe", EXPERTS, world.experts, world.moe)):
        by = ["layer"] if per == "layer" else ["expert", "neuron"]
        found = best(rows, by, (ends[0], ends[1]), "%" in amount)
        largest = rows.drop_nulls("rank").group_by(by).len()["len"].max()
        assert isinstance(largest, int)
        if "%" not in amount and ends[1] > largest:
            with pytest.raises(
                ExpressionError, match=f"ranks at most {largest} neurons of one {per}, not {ends[1]:.0f}"
            ):
                evaluate(f"{run}:{amount}/{per}")
        else:
            assert evaluate(f"{run}:{amount}/{per}") == of_frame(shape, found), amount


def test_layers_and_experts(world: World) -> None:
    layer, expert = pl.col("layer"), pl.col("expert")
    for shape, evaluate, rows, questions in (
        (
            DENSE,
            world.dense,
            world.a,
            {
                "L2": layer == 2,
                "L1..L3": layer.is_between(1, 3),
                "L1 .. 3": layer.is_between(1, 3),
                "last(2 layers)": layer >= 3,
                "last(1 layer)": layer == 4,
                "last(0 layers)": pl.lit(value=False),
                "L0,L2..L3 , L4.N7": (layer == 0) | layer.is_between(2, 3) | ((layer == 4) & (pl.col("neuron") == 7)),
                "L4.N7,L0-L0": (layer == 4) & (pl.col("neuron") == 7),
                "L2 - a:30": (layer == 2) & ((pl.col("rank") > 30) | pl.col("rank").is_null()),
                "a:30 & last(3 layers)": (pl.col("rank") <= 30) & (layer >= 2),
            },
        ),
        (
            EXPERTS,
            world.experts,
            world.moe,
            {"L1.E3": (layer == 1) & (expert == 3), "L0/E0, L2": ((layer == 0) & (expert == 0)) | (layer == 2)},
        ),
    ):
        for text, condition in questions.items():
            assert evaluate(text) == of_frame(shape, rows.filter(condition)), text


def test_random_conditions(world: World) -> None:
    """Generated comparisons of columns with each other and with numbers: unknown values compare with nothing."""
    rows = world.a
    generator = np.random.default_rng(3)
    names = ("score", "rank", "n_tokens", "layer", "neuron", *COLUMNS)
    signs = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "=": "eq", "!=": "ne"}
    for _ in range(60):
        parts, condition = [], pl.lit(value=True)
        for _ in range(generator.integers(1, 4)):
            left, right = (str(name) for name in generator.choice(names, 2))
            sign = str(generator.choice(list(signs)))
            a, b = pl.col(left).cast(pl.Float64), pl.col(right).cast(pl.Float64)
            if generator.random() < 0.3:
                left, a = f"abs({left})", a.abs()
            if generator.random() < 0.6:
                number = round(float(generator.normal() * 10.0 ** generator.integers(-2, 2)), 3)
                right, b = str(number), pl.lit(number)
            if generator.random() < 0.3:
                left, right, a, b = right, left, b, a
            parts.append(f"{left} {sign} {right}")
            condition &= getattr(a, signs[sign])(b)
        text = f"a[{' and '.join(parts)}]"
        if any(
            "abs" not in part and all(side.lstrip("-")[0].isdigit() for side in part.split()[::2]) for part in parts
        ):
            continue
        assert world.dense(text) == of_frame(DENSE, rows.filter(condition)), text


def test_the_top_of_a_set(world: World) -> None:
    rows = world.a
    chosen = rows.filter((pl.col("mean_after") > 0) & (pl.col("layer") >= 1))
    text = "a[mean_after > 0] & L1..L4"
    for amount, by, ends in (("10", [], (0, 10)), ("5%..50%", [], (5, 50)), ("2/layer", ["layer"], (0, 2))):
        found = best(chosen.with_columns(whole=1), by or ["whole"], ends, "%" in amount)
        assert world.dense(f"top({amount}, {text} by a)") == of_frame(DENSE, found), amount
    n_ranked = len(chosen.drop_nulls("rank"))
    with pytest.raises(ExpressionError, match=f"'a' ranks {n_ranked} neurons, not 900 of what it is to choose from"):
        world.dense(f"top(900, {text} by a)")


def test_values_of_lens_runs(world: World) -> None:
    rows = world.a
    with pytest.raises(ExpressionError, match="no finished lens run is of a model with 3x4x6 neurons"):
        world.experts("moe[refusal_cosine > 0.2]")
    db, early, late = world.db, world.early, world.late
    latest = pl.concat([early.filter(pl.col("layer") < 2), late])
    joined = rows.join(latest, on=["layer", "neuron"], how="left")
    for text, frame, condition in (
        ("early[refusal_cosine > 0.2]", early, pl.col("refusal_cosine") > 0.2),
        (
            "late-run[abs(refusal_cosine) < 0.5 and norm >= 0.3]",
            late,
            (pl.col("refusal_cosine").abs() < 0.5) & (pl.col("norm") >= 0.3),
        ),
        ("a[refusal_cosine > 0.2 and score > 0.5]", joined, (pl.col("refusal_cosine") > 0.2) & (pl.col("score") > 0.5)),
    ):
        assert world.dense(text) == of_frame(DENSE, frame.filter(condition)), text
    assert shape_of(db, "early[norm > 0.1] & a:5") == DENSE
    assert sized_by(db, "early[norm > 0.1] & a:5") == "a", "a lens run knows no sizes of activations"


def test_sets_by_value_and_layer_have_controls(world: World) -> None:
    wanted = ["a[score > 0.9]", "top(4, L1..L3 by a)", "a:2/layer", "a:1..9 - L1.N3,L2.N4"]
    variants = VariantPlan(world.db, wanted, {"matched": 1, "magnitude": 1}).of(DENSE)
    controls = [each for each in variants if each.control_of is not None and each.members is not None]
    assert len(controls) == 8
    for control in controls:
        chosen = variants[control.control_of or 0].members
        assert chosen is not None and control.members is not None and len(chosen & control.members) == 0
        assert np.array_equal(np.bincount(chosen.layers), np.bincount(control.members.layers))


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a:5% & L5", 8, "the model has 5 layers: no L5"),
        ("L1..L9", 1, "no L9"),
        ("L1.E0", 1, "the model has no experts: no E0"),
        ("last(6 layers)", 1, "the model has 5 layers, not 6"),
        ("a:41/layer", 1, "ranks at most 3"),
        ("a[scor > 1]", 3, "locate run 'a' has no column 'scor': use layer, neuron, expert, score, rank"),
        ("a[score > 1 and mean > 0]", 17, "no column 'mean'"),
        ("L1 | b[score > 1]", 6, "no finished locate or lens run 'b' in"),
        ("top(5, a:5% by b)", 16, "no finished locate run 'b'"),
        ("other[score > 0]", 1, "run 'other' is not of a model with 5x40 neurons"),
    ],
)
def test_what_cannot_be_evaluated(world: World, text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        world.dense(text)
    assert caught.value.column == column
    assert message in str(caught.value)
