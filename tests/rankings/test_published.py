"""Score files of the published code become locate runs that hold what the files hold."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snql.contrast.read import contrast_sums
from snql.db import runs
from snql.db.check import check
from snql.db.connection import Database
from snql.db.run_list import list_runs
from snql.db.scores import read_scores, statistics_frame, write_statistics
from snql.errors import InputError
from snql.neurons.sets import Shape
from snql.rankings.evaluate import Evaluator
from snql.rankings.imported import import_scores
from snql.rankings.options import About
from snql.rankings.overlaps import compare
from snql.reporting.build import build
from snql.reporting.options import ReportOptions

from ..conftest import ORACLE
from ..test_oracle import SCORE_FILES, SHAPE, Models, assert_close, batches, completion_rows, texts

pytestmark = pytest.mark.usefixtures("lingering")

PARTS = ("change_scores", "neuron_ranks", "first_mean", "first_std", "second_mean", "second_std")


def stored(name: str) -> dict[str, np.ndarray]:
    with np.load(ORACLE / f"change_scores_{name}.npz") as file:
        return {key: file[key] for key in PARTS}


def save(folder: Path, parts: Any, name: str = "scores.pt") -> Path:
    """As the published code saves them: a tuple of tensors."""
    if isinstance(parts, dict) and parts.keys() == set(PARTS):
        parts = tuple(torch.from_numpy(parts[key]) for key in PARTS)
    torch.save(parts, folder / name)
    return folder / name


MORE = pytest.mark.slow("every third file is read always")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if n % 3 == 0 else MORE) for n, (name, *_) in enumerate(SCORE_FILES)]
)
def test_a_run_holds_what_the_file_holds(db: Database, tmp_path: Path, name: str) -> None:
    golden = stored(name)
    file = save(tmp_path, golden)
    made = import_scores(db, "theirs", file, About(before="the SFT model", after="the DPO model", n_layers=4))
    n_layers, n_neurons = golden["change_scores"].shape
    assert (made.shape, made.n_ranked) == (SHAPE, n_layers * n_neurons)
    found = {(row["layer"], row["neuron"]): row for row in read_scores(db, "theirs").iter_rows(named=True)}
    assert found.keys() == {(layer, neuron) for layer in range(4) for neuron in range(176)}
    for rank, (layer, neuron) in enumerate(golden["neuron_ranks"].tolist(), 1):
        row = found.pop((layer, neuron))
        wanted = {key: float(golden[key][layer, neuron]) for key in PARTS if key != "neuron_ranks"}
        assert row["rank"] == rank
        assert row["score"] == wanted["change_scores"]
        assert (row["mean_before"], row["std_before"]) == (wanted["second_mean"], wanted["second_std"])
        assert (row["mean_after"], row["std_after"]) == (wanted["first_mean"], wanted["first_std"])
        assert row["mean_difference"] == wanted["first_mean"] - wanted["second_mean"]
        assert row["n_tokens"] is None
    for (layer, _), row in found.items():
        assert layer >= n_layers
        assert {value for key, value in row.items() if key not in ("run", "layer", "neuron")} == {None}
    ((config, seed),) = db.rows("SELECT config, seed FROM runs")
    told = json.loads(config)
    assert (told["before"], told["after"], told["skip_last_layers"]) == ("the SFT model", "the DPO model", 4 - n_layers)
    assert (told["file"], told["file_sha256"]) == ("scores.pt", hashlib.sha256(file.read_bytes()).hexdigest())
    assert "published code" in told["imported"]
    assert seed is None
    assert check(db) == []


def test_theirs_and_ours_are_one_ranking(db: Database, tmp_path: Path, oracle_models: Models) -> None:
    scored = texts(completion_rows("sft"), "generated", True)
    ours = contrast_sums(oracle_models["sft"], oracle_models["dpo"], batches(scored)).statistics()
    columns = {key: getattr(ours, key) for key in ("mean_before", "mean_after", "std_before", "std_after")}
    columns["mean_difference"] = ours.mean_after - ours.mean_before
    with runs.stored_at_once(db, runs.NewRun("locate", "ours", {}, 0)) as (connection, run_id):
        write_statistics(connection, run_id, statistics_frame(SHAPE, ours.change_scores, columns, ours.count, 3))
    import_scores(db, "theirs", save(tmp_path, stored("completion_nolast")), About(n_layers=4))
    (pair,) = compare(db, ["ours", "theirs"], "10%").to_dicts()
    assert (pair["k"], pair["n_ranked"], pair["overlap"]) == (53, 528, 1.0)
    assert pair["spearman_all"] > 0.99999
    mine, other = (read_scores(db, run).drop_nulls("rank") for run in ("ours", "theirs"))
    for column in ("score", *columns):
        assert_close(other[column].to_numpy(), mine[column].to_numpy())


def test_everything_that_reads_runs_reads_them(db: Database, tmp_path: Path) -> None:
    golden = stored("completion_nolast")
    import_scores(db, "one", save(tmp_path, golden), About(n_layers=4, before="<b>M1</b>"))
    import_scores(db, "two", save(tmp_path, stored("prompt_nolast")), About(n_layers=4))
    members = Evaluator(db, SHAPE).evaluate("one:5%")
    wanted = {(int(layer), int(neuron)) for layer, neuron in golden["neuron_ranks"][:26]}
    assert {(layer, int(n)) for layer, neurons in members.by_layer().items() for n in neurons} == wanted
    a, b = (
        {tuple(pair) for pair in stored(f"{n}_nolast")["neuron_ranks"][:26].tolist()} for n in ("completion", "prompt")
    )
    assert compare(db, ["one", "two"])["shared"].to_list() == [len(a & b)]
    assert db.rows("SELECT overlap_at('one', 'two', 26)") == [(len(a & b) / 26,)]
    layers = dict(db.rows("SELECT layer, n_neurons FROM layer_histogram('one', 26)"))
    assert layers == {layer: sum(layer == place for place, _ in wanted) for layer in range(3)}
    assert list_runs(db)["status"].to_list() == ["done", "done"]
    page = build(
        db, tmp_path / "report", ReportOptions(figures=("scores", "overlap", "layers"), formats=("svg",))
    ).index
    assert page is not None
    text = page.read_text("utf-8")
    assert "scores of another program, prompts and tokens unknown" in text
    assert " 0 tokens" not in text
    assert "snql db import-scores scores.pt one --before" in text
    assert "<b>M1</b>" not in text


def test_the_layers_are_those_of_the_file_unless_said(db: Database, tmp_path: Path) -> None:
    file = save(tmp_path, stored("completion_nolast"))
    assert import_scores(db, "three", file).shape == Shape(3, 176)
    for layers in (2, 10**6):
        with pytest.raises(InputError, match=f"`n_layers` {layers}: .* has scores of 3 layers"):
            import_scores(db, "fewer", file, About(n_layers=layers))
    assert db.rows("SELECT name FROM runs") == [("three",)]


def test_half_precision_and_one_token_runs(db: Database, tmp_path: Path) -> None:
    """Scores are kept as they are in half precision; the deviation of one token is not a number, and becomes NULL."""
    scores = torch.tensor([[0.1, 3.0]], dtype=torch.bfloat16)
    still = torch.tensor([[float("nan")] * 2])
    ranks = torch.tensor([[0, 1], [0, 0]], dtype=torch.int32)
    import_scores(db, "x", save(tmp_path, [scores, ranks, scores, still, scores, still]))
    frame = read_scores(db, "x")
    assert frame["score"].to_list() == [float(scores[0, 0]), 3.0]
    assert frame["std_before"].to_list() == [None, None]
    assert frame["rank"].to_list() == [2, 1]
    assert check(db) == []


def test_a_taken_name_needs_force(db: Database, tmp_path: Path) -> None:
    first, second = (save(tmp_path, stored(name), f"{name}.pt") for name in ("completion_all", "prompt_all"))
    import_scores(db, "x", first)
    with pytest.raises(InputError, match="a locate run 'x' exists"):
        import_scores(db, "x", second)
    assert db.rows("SELECT config ->> '$.file' FROM runs") == [("completion_all.pt",)]
    import_scores(db, "x", second, force=True)
    assert db.rows("SELECT config ->> '$.file' FROM runs") == [("prompt_all.pt",)]
    assert db.rows("SELECT count(*) FROM neuron_statistics") == [(704,)]
    with pytest.raises(InputError, match="run name 'all' cannot be used"):
        import_scores(db, "all", first)


class Evil:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def changed(key: str, index: Any, value: Any) -> Callable[[dict[str, Any]], Any]:
    def change(parts: dict[str, Any]) -> Any:
        parts[key] = parts[key].copy()
        parts[key][index] = value
        return parts

    return change


def tensors(parts: dict[str, Any]) -> list[Any]:
    return [torch.from_numpy(parts[key]) for key in PARTS]


BAD: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "five": (lambda p: tuple(tensors(p)[:5]), "it holds 5 things, not the 6 tensors change_scores, .*, nor a vector"),
    "a number": (lambda p: (*tensors(p)[:5], 3), "second_std is no plain tensor"),
    "sparse": (lambda p: (torch.ones(2, 2).to_sparse(), *tensors(p)[1:]), "change_scores is no plain tensor"),
    "expanded": (lambda p: (torch.zeros(1).expand(10**6, 10**6), *tensors(p)[1:]), "change_scores is no plain tensor"),
    "flat": (lambda p: (torch.zeros(704), *tensors(p)[1:]), r"change_scores has shape \(704,\), not"),
    "empty": (lambda p: (torch.zeros(0, 176), *tensors(p)[1:]), r"change_scores has shape \(0, 176\)"),
    "integers": (lambda p: (torch.zeros(4, 176, dtype=torch.int64), *tensors(p)[1:]), "not floating-point numbers"),
    "complex": (lambda p: (torch.zeros(4, 176, dtype=torch.complex64), *tensors(p)[1:]), "type torch.complex64"),
    "ranks as floats": (lambda p: p | {"neuron_ranks": p["neuron_ranks"] / 1.0}, "neuron_ranks has type torch.float64"),
    "fewer ranks": (lambda p: p | {"neuron_ranks": p["neuron_ranks"][:-1]}, r"shape \(703, 2\), not \(704, 2\)"),
    "other means": (lambda p: p | {"first_mean": p["first_mean"][:3]}, r"first_mean has shape \(3, 176\)"),
    "NaN": (changed("change_scores", (0, 0), np.nan), "change_scores has values that are not finite"),
    "infinite mean": (changed("second_mean", (1, 1), np.inf), "second_mean has values that are not finite"),
    "negative score": (changed("change_scores", (0, 0), -1.0), "change_scores has negative values"),
    "negative deviation": (changed("first_std", (0, 0), -1.0), "first_std has values that are no standard deviations"),
    "a layer too many": (changed("neuron_ranks", (5, 0), 4), "names neurons that change_scores has not"),
    "a negative neuron": (changed("neuron_ranks", (5, 1), -1), "names neurons that change_scores has not"),
    "a neuron twice": (lambda p: changed("neuron_ranks", 5, p["neuron_ranks"][4])(p), "not name every neuron once"),
    "another order": (lambda p: p | {"neuron_ranks": p["neuron_ranks"][::-1].copy()}, "not in the order of change_"),
}


@pytest.mark.parametrize("how", BAD)
def test_anything_else_is_refused_and_nothing_written(db: Database, tmp_path: Path, how: str) -> None:
    change, message = BAD[how]
    file = save(tmp_path, change(stored("completion_all")))
    with pytest.raises(InputError, match=f"scores.pt is no score file of the published code: .*{message}") as raised:
        import_scores(db, "x", file)
    assert "\n" not in str(raised.value)
    assert not db.path.exists()


def test_nothing_in_a_file_is_run(db: Database, tmp_path: Path) -> None:
    file = save(tmp_path, (*tensors(stored("completion_all"))[:5], Evil(tmp_path / "was-run")))
    with pytest.raises(InputError, match="is not a sound file of tensors alone"):
        import_scores(db, "x", file)
    assert not (tmp_path / "was-run").exists()


def test_damaged_and_missing_files(db: Database, tmp_path: Path) -> None:
    whole = save(tmp_path, stored("completion_all")).read_bytes()
    for data in (b"", b"text", whole[:100], whole[: len(whole) // 2], whole[:64] + bytes(64) + whole[128:]):
        (tmp_path / "bad.pt").write_bytes(data)
        with pytest.raises(InputError, match=r"bad\.pt is not a sound file of tensors alone"):
            import_scores(db, "x", tmp_path / "bad.pt")
    for missing in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(InputError, match="no score file .*: check the path"):
            import_scores(db, "x", missing)
