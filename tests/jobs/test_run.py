"""The one way that a job goes, with work that needs no model."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import duckdb
import pytest

from snql.db.batches import BatchRow, read_batches, write_batch
from snql.db.claims import Claim
from snql.db.connection import Database
from snql.db.records import ModelRecord
from snql.db.run_list import describe_run, list_runs
from snql.db.runs import NewRun
from snql.errors import InputError, RunError
from snql.jobs.begin import Beginning
from snql.jobs.run import Announce, Last, Loaded, run_job
from snql.jobs.work import Done, Job
from snql.progress import Progress, silent
from snql.prompts.types import Prompt
from snql.reporting.showing import show_run

NEW = NewRun("locate", "mine", {"top": 3}, 7)
PROMPTS = [Prompt("set", text, formatted=f"<{text}>", input_ids=ids) for text, ids in (("b", (5, 2)), ("a", (7,)))]
BEGINNING = Beginning("cpu", "float32", models={}, prompts=PROMPTS)

Work = Callable[[Job], Last | None]


def write(connection: duckdb.DuckDBPyConnection, run_id: int, batches: Sequence[int]) -> None:
    for batch in batches:
        write_batch(connection, run_id, BatchRow("contrast", batch, 1, 1))


def three(job: Job, *, before: Callable[[int], None] = lambda _: None) -> None:
    """Three batches, those that are not done."""
    done = [row.batch for row in read_batches(job.db, job.run_id, "contrast")]

    def left() -> Iterator[Done[int]]:
        for batch in range(3):
            if batch not in done:
                before(batch)
                yield Done([batch], 1)

    watch = job.watch("contrast", len(done), 3, "prompts")
    job.work_through(watch, left(), lambda found: job.store(write, found))


def run(db: Database, work: Work, new: NewRun = NEW, beginning: Beginning = BEGINNING, **settings: Any) -> list[int]:
    """Do a job; the summary is the batches that it has stored."""

    def summary(run_id: int) -> list[int]:
        return [row.batch for row in read_batches(db, run_id, "contrast")]

    flags: dict[str, Any] = {"resume": False, "force": False, "progress": silent} | settings
    return run_job(db, new, lambda _: Loaded(beginning, work), summary, **flags)


def stopped(_: Job) -> None:
    raise RunError("stopped")


def unreachable(_: Announce) -> Loaded:
    pytest.fail("was loaded")


def test_what_is_recorded(db: Database) -> None:
    seen: list[Any] = []

    def work(job: Job) -> None:
        ((status,),) = job.db.rows("SELECT status FROM runs WHERE run_id = ?", [job.run_id])
        seen.extend([status, *[(p.text, p.formatted, p.input_ids) for p in job.prompts()]])
        three(job)

    assert run(db, work) == [0, 1, 2]
    assert seen == ["running", ("b", "<b>", (5, 2)), ("a", "<a>", (7,))]
    columns = "kind, name, status, config, seed, device, dtype, error"
    assert db.rows(f"SELECT {columns} FROM runs") == [
        ("locate", "mine", "done", '{"top": 3}', 7, "cpu", "float32", None)
    ]


def test_a_run_that_is_done_or_not_free_loads_nothing(db: Database) -> None:
    run(db, three)
    settings: dict[str, Any] = {"progress": silent, "force": False}
    assert run_job(db, NEW, unreachable, lambda run_id: run_id, resume=True, **settings) == 1
    for new, resume, message in (
        (NEW, False, "a locate run 'mine' exists .done.: choose another name"),
        (replace(NEW, config={"top": 4}), True, "cannot be resumed: top differ from when it began"),
        (replace(NEW, name="all"), False, "run name 'all' cannot be used"),
    ):
        with pytest.raises(InputError, match=message):
            run_job(db, new, unreachable, lambda _: None, resume=resume, **settings)


def test_what_cannot_be_loaded_leaves_no_trace(db: Database) -> None:
    def load(_: Announce) -> Loaded:
        raise InputError("no such file")

    with pytest.raises(InputError, match="no such file"):
        run_job(db, NEW, load, lambda _: None, resume=False, force=False, progress=silent)
    assert not db.path.exists()


def test_a_run_is_seen_while_it_is_loaded(db: Database) -> None:
    seen: list[Any] = []

    def load(announce: Announce) -> Loaded:
        announce()
        other = Database(db.path)
        seen.extend([list_runs(other)[0].to_dicts()[0], show_run(other, "mine").head, describe_run(other, "mine")])
        return Loaded(BEGINNING, three)

    run_job(db, NEW, load, lambda _: None, resume=False, force=False, progress=silent)
    row, head, facts = seen
    assert (row["name"], row["status"], row["device"]) == ("mine", "running", None)
    assert "running" in head
    assert dict(facts.iter_rows())["status"] == "running"
    assert db.rows("SELECT run_id, status, device FROM runs") == [(1, "done", "cpu")]


def test_what_fails_to_load_is_as_if_it_had_not_begun(db: Database) -> None:
    def load(announce: Announce) -> Loaded:
        announce()
        assert db.rows("SELECT status FROM runs WHERE name = 'mine'") == [("running",)]
        raise InputError("no such model")

    def tried(*, resume: bool = False) -> None:
        with pytest.raises(InputError, match="no such model"):
            run_job(db, NEW, load, lambda _: None, progress=silent, resume=resume, force=False)

    tried()
    assert not db.path.exists(), "nor a database that was made for it"
    run(db, three, replace(NEW, name="other"))
    tried()
    assert db.rows("SELECT name, status FROM runs") == [("other", "done")]
    with pytest.raises(RunError):
        run(db, stopped)
    before = db.rows("SELECT * FROM runs")
    tried(resume=True)
    assert db.rows("SELECT * FROM runs") == before


def test_a_run_that_is_replaced_keeps_its_results_until_the_other_begins(db: Database) -> None:
    run(db, three)

    def load(announce: Announce) -> Loaded:
        announce()
        assert len(read_batches(db, 1, "contrast")) == 3
        raise InputError("no such model")

    with pytest.raises(InputError):
        run_job(db, NEW, load, lambda _: None, resume=False, force=True, progress=silent)
    assert db.rows("SELECT run_id, status FROM runs") == [(1, "done")]
    assert run(db, three, force=True) == [0, 1, 2]
    assert db.rows("SELECT run_id, status FROM runs") == [(2, "done")]


def test_a_name_is_free_again_if_its_process_was_killed_while_it_loaded(db: Database) -> None:
    claim = Claim(db, replace(NEW, config={"top": 4}), None, force=False)
    claim.take()
    with db.write() as connection:
        connection.execute("UPDATE runs SET owner = 'elsewhere:1:1'")
    assert run(db, three) == [0, 1, 2]
    assert db.rows("SELECT run_id, status, config FROM runs") == [(1, "done", '{"top": 3}')]


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_failure_keeps_what_was_done_and_its_reason(
    db: Database, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr("snql.jobs.work.COMMIT_SECONDS", seconds)

    def fail(batch: int) -> None:
        if batch == 2:
            raise RunError("out of memory")

    with pytest.raises(RunError):
        run(db, lambda job: three(job, before=fail))
    assert db.rows("SELECT status, error FROM runs") == [("failed", "out of memory")]
    assert [row.batch for row in read_batches(db, 1, "contrast")] == [0, 1]
    begun: list[int] = []
    assert run(db, lambda job: three(job, before=begun.append), resume=True) == [0, 1, 2]
    assert begun == [2]
    assert db.rows("SELECT run_id, status, error FROM runs") == [(1, "done", None)]


def test_what_is_written_last_ends_the_run_or_is_not_written(db: Database) -> None:
    def last(connection: duckdb.DuckDBPyConnection) -> None:
        write(connection, 1, [9])
        raise RunError("at the last moment")

    with pytest.raises(RunError):
        run(db, lambda _: last)
    assert db.rows("SELECT status FROM runs") == [("failed",)]
    assert read_batches(db, 1, "contrast") == []
    assert run(db, lambda _: lambda connection: write(connection, 1, [9]), resume=True) == [9]


def test_ctrl_c_stops_after_a_commit(db: Database) -> None:
    reports: list[Progress] = []

    def press(batch: int) -> None:
        if batch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(db, lambda job: three(job, before=press), progress=reports.append)
    assert [report.message for report in reports if report.message] == [
        "stopping once what is finished has been kept; Ctrl-C again stops at once"
    ]
    assert [row.batch for row in read_batches(db, 1, "contrast")] == [0, 1]
    assert db.rows("SELECT status FROM runs") == [("interrupted",)]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(("seconds", "commits"), [(0.0, [[0], [1], [2]]), (1e9, [[0, 1, 2]])])
def test_batches_are_committed_together_for_a_while(
    db: Database, monkeypatch: pytest.MonkeyPatch, seconds: float, commits: list[list[int]]
) -> None:
    monkeypatch.setattr("snql.jobs.work.COMMIT_SECONDS", seconds)
    found: list[list[int]] = []
    job = Job(db, 1)
    job.work_through(job.watch("contrast", 0, 3, "prompts"), (Done([batch], 1) for batch in range(3)), found.append)
    assert found == commits


def test_a_resumed_run_has_the_prompts_and_the_plan_that_it_began_with(db: Database) -> None:
    model = ModelRecord(
        model_id="id",
        spec="m",
        base="m",
        base_files={},
        base_sha256="hash",
        architecture="llama",
        n_layers=2,
        n_neurons=4,
        adapters=(),
    )
    begun = replace(BEGINNING, models={"before": model}, batches=[1, 0])
    with pytest.raises(RunError):
        run(db, stopped, beginning=begun)
    for beginning, message in (
        (replace(begun, prompts=PROMPTS[:1]), "its prompts, or their token ids, differ from when it began"),
        (replace(begun, models={"before": replace(model, model_id="other")}), "the files of its before model differ"),
    ):
        with pytest.raises(InputError, match=message):
            run(db, three, beginning=beginning, resume=True)
    run(db, three, beginning=replace(begun, batches=[0, 0]), resume=True)
    assert db.rows("SELECT batch FROM run_prompts ORDER BY ordinal") == [(1,), (0,)]


def test_what_is_held_is_given_back_however_a_run_ends(db: Database) -> None:
    closed: list[str] = []

    @contextmanager
    def held(name: str) -> Iterator[None]:
        try:
            yield
        finally:
            closed.append(name)

    settings: dict[str, Any] = {"resume": True, "force": False, "progress": silent}
    with pytest.raises(RunError):
        run_job(db, NEW, lambda _: Loaded(BEGINNING, stopped, held("stopped")), lambda _: None, **settings)
    run_job(db, NEW, lambda _: Loaded(BEGINNING, three, held("done")), lambda _: None, **settings)
    assert closed == ["stopped", "done"]
