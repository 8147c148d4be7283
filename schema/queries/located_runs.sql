-- Purpose: Finished locate runs with the shape and the base of their models.
WITH sizes AS (
    SELECT
        run_id,
        max(layer) + 1 AS n_layers,
        coalesce(max(expert) + 1, 1) AS n_experts,
        max(neuron) + 1 AS per_expert,
        count(rank) AS n_ranked
    FROM neuron_statistics
    GROUP BY run_id
),
bases AS (
    SELECT run_id, min(base_sha256) AS base
    FROM run_models JOIN models USING (model_id) WHERE role = 'before' GROUP BY run_id
)
SELECT runs.run_id, name, n_layers, n_experts, per_expert, n_ranked, base
FROM runs JOIN sizes USING (run_id) LEFT JOIN bases USING (run_id)
WHERE kind = 'locate' AND status = 'done' AND config ->> '$.null_of' IS NULL ORDER BY started_at, runs.run_id
