"""What runs a database has: listing, describing and deleting them."""

import polars as pl

from snql.db import prompts, runs, storage
from snql.db.connection import Database
from snql.errors import InputError


def list_runs(db: Database) -> pl.DataFrame:
    """One row per run, in order of their start; ``progress`` of one that is not done, such as ``keep 8/200``."""
    return db.frame(
        """
        SELECT r.kind, r.name, r.status, r.started_at, round(epoch(r.finished_at - r.started_at), 1) AS seconds,
            CASE WHEN r.status <> 'done' THEN p.stage || ' ' || p.done || '/' || p.total END AS progress,
            r.device, r.dtype, r.seed, r.error, r.snql_version
        FROM runs AS r JOIN run_progress AS p USING (run_id) ORDER BY r.started_at, r.run_id
        """
    )


def describe_run(db: Database, name: str, kind: str | None = None) -> pl.DataFrame:
    """Everything recorded about one run, as rows of (key, value); raises InputError if there is no such run."""
    run_id, kind = find(db, name, kind)
    return db.frame(
        """
        WITH facts AS (
            SELECT 0 AS part, u.key, u.value FROM (
                SELECT run_id, name, kind, status, started_at, finished_at, error, snql_version, git_commit,
                    platform, device, dtype, seed, config_sha256
                FROM runs WHERE run_id = $1
            ) UNPIVOT INCLUDE NULLS (value FOR key IN (COLUMNS(*)::VARCHAR)) AS u
        ),
        settings AS (
            SELECT 1 AS part, 'config.' || key AS key, json_extract_string(config, '$."' || key || '"') AS value
            FROM (SELECT config, unnest(json_keys(config)) AS key FROM runs WHERE run_id = $1)
        ),
        libraries AS (
            SELECT 2 AS part, 'library.' || key AS key, json_extract_string(libraries, '$."' || key || '"') AS value
            FROM (SELECT libraries, unnest(json_keys(libraries)) AS key FROM runs WHERE run_id = $1)
        ),
        used_models AS (
            SELECT 3 AS part, 'model.' || role AS key,
                spec || ' (' || architecture || ', ' || n_layers || 'x' || n_neurons || ', sha256 ' || model_id || ')'
            FROM run_models JOIN models USING (model_id) WHERE run_id = $1
        ),
        counts AS (
            SELECT 4 AS part, 'rows.' || name AS key, n::VARCHAR FROM (
                SELECT 'prompts' AS name, count(*) AS n FROM run_prompts WHERE run_id = $1
                UNION ALL SELECT 'prompts_left_out.' || dataset, n_rows - n_kept FROM run_prompt_sets WHERE run_id = $1
                UNION ALL SELECT 'variants', count(*) FROM variants WHERE run_id = $1
                UNION ALL SELECT 'completions', count(*) FROM completions WHERE run_id = $1
                UNION ALL SELECT 'neuron_statistics', count(*) FROM neuron_statistics WHERE run_id = $1
                UNION ALL SELECT 'token_activations', coalesce(sum(n_rows), 0)
                    FROM activation_chunks WHERE run_id = $1
                UNION ALL SELECT 'judgements', count(*) FROM judgements WHERE run_id = $1
                UNION ALL SELECT 'effects', count(*) FROM effects WHERE run_id = $1
                UNION ALL SELECT 'text_windows', count(*) FROM text_windows WHERE run_id = $1
                UNION ALL SELECT 'divergences', count(*) FROM divergences WHERE run_id = $1
                UNION ALL SELECT 'task_results', count(*) FROM task_results WHERE run_id = $1
                UNION ALL SELECT 'task_samples', count(*) FROM task_samples WHERE run_id = $1
                UNION ALL SELECT 'guard_classifiers', count(*) FROM guard_classifiers WHERE run_id = $1
                UNION ALL SELECT 'lens_vectors', count(*) FROM lens_vectors WHERE run_id = $1
                UNION ALL SELECT 'guard_probabilities', count(*) FROM guard_probabilities WHERE run_id = $1
            )
        )
        SELECT key, value FROM (
            FROM facts UNION ALL FROM settings UNION ALL FROM libraries UNION ALL FROM used_models UNION ALL FROM counts
        ) ORDER BY part, key
        """,
        [run_id],
    )


def prompts_of_run(db: Database, name: str, kind: str | None = None) -> pl.DataFrame:
    """One row per prompt of a run, in order, with the exact text and token ids; raises InputError for no such run."""
    run_id, _ = find(db, name, kind)
    return prompts.given_prompts(db, run_id)


def remove_run(db: Database, name: str, kind: str | None = None) -> str:
    """Delete a run with all its rows and files; return its kind.

    Raises InputError if there is no such run, or if another process is working on it.
    """
    run_id, kind = find(db, name, kind)
    with db.write() as connection:
        runs.check_idle(connection, run_id)
        runs.delete_run(connection, run_id)
    storage.remove_files(db.path, run_id)
    return kind


def find(db: Database, name: str, kind: str | None) -> tuple[int, str]:
    """Id and kind of a run; raises InputError if there is none, or one of each kind and none is named."""
    found = db.rows(
        "SELECT run_id, kind FROM runs WHERE name = $1 AND kind = coalesce($2, kind) ORDER BY kind",
        [name, kind],
    )
    if not found:
        what = f"{kind} run" if kind else "run"
        raise InputError(f"no {what} {name!r} in {db.path}: `snql runs` lists those it has")
    if len(found) > 1:
        kinds = " and ".join(found_kind for _, found_kind in found)
        raise InputError(f"{kinds} runs are both named {name!r}: say which with --kind")
    return int(found[0][0]), str(found[0][1])
