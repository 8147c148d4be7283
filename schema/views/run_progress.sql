-- Purpose: how far each run is, for watching one that is at work.
-- Grain:   one row per run.
-- Key:     run_id
-- Columns:
--   run -> runs.name: the run
--   kind: locate, patch, perplexity, divergence, lm-eval, lens, guard, guard-test or guard-compare
--   status: running, done, failed or interrupted
--   stage: contrast, keep, store or done of a locate run; of others their kind, or done
--   done: how many of total the stage has finished
--   total: prompts of the run; completions in a patch run and one of a guard; windows or completions, each under
--     every variant, in a perplexity or divergence run; tasks, each under every variant, in an lm-eval run; layers in a
--     lens run, NULL until it is done
--   tokens [tokens]: scored tokens of the stage so far; NULL in runs of other kinds than locate
--   tokens_per_second [tokens/s]: speed over the stage's batches after the first; NULL before that
--   last_commit [UTC]: when the stage's last batch was committed
--   seconds [s]: from the run's start to its end; NULL before that
--   run_id -> runs.run_id: the run
-- Units:   done and total count the prompts of the stage, or what total says; tokens are scored tokens.
-- Caveats: stages of a locate run are contrast, keep (token-level activations are collected) and store (they are
--          brought into the database); tokens_per_second is over the stage's batches after the first, NULL before that;
--          last_commit is in UTC.
CREATE OR REPLACE VIEW run_progress AS
WITH sizes AS (
    SELECT run_id, count(*) AS n_prompts FROM run_prompts GROUP BY run_id
),
by_stage AS (
    SELECT
        run_id,
        stage,
        sum(n_prompts)::BIGINT AS done,
        sum(n_tokens)::BIGINT AS tokens,
        max(finished_at) AS last_commit,
        (sum(n_tokens) - arg_min(n_tokens, finished_at))::DOUBLE
        / nullif(epoch(max(finished_at) - min(finished_at)), 0) AS tokens_per_second
    FROM run_batches
    GROUP BY run_id, stage
),
located AS (
    SELECT
        runs.run_id,
        CASE
            WHEN EXISTS (FROM activation_chunks AS c WHERE c.run_id = runs.run_id) THEN 'store'
            WHEN runs.kept_set_id IS NOT NULL THEN 'keep'
            ELSE 'contrast'
        END AS stage
    FROM runs
    WHERE runs.kind = 'locate'
),
written AS (
    SELECT run_id, count(*) AS done FROM completions GROUP BY run_id
),
variant_counts AS (
    SELECT run_id, count(*) AS n_variants FROM variants GROUP BY run_id
),
measured AS (
    SELECT run_id, 'perplexity' AS kind, count(*) AS done FROM text_windows GROUP BY run_id
    UNION ALL SELECT run_id, 'divergence', count(*) FROM divergences GROUP BY run_id
    UNION ALL SELECT run_id, 'lm-eval', count(DISTINCT (variant_id, requested)) FROM task_results GROUP BY run_id
),
viewed AS (
    SELECT run_id, count(DISTINCT layer) AS done FROM lens_vectors GROUP BY run_id
),
window_counts AS (
    SELECT r.run_id, sum(
        CASE WHEN len(r.input_ids) < 2 THEN 0 ELSE 1 + greatest(0, ceil(
            (len(r.input_ids) - (runs.config ->> '$.window')::BIGINT) / (runs.config ->> '$.stride')::BIGINT
        )) END
    )::BIGINT AS n_windows
    FROM run_prompts AS r JOIN runs USING (run_id)
    WHERE runs.kind = 'perplexity'
    GROUP BY r.run_id
)
SELECT
    runs.name AS run,
    runs.kind,
    runs.status,
    CASE
        WHEN runs.status = 'done' THEN 'done'
        WHEN runs.kind <> 'locate' THEN runs.kind
        ELSE located.stage
    END AS stage,
    CASE
        WHEN runs.kind IN ('guard', 'guard-test', 'guard-compare') AND runs.status = 'done'
            THEN sizes.n_prompts * variant_counts.n_variants
        WHEN runs.kind IN ('patch', 'guard', 'guard-test', 'guard-compare') THEN coalesce(written.done, 0)
        WHEN runs.kind = 'lens' THEN coalesce(viewed.done, 0)
        WHEN runs.kind <> 'locate' THEN coalesce(measured.done, 0)
        WHEN runs.status = 'done' OR located.stage = 'store' THEN sizes.n_prompts
        ELSE coalesce(by_stage.done, 0)
    END AS done,
    CASE
        WHEN runs.kind IN ('patch', 'guard', 'guard-test', 'guard-compare')
            THEN sizes.n_prompts * variant_counts.n_variants * coalesce((runs.config ->> '$.samples')::BIGINT, 1)
        WHEN runs.kind = 'perplexity' THEN window_counts.n_windows * variant_counts.n_variants
        WHEN runs.kind = 'divergence'
            THEN sizes.n_prompts * (variant_counts.n_variants - 1) * (runs.config ->> '$.samples')::BIGINT
        WHEN runs.kind = 'lens' THEN CASE WHEN runs.status = 'done' THEN coalesce(viewed.done, 0) END
        WHEN runs.kind = 'lm-eval' THEN variant_counts.n_variants * json_array_length(runs.config, '$.tasks')
        ELSE sizes.n_prompts
    END AS total,
    by_stage.tokens,
    by_stage.tokens_per_second,
    by_stage.last_commit,
    round(epoch(runs.finished_at - runs.started_at), 1) AS seconds,
    runs.run_id
FROM runs
LEFT JOIN located USING (run_id)
LEFT JOIN sizes USING (run_id)
LEFT JOIN by_stage
    ON by_stage.run_id = runs.run_id
    AND by_stage.stage = CASE WHEN located.stage = 'contrast' THEN 'contrast' ELSE 'keep' END
LEFT JOIN written ON written.run_id = runs.run_id
LEFT JOIN variant_counts ON variant_counts.run_id = runs.run_id
LEFT JOIN measured ON measured.run_id = runs.run_id AND measured.kind = runs.kind
LEFT JOIN viewed ON viewed.run_id = runs.run_id
LEFT JOIN window_counts ON window_counts.run_id = runs.run_id;
