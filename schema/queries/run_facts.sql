-- Purpose: What is recorded about a run, as texts: its row, settings, libraries and models, and what became of prompts.
WITH facts AS (
    SELECT 0 AS part, u.key, u.value FROM (
        SELECT run_id, name, kind, status, started_at, finished_at, error, notes, snql_version, git_commit,
            platform, device, dtype, seed, config_sha256
        FROM runs WHERE run_id = $run_id
    ) UNPIVOT INCLUDE NULLS (value FOR key IN (COLUMNS(*)::VARCHAR)) AS u
),
settings AS (
    SELECT 1 AS part, 'config.' || key AS key, json_extract_string(config, '$."' || key || '"') AS value
    FROM (SELECT config, unnest(json_keys(config)) AS key FROM runs WHERE run_id = $run_id)
),
libraries AS (
    SELECT 2 AS part, 'library.' || key AS key, json_extract_string(libraries, '$."' || key || '"') AS value
    FROM (SELECT libraries, unnest(json_keys(libraries)) AS key FROM runs WHERE run_id = $run_id)
),
used_models AS (
    SELECT 3 AS part, 'model.' || role AS key,
        spec || ' (' || architecture || ', ' || n_layers || 'x' || n_neurons || ', sha256 ' || model_id || ')'
    FROM run_models JOIN models USING (model_id) WHERE run_id = $run_id
),
counts AS (
    SELECT 4 AS part, 'rows.' || name AS key, n::VARCHAR FROM (
        SELECT 'prompts' AS name, count(*) AS n FROM run_prompts WHERE run_id = $run_id
        UNION ALL SELECT 'prompts_left_out.' || dataset, n_rows - n_kept FROM run_prompt_sets WHERE run_id = $run_id
        UNION ALL SELECT 'token_activations', coalesce(sum(n_rows), 0) FROM activation_chunks WHERE run_id = $run_id
    )
)
FROM facts UNION ALL FROM settings UNION ALL FROM libraries UNION ALL FROM used_models UNION ALL FROM counts
