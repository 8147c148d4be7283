"""``snql db export`` and ``snql db import``: a database as a folder of Parquet files, and back to an equal one.

    DIR/manifest.json          what is there, with schema version, ledger, row counts and SHA-256 (snql.db.manifest)
    DIR/tables/NAME.parquet    one file a table, its rows in their order
    DIR/shards/RUN/CHUNK.parquet   the shards of activations, as they are

Views and macros are made anew. What unfinished runs keep in their staging folder is not exported.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from snql.db import catalog, migrate, scripts, shards
from snql.db import manifest as manifests
from snql.db.catalog import quoted
from snql.db.connection import NO_NETWORK, STORAGE_VERSION, Database, is_locked
from snql.db.manifest import Manifest, Migration, Shard, Table
from snql.db.outputs import resolved
from snql.db.owner import is_dead, owner
from snql.distribution import own_version
from snql.errors import DatabaseError, InputError, RunError

MEMORY = "2GB"
"""What DuckDB may hold while it copies a table: some of it is cache, the rest does not grow with the table."""

_BESIDE = (".shards", ".staging", ".wal")
_PARTS = ("", *_BESIDE)
"""What a database consists of, as endings of its name."""
_WORK = ".{}.snql-{}."


@dataclass(frozen=True)
class Transfer:
    """What was exported or imported. left_out: tables in the file that are not snql's; applied: migrations."""

    path: Path
    n_tables: int
    n_rows: int
    n_shards: int
    left_out: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()


class _Exporting(Database):
    """Reads like any database, and may write below one folder."""

    def __init__(self, path: Path, folder: Path) -> None:
        super().__init__(path)
        self._folder = folder

    def _lock_down(self, connection: duckdb.DuckDBPyConnection) -> None:
        if is_locked(connection):
            raise DatabaseError(f"{self.path} is open elsewhere in this Python process: close that connection first")
        connection.execute("SET allowed_directories = $1", [[str(self._folder)]])
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        super()._lock_down(connection)


def export_database(db: Database, folder: Path, *, force: bool = False) -> Transfer:
    """Write every table and shard into a new folder, as they are at one moment; nobody can write meanwhile.

    The folder is complete or not there. Raises InputError if it exists and is not empty (with ``force``: and is not an
    earlier export, which is replaced), DatabaseError if the database cannot be read.
    """
    folder = Path(folder).absolute()
    if not db.path.exists():
        db.rows("SELECT 1")  # says so
    _check_apart(db.path, folder)
    _recover(folder, "export")
    _check_folder(folder, force=force)
    db.close()
    with _unfinished(folder, "export") as work, _Exporting(db.path, work) as source, source.reading() as connection:
        partial = work / "build" / "main"
        (partial / "tables").mkdir(parents=True)
        found = catalog.columns(connection)
        known = {script.name for script in scripts.tables()}
        tables = tuple(_write_table(connection, partial, name, found[name]) for name in found if name in known)
        files = tuple(_copy_shard(db.path, partial, name) for name in _shard_names(connection, db.path))
        exported = Manifest(
            format=manifests.FORMAT,
            snql_version=own_version(),
            exported_at=datetime.now(UTC).isoformat(timespec="seconds"),
            schema_version=len(scripts.migrations()),
            migrations=tuple(Migration(s.number, s.name, s.sha256) for s in scripts.migrations()),
            sequences=catalog.next_values(connection),
            tables=tables,
            shards=files,
        )
        (partial / manifests.NAME).write_text(exported.text(), "utf-8")
        manifests.hashed(partial / manifests.NAME, flush=True)
        with _naming(folder.parent):
            _check_folder(folder, force=force)  # another export may have been quicker
            _install(folder, work, ("",))
    left_out = tuple(name for name in found if name not in known)
    n_rows = sum(table.rows for table in tables)
    return Transfer(path=folder, n_tables=len(tables), n_rows=n_rows, n_shards=len(files), left_out=left_out)


