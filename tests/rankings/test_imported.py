"""Scores and sets of other programs become runs, and sets become files that come back as they were."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import save_file

from snql.db.check import check
from snql.db.connection import Database
from snql.db.run_list import list_runs
from snql.db.scores import read_scores
from snql.errors import InputError
from snql.neurons.sets import NeuronSet, Shape
from snql.patching.variants import VariantPlan
from snql.rankings.evaluate import Evaluator, sized_by
from snql.rankings.exported import ENDINGS, export_set
from snql.rankings.imported import import_scores
from snql.rankings.options import About
from snql.rankings.overlaps import compare
from snql.reporting.build import build
from snql.reporting.options import ReportOptions
from snql.reporting.showing import show_run

from ..synthetic import add_locate_run

pytestmark = pytest.mark.usefixtures("lingering")

GENERATOR = np.random.default_rng(5)
SCORES = GENERATOR.normal(size=(3, 8)).round(1)  # with ties
SCORES[1, 3] = SCORES[0, 2]
EXPERTS = GENERATOR.normal(size=(2, 4, 5)).astype(np.float32)
HELD = np.where(GENERATOR.random((3, 8)) < 0.3, np.nan, SCORES)


def table(scores: np.ndarray) -> pl.DataFrame:
    places = {name: index.ravel() for name, index in zip(("layer", "neuron"), np.indices(scores.shape), strict=True)}
    return pl.DataFrame(places | {"score": scores.ravel(), "other": -scores.ravel()}).with_columns(name=pl.lit("x"))


WAYS: dict[str, Callable[[Path], object]] = {
    "tensor.pt": lambda path: torch.save(torch.from_numpy(SCORES), path),
    "dict.pt": lambda path: torch.save({"scores": torch.from_numpy(SCORES), "weight": torch.zeros(9, 9)}, path),
    "array.npy": lambda path: np.save(path, SCORES),
    "arrays.npz": lambda path: np.savez(path, scores=SCORES, other=-SCORES),
    "tensors.safetensors": lambda path: save_file({"scores": SCORES, "x": np.zeros(4)}, path),
    "table.csv": lambda path: table(SCORES).write_csv(path),
    "table.tsv": lambda path: (
        table(SCORES).sample(fraction=1, shuffle=True, seed=1).sort("layer").write_csv(path, separator="\t")
    ),
    "table.parquet": lambda path: table(SCORES).rename({"layer": "Layer"}).write_parquet(path),
    "rows.json": lambda path: path.write_text(json.dumps(table(SCORES).to_dicts())),
    "layers.pt": lambda path: torch.save([torch.from_numpy(row) for row in SCORES], path),
    "numbered.pt": lambda path: torch.save({layer: torch.from_numpy(SCORES[layer]) for layer in (2, 0, 1)}, path),
    "rows.npz": lambda path: np.savez(path, *SCORES),
    "named.safetensors": lambda path: save_file({f"model.layers.{n}.mlp.act": SCORES[n] for n in (1, 2, 0)}, path),
    "triples.json": lambda path: path.write_text(
        json.dumps([[a, b, SCORES[a, b]] for a in range(3) for b in range(8)])
    ),
    "floats.json": lambda path: path.write_text(
        json.dumps(table(SCORES).select("layer", "neuron", "score").to_numpy().tolist())
    ),
    "layers.json": lambda path: path.write_text(json.dumps({f"layer_{a}": SCORES[a].tolist() for a in range(3)})),
    "matrix.json": lambda path: path.write_text(json.dumps(SCORES.tolist())),
    "list.txt": lambda path: path.write_text(
        "# neuron and score\n" + "".join(f"{a}.{b}\t{SCORES[a, b]}\n" for a in range(3) for b in range(8))
    ),
}


def test_every_kind_of_file_becomes_the_same_run(db: Database, tmp_path: Path) -> None:
    for name, write in WAYS.items():
        file = tmp_path / name
        write(file)
        made = import_scores(db, name, file)
        assert (made.shape, made.n_ranked) == (Shape(3, 8), 24), name
        rows = read_scores(db, name).sort("layer", "neuron")
        assert rows["score"].to_list() == SCORES.ravel().tolist(), name
        best = rows.sort("rank")["score"].to_list()
        assert best == sorted(SCORES.ravel().tolist(), reverse=True), name
        assert rows.select("mean_before", "n_tokens", "std_after").null_count().row(0) == (24, 24, 24)
    pairs = compare(db, list(WAYS), "25%")
    assert min(pairs["spearman_all"].to_list()) > 0.999  # ties may be in another order in the file
    assert check(db) == []
    scorers = db.rows("SELECT DISTINCT scorer, before, n_tokens FROM locate_runs")
    assert scorers == [("imported", None, None)]


def test_arrays_of_experts_and_holes(db: Database, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", EXPERTS)
    assert import_scores(db, "experts", tmp_path / "x.npz").shape == Shape(2, 20, 4)
    rows = read_scores(db, "experts")
    assert rows["score"].to_list() == EXPERTS.ravel().tolist()
    np.save(tmp_path / "held.npy", HELD)
    made = import_scores(db, "held", tmp_path / "held.npy", About(n_layers=5))
    assert (made.shape, made.n_ranked) == (Shape(5, 8), int((~np.isnan(HELD)).sum()))
    rows = read_scores(db, "held").drop_nulls("score")
    places = [(layer, neuron) for layer, neuron in np.argwhere(~np.isnan(HELD)).tolist()]
    assert rows.select("layer", "neuron").rows() == places and rows["rank"].null_count() == 0


def test_what_is_meant_can_be_said(db: Database, tmp_path: Path) -> None:
    table(SCORES).drop("score").with_columns(more=pl.lit(1.0)).write_csv(tmp_path / "x.csv")
    with pytest.raises(InputError, match="which column of numbers\\? There are other, more; name one with `column`"):
        import_scores(db, "x", tmp_path / "x.csv")
    import_scores(db, "x", tmp_path / "x.csv", About(column="other"))
    assert read_scores(db, "x")["score"].to_list() == (-SCORES).ravel().tolist()
    ((command, imported),) = db.rows("SELECT config ->> '$.command', config ->> '$.imported' FROM runs")
    assert json.loads(command) == ["snql", "db", "import-scores", "x.csv", "x", "--column", "other"]
    assert imported == "other of another program"


def test_imported_runs_are_marked_wherever_runs_are_listed(db: Database, tmp_path: Path) -> None:
    add_locate_run(db, "ours", SCORES)
    np.save(tmp_path / "x.npy", SCORES)
    import_scores(db, "theirs", tmp_path / "x.npy")
    assert dict(list_runs(db).select("name", "imported").rows()) == {"ours": None, "theirs": "x.npy"}
    shown = show_run(db, "theirs")
    assert (
        shown.found[0]
        == "24 neurons ranked, imported from x.npy (array of another program): prompts and tokens unknown."
    )
    assert shown.settings == (("file", "x.npy"), ("read", "array of another program"))
    made = build(db, tmp_path / "report", ReportOptions(figures=("layers",), formats=("svg",)))
    (layers,) = made.figures
    assert "theirs: unknown before and unknown after, imported from x.npy: scores of another program" in layers.caption
    (listed,) = (part for part in made.tables if part.name == "runs")
    assert "Imported: theirs (x.npy); nothing shows which models they are of." in listed.caption
    assert listed.frame.select("run", "imported from", "prompts").rows() == [
        ("ours", None, 0),
        ("theirs", "x.npy", None),
    ]
    (highest,) = (part for part in made.tables if part.name == "top-neurons")
    assert highest.caption.startswith("Score is the change score, or what was imported; ")
    assert "| theirs (imported) | unknown | unknown |  |" in (tmp_path / "report" / "table-runs.md").read_text("utf-8")


def test_sets_of_imported_runs_have_controls_as_large_by_the_sizes_of_another(db: Database, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", SCORES)
    import_scores(db, "theirs", tmp_path / "x.npy")
    add_locate_run(db, "ours", -SCORES, sizes=np.abs(GENERATOR.normal(size=SCORES.shape)))
    remedy = "sizes of its neurons are not known: name a run of `snql locate` .* as in 'theirs:5% | RUN:0'"
    with pytest.raises(InputError, match=remedy):
        VariantPlan(db, ["theirs:5"], {"magnitude": 1}).check()
    assert [sized_by(db, text) for text in ("theirs:5", "theirs:5 | ours:0")] == ["theirs", "ours"]
    *_, chosen, control = VariantPlan(db, ["theirs:5 | ours:0"], {"magnitude": 1}).of(Shape(3, 8))
    evaluate = Evaluator(db, Shape(3, 8)).evaluate
    assert chosen.members == evaluate("theirs:5")
    assert control.members == evaluate("random(theirs:5, seed=1, match=magnitude:ours)")


def test_what_is_assumed_of_a_model_is_said(db: Database, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("layer,neuron,score\n0,0,3\n0,1,5\n")
    made = import_scores(db, "few", tmp_path / "few.csv")
    assert made.notes == show_run(db, "few").notes
    assert made.notes == (
        "few.csv does not say how many layers and neurons the model has: taken to be of 1x2 (layers x neurons), all "
        "that it names",
    )
    np.save(tmp_path / "x.npy", SCORES[:1, :2])
    for file, about in (
        ("x.npy", About()),
        ("few.csv", About(n_layers=1, n_neurons=2)),
        ("few.csv", About(like="few")),
    ):
        assert import_scores(db, "said", tmp_path / file, about, force=True).notes == ()


LISTS = {
    "a.txt": "2.5\nL0.N1\n1:7\n",
    "b.txt": "2.5, 0.1,1.7",
    "a.json": "[[2, 5], [0, 1], [1, 7]]",
    "b.json": '["L2.N5", "0.1", "1.7"]',
    "c.json": '{"2": [5], "0": [1], "1": [7]}',
    "named.json": '{"layer_2": [5], "layer_0": [1], "layer_1": [7]}',
    "scored.json": "[[2, 5, 2.5], [0, 1, 2], [1, 7, -1e3], [1, 1, null]]",
    "d.json": '[{"layer": 2, "neuron": 5}, {"layer": 0, "neuron": 1}, {"layer": 1, "neuron": 7}]',
    "e.csv": "layer,neuron,why\n2,5,a\n0,1,b\n1,7,c\n",
}


def test_lists_of_neurons(db: Database, tmp_path: Path) -> None:
    add_locate_run(db, "ours", SCORES)
    for name, text in LISTS.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match="of which model is .*It names 3 neurons, not all of 3x8 "):
            import_scores(db, name, tmp_path / name)
        for about in (About(like="ours"), About(n_layers=3, n_neurons=8)):
            made = import_scores(db, name, tmp_path / name, about, force=True)
            assert (made.shape, made.n_ranked) == (Shape(3, 8), 3)
        ranked = read_scores(db, name).drop_nulls("rank").sort("rank").select("layer", "neuron").rows()
        assert ranked == [(2, 5), (0, 1), (1, 7)], name
        assert Evaluator(db, Shape(3, 8)).evaluate(f"{name}:100% - ours:0") == NeuronSet.of(Shape(3, 8), ranked)
    assert check(db) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_set_comes_back_as_it_was(db: Database, tmp_path: Path, ending: str) -> None:
    add_locate_run(db, "ours", SCORES)
    np.save(tmp_path / "e.npy", EXPERTS)
    import_scores(db, "moe", tmp_path / "e.npy")
    for place, (expression, like, scored) in enumerate(
        (
            ("ours:40%", "ours", True),
            ("L1 & ours[score > 0]", "ours", True),
            ("moe:3/layer", "moe", True),
            ("random(moe:3, seed=1)", "moe", True),
            ("L2.N1,L0.N7", None, False),
        )
    ):
        file = tmp_path / f"set{place}{ending}"
        members = (
            export_set(db, expression, file, like=like if scored else "plain" if like else None) if scored else None
        )
        if members is None:
            with pytest.raises(InputError, match="of which model is"):
                export_set(db, expression, file)
            members = export_set(db, expression, file, like="ours")
        import_scores(db, "back", file, About(like=like or "ours"), force=True)
        assert Evaluator(db, members.shape).evaluate("back:100%") == members, expression
        run = read_scores(db, like or "ours").drop("run")
        back = read_scores(db, "back").drop_nulls("rank").sort("rank")
        own = back.join(run, on=["layer", "expert", "neuron"], nulls_equal=True, suffix="_own", maintain_order="left")
        assert own["score"].to_list() == own["score_own"].to_list()
        assert own["rank_own"].is_sorted()
    with pytest.raises(InputError, match="no ending that sets are written with: use .json, .csv"):
        export_set(db, "ours:5", tmp_path / "set.xlsx")
    with pytest.raises(InputError, match="names no neuron"):
        export_set(db, "ours:0", tmp_path / f"none{ending}")
    assert not (tmp_path / f"none{ending}").exists()


class Evil:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def bad_files(folder: Path) -> dict[str, tuple[Callable[[Path], object], str]]:
    evil = Evil(folder / "was-run")
    return {
        "evil.pt": (lambda p: torch.save([evil], p), "not a sound file of tensors alone"),
        "evil.npy": (lambda p: np.save(p, np.array([evil], dtype=object), allow_pickle=True), "damaged, or holds more"),
        "evil.npz": (lambda p: np.savez(p, scores=np.array([evil], dtype=object)), "damaged, or holds more"),
        "pickled.npy": (lambda p: p.write_bytes(pickle.dumps(evil)), "damaged, or holds more"),
        "text.safetensors": (lambda p: p.write_text("x" * 99), "no sound safetensors file"),
        "flat.pt": (lambda p: torch.save(torch.zeros(3), p), "which array of .layers, neurons."),
        "wide.pt": (lambda p: torch.save(torch.zeros(1).expand(10**6, 10**6), p), "which array of"),
        "two.npz": (lambda p: np.savez(p, a=SCORES, b=SCORES), "There are a, b; name one with `column`"),
        "complex.npy": (lambda p: np.save(p, SCORES * 1j), "type complex128, which no scores have"),
        "infinite.npy": (lambda p: np.save(p, SCORES / 0.0), "has infinite scores"),
        "places.csv": (lambda p: p.write_text("layer,score\n1,2\n"), "layer and neuron are needed"),
        "halves.csv": (lambda p: p.write_text("layer,neuron,x\n1,2.5,1\n"), "column neuron has type Float64"),
        "words.csv": (
            lambda p: p.write_text("layer,neuron,score\n1,2,3\n1,3,x\n"),
            "score has 'x', which is no number",
        ),
        "some.csv": (lambda p: p.write_text("layer,neuron,change\n1,2,3\n1,3,-\n"), "change has '-', which is no"),
        "letters.csv": (lambda p: p.write_text("layer,neuron,score\n1,2,a\n1,3,b\n"), "score has 'a'"),
        "blank.csv": (lambda p: p.write_text("layer,neuron,score\n1,2,NA\n1,3,\n"), "score has no number"),
        "nans.npy": (lambda p: np.save(p, SCORES * np.nan), "names no neuron: all of it is NaN"),
        "nothing.npy": (lambda p: np.save(p, np.zeros((3, 8), dtype=bool)), "names no neuron: all of it is false"),
        "twice.txt": (lambda p: p.write_text("1.2\n1.2\n"), "a neuron is in it twice: layer 1, neuron 2"),
        "words.txt": (lambda p: p.write_text("1.2\nfoo\n"), "'foo' is no neuron"),
        "mixed.txt": (lambda p: p.write_text("1.2\n1.3 0.5\n"), "each line must have one neuron"),
        "empty.txt": (lambda p: p.write_text(""), "it names no neuron"),
        "bytes.txt": (lambda p: p.write_bytes(b"\xff\xfe\x00"), "it is no text"),
        "minus.json": (lambda p: p.write_text('[{"layer": -1, "neuron": 2}]'), "neuron -1, which no model has"),
        "huge.json": (lambda p: p.write_text('["99999999999999999999.1"]'), "which no model has"),
        "ragged.pt": (lambda p: torch.save([torch.zeros(8), torch.zeros(7)], p), "not of one length, but of 7 to 8"),
        "whole.pt": (lambda p: torch.save({0: torch.arange(3), 1: torch.arange(3)}, p), "could be scores or neurons"),
        "names.npz": (lambda p: np.savez(p, a=SCORES[0], b=SCORES[1]), "'a' is no name with one number"),
        "parts.npz": (lambda p: np.savez(p, mlp0=SCORES[0], attn1=SCORES[1]), "differ in more than the number of a"),
        "sublayers.npz": (lambda p: np.savez(p, layer0_mlp2=SCORES[0]), "'layer0_mlp2' is no name with one number"),
        "same.npz": (lambda p: np.savez(p, layer0=SCORES[0], layer00=SCORES[1]), "two names are of one layer"),
        "lost.pt": (
            lambda p: torch.save({0: torch.rand(8), 1: "x", "by": "me"}, p),
            "'1' is named as a layer is, and is",
        ),
        "empty.pt": (lambda p: torch.save([torch.rand(8), torch.rand(0)], p), "not of one length, but of 0 to 8"),
        "gap.pt": (lambda p: torch.save({1: torch.rand(8), 2: torch.rand(8)}, p), "16 neurons, not all of 3x8"),
        "evil-list.pt": (lambda p: torch.save([torch.zeros(3), evil], p), "not a sound file of tensors alone"),
        "unquoted.json": (lambda p: p.write_text("[12.340, 12.5]"), r'12.34 is no neuron: write "12.345" with quotes'),
        "half.json": (lambda p: p.write_text("[[1, 2.5, 3]]"), "2.5 is no layer, expert or neuron"),
        "pairs.json": (lambda p: p.write_text("[[1, 2], [1, 3, 0.5]]"), "its lists are not alike"),
        "strings.json": (lambda p: p.write_text('[[1, "x"]]'), "'x' in one of its lists is no number"),
        "scores-beyond.json": (lambda p: p.write_text(f"[[1, 2, {'9' * 400}, 0.5]]"), "is no layer, expert"),
        "none.json": (lambda p: p.write_text('{"1": []}'), "it names no neuron"),
        "cut.json": (lambda p: p.write_text("[[1, 2], "), "it is no JSON"),
        "stated.json": (lambda p: p.write_text('{"n_layers": 0, "n_neurons": 4, "neurons": ["0.1"]}'), "no model has"),
        "scores.xlsx": (lambda p: p.write_text("x"), "no ending that is known"),
    }


def test_what_cannot_be_read_is_one_line_and_nothing_is_run(db: Database, tmp_path: Path) -> None:
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, (write, message) in bad_files(tmp_path).items():
            write(tmp_path / name)
            with pytest.raises(InputError, match=message) as raised:
                import_scores(db, "x", tmp_path / name)
            assert "\n" not in str(raised.value), name
    assert not (tmp_path / "was-run").exists()
    assert not db.path.exists()


@pytest.mark.parametrize("missing", ["NA", "nan", "NaN", "null", ""])
def test_a_cell_without_a_number_is_no_score_and_the_others_stay(db: Database, tmp_path: Path, missing: str) -> None:
    (tmp_path / "x.csv").write_text(f"layer,neuron,score\n0,1,3\n0,2,{missing}\n2,1,7\n1,1,\n")
    import_scores(db, "x", tmp_path / "x.csv", About(n_layers=3, n_neurons=8))
    found = read_scores(db, "x").drop_nulls("rank").sort("rank").select("layer", "neuron", "score").rows()
    assert found == [(2, 1, 7.0), (0, 1, 3.0)]


def test_rankings_that_skip_as_many_layers_are_compared(db: Database, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", SCORES)
    for skipped in (0, 1):
        import_scores(db, f"skip{skipped}", tmp_path / "x.npy", About(skip_last_layers=skipped))
    assert read_scores(db, "skip1").drop_nulls("rank")["layer"].max() == 1
    assert read_scores(db, "skip1")["score"].null_count() == 0
    import_scores(db, "again", tmp_path / "x.npy", About(skip_last_layers=1))
    assert compare(db, ["skip1", "again"], "5")["overlap"].to_list() == [1]
    with pytest.raises(InputError, match=r"rank different neurons .* `snql neurons 'skip0:5% & skip1:100%'`"):
        compare(db, ["skip0", "skip1"])
    with pytest.raises(InputError, match="no neuron before the last 3 layers: lower `skip_last_layers`"):
        import_scores(db, "none", tmp_path / "x.npy", About(skip_last_layers=3))
    with pytest.raises(InputError, match="`skip_last_layers` must be at least 0"):
        About(skip_last_layers=-1)
    with pytest.raises(InputError, match="`n_layers` 0: a model has at least 1"):
        About(n_layers=0)


def test_what_does_not_fit_the_model(db: Database, tmp_path: Path) -> None:
    add_locate_run(db, "ours", SCORES)
    (tmp_path / "x.txt").write_text("3.1\n")
    with pytest.raises(InputError, match="names neurons that the model with 3x8 .layers x neurons. has not"):
        import_scores(db, "x", tmp_path / "x.txt", About(like="ours"))
    (tmp_path / "y.txt").write_text("1.0.1\n")
    with pytest.raises(InputError, match="names neurons that the model with 3x8"):
        import_scores(db, "x", tmp_path / "y.txt", About(like="ours"))
    np.save(tmp_path / "z.npy", SCORES[:, :5])
    with pytest.raises(InputError, match="z.npy has 3x5 neurons, the model 3x8"):
        import_scores(db, "x", tmp_path / "z.npy", About(like="ours"))
    assert db.rows("SELECT name FROM runs") == [("ours",)]
