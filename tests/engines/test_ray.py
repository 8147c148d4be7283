"""Ray workers give what the local engine gives, also when one of them is killed."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import ray

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.contrast.worker import ContrastSettings
from snql.db.check import check
from snql.db.connection import Database
from snql.db.scores import read_scores
from snql.engines import base, on_ray
from snql.engines.options import EngineOptions
from snql.errors import InputError, ModelError
from snql.generation.options import WritingOptions
from snql.models.options import LoadOptions
from snql.options import changed
from snql.progress import Progress
from snql.prompts.options import PromptOptions

from ..conftest import ORACLE

ACTIVATIONS = "SELECT * EXCLUDE (run, run_id) FROM token_activations WHERE run = ? ORDER BY ALL"


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One cluster for all tests here; the engine joins one that is there."""
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


def options(llama: Path, adapter: Path, workers: int, **settings: Any) -> LocateOptions:
    source = PromptOptions((str(ORACLE / "prompts.jsonl"),), template="tulu")
    engine = settings.pop("engine", EngineOptions(engine="ray", workers=workers) if workers else EngineOptions())
    after = f"{llama}+{adapter}"
    return changed(
        LocateOptions(before=str(llama), after=after, prompts=source, engine=engine),
        **{"max_new_tokens": 8, "batch_size": 2, "keep": "all", "bootstrap": 100, **settings},
    )


def workers_alive() -> list[psutil.Process]:
    """Those of this process's cluster; other programs may have theirs."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # one that ends meanwhile
            if "".join(process.cmdline()[:1]).startswith("ray::RayWorker"):
                found.append(process)
    return found


def assert_same(db: Database, one: str, other: str) -> None:
    a, b = read_scores(db, one), read_scores(db, other)
    for column in ("score", "mean_before", "mean_after", "std_before", "std_after", "mean_difference"):
        np.testing.assert_allclose(a[column], b[column], rtol=1e-12, atol=1e-15, err_msg=column)
    assert a["rank"].equals(b["rank"])
    assert db.frame(ACTIVATIONS, [one]).equals(db.frame(ACTIVATIONS, [other]))
    written = "SELECT prompt_id, token_ids, text FROM run_completions WHERE run = ? ORDER BY ALL"
    assert db.frame(written, [one]).equals(db.frame(written, [other]))
    sums = "SELECT * EXCLUDE (run, run_id) FROM prompt_scores WHERE run = ? ORDER BY ALL"
    assert db.frame(sums, [one]).equals(db.frame(sums, [other]))


@pytest.mark.slow("two workers, of which one is killed, give the same")
def test_workers_give_what_one_process_gives(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    locate(db, "local", options(tiny_llama, tiny_adapter, 0))
    for workers in (1, 2):
        seen: list[int] = []
        locate(
            db,
            f"ray{workers}",
            options(tiny_llama, tiny_adapter, workers),
            progress=lambda _, seen=seen: seen.append(len(workers_alive())),  # type: ignore[misc]
        )
        assert max(seen) == workers
        assert_same(db, "local", f"ray{workers}")
    assert check(db) == []


@pytest.mark.slow("killed processes are those of contrast/test_kills.py; Ray takes half a minute to notice")
def test_a_worker_that_is_killed_half_way_changes_nothing(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    locate(db, "local", options(tiny_llama, tiny_adapter, 0))
    killed: list[int] = []

    def kill(report: Progress) -> None:
        if report.stage == "contrast" and report.done >= 4 and not killed:
            killed.append(workers_alive()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    locate(db, "ray", options(tiny_llama, tiny_adapter, 2), progress=kill)
    assert killed
    assert check(db) == []
    assert not psutil.pid_exists(killed[0])
    assert_same(db, "local", "ray")
    assert db.rows("SELECT count(*) FROM completions GROUP BY run_id") == [(12,), (12,)]


def test_what_a_worker_refuses_is_one_line(db: Database, tmp_path: Path, tiny_llama: Path) -> None:
    source = PromptOptions((str(ORACLE / "prompts.jsonl"),), template="tulu")
    missing = LocateOptions(
        before=str(tmp_path / "nowhere"),
        after=str(tiny_llama),
        prompts=source,
        engine=EngineOptions(engine="ray", workers=1),
    )
    with pytest.raises(ModelError, match="no model folder .*nowhere: check the path"):
        locate(db, "run", missing)
    assert not db.path.exists()


def test_ray_that_is_missing_or_not_there_is_one_line(
    db: Database, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"`engine` ray needs Ray: pip install 'snql-neurons\[ray\]'"):
        locate(db, "run", options(tiny_llama, tiny_adapter, 1))
    monkeypatch.undo()
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def refuse(**_: Any) -> None:
        raise ConnectionError("ray://nowhere:1 did not answer")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    engine = EngineOptions(engine="ray", workers=1, ray_address="ray://nowhere:1")
    with pytest.raises(InputError, match="`ray_address` ray://nowhere:1: no cluster there"):
        locate(db, "run", options(tiny_llama, tiny_adapter, 1, engine=engine))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workers": 2}, "`workers` and `ray_address` need `engine` ray"),
        ({"ray_address": "auto"}, "`workers` and `ray_address` need `engine` ray"),
        ({"engine": "ray", "workers": 0}, "`workers` 0 is too few"),
        ({"engine": "spark"}, "`engine` 'spark' is not known: use local or ray"),
    ],
)
def test_options_that_make_no_sense(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EngineOptions(**given)


class Cluster:
    """What the engine asks of Ray about its nodes."""

    def __init__(self, *gpus: int) -> None:
        self._gpus = gpus

    def nodes(self) -> list[dict[str, Any]]:
        dead = {"Alive": False, "Resources": {"CPU": 99.0, "GPU": 99.0}}
        return [*({"Alive": True, "Resources": {"CPU": 4.0, "GPU": float(n)}} for n in self._gpus), dead]


@pytest.mark.parametrize(
    ("gpus", "workers", "device", "share"),
    [
        ((8,), 1, "auto", 8),
        ((8,), 2, "cuda", 4),
        ((8,), 3, "auto", 2),
        ((8, 8), 1, "auto", 8),  # an actor cannot have the GPUs of two nodes
        ((3, 3, 3), 4, "auto", 1),  # 2 each would leave room for three workers only
        ((1,), 3, "auto", 1 / 3),
        ((8,), 2, "cpu", 0),
        ((0,), 2, "auto", 0),
    ],
)
def test_workers_ask_for_what_a_node_has(gpus: tuple[int, ...], workers: int, device: str, share: float) -> None:
    settings = ContrastSettings("generating", "before", WritingOptions(max_new_tokens=8))
    order = base.WorkOrder({"before": "a", "after": "b"}, LoadOptions(device=device), settings)
    assert on_ray._resources(Cluster(*gpus), workers, order) == {"num_cpus": 1, "num_gpus": share}


def test_more_workers_than_cpus_is_one_line(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    with pytest.raises(InputError, match="`workers` 4 are more than the cluster's 3 CPUs: use at most 3"):
        locate(db, "run", options(tiny_llama, tiny_adapter, 4))
    assert not db.path.exists()
