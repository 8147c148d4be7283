"""Rows of ``runs``: starting, finishing, failing, resuming and deleting."""

import hashlib
import json
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from snql.db.connection import Database
from snql.db.owner import owner, works_elsewhere
from snql.db.provenance import provenance
from snql.db.tables import delete, insert, next_values, now, run_tables
from snql.errors import DatabaseError, InputError, SnqlError
from snql.neurons.syntax import RESERVED, RUN_NAME

_ROOM_BYTES = 1 << 18
"""What the row of a run that failed may need on a disk, where the log is begun anew."""


@dataclass(frozen=True)
class NewRun:
    """What identifies a run. ``config`` is canonical: equal configurations make equal runs. seed: None if unused."""

    kind: str
    name: str
    config: Mapping[str, Any]
    seed: int | None
    device: str | None = None
    dtype: str | None = None

    @property
    def config_json(self) -> str:
        return json.dumps(self.config, sort_keys=True)

    @property
    def config_sha256(self) -> str:
        return hashlib.sha256(self.config_json.encode()).hexdigest()


@dataclass(frozen=True)
class RunState:
    """A run that exists: finished when ``status`` is done. begun: whether its models were loaded once."""

    run_id: int
    status: str
    config: dict[str, Any]
    owner: str | None
    begun: bool = True


BEGUN = "status <> 'running' OR device IS NOT NULL"
"""SQL: false of a row that :mod:`snql.db.claims` made before models are loaded."""

MOST_LETTERS = 200
"""Of a run's name: files are called after runs, and file systems have an end."""


def check_name(name: str) -> None:
    """Raise InputError unless the name can stand in a neuron expression."""
    if len(name) > MOST_LETTERS:
        raise InputError(f"run name {name[:20] + '…'!r} has {len(name)} letters: use at most {MOST_LETTERS}")
    if not RUN_NAME.fullmatch(name) or name in RESERVED:
        raise InputError(
            f"run name {name!r} cannot be used: start with a letter, go on with letters, digits, '.', '_' or '-' "
            f"(and not {', '.join(sorted(RESERVED))})"
        )


def find_run(db: Database, kind: str, name: str) -> RunState | None:
    """The run of that kind and name, or None; a database that does not exist has no runs."""
    if not db.path.exists():
        return None
    query = f"SELECT run_id, status, config, owner, {BEGUN} FROM runs WHERE kind = ? AND name = ?"  # noqa: S608
    rows = [RunState(*row) for row in db.rows(query, [kind, name])]
    return replace(rows[0], config=json.loads(str(rows[0].config))) if rows else None


def check_free(db: Database, new: NewRun, *, resume: bool, force: bool) -> RunState | None:
    """Whether the run may begin: the run to resume, or None to start anew (or to replace, with ``force``).

    Of a run whose process was killed while it loaded, nothing is left to resume. Raises InputError if the name is
    taken, or if the run to resume had another configuration.
    """
    check_name(new.name)
    found = find_run(db, new.kind, new.name)
    if found is None:
        return None
    _check_idle(new.kind, new.name, found.status, found.owner)
    if force or not found.begun:
        return None
    if not resume:
        raise _taken(new, found.status)
    wanted = json.loads(new.config_json)
    if found.config != wanted:
        keys = sorted(key for key in found.config.keys() | wanted.keys() if found.config.get(key) != wanted.get(key))
        raise InputError(
            f"{new.kind} run {new.name!r} cannot be resumed: {', '.join(keys)} differ from when it began; "
            "use the same settings, or `force` to replace it"
        )
    return found


def _taken(new: NewRun, status: str) -> InputError:
    remedy = "replace it with `force`" if status == "done" else "continue it with `resume` or replace it with `force`"
    return InputError(f"a {new.kind} run {new.name!r} exists ({status}): choose another name, or {remedy}")


def check_idle(connection: duckdb.DuckDBPyConnection, run_id: int) -> None:
    """Raise InputError if another process is working on the run."""
    query = "SELECT kind, name, status, owner FROM runs WHERE run_id = ?"
    for kind, name, status, current in connection.execute(query, [run_id]).fetchall():
        _check_idle(kind, name, status, current)


def _check_idle(kind: str, name: str, status: str, owner: str | None) -> None:
    if status == "running" and works_elsewhere(owner):
        raise InputError(
            f"{kind} run {name!r} is being worked on by process {str(owner).rsplit(':', 2)[1]}: wait for it, "
            "or stop it first"
        )


def start_run(connection: duckdb.DuckDBPyConnection, new: NewRun, resumed: RunState | None, *, force: bool) -> int:
    """Insert the run's row, or set a resumed run's to running; return its id.

    A row that was there while its models were loaded is the run's own. With ``force``, a run of the same kind and name
    is deleted with all its rows. Raises InputError if another process has taken the name, or the run, since it was
    checked.
    """
    query = f"SELECT run_id, status, owner, {BEGUN} FROM runs WHERE kind = ? AND name = ?"  # noqa: S608
    for run_id, status, current, begun in connection.execute(query, [new.kind, new.name]).fetchall():
        _check_idle(new.kind, new.name, status, current)
        if resumed is not None:
            return _reopen(connection, run_id)
        if not begun:
            return _begin_again(connection, run_id, new)
        if not force:
            raise _taken(new, status)
        delete_run(connection, run_id)
    return _insert(connection, new)