def import_database(db: Database, folder: Path, *, force: bool = False) -> Transfer:
    """Make the database that a folder was exported from; migrate it if it is of an older snql.

    All files are checked first, and the database has its name only once it is complete. Raises InputError for a folder
    that is incomplete, damaged or edited, or a database that holds something (with ``force`` it is replaced);
    DatabaseError for an export of a newer or different snql.
    """
    folder = Path(folder).absolute()
    path = db.path.absolute()
    db.close()
    _check_apart(path, folder, around=True)
    _recover(path, "import")
    manifest = manifests.read(folder)
    _check_ledger(manifest, folder)
    _check_target(db, force=force)
    for table in manifest.tables:
        manifests.check_file(folder, table.file, table.sha256)
    for shard in manifest.shards:
        manifests.check_file(folder, shard.file, shard.sha256)
    with _unfinished(path, "import") as work:
        (work / "build" / "main.shards").mkdir(parents=True)
        applied = _build(work / "build" / "main", manifest, folder)
        for shard in manifest.shards:
            _copy(folder / shard.file, work / "build" / "main.shards" / shard.name)
        with _naming(path.parent):
            _check_target(db, force=force)  # a job may have begun meanwhile, or another import been quicker
            _install(path, work, _PARTS)
    n_rows, n_shards = sum(table.rows for table in manifest.tables), len(manifest.shards)
    n_tables = len(manifest.tables)
    return Transfer(path=db.path, n_tables=n_tables, n_rows=n_rows, n_shards=n_shards, applied=tuple(applied))


# Exporting


def _write_table(
    connection: duckdb.DuckDBPyConnection, folder: Path, name: str, columns: tuple[manifests.Column, ...]
) -> Table:
    file = f"tables/{name}.parquet"
    path = str(folder / file).replace("'", "''")
    query = f"COPY (FROM {quoted(name)}) TO '{path}' (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
    ((rows,),) = connection.execute(query).fetchall()
    sha256 = manifests.hashed(folder / file, flush=True)
    return Table(name=name, columns=columns, rows=int(rows), file=file, sha256=sha256)


def _shard_names(connection: duckdb.DuckDBPyConnection, database: Path) -> list[str]:
    query = "SELECT file FROM activation_chunks WHERE file IS NOT NULL ORDER BY run_id, chunk"
    names = [name for (name,) in connection.execute(query).fetchall()]
    for name in names:
        if not shards.NAME.fullmatch(name):
            raise DatabaseError(f"{database} names a shard {name!r}, which snql never does: it cannot be exported")
        if not shards.path_of(database, name).is_file():
            path = shards.path_of(database, name)
            raise DatabaseError(f"the shard {path} is missing: put it back, or remove its run")
    return names


def _copy_shard(database: Path, folder: Path, name: str) -> Shard:
    copy = folder / "shards" / name
    _copy(shards.path_of(database, name), copy)
    return Shard(name, manifests.hashed(copy, flush=True))


def _check_folder(folder: Path, *, force: bool) -> None:
    if not folder.parent.is_dir():
        raise InputError(f"no folder {folder.parent} to hold {folder.name}: create it")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / manifests.NAME).is_file():
        raise InputError(f"{folder} exists and is no exported database: name another folder")
    if not force:
        raise InputError(f"{folder} holds an exported database: name another folder, or replace it with `force`")


# Importing


def _check_ledger(manifest: Manifest, folder: Path) -> None:
    lacking = migrate.check_ledger(manifest.ledger, folder)
    if manifest.schema_version != len(manifest.migrations) or lacking == len(scripts.migrations()):
        raise InputError(f"{folder / manifests.NAME} contradicts itself about its schema: export the database again")


