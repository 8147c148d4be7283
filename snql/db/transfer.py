"""``snql db export`` and ``snql db import``: a database as a folder of Parquet files, and back to an equal one.

    DIR/manifest.json          what is there, with schema version, ledger, row counts and SHA-256 (snql.db.manifest)
    DIR/tables/NAME.parquet    one file a table, its rows in their order
    DIR/shards/RUN/CHUNK.parquet   the shards of activations, as they are

Views and macros are made anew. What unfinished runs keep in their staging folder is not exported.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import duckdb

from snql.db import catalog, migrate, scripts, shards
from snql.db import manifest as manifests
from snql.db.catalog import quoted
from snql.db.connection import STORAGE_VERSION, Database
from snql.db.manifest import Manifest, Migration, Shard, Table
from snql.errors import DatabaseError, InputError, RunError

MEMORY = "2GB"
"""What DuckDB may hold while it copies a table: some of it is cache, the rest does not grow with the table."""

_BESIDE = (".shards", ".staging", ".wal")


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
        ((locked,),) = connection.execute("SELECT current_setting('lock_configuration')").fetchall()
        if locked:
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
    _check_folder(folder, force=force)
    db.close()
    with _unfinished(folder) as partial, _Exporting(db.path, partial) as source, source.reading() as connection:
        (partial / "tables").mkdir()
        found = catalog.columns(connection)
        known = _known_tables()
        tables = tuple(_write_table(connection, partial, name, found[name]) for name in found if name in known)
        files = tuple(_copy_shard(db.path, partial, name) for name in _shard_names(connection, db.path))
        exported = Manifest(
            format=manifests.FORMAT,
            snql_version=version("snql"),
            exported_at=datetime.now(UTC).isoformat(timespec="seconds"),
            schema_version=len(scripts.migrations()),
            migrations=tuple(Migration(s.number, s.name, s.sha256) for s in scripts.migrations()),
            sequences=catalog.next_values(connection),
            tables=tables,
            shards=files,
        )
        (partial / manifests.NAME).write_text(exported.text(), "utf-8")
        manifests.hashed(partial / manifests.NAME, flush=True)
        _take_place(partial, folder)
    left_out = tuple(name for name in found if name not in known)
    return Transfer(folder, len(tables), sum(table.rows for table in tables), len(files), left_out)


def import_database(db: Database, folder: Path, *, force: bool = False) -> Transfer:
    """Make the database that a folder was exported from; migrate it if it is of an older snql.

    All files are checked first, and the database has its name only once it is complete. Raises InputError for a folder
    that is incomplete, damaged or edited, or a database that holds something (with ``force`` it is replaced);
    DatabaseError for an export of a newer or different snql.
    """
    folder = Path(folder).absolute()
    db.close()
    manifest = manifests.read(folder)
    _check_ledger(manifest, folder)
    _check_target(db, force=force)
    for table in manifest.tables:
        manifests.check_file(folder, table.file, table.sha256)
    for shard in manifest.shards:
        manifests.check_file(folder, shard.file, shard.sha256)
    with _unfinished(db.path.absolute()) as partial:
        applied = _build(partial / "database", manifest, folder)
        for shard in manifest.shards:
            _copy(folder / shard.file, partial / "shards" / shard.name)
        _check_target(db, force=force)  # a job may have begun meanwhile
        _install(db.path, partial)
    n_rows = sum(table.rows for table in manifest.tables)
    return Transfer(db.path, len(manifest.tables), n_rows, len(manifest.shards), (), tuple(applied))


# Exporting


def _known_tables() -> set[str]:
    with duckdb.connect() as connection:
        migrate.apply(connection, Path(":memory:"), scripts.migrations())
        return set(catalog.columns(connection))


def _write_table(
    connection: duckdb.DuckDBPyConnection, folder: Path, name: str, columns: tuple[manifests.Column, ...]
) -> Table:
    file = f"tables/{name}.parquet"
    path = str(folder / file).replace("'", "''")
    query = f"COPY (FROM {quoted(name)}) TO '{path}' (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
    ((rows,),) = connection.execute(query).fetchall()
    return Table(name, columns, int(rows), file, manifests.hashed(folder / file, flush=True))


def _shard_names(connection: duckdb.DuckDBPyConnection, database: Path) -> list[str]:
    query = "SELECT file FROM activation_chunks WHERE file IS NOT NULL ORDER BY run_id, chunk"
    names = [name for (name,) in connection.execute(query).fetchall()]
    for name in names:
        if not manifests.SHARD_NAME.fullmatch(name):
            raise DatabaseError(f"{database} names a shard {name!r}, which snql never does: it cannot be exported")
        if not shards.path_of(database, name).is_file():
            raise DatabaseError(
                f"the shard {shards.path_of(database, name)} is missing: put it back, or remove its run"
            )
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
        raise InputError(f"{folder} holds an exported database: name another folder, or replace it with --force")


def _take_place(partial: Path, folder: Path) -> None:
    """Give the finished folder its name; an earlier export goes only once the new one is there."""
    old = partial.with_name(partial.name + "-old")
    if folder.exists():
        folder.replace(old)
    partial.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


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
                raise InputError(f"{beside} is there without its database: move it away, or remove it with --force")
        return
    if force:
        with db.write():  # it is snql's, and nobody has it open
            return
    with db.reading() as connection:
        holding = [
            name for name in catalog.columns(connection) if name != "snql_migrations" and _holds(connection, name)
        ]
    if holding:
        raise InputError(f"{db.path} holds data already: name a new file with --db, or replace it with --force")


def _holds(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(connection.execute(f"SELECT 1 FROM {quoted(table)} LIMIT 1").fetchall())  # noqa: S608


def _build(path: Path, manifest: Manifest, folder: Path) -> list[str]:
    """Make the database file from checked files; return the names of the migrations that it lacked."""
    with duckdb.connect(str(path), config={"storage_compatibility_version": STORAGE_VERSION}) as connection:
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
    columns = ", ".join(quoted(column.name) for column in table.columns)
    path = str(folder / table.file)
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
        raise InputError(
            f"{folder / file} does not fit its table ({_line(error)}): export the database again"
        ) from error


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
    if catalog.next_values(connection).keys() != manifest.sequences.keys():
        raise InputError(f"{folder / manifests.NAME} has other sequences than its schema: export the database again")
    for name, value in manifest.sequences.items():
        with _fitting(folder, manifests.NAME):
            connection.execute(f"CREATE OR REPLACE SEQUENCE {quoted(name)} START WITH {int(value)}")


def _install(path: Path, partial: Path) -> None:
    """Give the finished database and its shards their names, the database last."""
    for suffix in _BESIDE:
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.replace(partial / f"old{suffix}")
    if (partial / "shards").is_dir():
        (partial / "shards").replace(path.with_name(path.name + ".shards"))
    (partial / "database").replace(path)


# Both


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A hidden folder beside ``path`` to work in; it goes at the end, whatever happens, and so does a killed try's."""
    folder = path.with_name(f".{path.name}.snql-unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    except (OSError, duckdb.IOException) as error:
        reason = getattr(error, "strerror", None) or _line(error)
        raise RunError(f"{path} cannot be written ({reason}): see to it, then begin again") from error
    except RuntimeError as error:
        if "Query interrupted" in str(error):  # DuckDB's word for Ctrl-C
            raise KeyboardInterrupt from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
