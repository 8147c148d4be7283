-- Purpose: the runs that a report is about, with what its captions say of them.
-- Grain:   one row per finished run.
-- Key:     run_id
-- Columns:
--   run_id -> runs.run_id: the run
--   run -> runs.name: the run
--   kind: locate or patch
--   model_a: spec of before, of the recipient, or of the model that was measured
--   model_b: spec of after, or of the donor; NULL without a donor
--   positions: which positions were scored; NULL in patch runs
--   max_new_tokens [tokens]: longest completion allowed; NULL if nothing was written
--   n_prompts [prompts]: prompts of the run
--   n_tokens [tokens]: scored tokens; NULL in patch runs
--   n_ranked [neurons]: neurons with a rank; NULL in patch runs
--   n_all [neurons]: neurons of the model; NULL in patch runs
--   n_layers [layers]: layers of the model; NULL in patch runs
--   n_ranked_layers [layers]: layers with ranked neurons; NULL in patch runs
--   n_sets [sets]: patched sets, controls not counted
--   judges: names of the judges, first the one that charts show
--   seed: seed of the run
--   started_at [UTC]: when it began
--   finished_at [UTC]: when it ended
--   device: where the models were
--   dtype: number type of the weights
--   snql_version: the snql that ran it
--   git_commit: commit of snql's checkout; NULL for an installed snql
--   config: all settings, as JSON text
--   imported: file of another program that the scores are from; NULL for runs of snql's own
-- Units:   model_a and model_b are the specs of before and after, or of recipient and donor; n_tokens counts the
--          scored tokens of a locate run and is NULL for others.
-- Caveats: config is the run's whole configuration as JSON text.
CREATE OR REPLACE VIEW figure_runs AS
WITH judged AS (
    SELECT run_id, list(judge ORDER BY position) AS judges FROM figure_judges GROUP BY run_id
),
read AS (
    SELECT run_id, count(*) AS n_prompts FROM run_prompts GROUP BY run_id
),
made AS (
    SELECT run_id, count(*) FILTER (role = 'patched' AND control_seed IS NULL) AS n_sets FROM variants GROUP BY run_id
)
SELECT
    runs.run_id,
    runs.name AS run,
    runs.kind,
    coalesce(runs.config ->> '$.before', runs.config ->> '$.recipient', runs.config ->> '$.model') AS model_a,
    coalesce(runs.config ->> '$.after', runs.config ->> '$.donor') AS model_b,
    runs.config ->> '$.positions' AS positions,
    TRY_CAST(runs.config ->> '$.max_new_tokens' AS INTEGER) AS max_new_tokens,
    coalesce(read.n_prompts, 0) AS n_prompts,
    located.n_tokens,
    located.n_ranked,
    located.n_all,
    located.n_layers,
    located.n_ranked_layers,
    coalesce(made.n_sets, 0) AS n_sets,
    coalesce(judged.judges, []) AS judges,
    runs.seed,
    runs.started_at,
    runs.finished_at,
    runs.device,
    runs.dtype,
    runs.snql_version,
    runs.git_commit,
    CAST(runs.config AS VARCHAR) AS config,
    CASE WHEN runs.config ->> '$.imported' IS NOT NULL THEN runs.config ->> '$.file' END AS imported
FROM runs
LEFT JOIN judged USING (run_id)
LEFT JOIN read USING (run_id)
LEFT JOIN made USING (run_id)
LEFT JOIN locate_runs AS located USING (run_id)
WHERE runs.status = 'done';
