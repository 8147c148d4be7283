"""What somebody has changed in a database by hand: views and macros, configurations, judgements or effects."""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import duckdb

from snql.db import migrate, scripts

Finding = tuple[str | None, str]
"""The run, or None, and what is not as it was."""

_VIEWS = "SELECT view_name, sql FROM system.main.duckdb_views() WHERE NOT internal AND NOT temporary"
_MACROS = """
SELECT function_name, parameters::VARCHAR || ' ' || macro_definition FROM system.main.duckdb_functions()
WHERE NOT internal AND function_type IN ('macro', 'table_macro')
"""
_QUERIES = {"view": _VIEWS, "macro": _MACROS}


def objects(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Views and macros with another text than this snql's; more of them are the user's own."""
    for kind, wanted in _wanted((scripts.objects_sha256(), *scripts.migrations())).items():
        found = dict(connection.execute(_QUERIES[kind]).fetchall())
        for name in sorted(wanted):
            if name not in found:
                yield None, f"the {kind} {name} is missing: `snql db migrate` makes it again"
            elif found[name] != wanted[name]:
                yield None, f"the {kind} {name} was changed: `snql db migrate` makes snql's again"


@lru_cache(maxsize=1)
def _wanted(_: tuple[object, ...]) -> dict[str, dict[str, str]]:
    """The text of each view and macro, by kind and name, as DuckDB holds those of a schema that is made of these."""
    with duckdb.connect(":memory:") as fresh:
        migrate.migrate(fresh, Path(":memory:"))
        return {kind: dict(fresh.execute(query).fetchall()) for kind, query in _QUERIES.items()}


def configurations(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Runs whose settings are not those that their hash was made of."""
    for name, config, sha256 in connection.execute("SELECT name, config, config_sha256 FROM runs").fetchall():
        if hashlib.sha256(config.encode()).hexdigest() != sha256:
            yield name, "its settings are not those that it was begun with"


def effects(connection: duckdb.DuckDBPyConnection) -> Iterator[Finding]:
    """Finished patch runs whose effects do not follow from their judgements."""
    finished = "SELECT run_id, name FROM runs WHERE kind = 'patch' AND status = 'done' ORDER BY run_id"
    for run_id, name in connection.execute(finished).fetchall():
        ((n_other,),) = connection.execute(scripts.query("check_effects"), {"run_id": run_id}).fetchall()
        if n_other:
            yield name, f"{n_other} effects are not those that its judgements give"
