-- Purpose: What measured runs say of one set of neurons in one model, treated in one of some ways.
--   sha256: of the set; model: id; modes: what the runs call the treatment.
WITH chosen AS (
    SELECT DISTINCT v.run_id, v.variant_id, runs.name AS run,
        coalesce(runs.config ->> '$.donor' = runs.config ->> '$.recipient', false) AS own
    FROM variants AS v
    JOIN neuron_sets AS s USING (set_id)
    JOIN run_models AS m ON m.run_id = v.run_id AND m.role = 'recipient'
    JOIN runs ON runs.run_id = v.run_id
    WHERE
        v.control_of IS NULL AND s.sha256 = $sha256 AND m.model_id = $model AND runs.status = 'done'
        AND list_contains($modes::VARCHAR[], runs.config ->> '$.mode')
)
SELECT c.run, 'perplexity' AS measure, p.dataset, p.perplexity / p.ratio AS before, p.perplexity AS after
FROM perplexities AS p
JOIN chosen AS c USING (run_id, variant_id)
UNION ALL
SELECT c.run,
    CASE WHEN j.kind = 'refusal' THEN 'refusals (' || e.judge || ')' ELSE e.judge END,
    e.dataset,
    CASE WHEN j.kind = 'refusal' THEN 1 - e.mean_recipient ELSE e.mean_recipient END,
    CASE WHEN j.kind = 'refusal' THEN 1 - e.mean_patched ELSE e.mean_patched END
FROM causal_effects AS e
JOIN chosen AS c USING (run_id, variant_id)
JOIN judges AS j USING (judge)
WHERE e.dataset <> '*'  -- harmful and benign prompts have no common rate
UNION ALL
SELECT DISTINCT
    c.run,
    CASE WHEN c.own THEN 'KL from itself' ELSE 'KL from the donor' END,
    d.dataset, d.kl_recipient, d.kl_patched
FROM screened_effects AS d
JOIN chosen AS c USING (run_id, variant_id)
ORDER BY ALL
