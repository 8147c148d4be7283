-- Purpose: What measured runs say of one set of neurons in one model, treated in one of some ways.
--   sha256: of the set; model: id; modes: what the runs call the treatment.
WITH chosen AS (
    SELECT DISTINCT v.run_id, v.variant_id, runs.name AS run
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
SELECT c.run, e.judge, e.dataset, e.mean_recipient, e.mean_patched
FROM causal_effects AS e
JOIN chosen AS c USING (run_id, variant_id)
UNION ALL
SELECT DISTINCT c.run, 'KL from the donor', d.dataset, d.kl_recipient, d.kl_patched
FROM screened_effects AS d
JOIN chosen AS c USING (run_id, variant_id)
ORDER BY ALL
