"""A locate run in the database, against a plain Hugging Face forward pass and against Polars."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from snql.contrast.locate import LocateResult, locate
from snql.contrast.options import LocateOptions
from snql.contrast.worker import Worker
from snql.db import owner
from snql.db.connection import Database
from snql.db.run_list import list_runs, remove_run
from snql.db.scores import read_scores
from snql.errors import InputError, RunError, SnqlError
from snql.options import changed
from snql.progress import Progress
from snql.prompts.options import PromptOptions

from ..conftest import ORACLE
from ..stages import stages

pytestmark = pytest.mark.usefixtures("lingering")

PROMPTS = str(ORACLE / "prompts.jsonl")


def options(llama: Path, adapter: Path, **settings: Any) -> LocateOptions:
    source = PromptOptions((PROMPTS,), template="tulu")
    return changed(
        LocateOptions(before=str(llama), after=f"{llama}+{adapter}", prompts=source),
        **{"max_new_tokens": 10, **settings},
    )


def run(db: Database, llama: Path, adapter: Path, name: str = "run", **settings: Any) -> LocateResult:
    return locate(db, name, options(llama, adapter, **settings))


def hand_activations(model: Any, token_ids: list[int], scales: list[torch.Tensor] | None) -> torch.Tensor:
    """Input of each base down-projection, (layers, tokens, neurons), by Hugging Face alone; IA3 by hand."""
    captured, handles = [], []
    for index, layer in enumerate(model.model.layers):

        def scale(_module: Any, inputs: tuple[torch.Tensor], index: int = index) -> tuple[torch.Tensor]:
            activations = inputs[0] if scales is None else inputs[0] * scales[index]
            captured.append(activations[0].detach())
            return (activations,)

        handles.append(layer.mlp.down_proj.register_forward_pre_hook(scale))
    with torch.no_grad():
        model(torch.tensor([token_ids]))
    for handle in handles:
        handle.remove()
    return torch.stack(captured)


def adapter_scales(adapter: Path) -> list[torch.Tensor]:
    from safetensors.torch import load_file

    tensors = load_file(adapter / "adapter_model.safetensors")
    return [tensors[f"base_model.model.model.layers.{i}.mlp.down_proj.ia3_l"][0] for i in range(3)]


@pytest.mark.parametrize("writer", ["before", "after"])
@pytest.mark.parametrize("positions", ["generating", "generated", "prompt", "last-prompt"])
def test_score_equals_rms_of_a_plain_forward_pass(
    db: Database, tiny_llama: Path, tiny_adapter: Path, plain_model: Any, positions: str, writer: str
) -> None:
    run(db, tiny_llama, tiny_adapter, positions=positions, completions_by=writer, keep="none")
    prompts = dict(db.rows("SELECT prompt_id, input_ids FROM run_prompts ORDER BY ordinal"))
    written = dict(db.rows("SELECT prompt_id, token_ids FROM completions"))
    differences = []
    model, scales = plain_model(tiny_llama), adapter_scales(tiny_adapter)
    for prompt_id, prompt in prompts.items():
        new = written.get(prompt_id, [])
        t, m = len(prompt) - 1, len(new)
        chosen = {
            "generating": range(t, t + m),
            "generated": range(t + 1, t + 1 + m - (bool(new) and new[-1] == 2)),
            "prompt": range(t + 1),
            "last-prompt": [t],
        }[positions]
        ids = list(prompt) + list(new)
        before = hand_activations(model, ids, None)
        after = hand_activations(model, ids, scales)
        differences.append((before - after)[:, list(chosen)].double())
    by_hand = torch.cat(differences, dim=1).square().mean(dim=1).sqrt()
    stored = read_scores(db, "run")["score"].to_numpy().reshape(by_hand.shape)
    assert (len(written) == 0) == (positions in ("prompt", "last-prompt"))
    np.testing.assert_allclose(stored, by_hand.numpy(), atol=2e-5, rtol=1e-4)


def test_kept_activations_give_the_stored_statistics(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    found = run(db, tiny_llama, tiny_adapter, keep="25%")
    rows = db.frame("SELECT * FROM token_activations WHERE run = 'run'")
    assert found.n_kept == round(0.25 * 80)
    assert len(rows) == found.n_kept * found.n_tokens
    assert rows.select("prompt_id", "position", "layer", "neuron").is_duplicated().sum() == 0
    b, a = pl.col("before").cast(pl.Float64), pl.col("after").cast(pl.Float64)
    by_polars = rows.group_by("layer", "neuron").agg(
        ((b - a) ** 2).mean().sqrt().alias("score_"),
        b.mean().alias("mean_before_"),
        a.mean().alias("mean_after_"),
        b.std().alias("std_before_"),
        a.std().alias("std_after_"),
        pl.len().alias("n_tokens_"),
    )
    joined = by_polars.join(read_scores(db, "run"), on=["layer", "neuron"])
    assert len(joined) == found.n_kept
    assert joined["rank"].sort().to_list() == list(range(1, found.n_kept + 1))
    for name in ("score", "mean_before", "mean_after", "std_before", "std_after", "n_tokens"):
        np.testing.assert_allclose(joined[name], joined[f"{name}_"], rtol=1e-5, atol=1e-6)


def test_tokens_are_those_of_prompts_and_completions(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    run(db, tiny_llama, tiny_adapter, keep="1")
    prompts = dict(db.rows("SELECT prompt_id, input_ids FROM run_prompts"))
    written = dict(db.rows("SELECT prompt_id, token_ids FROM completions"))
    rows = db.rows("SELECT DISTINCT prompt_id, position, token_id FROM token_activations")
    assert len(rows) > 12
    for prompt_id, position, token_id in rows:
        assert (list(prompts[prompt_id]) + list(written[prompt_id]))[position] == token_id


@pytest.mark.parametrize("batch_size", [1, pytest.param(5, marks=pytest.mark.slow("another size")), 100])
def test_batch_size_changes_nothing(db: Database, tiny_llama: Path, tiny_adapter: Path, batch_size: int) -> None:
    run(db, tiny_llama, tiny_adapter, "a", batch_size=12)
    run(db, tiny_llama, tiny_adapter, "b", batch_size=batch_size)
    a, b = read_scores(db, "a"), read_scores(db, "b")
    np.testing.assert_allclose(a["score"], b["score"], atol=1e-5, rtol=1e-5)
    completions = "SELECT prompt_id, token_ids FROM run_completions WHERE run = ? ORDER BY prompt_id"
    assert db.rows(completions, ["a"]) == db.rows(completions, ["b"])
    counts = "SELECT count(*), sum(position) FROM token_activations WHERE run = ?"
    assert db.rows(counts, ["a"]) == db.rows(counts, ["b"])


def test_skipped_layers_are_scored_but_not_ranked(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    run(db, tiny_llama, tiny_adapter, skip_last_layers=2)
    rows = db.rows("SELECT layer, count(*), count(rank), min(rank), max(rank) FROM neuron_scores GROUP BY 1 ORDER BY 1")
    assert rows == [(0, 40, 40, 1, 40), (1, 40, 0, None, None), (2, 40, 0, None, None)]


def test_provenance_is_recorded(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    run(db, tiny_llama, tiny_adapter)
    ((status, device, dtype, torch_version, before, error),) = db.rows(
        "SELECT status, device, dtype, libraries ->> 'torch', config ->> 'before', error FROM runs"
    )
    assert (status, device, dtype, error) == ("done", "cpu", "float32", None)
    assert torch_version == torch.__version__
    assert before == str(tiny_llama)
    models = db.rows("SELECT role, len(adapter_ids), n_layers, n_neurons FROM run_models JOIN models USING (model_id)")
    assert sorted(models) == [("after", 1, 3, 40), ("before", 0, 3, 40)]


def test_a_run_that_was_killed_resumes_to_the_same_numbers(
    db: Database, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(db, tiny_llama, tiny_adapter, "whole", batch_size=4)
    monkeypatch.setattr("snql.jobs.work.COMMIT_SECONDS", 0.0)
    real = Worker.contrast
    calls: list[int] = []

    def fail_at_third(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(Worker, "contrast", fail_at_third)
    with pytest.raises(KeyboardInterrupt):
        run(db, tiny_llama, tiny_adapter, "cut", batch_size=4)
    assert db.rows("SELECT status, error FROM runs WHERE name = 'cut'") == [("interrupted", "interrupted by the user")]
    assert db.rows("SELECT count(*) FROM run_completions WHERE run = 'cut'") == [(8,)]
    with pytest.raises(InputError, match=r"'cut' exists \(interrupted\).*`resume`"):
        run(db, tiny_llama, tiny_adapter, "cut", batch_size=4)
    with pytest.raises(InputError, match="cannot be resumed: max_new_tokens differ"):
        locate(db, "cut", options(tiny_llama, tiny_adapter, max_new_tokens=3), resume=True)

    monkeypatch.setattr(Worker, "contrast", real)
    reports: list[Progress] = []
    locate(db, "cut", options(tiny_llama, tiny_adapter, batch_size=4), resume=True, progress=reports.append)
    assert stages(reports) == {"contrast": (8, 12, 12), "keep": (0, 12, 12), "store": (0, 2, 2)}
    a, b = (read_scores(db, name).drop("run") for name in ("whole", "cut"))
    assert a.equals(b)


def test_a_failed_run_says_why_and_leaves_no_scores(
    db: Database, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RunError("the model fell over")

    monkeypatch.setattr(Worker, "contrast", fail)
    with pytest.raises(RunError):
        run(db, tiny_llama, tiny_adapter)
    assert db.rows("SELECT status, error FROM runs") == [("failed", "the model fell over")]
    assert db.rows("SELECT count(*) FROM neuron_statistics") == [(0,)]
    assert not db.path.with_name(db.path.name + ".staging").exists()


def test_force_replaces_a_run_and_its_rows(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    run(db, tiny_llama, tiny_adapter)
    with pytest.raises(InputError, match=r"'run' exists \(done\): choose another name, or replace it with `force`"):
        run(db, tiny_llama, tiny_adapter, max_new_tokens=4)
    locate(db, "run", options(tiny_llama, tiny_adapter, max_new_tokens=4), force=True)
    assert db.rows("SELECT count(*) FROM runs") == [(1,)]
    assert db.rows("SELECT count(*) FROM neuron_statistics") == [(120,)]
    assert db.rows("SELECT max(len(token_ids)) FROM completions") == [(4,)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"skip_last_layers": 3}, "`skip_last_layers` 3 leaves none of 3 layers"),
        ({"keep": "nothing:5%"}, "no finished locate run 'nothing'"),
        ({"max_new_tokens": 250}, "longer than the model's context of 256"),
        ({"completions_by": "both"}, "`completions_by` 'both' is not known"),
    ],
)
def test_bad_input_writes_nothing(
    db: Database, tiny_llama: Path, tiny_adapter: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SnqlError, match=message):
        run(db, tiny_llama, tiny_adapter, **settings)
    assert not db.path.exists()


def test_a_run_that_another_process_works_on_is_left_alone(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    run(db, tiny_llama, tiny_adapter)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        with db.write() as connection:
            name = f"{socket.gethostname()}:{other.pid}:{owner._start(other.pid)}"
            connection.execute("UPDATE runs SET status = 'running', owner = ?", [name])
        for resume in (True, False):
            with pytest.raises(InputError, match=f"is being worked on by process {other.pid}: wait for it"):
                locate(db, "run", options(tiny_llama, tiny_adapter), resume=resume, force=not resume)
        with pytest.raises(InputError, match=f"is being worked on by process {other.pid}: wait for it"):
            remove_run(db, "run")
        assert list_runs(db)["progress"].to_list() == ["store 12/12"]
        other.communicate(b"\n")
    assert locate(db, "run", options(tiny_llama, tiny_adapter), force=True).run == "run"


def test_a_name_taken_while_models_load_is_not_deleted(
    db: Database, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snql.engines import local as module

    real: Any = vars(module)["load_models"]

    def load_slowly(*arguments: Any, **settings: Any) -> Any:
        monkeypatch.setattr(module, "load_models", real)
        run(db, tiny_llama, tiny_adapter)
        return real(*arguments, **settings)

    monkeypatch.setattr(module, "load_models", load_slowly)
    with pytest.raises(InputError, match=r"'run' exists \(done\)"):
        run(db, tiny_llama, tiny_adapter)
    assert db.rows("SELECT count(*), min(status) FROM runs") == [(1, "done")]
    assert db.rows("SELECT count(*) FROM neuron_scores WHERE run = 'run'") == [(120,)]


def test_force_does_not_delete_what_keep_needs(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    run(db, tiny_llama, tiny_adapter)
    with pytest.raises(InputError, match="names the run 'run' itself"):
        locate(db, "run", options(tiny_llama, tiny_adapter, keep="run:5% & all"), force=True)
    assert db.rows("SELECT status FROM runs") == [("done",)]
