"""Runs that are killed, that share a database with others, or that find no room on the disk."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from snql.contrast import job
from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.contrast.worker import Worker
from snql.db.check import check
from snql.db.connection import Database
from snql.db.run_list import remove_run
from snql.db.scores import read_scores
from snql.errors import InputError, RunError
from snql.jobs import watch
from snql.options import changed
from snql.progress import Progress
from snql.prompts.options import PromptOptions
from snql.querying.execute import query

from ..conftest import ORACLE
from ..killing import Ask

PROMPTS = str(ORACLE / "prompts.jsonl")
ACTIVATIONS = """
    SELECT prompt_id, position, token_id, layer, neuron, before, after FROM token_activations WHERE run = ?
    ORDER BY layer, neuron, prompt_id, position
"""


def options(llama: Path, adapter: Path, **settings: Any) -> LocateOptions:
    source = PromptOptions((PROMPTS,), template="tulu")
    return changed(
        LocateOptions(before=str(llama), after=f"{llama}+{adapter}", prompts=source),
        **{"max_new_tokens": 8, **settings},
    )


@pytest.fixture(autouse=True)
def every_batch_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As batches are that take a second and more."""
    monkeypatch.setattr("snql.jobs.work.COMMIT_SECONDS", 0.0)
    monkeypatch.setattr(watch, "_SECONDS_BETWEEN_TICKS", 0.0)


def beside(db: Database) -> set[str]:
    return {path.name.removeprefix(db.path.name) for path in db.path.parent.iterdir()}


@pytest.mark.parametrize(
    ("store", "seed", "n_kills"),
    [
        pytest.param("rows", 0, 1, marks=pytest.mark.slow("as with shards, which are more files")),
        ("parquet", 1, 1),
        pytest.param("rows", 2, 20, marks=pytest.mark.slow("more moments of the same kinds")),
        pytest.param("parquet", 3, 20, marks=pytest.mark.slow("more moments of the same kinds")),
    ],
)
def test_kills_change_nothing(
    db: Database, ask: Ask, tiny_llama: Path, tiny_adapter: Path, store: str, seed: int, n_kills: int
) -> None:
    db.initialise()
    models = [str(tiny_llama), f"{tiny_llama}+{tiny_adapter}"]
    told = ask("killed", str(db.path), models, PROMPTS, store, seed, n_kills)
    assert len(told["hits"]) == n_kills
    whole = read_scores(db, "whole").drop("run"), db.frame(ACTIVATIONS, ["whole"])
    assert len(whole[1]) > 5_000
    for index in range(told["runs"]):
        assert read_scores(db, f"cut{index}").drop("run").equals(whole[0]), told
        assert db.frame(ACTIVATIONS, [f"cut{index}"]).equals(whole[1]), told
    assert check(db) == []
    assert beside(db) == {"", ".shards"} if store == "parquet" else {""}


ASKING = """
from snql.db.connection import Database
import sys
db = Database(sys.argv[1])
while True:
    ((done, status),) = db.rows("SELECT coalesce(max(done), -1), max(status) FROM run_progress")
    db.rows("SELECT count(*) FROM token_activations")
    print(done, flush=True)
    if status == "done":
        break
"""
"""Asks as long as a run is not done, and prints how far it was each time."""


