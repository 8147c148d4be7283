-- Purpose: Variants of finished patch runs that have written, in the order of interest.
--   First those that figures show for their series, then other sets; controls last.
WITH headlines AS (
    SELECT DISTINCT run_id, variant_id FROM figure_effects WHERE headline
),
written AS (
    SELECT run_id, variant_id, count(DISTINCT prompt_id) AS n_prompts, count(*) AS n FROM completions GROUP BY ALL
)
SELECT
    runs.run_id, runs.name AS run, v.variant_id, v.role, v.name, w.n_prompts, w.n,
    v.control_seed IS NOT NULL AS control,
    h.variant_id IS NOT NULL AS headline
FROM runs
JOIN variants AS v USING (run_id)
JOIN written AS w USING (run_id, variant_id)
LEFT JOIN headlines AS h USING (run_id, variant_id)
WHERE runs.kind = 'patch' AND runs.status = 'done'
ORDER BY runs.run_id, control, headline DESC, v.variant_id