def _check_target(db: Database, *, force: bool) -> None:
    if not db.path.parent.is_dir():
        raise DatabaseError(f"no folder {db.path.parent} to hold the database {db.path.name}: create it")
    if not db.path.exists():
        for beside in (db.path.with_name(db.path.name + suffix) for suffix in _BESIDE):
            if beside.exists() and not force:
                raise InputError(f"{beside} is there without its database: move it away, or remove it with `force`")
        return
    if force:
        with db.write():
            return  # it is snql's, and nobody has it open
    with db.reading() as connection:
        names = [name for name in catalog.columns(connection) if name != "snql_migrations"]
        queries = (f"SELECT 1 FROM {quoted(name)} LIMIT 1" for name in names)  # noqa: S608
        holding = any(connection.execute(query).fetchall() for query in queries)
    if holding:
        raise InputError(f"{db.path} holds data already: name a new file with `db`, or replace it with `force`")


def _build(path: Path, manifest: Manifest, folder: Path) -> list[str]:
    """Make the database file from checked files; return the names of the migrations that it lacked."""
    with duckdb.connect(
        str(path), config=NO_NETWORK | {"storage_compatibility_version": STORAGE_VERSION}
    ) as connection:
        connection.execute("SET allowed_directories = $1", [[str(folder)]])
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute("SET enable_external_access = false")
        migrate.apply(connection, path, scripts.migrations()[: manifest.schema_version])
        wanted = catalog.columns(connection)
        by_name = {table.name: table for table in manifest.tables}
        if by_name.keys() != wanted.keys() or any(by_name[name].columns != wanted[name] for name in wanted):
            raise InputError(
                f"{folder / manifests.NAME} has other tables or columns than schema {manifest.schema_version}: it was "
                "edited; export the database again"
            )
        connection.execute("DELETE FROM snql_migrations")
        for name in wanted:
            with _fitting(folder, by_name[name].file):
                _fill(connection, by_name[name], folder)
        _check_contents(connection, manifest, folder)
        _continue_sequences(connection, manifest, folder)
        return migrate.migrate(connection, path)


def _fill(connection: duckdb.DuckDBPyConnection, table: Table, folder: Path) -> None:
    columns, path = ", ".join(quoted(column.name) for column in table.columns), str(folder / table.file)
    query = f"INSERT INTO {quoted(table.name)} ({columns}) SELECT {columns} FROM read_parquet(?)"  # noqa: S608
    connection.execute(query, [path]).fetchall()
    ((rows,),) = connection.execute(f"SELECT count(*) FROM {quoted(table.name)}").fetchall()  # noqa: S608
    if rows != table.rows:
        raise InputError(f"{path} has {rows} rows, not the {table.rows} that were exported: export the database again")


@contextmanager
def _fitting(folder: Path, file: str) -> Iterator[None]:
    try:
        yield
    except duckdb.IOException:
        raise  # no room, most likely
    except duckdb.Error as error:
        message = f"{folder / file} does not fit its table ({_line(error)}): export the database again"
        raise InputError(message) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _check_contents(connection: duckdb.DuckDBPyConnection, manifest: Manifest, folder: Path) -> None:
    """What the tables say must agree with the manifest: their ledger, and their shards."""
    ledger = connection.execute("SELECT number, name, sha256 FROM snql_migrations ORDER BY number").fetchall()
    if ledger != manifest.ledger:
        raise InputError(f"{folder / manifests.NAME} has another ledger than the tables: export the database again")
    named: list[tuple[str]] = []
    if "activation_chunks" in {table.name for table in manifest.tables}:
        query = "SELECT file FROM activation_chunks WHERE file IS NOT NULL"
        named = connection.execute(query).fetchall()
    if {name for (name,) in named} != {shard.name for shard in manifest.shards}:
        raise InputError(f"{folder / manifests.NAME} has other shards than the tables: export the database again")


def _continue_sequences(connection: duckdb.DuckDBPyConnection, manifest: Manifest, folder: Path) -> None:
    """Let each sequence go on where it was, and above every id in the tables: else the next run would collide."""
    if catalog.next_values(connection).keys() != manifest.sequences.keys():
        raise InputError(f"{folder / manifests.NAME} has other sequences than its schema: export the database again")
    for name, value in manifest.sequences.items():
        start = max(int(value), _largest(connection, manifest, name.removesuffix("s")) + 1)
        with _fitting(folder, manifests.NAME):
            connection.execute(f"CREATE OR REPLACE SEQUENCE {quoted(name)} START WITH {start}")