def test_queries_never_fail_while_a_run_works(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    """Every batch waits until the other process has seen what was committed before it."""
    db.initialise()
    pipe = subprocess.PIPE
    program = [sys.executable, "-c", ASKING, str(db.path)]
    with subprocess.Popen(program, stdout=pipe, stderr=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "-1\n"
        seen: list[int] = []

        def wait(report: Progress) -> None:
            assert other.stdout is not None
            while report.stage == "contrast" and report.done > max(seen, default=-1) + 1:
                answer = other.stdout.readline()
                assert answer, "the other process has ended"
                seen.append(int(answer))

        locate(db, "busy", options(tiny_llama, tiny_adapter, batch_size=1, keep="all", limit=6), progress=wait)
        _, err = other.communicate(timeout=60)
    assert (other.returncode, err) == (0, "")
    assert set(range(1, 5)) <= set(seen)


def test_two_runs_at_once_both_finish(db: Database, ask: Ask, tiny_llama: Path, tiny_adapter: Path) -> None:
    models = [str(tiny_llama), f"{tiny_llama}+{tiny_adapter}"]
    assert ask("at_once", str(db.path), models, PROMPTS) == {"ends": [0, 0]}
    assert read_scores(db, "one").drop("run").equals(read_scores(db, "two").drop("run"))
    overlapping = "SELECT max(started_at) < min(finished_at) FROM runs"
    assert db.rows(overlapping) == [(True,)]
    assert check(db) == []


def test_ctrl_c_finishes_the_batch_and_keeps_it(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    reports: list[Progress] = []

    def press(report: Progress) -> None:
        reports.append(report)
        if report.done == 4 and len([each for each in reports if each.done == 4]) == 3:  # amid the second batch
            os.kill(os.getpid(), signal.SIGINT)

    chosen = options(tiny_llama, tiny_adapter, batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        locate(db, "cut", chosen, progress=press)
    said = [report.message for report in reports if report.message]
    assert [message for message in said if "equal those of an independent load" not in message] == [
        "stopping once what is finished has been kept; Ctrl-C again stops at once"
    ]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert db.rows("SELECT status, stage, done, total FROM run_progress") == [("interrupted", "contrast", 8, 12)]
    locate(db, "cut", chosen, resume=True)
    locate(db, "whole", chosen)
    assert read_scores(db, "cut").drop("run").equals(read_scores(db, "whole").drop("run"))


def test_a_second_ctrl_c_stops_at_once(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    def press(report: Progress) -> None:
        if report.stage == "contrast" and report.done == 4:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        locate(db, "cut", options(tiny_llama, tiny_adapter, batch_size=4), progress=press)
    assert db.rows("SELECT done FROM run_progress") == [(4,)]


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of that size; skips the test where none can be mounted."""
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def long_run(
    tiny_llama: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LocateOptions, pl.DataFrame, pl.DataFrame]:
    """How it is made, and its scores and activations where nothing disturbs it."""
    chosen = options(tiny_llama, tiny_adapter, max_new_tokens=64, batch_size=4, keep="all")
    with Database(tmp_path_factory.mktemp("long") / "x.duckdb") as db:
        locate(db, "whole", chosen)
        return chosen, read_scores(db, "whole").drop("run"), db.frame(ACTIVATIONS, ["whole"])


STAGES_BETWEEN = pytest.mark.slow("the first and the last stage that can find no room are looked at always")


@pytest.mark.parametrize(
    "free", [0.02, pytest.param(0.3, marks=STAGES_BETWEEN), pytest.param(1.0, marks=STAGES_BETWEEN), 2.5]
)
def test_a_full_disk_ends_in_a_clear_message_and_a_run_that_goes_on(
    tmp_path: Path, long_run: tuple[LocateOptions, pl.DataFrame, pl.DataFrame], free: float
) -> None:
    """``free`` megabytes once the first batch is committed: less than the run needs, at one stage or another."""
    (tmp_path / "disk").mkdir()
    chosen, scores, activations = long_run
    with small_disk(tmp_path / "disk", 32) as disk:
        db = Database(disk / "x.duckdb")

        def fill(report: Progress) -> None:
            if report.stage == "contrast" and report.done == 8 and not (disk / "other").exists():
                stat = os.statvfs(disk)
                (disk / "other").write_bytes(b"x" * int(stat.f_bavail * stat.f_frsize - free * 1e6))

        with pytest.raises(RunError, match=r"no room on the disk that holds .*x\.duckdb.*free some.*`resume`"):
            locate(db, "cut", chosen, progress=fill)
        (disk / "other").unlink()
        assert db.rows("SELECT status FROM runs") == [("failed",)]
        assert db.rows("SELECT count(*) FROM completions") >= [(4,)]
        locate(db, "cut", chosen, resume=True)
        assert read_scores(db, "cut").drop("run").equals(scores)
        assert db.frame(ACTIVATIONS, ["cut"]).equals(activations)
        assert check(db) == []
        assert beside(db) == {""}
        db.close()


def test_staged_files_that_were_damaged_are_made_again(
    db: Database, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = options(tiny_llama, tiny_adapter, keep="all")
    locate(db, "whole", chosen)

    def fail(*_: Any) -> Any:
        raise RunError("stopped before storing")

    with monkeypatch.context() as patched, pytest.raises(RunError):
        patched.setattr(job, "store_chunks", fail)
        locate(db, "cut", chosen)
    (file,) = db.path.parent.glob("*.staging/*/tokens-*.parquet")
    file.write_bytes(file.read_bytes()[:-100])
    locate(db, "cut", chosen, resume=True)
    assert db.frame(ACTIVATIONS, ["cut"]).equals(db.frame(ACTIVATIONS, ["whole"]))
    assert check(db) == []


def test_sums_that_were_damaged_end_in_one_line(
    db: Database, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Worker.contrast

    def fail_at_second(self: Worker, task: Any, *rest: Any) -> Any:
        if task.batch == 1:
            raise RunError("stopped")
        return real(self, task, *rest)

    chosen = options(tiny_llama, tiny_adapter, batch_size=4)
    with monkeypatch.context() as patched, pytest.raises(RunError):
        patched.setattr(Worker, "contrast", fail_at_second)
        locate(db, "cut", chosen)
    (file,) = db.path.parent.glob("*.staging/*/sums-*.safetensors")
    file.write_bytes(b"")
    with pytest.raises(Exception, match=r"sums-000000\.safetensors.*missing or damaged.*`force`"):
        locate(db, "cut", chosen, resume=True)
    locate(db, "cut", chosen, force=True)
    assert beside(db) == {""}


@pytest.mark.parametrize(
    "store", ["rows", pytest.param("parquet", marks=pytest.mark.slow("as rows; what is wrong in shards: below"))]
)
def test_check_finds_what_was_changed(db: Database, tiny_llama: Path, tiny_adapter: Path, store: str) -> None:
    locate(db, "run", options(tiny_llama, tiny_adapter, keep="all", store=store))
    assert check(db) == []
    changes = {
        "UPDATE neuron_statistics SET score = score + 1e-9 WHERE rank = 1": "not those that the run wrote",
        "UPDATE neuron_statistics SET rank = 3 WHERE rank = 2": "ranks are not 1, 2, 3",
        "DELETE FROM neuron_statistics WHERE rank = 5": "neurons have statistics, the model has 120",
        "DELETE FROM completions WHERE prompt_id = 1": "11 completions of 12 prompts",
        "DELETE FROM scored_tokens WHERE token_index = 0": "scored tokens are stored",
    }
    if store == "rows":
        changes |= {
            "UPDATE activation_rows SET after = -after WHERE layer = 1 AND neuron = 2 AND token_index = 3": (
                "the token activations of layer 1 are not those"
            ),
            "DELETE FROM activation_rows WHERE layer = 2 AND neuron = 0": "layer 2 has",
        }
    sound = db.path.read_bytes()
    for sql, message in changes.items():
        with db.write() as connection:
            connection.execute(sql)
        found = [problem.what for problem in check(db)]
        assert any(message in what for what in found), (sql, found)
        db.path.write_bytes(sound)
    assert check(db) == []


def test_check_finds_shards_that_are_gone_or_damaged(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    locate(db, "run", options(tiny_llama, tiny_adapter, keep="all", store="parquet"))
    first, second, third = sorted(db.path.parent.glob("*.shards/*/*.parquet"))
    data = bytearray(second.read_bytes())
    data[len(data) // 3] ^= 1
    second.write_bytes(bytes(data))
    swapped = first.read_bytes()
    third.write_bytes(swapped)
    first.unlink()
    found = [problem.what for problem in check(db)]
    assert "is missing: put it back" in found[0]
    assert "cannot be read" in found[1] or "does not hold what was stored" in found[1]
    assert "does not hold what was stored" in found[2]
    assert len(found) == 3


def test_shards_go_with_their_database(db: Database, tmp_path: Path, tiny_llama: Path, tiny_adapter: Path) -> None:
    """They can be moved together, and are removed with their run."""
    locate(db, "a", options(tiny_llama, tiny_adapter, keep="all"))
    locate(db, "b", options(tiny_llama, tiny_adapter, keep="all", store="parquet"))
    rows, half = (db.frame(ACTIVATIONS, [name]) for name in "ab")
    assert rows.select("prompt_id", "position", "layer", "neuron").equals(
        half.select("prompt_id", "position", "layer", "neuron")
    )
    for side in ("before", "after"):
        expected = rows[side].cast(pl.Float64).to_numpy().astype("float16")
        assert (half[side].to_numpy().astype("float16") == expected).all()
    (shard,) = db.path.parent.glob("*.shards/*/000000.parquet")
    for sql in (
        f"COPY (SELECT 1 AS x) TO '{shard}' (USE_TMP_FILE false)",
        f"SELECT 1; EXPORT DATABASE '{shard.parent}'",
        f"SELECT * FROM read_parquet('{shard.parent}/*.parquet')",
        f"ATTACH '{shard}x' AS other",
        f"PREPARE p AS COPY (SELECT 1 AS x) TO '{shard}' (USE_TMP_FILE false); EXECUTE p",
        f"EXPLAIN ANALYZE COPY (SELECT 1 AS x) TO '{shard}' (USE_TMP_FILE false)",
        "SET allowed_paths = ['/etc/hosts']",
        "SELECT * FROM read_text('/etc/hosts')",
    ):
        with pytest.raises(InputError, match="disabled|locked|before the database is started"):
            query(db, sql)
        with pytest.raises(duckdb.Error):
            db.frame(sql)
    assert check(db) == []
    program = [str(Path(sys.executable).with_name("duckdb")), str(db.path), "-readonly", "-csv", "-noheader", "-c"]
    count = "SELECT count(*) FROM token_activations WHERE run = 'b'; "
    told = f"SET VARIABLE snql_shards = 'SELECT * FROM read_parquet(''{db.path}.shards/*/*.parquet'')'; "
    seen = subprocess.run([*program, count + told + count], capture_output=True, text=True, check=True).stdout
    assert seen.split() == ["0", str(len(half))]
    moved = tmp_path / "it's elsewhere"
    moved.mkdir()
    for name in ("", ".shards"):
        (tmp_path / f"{db.path.name}{name}").rename(moved / f"other.duckdb{name}")
    other = Database(moved / "other.duckdb")
    assert other.frame(ACTIVATIONS, ["b"]).equals(half)
    assert check(other) == []
    remove_run(other, "b")
    assert beside(other) == {""}
    assert other.frame(ACTIVATIONS, ["a"]).equals(rows)


def test_what_a_deleted_run_left_is_removed(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    locate(db, "a", options(tiny_llama, tiny_adapter))
    (db.path.with_name(db.path.name + ".staging") / "77").mkdir(parents=True)
    assert [problem.what for problem in check(db)] == ["files beside the database are of no run: 77"]
    locate(db, "b", options(tiny_llama, tiny_adapter))
    assert beside(db) == {""}
