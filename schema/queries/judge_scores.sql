-- Purpose: How some judges scored the variants of a run.
SELECT j.judge, v.name AS variant, v.role, count(*) AS judged, count(*) - count(j.score) AS missing,
    avg(j.score) AS mean, stddev_samp(j.score) AS standard_deviation
FROM judgements AS j JOIN variants AS v USING (run_id, variant_id)
WHERE j.run_id = $run_id AND list_contains($judges, j.judge)
GROUP BY j.judge, v.name, v.role, j.variant_id
ORDER BY j.judge, j.variant_id