def _reopen(connection: duckdb.DuckDBPyConnection, run_id: int) -> int:
    connection.execute(
        "UPDATE runs SET status = 'running', error = NULL, finished_at = NULL, owner = ? WHERE run_id = ?",
        [owner(), run_id],
    )
    return run_id


def _begin_again(connection: duckdb.DuckDBPyConnection, run_id: int, new: NewRun) -> int:
    row = _row(new)
    values = ", ".join(f"{name} = ${name}" for name in row if name not in ("kind", "name"))
    given = {name: value for name, value in row.items() if name not in ("kind", "name")}
    connection.execute(f"UPDATE runs SET {values} WHERE run_id = $run_id", given | {"run_id": run_id})  # noqa: S608
    return run_id


def _insert(connection: duckdb.DuckDBPyConnection, new: NewRun) -> int:
    (run_id,) = next_values(connection, "run_ids", 1)
    insert(connection, "runs", [_row(new)], run_id=run_id)
    return run_id


def _row(new: NewRun) -> dict[str, Any]:
    origin = provenance()
    row = vars(new) | vars(origin) | {"status": "running", "started_at": now(), "owner": owner()}
    return row | {
        "config": new.config_json,
        "config_sha256": new.config_sha256,
        "libraries": json.dumps(origin.libraries),
    }


def set_kept(connection: duckdb.DuckDBPyConnection, run_id: int, set_id: int, store: str) -> None:
    """Record whose token-level activations a locate run keeps, and where: its scores are then complete."""
    connection.execute("UPDATE runs SET kept_set_id = ?, store = ? WHERE run_id = ?", [set_id, store, run_id])


def read_kept(db: Database, run_id: int) -> tuple[int | None, str | None]:
    """What :func:`set_kept` recorded; None before that."""
    ((set_id, store),) = db.rows("SELECT kept_set_id, store FROM runs WHERE run_id = ?", [run_id])
    return set_id, store


def add_notes(connection: duckdb.DuckDBPyConnection, run_id: int, notes: Sequence[str]) -> None:
    """Add to a run's notes those that it does not have yet."""
    if notes:
        connection.execute(
            "UPDATE runs SET notes = list_distinct(list_concat(coalesce(notes, []), $1::VARCHAR[])) WHERE run_id = $2",
            [list(notes), run_id],
        )


def read_notes(db: Database, run_id: int) -> tuple[str, ...]:
    """What a run's numbers must be read with."""
    ((notes,),) = db.rows("SELECT coalesce(notes, []) FROM runs WHERE run_id = ?", [run_id])
    return tuple(notes)


def run_ids(db: Database) -> set[int]:
    """All runs of the database."""
    return {run_id for (run_id,) in db.rows("SELECT run_id FROM runs")}


def finish_run(connection: duckdb.DuckDBPyConnection, run_id: int) -> None:
    """Mark a run as done, in the transaction of its last results."""
    connection.execute("UPDATE runs SET status = 'done', finished_at = ? WHERE run_id = ?", [now(), run_id])


@contextmanager
def stored_at_once(
    db: Database, new: NewRun, resumed: RunState | None = None, *, force: bool = False
) -> Iterator[tuple[duckdb.DuckDBPyConnection, int]]:
    """A run whose rows are all written in the block, in one transaction from its beginning to its end."""
    with db.write() as connection:
        run_id = start_run(connection, new, resumed, force=force)
        yield connection, run_id
        finish_run(connection, run_id)


def delete_run(connection: duckdb.DuckDBPyConnection, run_id: int) -> None:
    """Delete a run and all rows that belong to it."""
    for table in (*run_tables(connection), "runs"):
        delete(connection, table, run_id=run_id)


@contextmanager
def recorded(db: Database, run_id: int) -> Iterator[None]:
    """If the block fails or is interrupted, write why into the run's row, and let the error go on.

    On a full disk the row is written into room that was kept for it. Where it cannot be written either (a lock that is
    not given back), it stays as that of a process that is gone, and the run can be resumed all the same.
    """
    with _kept_room(db.path.parent) as room:
        try:
            yield
        except KeyboardInterrupt:
            room.close()
            _close(db, run_id, "interrupted", "interrupted by the user")
            raise
        except BaseException as error:
            room.close()
            _close(db, run_id, "failed", _reason(error))
            raise


@contextmanager
def _kept_room(folder: Path) -> Iterator[ExitStack]:
    """Room on the disk for a row, in a file without a name, so that nothing stays of it; close it to free the room."""
    with ExitStack() as room:
        with suppress(OSError):
            room.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0)).write(bytes(_ROOM_BYTES))
        yield room


def _close(db: Database, run_id: int, status: str, reason: str) -> None:
    with suppress(DatabaseError, duckdb.Error, OSError), db.write() as connection:
        connection.execute(
            "UPDATE runs SET status = ?, error = ?, finished_at = ? WHERE run_id = ?",
            [status, reason, now(), run_id],
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, SnqlError):
        return str(error)
    return "".join(traceback.format_exception_only(error)).strip()
