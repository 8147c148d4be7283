-- Purpose: the size and models of each finished locate run: what percentages of neurons refer to.
-- Grain:   one row per finished locate run.
-- Key:     run
-- Columns:
--   run -> runs.name: the locate run
--   n_ranked [neurons]: neurons with a rank
--   n_all [neurons]: neurons of the model
--   n_layers [layers]: layers of the model
--   n_ranked_layers [layers]: layers with ranked neurons
--   n_tokens [tokens]: scored tokens
--   n_prompts [prompts]: prompts of the run
--   before: spec of the model before
--   after: spec of the model after
--   positions: which positions were scored: generating, generated, prompt or last-prompt
--   finished_at [UTC]: when the run ended
--   run_id -> runs.run_id: the run
--   scorer: what score is: change-score, or another of docs/scorers.md
--   null_of: locate run whose adapter was shuffled for this one (`snql null`); NULL for all others
-- Units:   n_ranked counts neurons that have a rank; n_all counts all neurons of the model.
-- Caveats: n_layers counts all layers, n_ranked_layers only those ranked. Charts leave runs with null_of out. With
--          the variable snql_only, a list of names, it has these runs and shuffles of them only.
CREATE OR REPLACE VIEW locate_runs AS
WITH chosen AS (
    SELECT *
    FROM runs
    WHERE
        kind = 'locate'
        AND status = 'done'
        AND (
            getvariable('snql_only') IS NULL
            OR list_contains(getvariable('snql_only')::VARCHAR[], name)
            OR list_contains(getvariable('snql_only')::VARCHAR[], config ->> '$.null_of')
        )
),
layers AS (
    SELECT
        run_id,
        layer,
        count(*) AS n_all,
        count(rank) AS n_ranked,
        max(n_tokens) AS n_tokens
    FROM neuron_statistics
    SEMI JOIN chosen USING (run_id)
    GROUP BY run_id, layer
),
sizes AS (
    SELECT
        run_id,
        sum(n_all)::BIGINT AS n_all,
        sum(n_ranked)::BIGINT AS n_ranked,
        count(*) AS n_layers,
        count(*) FILTER (n_ranked > 0) AS n_ranked_layers,
        max(n_tokens) AS n_tokens
    FROM layers
    GROUP BY run_id
)
SELECT
    runs.name AS run,
    sizes.n_ranked,
    sizes.n_all,
    sizes.n_layers,
    sizes.n_ranked_layers,
    sizes.n_tokens,
    (SELECT count(*) FROM run_prompts AS rp WHERE rp.run_id = runs.run_id) AS n_prompts,
    runs.config ->> '$.before' AS before,
    runs.config ->> '$.after' AS after,
    runs.config ->> '$.positions' AS positions,
    runs.finished_at,
    runs.run_id,
    coalesce(runs.config ->> '$.scorer', 'change-score') AS scorer,
    runs.config ->> '$.null_of' AS null_of
FROM sizes
JOIN chosen AS runs USING (run_id);