def _largest(connection: duckdb.DuckDBPyConnection, manifest: Manifest, column: str) -> int:
    """The largest id in all columns of that name: ``run_ids`` numbers every ``run_id``."""
    tables = [table.name for table in manifest.tables if column in {each.name for each in table.columns}]
    queries = [f"SELECT max({quoted(column)}) FROM {quoted(table)}" for table in tables]  # noqa: S608
    return max([0, *(found or 0 for query in queries for (found,) in connection.execute(query).fetchall())])


# Both


def _check_apart(database: Path, folder: Path, *, around: bool = False) -> None:
    """An exported folder is not in what belongs to the database; nor around it, for then ``force`` would remove it."""
    own = [resolved(database.with_name(database.name + suffix)) for suffix in _PARTS]
    place = resolved(folder)
    if any(place.is_relative_to(each) or (each.is_relative_to(place) and not around) for each in own):
        raise InputError(f"{folder} belongs to the database {database}, or holds it: name a folder apart from it")


@contextmanager
def _unfinished(path: Path, verb: str) -> Iterator[Path]:
    """A hidden folder beside ``path`` for this process alone; it goes at the end, whatever happens.

    build/main, build/main.shards   what is being made
    new/                            the same once it is complete, until it has its name
    old/main, old/main.shards ...   what it replaces; goes back to its place unless new/main has got there
    """
    with _told(path):
        work = Path(tempfile.mkdtemp(prefix=_WORK.format(path.name, verb) + owner() + ".", dir=path.parent))
        try:
            yield work
        finally:
            with _naming(path.parent):
                _remove(work, path)


def _recover(path: Path, verb: str) -> None:
    """Remove what killed processes left; what they were replacing goes back to its place."""
    prefix = _WORK.format(path.name, verb)
    if path.parent.is_dir():
        with _told(path), _naming(path.parent):
            for folder in path.parent.iterdir():
                if folder.name.startswith(prefix) and is_dead(folder.name.removeprefix(prefix)):
                    _remove(folder, path)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, duckdb.IOException) as error:
        reason = getattr(error, "strerror", None) or _line(error)
        raise RunError(f"{path} cannot be written ({reason}): see to it, then begin again") from error
    except RuntimeError as error:
        if "Query interrupted" in str(error):  # DuckDB's word for Ctrl-C
            raise KeyboardInterrupt from error
        raise


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Let one process at a time give and take names in a folder, where folders can be locked."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _install(path: Path, work: Path, parts: tuple[str, ...]) -> None:
    """Give what is complete its name; what a kill in between leaves in the folder of work, the next try puts back."""
    # The main part goes first and comes last: without it the rest counts for nothing.
    (work / "old").mkdir()
    (work / "build").replace(work / "new")
    for suffix in parts:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(work / "old" / f"main{suffix}")
    made = work / "new" / "main.shards"
    if made.is_dir() and any(made.iterdir()):
        made.replace(path.with_name(path.name + ".shards"))
    (work / "new" / "main").replace(path)


def _remove(work: Path, path: Path) -> None:
    """Remove a folder of work; what it holds of an earlier state goes back first, unless the new is in its place."""
    old, new = work / "old", work / "new"
    if (new / "main").exists() and path.exists() and (old / "main").exists():
        raise RunError(f"{old} holds what was {path}, where something else is now: move one of them away")
    if (new / "main").exists() and not path.exists():
        placed = path.with_name(path.name + ".shards")
        if (new / "main").is_file() and not (new / "main.shards").exists() and placed.exists():
            placed.replace(new / "main.shards")
        for suffix in reversed(_PARTS):
            if (old / f"main{suffix}").exists():
                (old / f"main{suffix}").replace(path.with_name(path.name + suffix))
    shutil.rmtree(work, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
