"""Contentless adapters: the same numbers in other places, located like the real one, and what overlaps say of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy import stats

from snql.contrast.locate import locate
from snql.contrast.null import null
from snql.contrast.options import LocateOptions, NullOptions
from snql.db.connection import Database
from snql.db.scores import read_run_scores
from snql.errors import InputError, ModelError, SnqlError
from snql.models import files
from snql.models.adapter_config import read_config
from snql.models.adapters import Adapter
from snql.models.permuted import write_permuted
from snql.models.spec import PartSpec
from snql.options import changed
from snql.prompts.options import PromptOptions
from snql.rankings.overlaps import beside, compare, ranked_scores
from snql.scorers.rerank import rerank
from snql.stats.overlap import Pair
from tests.conftest import ORACLE
from tests.synthetic import add_locate_run

pytestmark = pytest.mark.usefixtures("lingering")

BASE, SFT = ORACLE / "model", ORACLE / "sft"
WEIGHTS = "adapter_model.safetensors"
SHAPE = (4, 176)


def options(before: object, after: object, **changes: object) -> LocateOptions:
    source = PromptOptions((str(ORACLE / "prompts.jsonl"),), limit=4)
    return changed(LocateOptions(before=str(before), after=str(after), prompts=source), max_new_tokens=6, **changes)


def adapter_in(folder: Path) -> Adapter:
    return Adapter(files.adapter_files(PartSpec(str(folder))), read_config(folder), "one")


def lora(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["down_proj", "up_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / WEIGHTS)
    return folder


def test_scales_change_places_within_their_module(tmp_path: Path) -> None:
    for seed in (1, 1, 2):
        write_permuted(adapter_in(SFT), tmp_path / f"seed{seed}", seed)
    real, one, two = (load_file(folder / WEIGHTS) for folder in (SFT, tmp_path / "seed1", tmp_path / "seed2"))
    assert real.keys() == one.keys()
    for key, values in real.items():
        assert one[key].shape == values.shape and not torch.equal(one[key], values)
        assert torch.equal(one[key].flatten().sort().values, values.flatten().sort().values)
        assert not torch.equal(one[key], two[key])
    assert (tmp_path / "seed1" / "adapter_config.json").read_bytes() == (SFT / "adapter_config.json").read_bytes()


def test_rows_of_an_update_change_places_and_columns_where_these_are_neurons(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    names = ["base_model.model.model.layers.0.mlp.down_proj", "base_model.model.model.layers.0.mlp.up_proj"]
    sizes = {names[0]: (6, 10), names[1]: (10, 6)}
    tensors = {}
    for name, (n_out, n_in) in sizes.items():
        tensors[f"{name}.lora_A.weight"] = torch.randn(2, n_in, generator=generator)
        tensors[f"{name}.lora_B.weight"] = torch.randn(n_out, 2, generator=generator)
    write_permuted(adapter_in(lora(tmp_path / "real", tensors)), tmp_path / "null", 3)
    found = load_file(tmp_path / "null" / WEIGHTS)
    for name, turned in ((names[0], True), (names[1], False)):
        real, drawn = (each[f"{name}.lora_B.weight"] @ each[f"{name}.lora_A.weight"] for each in (tensors, found))
        real, drawn = (real.T, drawn.T) if turned else (real, drawn)
        order = torch.cdist(drawn, real).argmin(dim=1)
        assert sorted(order.tolist()) == list(range(10)) and order.tolist() != list(range(10))
        torch.testing.assert_close(drawn, real[order])


@pytest.fixture(scope="module")
def located(tmp_path_factory: pytest.TempPathFactory) -> Database:
    db = Database(tmp_path_factory.mktemp("null") / "located.duckdb")
    locate(db, "real", options(BASE, f"{BASE}+{SFT}", skip_last_layers=0))
    rerank(db, "size", "real", "activation-size")
    null(db, "drawn", NullOptions(from_run="real", draws=3))
    return db


def test_draws_are_runs_of_the_shuffled_adapters(located: Database, tmp_path: Path) -> None:
    runs = located.rows("SELECT run, null_of FROM locate_runs WHERE null_of IS NOT NULL ORDER BY run")
    assert runs == [("drawn.1", "real"), ("drawn.2", "real"), ("drawn.3", "real")]
    write_permuted(adapter_in(SFT), tmp_path / "second", 2)
    with Database(tmp_path / "again.duckdb") as db:
        locate(db, "again", options(BASE, f"{BASE}+{tmp_path / 'second'}", skip_last_layers=0, keep="none"))
        again, stored = read_run_scores(db, "again"), read_run_scores(located, "drawn.2")
    assert np.array_equal(again.scores, stored.scores) and np.array_equal(again.ranks, stored.ranks)
    assert not np.array_equal(stored.scores, read_run_scores(located, "drawn.1").scores)
    for view in ("figure_overlap", "figure_layers", "figure_scores", "figure_shift"):
        assert "drawn" not in str(located.frame(f"FROM {view}").rows()), "charts show findings"


def test_overlaps_stand_beside_the_draws(located: Database) -> None:
    (row,) = compare(located, ["real", "size"], "10%").iter_rows(named=True)
    shared = [located.rows("SELECT overlap_at(?, 'size', ?)", [f"drawn.{draw}", row["k"]])[0][0] for draw in (1, 2, 3)]
    assert (row["null_of"], row["null_draws"]) == ("real", 3)
    assert row["null_overlap"] == pytest.approx(np.mean(shared))
    assert (row["null_low"], row["null_high"]) == (min(shared), max(shared))
    assert row["null_p_value"] == (1 + sum(each >= row["overlap"] for each in shared)) / 4
    itself = compare(located, ["real", "drawn.1"])
    assert itself["null_draws"].item() == 2, "a draw is no null of itself"
    alone = beside(located, "size", ["real", "drawn.2"], "10%")
    assert alone["overlap"].to_list() == [row["overlap"], shared[1]]
    plain = compare(located, ["drawn.1", "size"])
    assert plain["null_draws"].item() == 0 and plain["null_p_value"].item() is None


def test_the_distributions_of_the_draws_are_those_of_their_scores(located: Database) -> None:
    frame = located.frame("FROM null_distributions")
    found = {(row["run"], row["measure"], row["part"]): row for row in frame.to_dicts()}
    ranked = {run: ranked_scores(located, run) for run in ("real", "size", "drawn.1", "drawn.2", "drawn.3")}
    n_layers, n_neurons = SHAPE
    k = round(0.05 * n_layers * n_neurons)

    def layers(run: str) -> list[float]:
        top = np.argsort(ranked[run].ranks)[:k]
        return [float(share) for share in np.bincount(top // n_neurons, minlength=n_layers) / k]

    def knee(run: str) -> float:
        scores = np.sort(ranked[run].scores)[::-1].astype(float)
        falling = (scores - scores[-1]) / (scores[0] - scores[-1]) + np.arange(len(scores)) / (len(scores) - 1)
        return float(falling.argmin() + 1) / len(scores)

    measures: dict[tuple[str, str], Callable[[str], float]] = {
        ("skewness", ""): lambda run: float(stats.skew(ranked[run].scores, bias=False)),
        ("knee", ""): knee,
        ("overlap", "size"): lambda run: Pair(ranked[run], ranked["size"]).shared[k - 1] / k,
        ("spearman", "size"): lambda run: Pair(ranked[run], ranked["size"]).spearman,
    } | {("layer", str(layer)): lambda run, layer=layer: layers(run)[layer] for layer in range(n_layers)}
    assert {key[1:] for key in found if key[0] == "real"} == set(measures)
    for (measure, part), of in measures.items():
        row, drawn = found["real", measure, part], [of(f"drawn.{draw}") for draw in (1, 2, 3)]
        shown = [row[name] for name in ("value", "null_mean", "null_low", "null_high")]
        assert shown == pytest.approx([of("real"), np.mean(drawn), min(drawn), max(drawn)], rel=1e-4, abs=1e-6), measure
        assert row["n_draws"] == 3 and row["p_value"] == (1 + sum(each >= of("real") for each in drawn)) / 4
    (pair,) = located.frame("FROM figure_overlap").filter(run_a="real", run_b="size").to_dicts()
    overlap = found["real", "overlap", "size"]
    assert [pair[name] for name in ("null_of", "n_draws", "null_low", "null_high", "null_p_value")] == [
        "real",
        *(overlap[name] for name in ("n_draws", "null_low", "null_high", "p_value")),
    ]
    bands = located.frame("FROM figure_scores").filter(run="real").unique("run").to_dicts()[0]
    assert bands["null_skewness_high"] == pytest.approx(found["real", "skewness", ""]["null_high"])
    assert (bands["null_knee_low"], bands["n_draws"]) == (found["real", "knee", ""]["null_low"], 3)


def test_a_null_is_resumed_and_its_name_is_taken(located: Database) -> None:
    before = located.rows("SELECT run_id, finished_at FROM runs ORDER BY run_id")
    with pytest.raises(InputError, match="null 'drawn' exists"):
        null(located, "drawn", NullOptions(from_run="real", draws=3))
    again = null(located, "drawn", NullOptions(from_run="real", draws=3), resume=True)
    assert again.draws["run"].to_list() == ["drawn.1", "drawn.2", "drawn.3"]
    assert located.rows("SELECT run_id, finished_at FROM runs ORDER BY run_id") == before


def test_draws_are_added_and_seeds_have_draws_of_their_own(located: Database, tmp_path: Path) -> None:
    with Database(shutil.copy(located.path, tmp_path / "copy.duckdb")) as db:
        more = null(db, "more", NullOptions(from_run="real", draws=2))
        more = null(db, "more", NullOptions(from_run="real", draws=3), resume=True)
        assert more.draws["run"].to_list() == ["more.1", "more.2", "more.3"]
        null(db, "other", NullOptions(from_run="real", draws=2, seed=1, adapters=tmp_path / "mine"))
        names = ("more.1", "more.2", "more.3", "other.1", "other.2")
        assert len({read_run_scores(db, run).scores.tobytes() for run in names}) == 5
        write_permuted(adapter_in(SFT), tmp_path / "second", 1_000_003 + 2)
        second = tmp_path / "second" / WEIGHTS
        assert (tmp_path / "mine" / "2-1" / WEIGHTS).read_bytes() == second.read_bytes(), "in every version"
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="cannot write adapters to .*file"):
            null(db, "third", NullOptions(from_run="real", draws=2, adapters=tmp_path / "file"))
        with pytest.raises(InputError, match="run name '5%.1'"):
            null(db, "5%", NullOptions(from_run="real", draws=2))


def test_runs_without_an_adapter_to_shuffle(tmp_path: Path) -> None:
    with Database(tmp_path / "bad.duckdb") as db:
        stacked, other = f"{BASE}+{SFT}", tmp_path / "other"
        shutil.copytree(SFT, other)
        tensors = load_file(SFT / WEIGHTS)
        save_file({key: value.flip(-1).contiguous() for key, value in tensors.items()}, other / WEIGHTS)
        locate(db, "turned", options(stacked, BASE))
        locate(db, "same", options(stacked, stacked))
        locate(db, "apart", options(stacked, f"{BASE}+{other}+{SFT}"))
        locate(db, "changing", options(BASE, f"{BASE}+{other}"))
        add_locate_run(db, "imported", np.ones((2, 4)))
        save_file(tensors, other / WEIGHTS)
        for run, message in (
            ("nowhere", "no finished locate run 'nowhere'"),
            ("turned", "has no adapter that .* has not, and a full checkpoint has no update"),
            ("same", "has no adapter that .* has not"),
            ("apart", "does not build on"),
            ("changing", "has other files than when run 'changing' read it"),
        ):
            with pytest.raises(SnqlError, match=message):
                null(db, "drawn", NullOptions(from_run=run, draws=2))
        assert db.rows("SELECT count(*) FROM runs WHERE name LIKE 'drawn%'") == [(0,)]
        assert not (tmp_path / "bad-nulls").exists()
    with pytest.raises(InputError, match="`draws` 1: use at least 2"):
        NullOptions(from_run="real", draws=1)
    with pytest.raises(ModelError, match="which is no scale and no low-rank update"):
        whole = lora(tmp_path / "whole", {"base_model.model.lm_head.weight": torch.ones(2, 2)})
        write_permuted(adapter_in(whole), tmp_path / "null", 1)
